"""Defaults for what the author of an algorithm leaves out, and checks of what the author wrote.

`complete` makes a subclass of a user's class. It has a default for each name in `DEFAULTS` that
the class lacks, and checks what the author's methods return.
"""

import inspect
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import is_dataclass
from functools import cache
from typing import Any

import numpy as np
import torch

from footlight.algorithms.network_source import call_source
from footlight.algorithms.on_policy import Networks, check_output_shapes
from footlight.algorithms.ordinary import Ordinary, diagnose
from footlight.algorithms.protocol import PolicyState
from footlight.algorithms.requirements import (
    Derived,
    declared,
    is_ordinary,
    is_ours,
    require_buffer,
    require_parts,
)
from footlight.errors import FootlightError, UserError, describe_error
from footlight.machine import device_fault
from footlight.networks.flat import Network
from footlight.networks.heads import head_for
from footlight.types import Decision, Diagnosis, Spaces


class AlgorithmFailed(UserError):
    """A method of a user's algorithm raised an exception."""


def create_from_network(cls: Any, config: Any, spaces: Spaces, network: Any = None) -> Any:
    """Policy and values: the module that the class names as its `network`, or the one given."""
    module = call_source(cls.network if network is None else network, spaces)
    networks = Networks(Network([module]), head_for(spaces.action, "gaussian"), separate=False)
    check_output_shapes(networks, spaces, 1)
    return cls(config, networks, spaces)


def parameters_of_policy(algorithm: Any, state: Any) -> PolicyState:
    """The field of the state with the name of the network that acts.

    Raises `UserError` if the state has no such field.
    """
    networks = algorithm.networks
    name = next(each for each, part in vars(networks).items() if part is networks.policy)
    fields = state if isinstance(state, Mapping) else vars(state)
    if name not in fields:
        raise UserError(
            f"the state of {type(algorithm).__name__} has no `{name}` - the parameters of a "
            f"network are in the field of its name - add `{name}: Tensor`"
        )
    return PolicyState(fields[name])


def diagnose_network(algorithm: Any, state: Any, observation: Any) -> Diagnosis:
    """The values and the distribution of the network of `create_from_network`."""
    networks = algorithm.networks
    output_EH, value_E = networks.actor_critic(algorithm.policy(state).parameters, observation)
    found: Diagnosis = networks.head.diagnose(output_EH)
    return found._replace(value=value_E)


def only_update(algorithm: Any) -> dict[str, Any]:
    """The method `update`."""
    return {"update": algorithm.update}


DEFAULTS: dict[str, Any] = {
    "ACTIONS": ("box", "discrete"),
    "METRICS": Derived(),
    "create": classmethod(create_from_network),
    "policy": parameters_of_policy,
    "updates": property(only_update),
}
"""The defaults, by name."""


def actions_of(algorithm: Any) -> tuple[str, ...]:
    """The kinds of action space that an algorithm works on."""
    names = declared(algorithm)
    return tuple(algorithm.ACTIONS) if "ACTIONS" in names else tuple(DEFAULTS["ACTIONS"])


def complete(algorithm: Any) -> Any:
    """A user's class with everything that the library requires of an algorithm.

    Built-in classes, and objects that are not classes, are returned unchanged. Raises `UserError`
    where something is missing that has no default.
    """
    if is_ours(algorithm) or not inspect.isclass(algorithm):
        return algorithm
    require_parts(algorithm)
    kind: Any = algorithm
    return _completed(kind)


@cache
def _completed(algorithm: Any) -> Any:
    names = declared(algorithm)
    bases = (Ordinary,) if is_ordinary(algorithm) else (algorithm,)
    parts = {name: part for name, part in DEFAULTS.items() if name not in names}
    if not {"create", "diagnose"} & names:
        parts["diagnose"] = diagnose_network
    if is_ordinary(algorithm):
        parts = {n: getattr(algorithm, n) for n in ("ACTIONS", "METRICS") if n in names}
        parts["own"] = algorithm
        if "value" in names:
            parts["diagnose"] = diagnose
    about = {key: getattr(algorithm, key) for key in ("__module__", "__qualname__", "__doc__")}
    base = type(algorithm.__name__, bases, {**parts, **about})
    kind = type(algorithm.__name__, (base,), {**_checked_parts(algorithm, base), **about})
    return kind


