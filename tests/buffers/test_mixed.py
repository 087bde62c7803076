"""Rollout and replay in one buffer: what is due, in which order, and what a checkpoint holds."""

from typing import Any

import numpy as np

from footlight.buffers.mixed import ReplayAndRollout
from footlight.buffers.replay import ReplayPlan
from footlight.types import Decision, DiscreteAction, Part, Spaces, Transition

SPACES = Spaces(
    observation_shape=(1,),
    observation_dtype="float32",
    action=DiscreteAction(sizes=(3,), starts=(0,)),
)


def buffer_of(learning_starts: int = 0, draws: int = 2) -> ReplayAndRollout:
    plan = ReplayPlan(gamma=0.5, batch_size=2, buffer_size=20, learning_starts=learning_starts)
    return ReplayAndRollout(SPACES, 1, plan, 3, draws)


def feed(buffer: ReplayAndRollout, steps: int, start: int = 0) -> list[list[Part]]:
    """Steps numbered by their observation and reward; what became due after each."""
    stream, due = np.random.default_rng(0), []
    for step in range(start, start + steps):
        seen = np.array([[step]], np.float32)
        no = np.zeros(1, bool)
        action = np.array([[step % 3]])
        buffer.add(
            Transition(seen, action[:, 0], np.array([float(step)]), seen + 1, no, no),
            Decision(action),
        )
        due.append(list(buffer.due(stream)))
    return due


def test_minibatches_are_due_before_the_full_rollout() -> None:
    full = [Part.REPLAY, Part.REPLAY, Part.ROLLOUT]
    assert feed(buffer_of(), 7) == [[], [], full, [], [], full, []]


def test_rollouts_before_learning_starts_are_discarded() -> None:
    due = feed(buffer_of(learning_starts=4, draws=1), 6)
    assert due == [[], [], [], [], [], [Part.REPLAY, Part.ROLLOUT]]


def test_batch_is_the_last_rollout_and_anything_from_replay() -> None:
    buffer = buffer_of()
    feed(buffer, 6)
    assert buffer.batch.rollout_observation.ravel().tolist() == [3, 4, 5]
    assert buffer.batch.rollout_action.ravel().tolist() == [0, 1, 2]
    assert set(buffer.batch.observation.ravel().tolist()) <= set(range(6))
    np.testing.assert_array_equal(buffer.batch.next_observation, buffer.batch.observation + 1)
    np.testing.assert_array_equal(buffer.batch.reward, buffer.batch.observation[:, 0])


def test_expected_updates_are_those_that_come() -> None:
    buffer = buffer_of(learning_starts=3)
    made = sum(map(len, feed(buffer, 12)))
    assert abs(buffer.expected_updates(12) - made) <= 3  # one rollout more or less
    assert buffer.num_steps == 12


def test_restored_buffer_continues_like_the_original() -> None:
    first, second = buffer_of(), buffer_of()
    feed(first, 4)
    arrays: Any = {name: array.copy() for name, array in first.arrays().items()}
    second.restore(arrays, first.counters())
    assert feed(first, 5, start=4) == feed(second, 5, start=4)
    for one, other in zip(first.batch, second.batch, strict=True):
        np.testing.assert_array_equal(one, other)


def test_names_of_both_parts_are_separate() -> None:
    buffer = buffer_of()
    parts = {name.partition(".")[0] for name in buffer.arrays()}
    assert parts == {"replay", "rollout"}
    assert all(name.startswith("replay.") for name in buffer.spans())
    assert (buffer.unit, buffer.capacity) == ("transitions", 20)
    assert buffer.num_bytes == buffer.replay.num_bytes + buffer.rollout.num_bytes
