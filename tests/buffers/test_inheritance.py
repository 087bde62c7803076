"""Transitions of another buffer, of the same size, a larger or a smaller one."""

from typing import Any

import numpy as np
import pytest

from footlight.buffers.frames import FrameReplay
from footlight.buffers.inheritance import take_over_rows
from footlight.buffers.mixed import ReplayAndRollout
from footlight.buffers.replay import Replay, ReplayPlan
from footlight.errors import UserError
from footlight.types import BoxAction, Decision, DiscreteAction, Spaces, Transition

BOUNDS = np.ones(1, np.float32)
BOX = Spaces(
    observation_shape=(1,), observation_dtype="float32", action=BoxAction(low=-BOUNDS, high=BOUNDS)
)
IMAGES = Spaces(
    observation_shape=(2, 3, 3), observation_dtype="uint8",
    action=DiscreteAction(sizes=(2,), starts=(0,)),
)  # fmt: skip


def plan(size: int, n_steps: int = 1) -> ReplayPlan:
    return ReplayPlan(
        gamma=0.9, batch_size=4, buffer_size=size, learning_starts=0, n_steps=n_steps,
        updates_per_step=1.0,
    )  # fmt: skip


def add(buffer: Any, number: int, spaces: Spaces = BOX) -> None:
    """One step, from the observation `number` to the next, with the reward `number`."""
    dtype: Any = spaces.observation_dtype
    observations = np.stack(
        [np.full((1, *spaces.observation_shape), number + i, dtype) for i in range(2)]
    )
    if spaces is IMAGES:  # a stack of two frames
        observations[:, :, 0] -= 1
    none = np.zeros(1, bool)
    action = np.zeros((1, 1), spaces.action.stored_dtype)
    reward = np.full(1, number, np.float32)
    step = Transition(observations[0], action, reward, observations[1], none, none)
    buffer.add(step, Decision(action))


def filled(size: int, count: int, n_steps: int = 1) -> Replay:
    buffer = Replay(BOX, 1, plan(size, n_steps))
    for number in range(count):
        add(buffer, number)
    return buffer


def numbers(buffer: Replay) -> list[float]:
    """The rewards of all rows, from the oldest to the newest."""
    rewards = buffer._rows.reward[: len(buffer)]
    return np.roll(rewards, -(buffer.num_rows % max(len(buffer), 1))).tolist()


@pytest.mark.parametrize("count", [0, 1, 7, 10, 13, 25])
@pytest.mark.parametrize("size", [5, 8, 10, 20])
def test_newest_rows_are_taken_over_in_order(count: int, size: int) -> None:
    old, new = filled(10, count), Replay(BOX, 1, plan(size))
    number = new.take_over(old.arrays(), old.counters())
    expected = [float(each) for each in range(count)][-10:][-size:]
    assert numbers(new) == expected
    assert number == len(new) == len(expected)
    assert (new.num_steps, new.num_drawn) == (0, 0)
    for extra in range(count, count + 3):  # the oldest are overwritten first
        add(new, extra)
    assert numbers(new) == [*expected, count, count + 1, count + 2][-size:]
    assert new.num_steps == 3


def test_rows_in_segments_are_taken_over() -> None:
    old, new = filled(10, 13), Replay(BOX, 1, plan(6))
    arrays: dict[str, Any] = {
        name: [array[:4], array[4:]] if name.startswith("rows.") else array
        for name, array in old.arrays().items()
    }
    assert take_over_rows(new, arrays, old.counters()) == 6
    assert numbers(new) == [7, 8, 9, 10, 11, 12]


def test_steps_that_wait_for_their_rewards_are_dropped() -> None:
    old, new = filled(10, 5, n_steps=3), Replay(BOX, 1, plan(10, 3))
    assert new.take_over(old.arrays(), old.counters()) == 3
    assert new._num_pending.tolist() == [0]
    for number in range(100, 103):
        add(new, number)
    assert len(new) == 4
    assert new._rows.reward[3] == pytest.approx(100 + 0.9 * 101 + 0.81 * 102)


def test_rows_of_other_spaces_are_refused() -> None:
    old = filled(10, 5)
    arrays = old.arrays() | {"rows.observation": np.zeros((5, 2), np.float32)}
    with pytest.raises(ValueError, match="was saved, expected"):
        Replay(BOX, 1, plan(10)).take_over(arrays, old.counters())


def frames(size: int, count: int, num_envs: int = 1) -> FrameReplay:
    buffer = FrameReplay(IMAGES, num_envs, plan(size))
    for number in range(1, count + 1):
        add(buffer, number, IMAGES)
    return buffer


@pytest.mark.parametrize("count", [4, 30])
def test_frames_are_taken_over(count: int) -> None:
    old, new = frames(16, count), FrameReplay(IMAGES, 1, plan(16))
    assert new.take_over(old.arrays(), old.counters()) == len(old) == len(new)
    rows = np.resize(np.arange(len(old)), 4)
    for buffer in (old, new):
        buffer.take(rows)
    for one, other in zip(old.batch, new.batch, strict=True):
        assert np.array_equal(one, other)
    assert (new.num_steps, new.num_drawn) == (0, 0)
    add(new, 200, IMAGES)
    new.take(np.full(4, len(new) - 1))
    assert new.batch.observation[0, :, 0, 0].tolist() == [199, 200]


@pytest.mark.parametrize(("size", "num_envs"), [(12, 1), (32, 2), (20, 1)])
def test_frames_in_rings_of_another_size_are_refused(size: int, num_envs: int) -> None:
    old, new = frames(16, 30), FrameReplay(IMAGES, num_envs, plan(size))
    with pytest.raises(UserError, match="give buffer_size and num_envs as there"):
        new.take_over(old.arrays(), old.counters())


def test_replay_beside_a_rollout_is_taken_over_alone() -> None:
    old, new = (ReplayAndRollout(BOX, 1, plan(10), n_steps=8, draws=1) for _ in range(2))
    for number in range(6):
        add(old, number)
    assert new.take_over(old.arrays(), old.counters()) == 6
    assert isinstance(new.replay, Replay)
    assert numbers(new.replay) == [0, 1, 2, 3, 4, 5]
    assert new.rollout.counters()["filled"] == 0
