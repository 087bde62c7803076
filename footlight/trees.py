"""Trees of dataclasses, such as the state of an algorithm: their leaves by name."""

from dataclasses import fields, replace
from typing import Any


def tree_items(tree: Any, prefix: str = "") -> dict[str, Any]:
    """The leaves of a dataclass tree by dotted name, in field order: what a checkpoint has to hold, nothing forgotten."""
    leaves = {}
    for field in fields(tree):
        value, name = getattr(tree, field.name), prefix + field.name
        if hasattr(value, "__dataclass_fields__"):
            leaves.update(tree_items(value, name + "."))
        elif value is not None:
            leaves[name] = value
    return leaves


def tree_rebuilt(tree: Any, leaves: dict[str, Any], prefix: str = "") -> Any:
    """A copy of the dataclass tree with these leaves (by dotted name) in the place of its own."""
    changes = {}
    for field in fields(tree):
        value, name = getattr(tree, field.name), prefix + field.name
        if hasattr(value, "__dataclass_fields__"):
            changes[field.name] = tree_rebuilt(value, leaves, name + ".")
        elif name in leaves:
            changes[field.name] = leaves[name]
    return replace(tree, **changes)
