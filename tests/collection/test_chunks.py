"""Tasks and chunks: rows in order, masks, and tasks as arrays."""

import numpy as np
import pytest

from footlight.collection.chunks import Task, at_step, stacked, within
from footlight.types import Decision, Transition


def one_step(number: int, valid: list[bool] | None = None) -> tuple[Transition, Decision]:
    row = np.full((2, 3), number, np.float32)
    flags = np.array([number == 1, False])
    mask = None if valid is None else np.array(valid)
    transition = Transition(row, row[:, :1], row[:, 0], row + 1, flags, ~flags, mask)
    return transition, Decision(-row[:, :1], {"behavior": 2 * row})


def test_steps_are_stacked_and_taken_apart_again() -> None:
    steps = [one_step(number) for number in range(4)]
    transition, decision = stacked(steps)
    assert transition.observation.shape == (4, 2, 3)
    assert transition.valid is None
    for number, (expected, decided) in enumerate(steps):
        row, of_row = at_step(transition, decision, number)
        for mine, theirs in zip(row[:6], expected[:6], strict=True):
            assert np.array_equal(mine, theirs)
        assert np.array_equal(of_row.action, decided.action)
        assert np.array_equal(of_row.extras["behavior"], decided.extras["behavior"])


def test_a_mask_of_some_steps_is_one_of_all() -> None:
    transition, _ = stacked([one_step(0), one_step(1, [True, False])])
    assert transition.valid is not None
    assert transition.valid.tolist() == [[True, True], [True, False]]


def test_chunks_are_joined_side_by_side() -> None:
    chunks = [stacked([one_step(first), one_step(first + 1)]) for first in (0, 10)]
    transition, decision = stacked(chunks, along=1)
    assert transition.reward.tolist() == [[0, 0, 10, 10], [1, 1, 11, 11]]
    assert decision.extras["behavior"].shape == (2, 4, 3)


def test_a_task_is_the_same_after_a_checkpoint() -> None:
    policy = {"parameters": np.arange(3, dtype=np.float32), "normalizer.mean": np.ones(2)}
    task = Task(7, 32, 1024, policy, {"learning_rate": 1e-3})
    again = Task.from_arrays(task.arrays())
    assert again[:3] == (7, 32, 1024)
    assert again.scheduled == {"learning_rate": 1e-3}
    assert [*again.policy] == [*policy]
    assert all(np.array_equal(again.policy[name], policy[name]) for name in policy)


def test_other_arrays_are_no_task() -> None:
    with pytest.raises((KeyError, ValueError)):
        Task.from_arrays({"counts": np.zeros(2, np.int64)})
    with pytest.raises(KeyError):
        Task.from_arrays({})


def test_arrays_by_the_beginning_of_their_names() -> None:
    arrays = {"a.x": np.zeros(1), "a.y.z": np.ones(1), "b.x": np.zeros(2)}
    assert [*within(arrays, "a.")] == ["x", "y.z"]
