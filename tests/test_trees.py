"""Trees of dataclasses and mappings: leaves by name, and copies with other leaves."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from footlight.trees import (
    Leaf,
    leaves_of,
    leaves_of_dtype,
    map_leaves,
    named_leaves,
    options_at,
    packed,
    rebuilt,
    record_dtype,
    stray_choice,
    tree_items,
    tree_rebuilt,
)


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


def test_records_hold_the_leaves_of_a_dict() -> None:
    leaves = {
        "camera": Leaf(shape=(3, 3), dtype="uint8"),
        "body.position": Leaf(shape=(2,), dtype="float32"),
        "mode": Leaf(shape=(), dtype="int64", choices=(range(1, 3),)),
    }
    nested = {
        "camera": np.ones((5, 3, 3), np.uint8),
        "body": {"position": np.zeros((5, 2))},
        "mode": np.full(5, 2),
    }
    dtype = record_dtype(leaves)
    records = packed(named_leaves(nested), dtype, (5,))
    assert leaves_of_dtype((), dtype, {"mode": (range(1, 3),)}) == leaves
    assert {name: leaf.shape for name, leaf in leaves_of(records).items()} == {
        "camera": (5, 3, 3), "body.position": (5, 2), "mode": (5,)
    }  # fmt: skip
    for leaf in leaves_of(records).values():  # torch shares the memory of each leaf
        assert torch.from_numpy(leaf).data_ptr() == leaf.__array_interface__["data"][0]
    with pytest.raises(ValueError, match="leaf 'mode' has shape"):
        packed({**named_leaves(nested), "mode": np.zeros(4)}, dtype, (5,))


@pytest.mark.parametrize("count", [1, 40])  # few are compared by Python, many by NumPy
def test_stray_choice(count: int) -> None:
    choices = (range(3), range(-1, 1))
    values = np.tile([2, -1], (count, 1))
    assert stray_choice(values, choices) is None
    assert stray_choice(values.astype(np.int8), choices) is None
    for wrong in ([3, 0], [-1, 0]):
        values[-1] = wrong
        index = stray_choice(values, choices)
        assert index == (count - 1, 0)
        assert options_at(index, (2,), choices) == "0 to 2"
    values[0] = [0, 1]
    assert stray_choice(values, choices) == (0, 1) if count > 1 else (0, 0)
    assert stray_choice(np.array(2), (range(2),)) == ()
    assert options_at((7,), (), (range(2),)) == "0 to 1"
    assert stray_choice(values, ()) is None


def test_texts_are_no_leaves() -> None:
    assert named_leaves({"a": 1, "b": {"c": "go", "d": np.str_("x")}, "e": ("x", "y")}) == {"a": 1}


def test_plain_array_is_the_one_leaf() -> None:
    array = np.arange(3)
    assert rebuilt(leaves_of(array)) is array
    assert map_leaves(lambda leaf: leaf + 1, array).tolist() == [1, 2, 3]
    assert map_leaves(lambda a, b: a + b, {"x": 1, "y": 2}, {"x": 3, "y": 4}) == {"x": 4, "y": 6}
    assert named_leaves(([1, 2], 3)) == {"0.0": 1, "0.1": 2, "1": 3}
    assert named_leaves(([1, 2], 3), ("0", "1")) == {"0": [1, 2], "1": 3}
    assert named_leaves({"a": {"b": [1, 2]}}, {"a.b": None}) == {"a.b": [1, 2]}
