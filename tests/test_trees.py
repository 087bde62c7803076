"""Trees of dataclasses and mappings: leaves by name, and copies with other leaves."""

from dataclasses import dataclass
from typing import Any

from footlight.trees import tree_items, tree_rebuilt


@dataclass(frozen=True)
class Leafy:
    """A tree with all kinds of parts."""

    first: int
    parts: dict[str, Any]
    missing: None = None


TREE = Leafy(1, {"b": 2, "a": Leafy(3, {})})


def test_leaves_have_dotted_names_in_order() -> None:
    assert list(tree_items(TREE).items()) == [("first", 1), ("parts.b", 2), ("parts.a.first", 3)]
    assert list(tree_items(TREE, "x.")) == ["x.first", "x.parts.b", "x.parts.a.first"]


def test_none_is_not_a_leaf() -> None:
    assert tree_items({"a": None, "b": 0}) == {"b": 0}


def test_rebuilt_tree_has_new_leaves_and_leaves_the_original() -> None:
    rebuilt = tree_rebuilt(TREE, {"parts.a.first": 7, "first": 5})
    assert rebuilt == Leafy(5, {"b": 2, "a": Leafy(7, {})})
    assert Leafy(1, {"b": 2, "a": Leafy(3, {})}) == TREE


def test_tree_rebuilt_from_its_own_leaves_is_equal() -> None:
    assert tree_rebuilt(TREE, tree_items(TREE)) == TREE


def test_unknown_leaves_are_ignored() -> None:
    assert tree_rebuilt(TREE, {"other": 1}) == TREE
