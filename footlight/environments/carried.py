"""State that an environment carries from one episode to the next, such as running statistics.

Where an episode depends on earlier ones, a second instance may be another environment: one with a
running mean of its own shows the policy other observations. It need not be: one that counts its
episodes, or ignores the seed, only plays others. To tell them apart, the floating-point attributes
are written back as they were in the new instance, and the episode is played again.
"""

import contextlib
import copy
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv, VectorEnv

from footlight.environments.attributes import is_comparable
from footlight.environments.running_statistics import is_moments
from footlight.environments.wrappers import InWorker, chain

CARRIED = "history-dependent through "
"""How the reason begins if an episode depends on earlier ones through running statistics."""
REMEDY = (
    "if these are running statistics, leave them out and use normalize_observations or "
    "normalize_rewards true"
)
_NAMED = 4  # attributes in a message
_MISSING = object()

NEW, USED = "new", "used"
"""States of an instance: as it was made, and after it has lived through episodes."""

_saved: dict[int, dict[str, list[tuple[type, dict[str, Any]]]]] = {}
"""Saved attributes of each layer, by the id of the instance and state. Ids, because instances may
compare equal or be unhashable."""


def save_attributes(env: Any, state: str) -> None:
    """Remember the attributes of an instance and its wrappers for `restore_attributes`."""
    if isinstance(env, InWorker):
        env.call_remote("save_attributes", state)
        return
    if id(env) not in _saved:
        _saved[id(env)] = {}
        weakref.finalize(env, _saved.pop, id(env)).atexit = False
    _saved[id(env)][state] = [(type(layer), _values(layer)) for layer in _layers(env)]


def restore_attributes(env: Any, state: str, floats_only: bool = False) -> list[str]:
    """Write back the attributes of a state; return the names of those that this changes."""
    if isinstance(env, InWorker):
        return list(env.call_remote("restore_attributes", state, floats_only))
    changed: list[str] = []
    layers = _saved.get(id(env), {}).get(state, [])
    for layer, (kind, saved) in zip(_layers(env), layers, strict=False):
        if type(layer) is not kind:
            break  # the environment has replaced a layer
        now = _values(layer)
        for name, value in now.items():
            before = saved.get(name, getattr(type(layer), name, _MISSING))
            is_wanted = not floats_only or _is_floating(value) or _is_floating(before)
            if before is _MISSING or not is_wanted or _equal(value, before):
                continue
            layer.__dict__[name] = copy.deepcopy(before)
            changed.append(f"{type(layer).__name__}.{name}")
    return changed


def through_attributes(env: Any, repeats: Callable[[], bool]) -> str | None:
    """The statistics through which an episode depends on earlier ones; None if there are none.

    env: an instance that was saved as NEW and, after several episodes, as USED; the episode that it
    played then differs from the one that it played as NEW. repeats: play it again; whether it is
    equal to the one after USED.
    """
    restore_attributes(env, USED)
    if not repeats():
        return None  # random numbers, or state that is out of reach
    restore_attributes(env, USED)
    changed = restore_attributes(env, NEW, floats_only=True)
    if not changed or repeats():
        return None
    return ", ".join(changed[:_NAMED]) + (" and others" if len(changed) > _NAMED else "")


def _layers(env: Any) -> list[Any]:
    """An instance and what it wraps, of all rows of a vector environment, that may carry state."""
    rows = env.num_envs if isinstance(env, VectorEnv) else 1
    layers = {id(layer): layer for row in range(rows) for layer in chain(env, row)}
    return [layer for layer in layers.values() if not _is_plumbing(layer)]


def _is_plumbing(layer: Any) -> bool:
    """Whether it is a wrapper of Gymnasium's, whose statistics are shared or which has none."""
    if isinstance(layer, SyncVectorEnv | AsyncVectorEnv):
        return True
    is_wrapper = isinstance(layer, gymnasium.Wrapper | gymnasium.vector.VectorWrapper)
    return is_wrapper and type(layer).__module__.startswith("gymnasium.")


def _values(layer: Any) -> dict[str, Any]:
    """Copies of the attributes that are data."""
    copies: dict[str, Any] = {}
    for name, value in getattr(layer, "__dict__", {}).items():
        is_data = not callable(value) and is_comparable(value)
        if is_data or is_moments(value):
            with contextlib.suppress(Exception):  # a class of the user's may refuse
                copies[name] = copy.deepcopy(value)
    return copies


def _is_floating(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_is_floating, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_is_floating, value))
    if isinstance(value, np.ndarray):
        return value.dtype.kind in "fc"
    return isinstance(value, float | np.floating) or is_moments(value)


def _equal(one: Any, other: Any) -> bool:
    if is_moments(one) and is_moments(other):
        one, other = vars(one), vars(other)
    try:
        np.testing.assert_equal(one, other)
    except (AssertionError, TypeError, ValueError):
        return False
    return True
