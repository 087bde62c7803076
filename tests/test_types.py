"""Conversion of actions, spaces as JSON, and the leaves of a tree."""

import json
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from footlight.trees import tree_items
from footlight.types import BoxAction, DiscreteAction, Spaces
from tolerance import assert_close

ONE = DiscreteAction(sizes=(3,), starts=(-1,))
SEVERAL = DiscreteAction(sizes=(2, 3), starts=(0, 10), shape=(2,))
TABLE = DiscreteAction(sizes=(2, 3, 4, 5), starts=(0, 10, -2, 5), shape=(2, 2), dtype="int32")


def test_one_choice_by_hand() -> None:
    actions = ONE.to_environment(np.array([[0], [1], [2]]))
    assert actions.shape == (3,)
    assert actions.tolist() == [-1, 0, 1]
    assert ONE.from_environment(actions).tolist() == [[0], [1], [2]]


def test_several_choices_by_hand() -> None:
    actions = SEVERAL.to_environment(np.array([[0, 0], [1, 2]]))
    assert actions.tolist() == [[0, 10], [1, 12]]
    assert SEVERAL.from_environment(actions).tolist() == [[0, 0], [1, 2]]


def test_a_table_of_choices_by_hand() -> None:
    actions = TABLE.to_environment(np.array([[1, 2, 3, 4]]))
    assert actions.dtype == np.int32
    assert actions.tolist() == [[[1, 12], [1, 9]]]
    choices = TABLE.from_environment(actions)
    assert choices.tolist() == [[1, 2, 3, 4]]
    assert choices.dtype == TABLE.stored_dtype == np.int64


def test_a_choice_of_the_environments_small_integers_does_not_run_over() -> None:
    action = DiscreteAction(sizes=(200,), starts=(100,), dtype="uint8")
    assert action.from_environment(np.array([100, 255], np.uint8)).tolist() == [[0], [155]]
    below = DiscreteAction(sizes=(3,), starts=(-100,), dtype="int8")
    assert below.from_environment(np.array([-100, -98], np.int8)).tolist() == [[0], [2]]


@pytest.mark.parametrize(
    ("action", "size", "shape"), [(ONE, 1, ()), (SEVERAL, 2, (2,)), (TABLE, 4, (2, 2))]
)
def test_sizes_and_shapes(action: DiscreteAction, size: int, shape: tuple[int, ...]) -> None:
    assert (action.size, action.shape) == (size, shape)


@pytest.mark.parametrize("action", [ONE, SEVERAL, TABLE])
def test_given_arrays_are_left_alone(action: DiscreteAction) -> None:
    choices = np.ones((4, action.size), np.int64)
    actions = action.to_environment(choices)
    again = actions.copy()
    action.from_environment(actions)[...] = 0
    assert (choices == 1).all()
    assert np.array_equal(actions, again)


def test_box_actions_of_several_dimensions_are_flat_inside() -> None:
    action = BoxAction(
        low=np.array([[-3, 0], [1, -1]], np.float32), high=np.array([[10, 1], [2, 1]], np.float32)
    )
    assert (action.shape, action.size) == ((2, 2), 4)
    actions = action.to_environment(np.array([[-1, 0, 1, 0.5]], np.float32))
    assert actions.tolist() == [[[-3, 0.5], [2, 0.5]]]
    assert_close(action.from_environment(actions), [[-1, 0, 1, 0.5]])
    assert action.from_environment(actions).dtype == action.stored_dtype == np.float32


@pytest.mark.parametrize("action", [ONE, SEVERAL, TABLE])
def test_choices_as_json_and_back(action: DiscreteAction) -> None:
    spaces = Spaces(observation_shape=(4, 2), observation_dtype="uint8", action=action)
    assert Spaces.from_json(json.loads(json.dumps(spaces.to_json(), allow_nan=False))) == spaces


def test_json_of_a_dtype_that_is_none_is_refused() -> None:
    record = Spaces(observation_shape=(1,), observation_dtype="float32", action=ONE).to_json()
    record["action"]["dtype"] = "import os"
    with pytest.raises(TypeError):
        Spaces.from_json(record)


@dataclass
class Inner:
    b: Any
    a: Any


@dataclass
class Outer:
    last: Any
    inner: Any
    missing: Any = None


def test_leaves_of_a_tree_in_field_order() -> None:
    leaf = np.zeros(2)
    found = tree_items(Outer(leaf, Inner(1, Inner(2, None))))
    assert list(found.items()) == [("last", leaf), ("inner.b", 1), ("inner.a.b", 2)]
    assert found["last"] is leaf
    assert list(tree_items(replace(Outer(1, None), missing=3), "state.")) == [
        "state.last",
        "state.missing",
    ]
