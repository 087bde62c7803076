"""Trees of dataclasses and mappings, such as the state of an algorithm: their leaves by name."""

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

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
