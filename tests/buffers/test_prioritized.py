"""Prioritized replay: which rows have which priority, against a slow record, and checkpoints."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from test_frames import images, planned, play
from test_replay import walk

from footlight.buffers import memory
from footlight.buffers.frames import FrameReplay
from footlight.buffers.prioritized import PrioritizedBatch, PrioritizedReplay, prioritized
from footlight.buffers.replay import Replay, ReplayPlan
from footlight.errors import UserError
from footlight.types import Array, Batch, BoxAction, Decision, Spaces, Transition
from tolerance import assert_close

Step = tuple[Transition, Array, Array]


def vectors(num_envs: int, buffer_size: int, n_steps: int) -> tuple[Replay, list[Step]]:
    """A replay buffer of vectors, and steps for it."""
    action = BoxAction(low=np.array([-2], np.float32), high=np.array([2], np.float32))
    spaces = Spaces(observation_shape=(2,), observation_dtype="float32", action=action)
    plan = planned(buffer_size=buffer_size, n_steps=n_steps, updates_per_step=0.5)
    nobody = np.zeros(num_envs, bool)
    return Replay(spaces, num_envs, plan), [(s, s.action, nobody) for s in walk(120, num_envs)]


def frames(num_envs: int, buffer_size: int, n_steps: int) -> tuple[FrameReplay, list[Step]]:
    """The same for images."""
    plan = planned(buffer_size=buffer_size, n_steps=n_steps, updates_per_step=0.5)
    events = play(120, num_envs, 2, 0)
    return FrameReplay(images(2, 1, 2, 1), num_envs, plan), list(events)


KINDS = pytest.mark.parametrize("make", [vectors, frames])
SIZES = pytest.mark.parametrize(
    ("num_envs", "buffer_size", "n_steps"), [(1, 1000, 1), (1, 37, 3), (3, 60, 1), (2, 100, 4)]
)


class SlowPriorities:
    """The priority of every row that can be drawn, by ring and number, in a dict."""

    def __init__(self, replay: Replay | FrameReplay) -> None:
        self.replay, self.held, self.largest = replay, dict[tuple[int, int], float](), 1.0

    def after_step(self) -> None:
        oldest, end = self.replay.drawable()
        for ring in range(len(end)):
            for number in range(oldest[ring], end[ring]):
                self.held.setdefault((ring, number), self.largest)
        self.held = {(r, n): p for (r, n), p in self.held.items() if oldest[r] <= n < end[r]}

    def by_place(self) -> dict[int, float]:
        slots = self.replay.capacity // len(self.replay.drawable()[0])
        found = {ring * slots + n % slots: p for (ring, n), p in self.held.items()}
        assert len(found) == len(self.held)
        return found

    def set(self, places: Array, priorities: Array) -> None:
        slots = self.replay.capacity // len(self.replay.drawable()[0])
        keys = {ring * slots + n % slots: (ring, n) for ring, n in self.held}
        for place, priority in zip(places.tolist(), priorities.tolist(), strict=True):
            self.held[keys[place]] = priority
            self.largest = max(self.largest, priority)


@KINDS
@SIZES
def test_priorities_equal_a_slow_record(
    make: Callable[..., Any], num_envs: int, buffer_size: int, n_steps: int
) -> None:
    replay, steps = make(num_envs, buffer_size, n_steps)
    buffer, slow = PrioritizedReplay(replay, gives_probabilities=True), SlowPriorities(replay)
    generator, drawn = np.random.default_rng(0), 0
    for step, action, forgotten in steps:
        buffer.add(step, Decision(action))
        slow.after_step()
        for _ in buffer.due(generator):
            held = slow.by_place()
            assert len(held) == len(buffer)
            assert {n: p for n, p in enumerate(buffer._tree.priorities.tolist()) if p > 0} == held
            chosen = np.array([held[place] for place in buffer._places.tolist()])
            wanted = len(held) * chosen / sum(held.values())
            assert_close(buffer.batch.relative_probability, wanted, terms=4, dtype=np.float32)
            new = generator.exponential(2, len(chosen)).astype(np.float32)
            slow.set(buffer._places, new)
            buffer.reprioritize(new)
            drawn += 1
        buffer.forget_pending(forgotten)
    assert drawn == buffer.num_drawn > 50
    assert buffer.expected_updates(buffer.num_steps) == drawn


def test_drawn_rows_are_those_of_the_places() -> None:
    buffer, steps = vectors(2, 50, 1)
    with_priorities = PrioritizedReplay(buffer, gives_probabilities=False)
    for step, action, _ in steps[:40]:
        with_priorities.add(step, Decision(action))
    with_priorities.draw(np.random.default_rng(0))
    assert type(with_priorities.batch) is Batch
    for stored, out in zip(buffer._rows, with_priorities.batch, strict=True):
        np.testing.assert_array_equal(out, stored[with_priorities._places])


def test_large_priorities_are_drawn_in_proportion() -> None:
    replay, steps = vectors(1, 1000, 1)
    buffer, stream = PrioritizedReplay(replay, gives_probabilities=True), np.random.default_rng(0)
    for step, action, _ in steps[:20]:
        buffer.add(step, Decision(action))
    buffer.draw(stream)
    assert buffer.batch.relative_probability.tolist() == [1] * 7  # all are new
    buffer._places = np.arange(7)
    buffer.reprioritize(np.array([0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 84], np.float32))
    counts = np.zeros(20)
    for _ in range(2000):
        buffer.draw(stream)
        counts += np.bincount(buffer._places, minlength=20)
    # 84 + 6 * 0.5 + 13 * 1 = 100
    assert abs(counts[6] / 14_000 - 0.84) < 0.01
    assert abs(counts[7:].sum() / 14_000 - 0.13) < 0.01
    # What is new now is as likely as row 6
    buffer.add(steps[20][0], Decision(steps[20][1]))
    buffer.draw(stream)
    assert buffer._tree.priorities[20] == 84


def test_priorities_that_are_not_finite_are_ignored() -> None:
    replay, steps = vectors(1, 100, 1)
    buffer = PrioritizedReplay(replay, gives_probabilities=False)
    for step, action, _ in steps[:9]:
        buffer.add(step, Decision(action))
    buffer.draw(np.random.default_rng(0))
    buffer._places = np.arange(7)
    buffer.reprioritize(np.array([2, np.nan, np.inf, 3, 1, 1, 1], np.float32))
    assert buffer._tree.priorities[:9].tolist() == [2, 1, 1, 3, 1, 1, 1, 1, 1]
    buffer.reprioritize(np.full(7, np.nan, np.float32))
    assert buffer._largest == 3


@KINDS
@SIZES
def test_restored_buffer_continues_bit_for_bit(
    make: Callable[..., Any], num_envs: int, buffer_size: int, n_steps: int
) -> None:
    def drawn(buffer: PrioritizedReplay, steps: list[Step], stream: Any, errors: Any) -> list[Any]:
        found = []
        for step, action, forgotten in steps:
            buffer.add(step, Decision(action))
            for _ in buffer.due(stream):
                found.append([array.tobytes() for array in buffer.batch])
                buffer.reprioritize(errors.exponential(2, 7).astype(np.float32))
            buffer.forget_pending(forgotten)
        return found

    replay, steps = make(num_envs, buffer_size, n_steps)
    straight, stream, errors = (
        PrioritizedReplay(replay, gives_probabilities=True),
        *(np.random.default_rng(seed) for seed in (0, 1)),
    )
    drawn(straight, steps[:71], stream, errors)
    saved = {name: array.copy() for name, array in straight.arrays().items()}
    counters = json.loads(json.dumps(straight.counters()))
    positions = stream.bit_generator.state, errors.bit_generator.state
    resumed = PrioritizedReplay(make(num_envs, buffer_size, n_steps)[0], gives_probabilities=True)
    resumed.restore(saved, counters)
    wanted = drawn(straight, steps[71:], stream, errors)
    stream.bit_generator.state, errors.bit_generator.state = positions
    assert drawn(resumed, steps[71:], stream, errors) == wanted
    assert len(wanted) > 20
    assert {n: a.tobytes() for n, a in resumed.arrays().items()} == {
        n: a.tobytes() for n, a in straight.arrays().items()
    }
    assert resumed.spans() == straight.spans()
    assert not {"priority", "largest_priority"} & resumed.spans().keys()  # written whole


@KINDS
def test_transitions_of_another_run_have_equal_priorities(make: Callable[..., Any]) -> None:
    old, steps = make(2, 100, 1)
    for step, action, _ in steps[:30]:
        old.add(step, Decision(action))
    new = PrioritizedReplay(make(2, 100, 1)[0], gives_probabilities=False)
    number = new.take_over(old.arrays(), old.counters())
    assert number == len(new) == len(old) > 20
    new.draw(np.random.default_rng(0))
    assert sorted(new._tree.priorities.tolist()) == [0] * (100 - number) + [1] * number
    # and the other way round: a buffer without priorities does not look at them
    assert make(2, 100, 1)[0].take_over(new.arrays(), new.counters()) == number


def test_without_prioritization_the_buffer_is_the_same() -> None:
    replay, _ = vectors(1, 100, 1)
    assert prioritized(replay, "none") is replay
    assert type(prioritized(replay, "lap").batch) is Batch
    assert type(prioritized(replay, "proportional").batch) is PrioritizedBatch


def test_memory_is_announced_and_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    replay, _ = vectors(1, 10_000, 1)
    buffer = PrioritizedReplay(replay, gives_probabilities=True)
    levels = sum(level.nbytes for level in buffer._tree._levels)
    assert 11 * 10_000 < levels < 12 * 10_000
    assert buffer.num_bytes == replay.num_bytes + levels
    monkeypatch.setattr(memory, "available_bytes", lambda: buffer.num_bytes - 1)
    with pytest.raises(UserError, match="buffer_size 10,000 needs"):
        PrioritizedReplay(replay, gives_probabilities=True)


def test_unit_is_that_of_the_buffer() -> None:
    images_, vectors_ = frames(1, 100, 1)[0], vectors(1, 100, 1)[0]
    kinds = [PrioritizedReplay(each, gives_probabilities=False) for each in (images_, vectors_)]
    assert [each.unit for each in kinds] == ["frames", "transitions"]
    assert [each.sums_rewards for each in kinds] == [False, False]
    assert type(kinds[0].settings) is ReplayPlan
