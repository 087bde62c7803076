"""What a user's own algorithm must define, and the line to add where something is missing."""

import inspect
from dataclasses import is_dataclass
from typing import Any

from footlight.errors import UserError

_AUTHORING = "footlight.algorithms.authoring"
_PURE = {
    "config": "`config: Config`, a frozen dataclass of its hyperparameters",
    "networks": "`networks: Networks`",
    "create": "`network = MyNetwork`, your torch.nn.Module",
    "init": "`def init(self, num_envs): return State(...)`",
    "buffer": f"`buffer = {_AUTHORING}.rollout_buffer`",
    "act": f"`act = {_AUTHORING}.sample_or_mode`",
    "updates": "`def update(self, state, batch, noise): ...`",
}
_ORDINARY = {
    "config": "`config: Config`, a frozen dataclass of its hyperparameters",
    "__init__": "`def __init__(self, config, spaces): ...`",
    "buffer": f"`buffer = {_AUTHORING}.rollout_buffer`",
    "update": "`def update(self, batch): ...`",
}
"""By name, what to add. The first is an algorithm of pure functions, the second one of ordinary
PyTorch."""
_EITHER = {"create": {"create", "network"}, "updates": {"updates", "update"}}
"""Names of which any one is enough."""
_PURE_ONLY = {"init", "updates", "create", "networks"}
"""Names that mark a class as made of pure functions."""


class Derived(tuple[str, ...]):
    """`METRICS` of an algorithm that names none: the names are those that its updates return."""


def is_ours(algorithm: Any) -> bool:
    """Whether a class is one of this package."""
    return str(getattr(algorithm, "__module__", "")).startswith("footlight.algorithms.")


def declared(algorithm: Any) -> set[str]:
    """The names that a class or object has, or declares with an annotation."""
    given = {*dir(algorithm)} - {*dir(object)}
    for member in inspect.getmro(algorithm if inspect.isclass(algorithm) else type(algorithm)):
        if member is not object:
            given |= vars(member).keys() | inspect.get_annotations(member).keys()
    return given


def is_ordinary(algorithm: Any) -> bool:
    """Whether a class is an algorithm in ordinary PyTorch: with modules and optimizers of its own,
    and an `update(batch)`."""
    names = declared(algorithm)
    if not inspect.isclass(algorithm) or names & _PURE_ONLY:
        return False
    update = inspect.getattr_static(algorithm, "update", None)
    if inspect.isfunction(update) and len(inspect.signature(update).parameters) == 2:
        return True
    return "__init__" in names and not is_dataclass(algorithm)


def require_parts(algorithm: Any) -> None:
    """Raise `UserError` if an algorithm lacks a name that nothing else can stand in for."""
    if inspect.isfunction(algorithm):
        name = algorithm.__name__
        raise UserError(
            f"{name} is a function - an algorithm is a class - see docs/own-algorithm.md"
        )
    names = declared(algorithm)
    wanted = _ORDINARY if is_ordinary(algorithm) else _PURE
    missing = [name for name in wanted if not names & _EITHER.get(name, {name})]
    if not inspect.isclass(algorithm):  # nothing is added to an object
        extra = ("ACTIONS", "METRICS", "create", "policy", "updates")
        missing = sorted({*missing, *(name for name in extra if name not in names)})
    if not missing:
        return
    name = str(getattr(algorithm, "__name__", type(algorithm).__name__))
    if {*missing} == {*wanted}:
        raise UserError(
            f"{name} is no algorithm - it has nothing of one - see docs/own-algorithm.md, which "
            "has two examples"
        )
    lines = "; ".join(wanted.get(each, f"`{each}`") for each in missing)
    *most, last = (f"`{each}`" for each in missing)
    lacks = f"{', '.join(most)} and {last}" if most else last
    raise UserError(f"{name} has no {lacks} - add {lines} - see docs/own-algorithm.md")
