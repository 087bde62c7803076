"""What a user's own algorithm must define, and the line to add where something is missing."""

import inspect
from collections.abc import Mapping, Sequence
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
_BUFFER = {
    "batch": "`self.batch = Batch(...)`, a named tuple of arrays that each update reads",
    "num_bytes": "`self.num_bytes = ...`, the memory of its arrays",
    "num_steps": "`self.num_steps = 0`, the environment steps taken",
    "capacity": "`self.capacity = ...`, the steps that it holds",
    "add": "`def add(self, transition, decision): ...`",
    "due": "`def due(self, stream, final=False): ...`, which yields once for each update",
    "expected_updates": "`def expected_updates(self, steps): return ...`",
    "forget_pending": "`def forget_pending(self, envs_E): ...`",
    "arrays": "`def arrays(self): return {...}`, for a checkpoint",
    "counters": '`def counters(self): return {"num_steps": self.num_steps}`, for a checkpoint',
    "restore": "`def restore(self, arrays, counters): ...`, from these two",
}
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
        if not names & {*_PURE, *extra}:
            raise UserError(
                f"{algorithm!r:.80} is not an algorithm - give a name such as sac, a class of your "
                "own, or FILE.py:NAME - see `footlight list algorithms` and docs/own-algorithm.md"
            )
    if not missing:
        return
    name = str(getattr(algorithm, "__name__", type(algorithm).__name__))
    if {*missing} == {*wanted}:
        raise UserError(
            f"{name} is not an algorithm - it has none of the required methods - see "
            "docs/own-algorithm.md, which has examples"
        )
    raise UserError(f"{name} {_lacks(missing, wanted)} - see docs/own-algorithm.md")


def require_buffer(algorithm: Any, buffer: Any) -> None:
    """Raise `UserError` if what the method `buffer` of an algorithm returned is not a `Buffer`."""
    missing = [name for name in _BUFFER if name not in dir(buffer)]
    what = f"{algorithm.__name__}.buffer returned"
    if "due" in missing:
        shown = "None" if buffer is None else f"a {type(buffer).__name__}"
        raise UserError(
            f"{what} {shown} - it must return a buffer - name one, as in "
            f"`buffer = {_AUTHORING}.rollout_buffer`"
        )
    if missing:
        lacks = _lacks(missing, _BUFFER)
        raise UserError(f"{what} a {type(buffer).__name__}, which {lacks}")


def _lacks(missing: Sequence[str], lines: Mapping[str, str]) -> str:
    *most, last = (f"`{name}`" for name in missing)
    names = f"{', '.join(most)} and {last}" if most else last
    return f"has no {names} - add {'; '.join(lines.get(each, f'`{each}`') for each in missing)}"