def _checked_parts(algorithm: Any, base: Any) -> dict[str, Any]:
    """The methods of `base`, with their errors and what they return checked."""

    def create(cls: Any, *given: Any) -> Any:
        with blamed(algorithm, "create"):
            created = base.create.__func__(cls, *given)
        if type(created) is algorithm:  # which it names instead of `cls`
            completed = object.__new__(cls)
            vars(completed).update(vars(created))
            return completed
        return created

    def updates(self: Any) -> dict[str, Any]:
        found = super(type(self), self).updates
        return {name: _blaming(algorithm, update) for name, update in found.items()}

    methods = {n: _checked(algorithm, getattr(base, n), n) for n in _CHECKS if n in dir(base)}
    return {**methods, "create": classmethod(create), "updates": property(updates)}


@contextmanager
def blamed(algorithm: Any, method: str) -> Iterator[None]:
    """Turn an exception of a user's method into `AlgorithmFailed`, which says where it was raised.

    Failures of the device, and whatever is raised during compilation, are left unchanged.
    """
    try:
        yield
    except FootlightError:
        raise
    except Exception as error:
        if torch._C._len_torch_dispatch_stack() or device_fault(error) is not None:
            raise
        what = f"{algorithm.__name__}.{method} failed{_place(algorithm, error)}"
        raise AlgorithmFailed(f"{what}: {describe_error(error)} - fix it there") from error


def _place(algorithm: Any, error: Exception) -> str:
    """The last line of the author's own file that was being executed."""
    methods = [part for kind in inspect.getmro(algorithm) for part in vars(kind).values()]
    files = {part.__code__.co_filename for part in methods if inspect.isfunction(part)}
    found = [f for f in traceback.extract_tb(error.__traceback__) if f.filename in files]
    return f" in line {found[-1].lineno} of {found[-1].filename}" if found else ""


def _blaming(algorithm: Any, update: Callable[..., Any]) -> Callable[..., Any]:
    def call(*given: Any) -> Any:
        with blamed(algorithm, "update"):
            return update(*given)

    return call


def _checked(algorithm: Any, method: Any, name: str) -> Callable[..., Any]:
    """The method of this name, with its errors and what it returns checked."""

    def call(self: Any, *given: Any) -> Any:
        with blamed(algorithm, name):
            result = method(self, *given)
        _CHECKS[name](algorithm, result)
        return result

    return call


def _require_state(kind: Any, state: Any) -> None:
    if not (is_dataclass(state) or isinstance(state, Mapping)):
        raise UserError(
            f"{kind.__name__}.init returned {_shown(state)} - it must return the state before "
            "the first step, a dataclass of tensors - end it with `return State(...)`"
        )


def _require_decision(kind: Any, result: Any) -> None:
    """Raise `UserError` unless `act` returned a decision with an array [E, A], and the memory."""
    remedy = "end it with `return Decision(action), memory`"
    is_pair = isinstance(result, tuple) and len(result) == 2
    if isinstance(result, Decision) or not is_pair or not isinstance(result[0], Decision):
        raise UserError(
            f"{kind.__name__}.act returned {_shown(result)} - it must return a Decision and the "
            f"memory (None if there is none) - {remedy}"
        )
    action = result[0].action
    if not isinstance(action, np.ndarray) or action.ndim != 2:
        shape = f" of shape {action.shape}" if isinstance(action, np.ndarray) else ""
        raise UserError(
            f"{kind.__name__}.act decided on {_shown(action)}{shape} - actions are a NumPy array "
            "[environments, action dimensions or choices]"
        )


_CHECKS: dict[str, Callable[[Any, Any], None]] = {
    "init": _require_state,
    "buffer": require_buffer,
    "act": _require_decision,
    "explore": _require_decision,
}


def _shown(value: Any) -> str:
    return "None" if value is None else f"a {type(value).__name__}"
