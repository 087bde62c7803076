"""State of vector environments, as arrays that a checkpoint can hold.

Gymnasium has no interface for this. `LAYOUTS` lists the classes whose state is known, with all of
their attributes: an instance with any other attribute, as in a later version of Gymnasium, or of a
subclass, could have more state than is listed here. A vector environment of tensors may tell its
own: `state_dict` and `load_state_dict`, as modules have them.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from gymnasium.vector import VectorEnv

from footlight.environments.foreign import OfTensors
from footlight.streams import stream_words, take_words
from footlight.types import Array

PREFIX = "native."
_OWN = f"{PREFIX}state."


class Layout(NamedTuple):
    """The attributes of a class of vector environments, besides `np_random`, which all have."""

    changing: tuple[str, ...]
    """Arrays that `step` reads and writes; their last axis is that of the environments."""
    fixed: frozenset[str]
    """Attributes that never change after construction, or that only rendering uses."""
    observe: Callable[[Any], Array]
    """The observations [E, ...] in that state."""


_CARTPOLE = frozenset(
    {
        *("_np_random", "_np_random_seed", "_sutton_barto_reward", "action_space", "closed"),
        *("force_mag", "gravity", "high", "kinematics_integrator", "length", "low", "masscart"),
        *("masspole", "max_episode_steps", "num_envs", "observation_space", "polemass_length"),
        *("render_mode", "screen_height", "screen_width", "screens", "single_action_space"),
        *("single_observation_space", "spec", "steps_beyond_terminated", "surf", "tau"),
        *("theta_threshold_radians", "total_mass", "x_threshold"),
    }
)
LAYOUTS = {
    ("gymnasium.envs.classic_control.cartpole", "CartPoleVectorEnv"): Layout(
        changing=("state", "steps", "prev_done"),
        fixed=_CARTPOLE,
        observe=lambda env: env.state.T.astype(np.float32),
    )
}


def why_unknown(env: VectorEnv[Any, Any, Any]) -> str | None:
    """Why the state of a vector environment cannot be saved; None if it can."""
    if isinstance(env, OfTensors):
        lacking = f"the state of {type(env.env).__name__} cannot be saved, as it has no state_dict"
        return None if env.has_own_state() else lacking
    kind = type(env)
    name = f"the state of a vector environment of class {kind.__name__} cannot be saved"
    layout = LAYOUTS.get((kind.__module__, kind.__qualname__))
    if layout is None:
        return name
    if unknown := sorted(vars(env).keys() - layout.fixed - {*layout.changing}):
        return f"{name}, as it has an unknown attribute {unknown[0]}"
    if type(env.np_random.bit_generator) is not np.random.PCG64:
        return f"{name}, as its random generator is not PCG64"
    return None


def read_state(env: VectorEnv[Any, Any, Any]) -> dict[str, Array]:
    """A copy of the state of an environment whose state is known and that has been reset."""
    if isinstance(env, OfTensors):
        return {_OWN + name: array for name, array in env.own_state().items()}
    arrays = {name: np.array(getattr(env, name)) for name in _layout(env).changing}
    arrays["np_random"] = stream_words(env.np_random)
    return {PREFIX + name: array for name, array in arrays.items()}


def write_state(env: VectorEnv[Any, Any, Any], arrays: dict[str, Array]) -> Array:
    """Restore the state that `read_state` returned, after a reset; return the observations.

    Raises `KeyError` or `ValueError` for arrays that are not the state of such an environment.
    """
    if isinstance(env, OfTensors):
        now = env.own_state()
        for name, like in now.items():
            _require_shape(_OWN + name, arrays[_OWN + name], like)
        env.load_own_state({name: arrays[_OWN + name] for name in now})
        return arrays["observation"]
    saved = {name: arrays[PREFIX + name] for name in (*_layout(env).changing, "np_random")}
    for name in _layout(env).changing:
        _require_like(PREFIX + name, saved[name], getattr(env, name))
    try:
        take_words(env.np_random, saved["np_random"])
    except ValueError as error:
        raise ValueError(f"{PREFIX}np_random: {error}") from error
    for name in _layout(env).changing:
        setattr(env, name, saved[name].copy())
    return _layout(env).observe(env)


def _layout(env: VectorEnv[Any, Any, Any]) -> Layout:
    return LAYOUTS[type(env).__module__, type(env).__qualname__]


def _require_shape(name: str, saved: Array, like: Array) -> None:
    if saved.shape != like.shape or saved.dtype != like.dtype:
        raise ValueError(
            f"{name} is {saved.dtype}{list(saved.shape)}, expected {like.dtype}{list(like.shape)}"
        )


def _require_like(name: str, saved: Array, like: Array) -> None:
    _require_shape(name, saved, like)
    if saved.dtype.kind == "f" and not np.isfinite(saved).all():
        raise ValueError(f"{name} has a number that is not finite")
    if saved.dtype.kind == "i" and saved.min(initial=0) < 0:
        raise ValueError(f"{name} has a negative number")
