"""Assessments with hand-written returns: when updates are due, and which policy is kept."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from footlight.buffers.assessed import AssessedReplay, Assessment, Occasion
from footlight.buffers.prioritized import prioritized
from footlight.buffers.replay import Replay
from footlight.types import BoxAction, Decision, Minibatch, Spaces, Transition

ONE = np.ones(1, np.float32)
SPACES = Spaces(
    observation_shape=(1,), observation_dtype="float32", action=BoxAction(low=-ONE, high=ONE)
)


@dataclass(frozen=True)
class Settings:
    gamma: float = 0.5
    n_steps: int = 1
    batch_size: int = 2
    buffer_size: int = 50
    learning_starts: int = 0
    updates_per_step: float = 1.0
    sample_with_replacement: bool = True
    use_checkpoints: bool = True
    early_episodes: int = 1
    late_episodes: int = 3
    late_phase_starts: int = 1_000
    late_phase_factor: float = 0.5
    copy_interval: int = 1_000


def buffer_of(num_envs: int = 1, prioritization: Any = "none", **fields: Any) -> AssessedReplay:
    settings = replace(Settings(), **fields)
    replay = prioritized(Replay(SPACES, num_envs, settings), prioritization)
    return AssessedReplay(replay, num_envs, settings)


def step(
    buffer: AssessedReplay, rewards: list[float], ends: list[bool], truncated: bool = False,
    valid: list[bool] | None = None,
) -> list[Any]:  # fmt: skip
    """One step of each environment; what is then due, updates by their number."""
    zeros, no = np.zeros((len(ends), 1), np.float32), np.zeros(len(ends), bool)
    terminated, cut = (no, np.array(ends)) if truncated else (np.array(ends), no)
    mask = None if valid is None else np.array(valid)
    reward = np.array(rewards, np.float32)
    buffer.add(Transition(zeros, zeros, reward, zeros, terminated, cut, mask), Decision(zeros))
    found: list[Any] = []
    for due in buffer.due(np.random.default_rng(0)):
        found.append(due.number if isinstance(due, Minibatch) else due)
        if isinstance(due, Minibatch):
            buffer.reprioritize(np.full(2, 1.5, np.float32))
    return found


def play(buffer: AssessedReplay, *returns: float, length: int = 2) -> list[list[Any]]:
    """Episodes of one environment with these returns; what was due after each."""
    due = []
    for total in returns:
        for _ in range(length - 1):
            assert step(buffer, [0.0], [False]) == []
        due.append(step(buffer, [total], [True], truncated=True))
    return due


KEPT = Occasion.CHECKPOINT


def test_first_assessment_begins_with_the_first_end_after_learning_starts() -> None:
    buffer = buffer_of(learning_starts=3)
    # Steps 2, 4, 6: the second end is the first one after step 3, the third that of an assessment
    assert play(buffer, 1, 2, -9) == [[], [], [KEPT, 0, 1]]


def test_policy_is_kept_unless_it_is_worse_than_the_best_one() -> None:
    buffer = buffer_of()
    found = play(buffer, 0, 5, 4, 7, 7, 6.5)
    kept = [due[:1] == [KEPT] for due in found]
    assert kept == [False, True, False, True, True, False]
    assert found[2:4] == [[2, 3], [KEPT, 4, 5]]
    assert buffer.assessment.best == 7


def test_the_smallest_return_of_several_episodes_counts() -> None:
    buffer = buffer_of(early_episodes=3)
    assert play(buffer, 0, 5, 3, 9) == [[], [], [], [KEPT, 0, 1, 2, 3, 4, 5]]
    assert buffer.assessment.best == 3
    # Worse in its second episode: the third is not run, and four updates make up for four steps
    assert play(buffer, 4, 2) == [[], [6, 7, 8, 9]]
    # The smallest of these is 3.5, better than 3
    assert play(buffer, 3.5, 8, 9)[2][:1] == [KEPT]
    assert buffer.assessment.best == 3.5


def test_in_the_late_phase_assessments_are_longer_and_the_best_return_is_lowered() -> None:
    buffer = buffer_of(late_phase_starts=3, late_phase_factor=0.5)
    assert play(buffer, 0, 8) == [[], [KEPT, 0, 1]]
    # Update 2 is the third one: the best return becomes 4, within the block
    assert play(buffer, 10) == [[KEPT, 2, 3]]
    assert buffer.assessment.best == 5
    assert play(buffer, 6, 7, 5) == [[], [], [KEPT, 4, 5, 6, 7, 8, 9]]
    assert play(buffer, 6, 4) == [[], [10, 11, 12, 13]]


def test_copies_are_due_after_every_copy_interval() -> None:
    buffer = buffer_of(copy_interval=3)
    copy = Occasion.COPY
    assert play(buffer, 0, 1, length=5) == [[], [KEPT, 0, 1, 2, copy, 3, 4]]
    assert play(buffer, 0) == [[5, copy, 6]]


@pytest.mark.parametrize(("rate", "numbers"), [(0.5, [0]), (1.5, [0, 1, 2]), (0.0, [])])
def test_updates_per_step(rate: float, numbers: list[int]) -> None:
    assert play(buffer_of(updates_per_step=rate), 0, 1) == [[], [KEPT, *numbers]]


def test_without_checkpoints_updates_follow_each_step() -> None:
    buffer = buffer_of(use_checkpoints=False, learning_starts=2, copy_interval=2)
    found = [step(buffer, [0.0], [False]) for _ in range(5)]
    assert found == [[], [], [0], [1, Occasion.COPY], [2]]


def test_episodes_of_all_environments_count_if_they_began_after_the_last_update() -> None:
    buffer = buffer_of(2)
    assert step(buffer, [1.0, 1.0], [True, False]) == []  # the assessment begins
    # The second environment's episode began before; its return of -8 counts for nothing
    assert step(buffer, [2.0, -9.0], [False, True]) == []
    assert step(buffer, [2.0, 3.0], [False, True]) == [KEPT, 0, 1, 2, 3]
    assert buffer.assessment.best == 3
    # The first one's goes on through these updates: with a return of 4 - 9 it is stale, too
    assert step(buffer, [-9.0, 1.0], [True, False]) == []
    # Both ends of one step count, the worse one first
    assert step(buffer, [4.0, 1.0], [True, True]) == [4, 5, 6, 7]


def test_abandoned_episodes_and_steps_that_only_reset_count_for_nothing() -> None:
    buffer = buffer_of(early_episodes=2)
    play(buffer, 0)
    assert step(buffer, [-5.0], [False]) == []
    buffer.forget_pending(np.ones(1, bool))
    assert step(buffer, [-7.0], [False], valid=[False]) == []
    assert play(buffer, 3, 4)[1][0] is KEPT
    assert buffer.assessment.best == 3


def test_new_rows_have_the_largest_present_priority_after_a_copy() -> None:
    buffer = buffer_of(prioritization="lap", copy_interval=2)
    play(buffer, 0)
    buffer.replay._largest = 9.0  # type: ignore[union-attr]
    play(buffer, 1)
    assert buffer.replay._largest == 9.0  # type: ignore[union-attr] # rows were admitted with it
    buffer.replay._tree.fill(np.full(4, 2.0, np.float32))  # type: ignore[union-attr]
    play(buffer, 2)
    assert buffer.replay._largest == 9.0  # type: ignore[union-attr] # that of the new rows
    buffer.replay._tree.fill(np.full(6, 2.0, np.float32))  # type: ignore[union-attr]
    buffer.replay.renew_largest()  # type: ignore[union-attr]
    assert buffer.replay._largest == 2.0  # type: ignore[union-attr]


@pytest.mark.parametrize("at", range(1, 12))
def test_restored_buffer_continues_like_the_original(at: int) -> None:
    fields = {"num_envs": 2, "prioritization": "lap", "late_phase_starts": 6, "copy_interval": 5}
    first, second = buffer_of(**fields), buffer_of(**fields)
    draws = np.random.default_rng(1)
    steps = [(draws.normal(size=2).tolist(), (draws.random(2) < 0.4).tolist()) for _ in range(24)]
    for rewards, ends in steps[:at]:
        step(first, rewards, ends)
    arrays = {name: np.array(array) for name, array in first.arrays().items()}
    second.restore(arrays, first.counters())
    found, again = (
        [step(buffer, rewards, ends) for rewards, ends in steps[at:]] for buffer in (first, second)
    )
    assert found == again
    assert any(found)
    for name, array in first.arrays().items():
        np.testing.assert_array_equal(second.arrays()[name], array, err_msg=name)
    assert first.counters() == second.counters()


def test_taken_over_transitions_begin_a_new_assessment() -> None:
    old, new = buffer_of(prioritization="lap"), buffer_of(prioritization="lap")
    play(old, 0, 5, 7)
    assert new.take_over(old.arrays(), old.counters()) == 6
    assert (len(new), new.num_steps, new.assessment.best) == (6, 0, -np.inf)
    assert play(new, 0, 1) == [[], [KEPT, 0, 1]]


def test_assessment_against_a_loop_over_all_episodes() -> None:
    """Whatever the returns: the best is the largest of the smallest returns that were complete."""
    draws = np.random.default_rng(0)
    for _ in range(50):
        assessment, best, finished = Assessment(1), -np.inf, list[float]()
        for total in draws.normal(size=30).round(1):
            is_end = np.ones(1, bool)
            assessment.add(
                Transition(*[np.zeros(1)] * 2, np.array([total]), np.zeros(1), is_end, ~is_end)
            )
            finished.append(float(total))
            verdict = assessment.passes(3)
            if min(finished) < best:
                wanted: bool | None = False
            elif len(finished) < 3:
                wanted = None
            else:
                wanted, best = True, min(finished)
            assert verdict is wanted
            assert assessment.best == best
            if verdict is not None:
                assessment.restart()
                finished.clear()
