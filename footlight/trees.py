"""Trees: the state of an algorithm, whose leaves are named by dots, and observations.

Observations of a Dict or Tuple space are a NumPy array of records: one field per leaf, under the
dotted name of its place in the space, with the leaf's own dtype and shape. So E of them are one
array [E] that is stored, copied and indexed as any other. In an update they are a dict of tensors.
Any other observations are the tree with one leaf: the plain array, or the plain tensor, whose name
is "".
"""

import operator
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from enum import Enum
from functools import cache
from itertools import cycle
from typing import Annotated, Any, NamedTuple, TypeVar, get_args, get_type_hints

import numpy as np

TreeT = TypeVar("TreeT")


def tree_items(tree: object, prefix: str = "") -> dict[str, Any]:
    """Return the leaves of a tree by dotted name, in order. None is skipped."""
    leaves: dict[str, Any] = {}
    for name, value in _parts(tree):
        if _is_branch(value):
            leaves.update(tree_items(value, f"{prefix}{name}."))
        elif value is not None:
            leaves[prefix + name] = value
    return leaves


def tree_rebuilt(tree: TreeT, leaves: Mapping[str, Any], prefix: str = "") -> TreeT:
    """Return a copy of the tree with these leaves, by dotted name, in place of its own."""
    changes = {}
    for name, value in _parts(tree):
        if _is_branch(value):
            changes[name] = tree_rebuilt(value, leaves, f"{prefix}{name}.")
        elif prefix + name in leaves:
            changes[name] = leaves[prefix + name]
    if isinstance(tree, Mapping):
        return {**tree, **changes}  # type: ignore[return-value]
    return replace(tree, **changes) if is_dataclass(tree) else tree  # type: ignore[type-var]


def _is_branch(value: object) -> bool:
    return isinstance(value, Mapping) or (is_dataclass(value) and not isinstance(value, type))


def _parts(tree: object) -> Iterator[tuple[str, Any]]:
    if isinstance(tree, Mapping):
        yield from tree.items()
    elif is_dataclass(tree):
        yield from ((field.name, getattr(tree, field.name)) for field in fields(tree))


# Observations


class Role(Enum):
    """What a field of a batch is, where normalization has to know it."""

    OBSERVATION = "observation"
    REWARD = "reward"


Observations = Annotated[Any, Role.OBSERVATION]
Rewards = Annotated[Any, Role.REWARD]


def roles(batch: NamedTuple) -> dict[str, Role]:
    """The roles of a batch's fields, by name, as their annotations say."""
    return _roles(type(batch))


@cache
def _roles(batch: Any) -> dict[str, Role]:
    hints = get_type_hints(batch, include_extras=True).items()
    return {n: role for n, hint in hints for role in get_args(hint)[1:] if isinstance(role, Role)}


@dataclass(frozen=True, kw_only=True)
class Leaf:
    """One array of an observation, as it is stored."""

    shape: tuple[int, ...]
    dtype: str
    choices: tuple[range, ...] = ()
    """Where its numbers are choices: the options of each number, in order."""

    @property
    def is_image(self) -> bool:
        """Whether its shape and dtype are those of an image or of a stack of images."""
        return self.dtype == "uint8" and 2 <= len(self.shape) <= 4

    @property
    def is_quantity(self) -> bool:
        """Whether its numbers are quantities, and not choices, bits (of a MultiBinary) or bytes."""
        dtype = np.dtype(self.dtype)
        return not self.choices and (
            dtype.kind == "f" or (dtype.kind in "iu" and dtype.itemsize > 1)
        )

    def to_json(self) -> dict[str, Any]:
        """The leaf as strict JSON."""
        found: dict[str, Any] = {"shape": list(self.shape), "dtype": self.dtype}
        if self.choices:
            found["choices"] = [[each.start, each.stop] for each in self.choices]
        return found

    @staticmethod
    def from_json(record: Mapping[str, Any]) -> "Leaf":
        """The inverse of `to_json`."""
        choices = [range(int(start), int(stop)) for start, stop in record.get("choices", ())]
        shape = tuple(int(n) for n in record["shape"])
        return Leaf(shape=shape, dtype=str(np.dtype(str(record["dtype"]))), choices=tuple(choices))


MAX_LISTED_SIZE = 32
"""Up to this size Python's comparisons are faster than NumPy's."""


def stray_choice(values: Any, choices: tuple[range, ...]) -> tuple[int, ...] | None:
    """The index of the first number in `values` [..., *leaf shape] that is not among its options;
    None if all are, or if the leaf has no choices."""
    if not choices:
        return None
    if values.size <= MAX_LISTED_SIZE and all(
        map(operator.contains, cycle(choices), values.ravel().tolist())
    ):
        return None
    start, stop = _bounds(choices)
    rows = values.reshape(-1, len(choices))
    is_stray = ((rows < start) | (rows >= stop)).reshape(values.shape)
    found = np.argwhere(is_stray)
    return tuple(found[0].tolist()) if len(found) else None


def options_at(index: tuple[int, ...], shape: tuple[int, ...], choices: tuple[range, ...]) -> str:
    """The options of the number at an index [..., *leaf shape], for messages."""
    place = int(np.ravel_multi_index(index[len(index) - len(shape) :], shape)) if shape else 0
    return f"{choices[place].start} to {choices[place].stop - 1}"


@cache
def _bounds(choices: tuple[range, ...]) -> tuple[Any, Any]:
    return np.array([each.start for each in choices]), np.array([each.stop for each in choices])


def record_dtype(leaves: Mapping[str, Leaf]) -> np.dtype[np.void]:
    """The dtype of records with these leaves.

    Aligned, so that each leaf of an array of records is an array that torch can share.
    """
    return np.dtype([(name, each.dtype, each.shape) for name, each in leaves.items()], align=True)


def leaves_of_dtype(
    shape: tuple[int, ...], dtype: Any, choices: Mapping[str, tuple[range, ...]]
) -> dict[str, Leaf]:
    """The inverse of `record_dtype`; any other dtype, of this shape, is the one leaf ""."""
    records = np.dtype(dtype)
    if records.names is None:
        return {"": Leaf(shape=shape, dtype=str(records), choices=tuple(choices.get("", ())))}
    parts = {name: records[name] for name in records.names}
    return {
        name: Leaf(shape=part.shape, dtype=str(part.base), choices=tuple(choices.get(name, ())))
        for name, part in parts.items()
    }


def leaves_of(observation: Any) -> dict[str, Any]:
    """The leaves of observations by name: fields of records, or items of a dict, in order; a plain
    array or tensor is the one leaf "". No leaf is copied."""
    if isinstance(observation, Mapping):
        return dict(observation)
    if isinstance(observation, np.ndarray | np.void) and observation.dtype.names is not None:
        return {name: observation[name] for name in observation.dtype.names}
    return {"": observation}


def map_leaves(function: Callable[..., Any], observation: Any, *others: Any) -> Any:
    """`function` of each leaf, and of the same leaf of the other trees: a plain value where
    `observation` is one, otherwise a dict."""
    leaves = leaves_of(observation)
    rest = [leaves_of(other) for other in others]
    found = {name: function(leaf, *(each[name] for each in rest)) for name, leaf in leaves.items()}
    return rebuilt(found)


def rebuilt(leaves: Mapping[str, Any]) -> Any:
    """The inverse of `leaves_of`: the value of the one leaf "", or a dict of the leaves."""
    return leaves[""] if leaves.keys() == {""} else dict(leaves)


def named_leaves(value: Any, known: Container[str] = (), prefix: str = "") -> dict[str, Any]:
    """The leaves of a nested dict, tuple or list, as an environment gives it, by dotted name.

    Without strings, which are not part of observations (`footlight.environments.spaces`).
    known: names of leaves, which may themselves be lists.
    """
    if isinstance(value, str):
        return {}
    if prefix and prefix.removesuffix(".") in known:
        return {prefix.removesuffix("."): value}
    if isinstance(value, Mapping):
        items: Any = value.items()
    elif isinstance(value, tuple | list):
        items = enumerate(value)
    else:
        return {prefix.removesuffix("."): value}
    found: dict[str, Any] = {}
    for name, part in items:
        found |= named_leaves(part, known, f"{prefix}{name}.")
    return found


def packed(leaves: Mapping[str, Any], dtype: np.dtype[Any], lead: Sequence[int] = ()) -> Any:
    """An array of records [*lead] of this dtype, with these leaves [*lead, *leaf shape] in it.

    Raises `ValueError` where names or shapes are others.
    """
    assert dtype.names is not None
    if leaves.keys() != {*dtype.names}:
        raise ValueError(f"leaves {sorted(leaves)} instead of {sorted(dtype.names)}")
    records = np.zeros(tuple(lead), dtype)
    for name, leaf in leaves.items():
        if np.shape(leaf) != records[name].shape:
            raise ValueError(
                f"leaf {name!r} has shape {np.shape(leaf)} instead of {records[name].shape}"
            )
        records[name] = leaf
    return records
