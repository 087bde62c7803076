"""Replay: n-step returns against a slow loop, sampling, and restoring from a checkpoint."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from footlight.buffers.replay import Replay
from footlight.errors import UserError
from footlight.types import Array, Batch, Decision, DiscreteAction, Minibatch, Spaces, Transition
from tolerance import assert_close


@dataclass(frozen=True)
class Settings:
    gamma: float = 0.9
    n_steps: int = 1
    batch_size: int = 4
    buffer_size: int = 100
    learning_starts: int = 0
    updates_per_step: float = 1.0
    sample_with_replacement: bool = True


def walk(num_steps: int, num_envs: int, seed: int = 0) -> list[Transition]:
    """Random episodes, out of phase; an observation is (environment, time), unique to its row."""
    generator = np.random.default_rng(seed)
    steps = []
    for time in range(num_steps):
        who = np.arange(num_envs)
        now, later = (
            np.stack([who, np.full(num_envs, t)], 1).astype(np.float32) for t in (time, time + 1)
        )
        reward = generator.standard_normal(num_envs)
        terminated, truncated = generator.random((2, num_envs)) < 0.12
        steps.append(Transition(now, now[:, :1], reward, later, terminated, truncated))
    return steps


def fill(replay: Replay, steps: list[Transition]) -> None:
    for step in steps:
        replay.add(step, Decision(step.action))


def batches(replay: Replay, stream: np.random.Generator) -> Iterator[Batch]:
    """What is due, each minibatch as long as the next one is not asked for."""
    return (replay.batch for _ in replay.due(stream))


def rows(replay: Replay) -> dict[str, Array]:
    return {
        name.removeprefix("rows."): array
        for name, array in replay.arrays().items()
        if name.startswith("rows.")
    }


def as_tuples(arrays: Iterable[Array]) -> list[tuple[float, ...]]:
    """Each row with all its numbers."""
    return [
        tuple(row)
        for row in np.concatenate([array.reshape(len(array), -1) for array in arrays], 1).tolist()
    ]


def expected_rows(steps: list[Transition], gamma: float, n_steps: int) -> list[dict[str, Any]]:
    """N-step rows by definition: rewards until the n-th or an end, in the order of completion."""
    found = []
    for env in range(len(steps[0].reward)):
        for start in range(len(steps)):
            total, discount = 0.0, 1.0
            for time in range(start, min(start + n_steps, len(steps))):
                step = steps[time]
                total, discount = total + discount * step.reward[env], discount * gamma
                if step.terminated[env] or step.truncated[env] or time == start + n_steps - 1:
                    row = {
                        "observation": steps[start].observation[env],
                        "action": steps[start].action[env],
                        "reward": total,
                        "next_observation": step.next_observation[env],
                        "discount": 0.0 if step.terminated[env] else discount,
                    }
                    found.append(((time, env, start), row))
                    break
    return [row for _, row in sorted(found, key=lambda pair: pair[0])]


def test_n_step_returns_by_hand(tiny_spaces: Spaces) -> None:
    # Rewards 1, 2, 3 | 4, 5 | 6: terminated after the third and truncated after the fifth step;
    # gamma 0.5, n = 2
    replay = Replay(tiny_spaces, 1, Settings(gamma=0.5, n_steps=2))
    for time, (terminated, truncated) in enumerate(
        [(0, 0), (0, 0), (1, 0), (0, 0), (0, 1), (0, 0)]
    ):
        now, later = np.full((1, 2), time, np.float32), np.full((1, 2), time + 1, np.float32)
        ends = np.array([terminated], bool), np.array([truncated], bool)
        replay.add(
            Transition(now, now[:, :1], np.array([time + 1.0]), later, *ends), Decision(now[:, :1])
        )
    stored = rows(replay)
    # Step 5 still waits for its second reward
    assert stored["observation"][:, 0].tolist() == [0, 1, 2, 3, 4]
    # 1 + 2/2 = 2;  2 + 3/2 = 3.5;  3;  4 + 5/2 = 6.5;  5
    assert stored["reward"].tolist() == [2, 3.5, 3, 6.5, 5]
    assert stored["next_observation"][:, 0].tolist() == [2, 3, 3, 5, 5]
    # 0 after a termination; a time limit bootstraps
    assert stored["discount"].tolist() == [0.25, 0, 0, 0.25, 0.5]


def test_both_ends_at_once_is_terminated(tiny_spaces: Spaces) -> None:
    step = walk(1, 1)[0]._replace(terminated=np.array([True]), truncated=np.array([True]))
    for n_steps in (1, 3):
        replay = Replay(tiny_spaces, 1, Settings(n_steps=n_steps))
        replay.add(step, Decision(step.action))
        assert rows(replay)["discount"].tolist() == [0]


@pytest.mark.parametrize("n_steps", [1, 2, 3, 7])
@pytest.mark.parametrize("num_envs", [1, 3])
@pytest.mark.parametrize("capacity", [1000, 37, 5])  # never full; wraps around several times
def test_equals_a_slow_loop(
    tiny_spaces: Spaces, n_steps: int, num_envs: int, capacity: int
) -> None:
    steps, settings = walk(80, num_envs), Settings(n_steps=n_steps, buffer_size=capacity)
    replay = Replay(tiny_spaces, num_envs, settings)
    fill(replay, steps)
    expected = expected_rows(steps, settings.gamma, n_steps)
    assert replay.num_rows == len(expected)
    assert len(replay) == min(len(expected), capacity)
    # Row k is stored at position k % capacity
    kept = sorted(range(len(expected))[-capacity:], key=lambda index: index % capacity)
    for name, array in rows(replay).items():
        assert_close(array, np.array([expected[index][name] for index in kept]))


def test_more_environments_than_places(tiny_spaces: Spaces) -> None:
    replay = Replay(tiny_spaces, 7, Settings(buffer_size=5))
    fill(replay, walk(3, 7))
    # Row k is that of environment k % 7 at time k // 7: the last five of 21 rows are 16 to 20, of
    # environments 2 to 6 at time 2. Row k is stored at position k % 5: first 20, then 16 to 19.
    assert rows(replay)["observation"].tolist() == [[6, 2], [2, 2], [3, 2], [4, 2], [5, 2]]


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int64", "float32"])
def test_observations_keep_their_dtype(tiny_spaces: Spaces, dtype: str) -> None:
    replay = Replay(replace(tiny_spaces, observation_dtype=dtype), 1, Settings(batch_size=1))
    fill(replay, [step._replace(observation=step.observation.astype(dtype)) for step in walk(4, 1)])
    batch = next(batches(replay, np.random.default_rng(0)))
    for array in (
        rows(replay)["observation"],
        rows(replay)["next_observation"],
        batch.observation,
        batch.next_observation,
    ):
        assert array.dtype == dtype
    assert rows(replay)["observation"].tolist() == [[0, 0], [0, 1], [0, 2], [0, 3]]


def test_float64_becomes_float32(tiny_spaces: Spaces) -> None:
    replay = Replay(tiny_spaces, 1, Settings())
    third = np.full((1, 2), 1 / 3)
    never = np.zeros(1, bool)
    replay.add(
        Transition(third, third[:, :1], np.array([1 / 3]), third, never, never),
        Decision(third[:, :1]),
    )
    for name, array in rows(replay).items():
        assert array.dtype == np.float32
        assert (array == np.float32(0.9 if name == "discount" else 1 / 3)).all()


def test_the_world_may_reuse_its_arrays(tiny_spaces: Spaces) -> None:
    for n_steps in (1, 3):
        replay, steps = Replay(tiny_spaces, 2, Settings(n_steps=n_steps)), walk(10, 2)
        again = Replay(tiny_spaces, 2, Settings(n_steps=n_steps))
        fill(again, steps)
        for step in steps:
            arrays = [array.copy() for array in step[:6]]
            replay.add(Transition(*arrays), Decision(arrays[1]))
            for array in arrays:
                array[:] = 1
        for name, array in rows(replay).items():
            assert np.array_equal(array, rows(again)[name])


def test_minibatches_are_rows(tiny_spaces: Spaces) -> None:
    replay = Replay(tiny_spaces, 3, Settings(n_steps=2, buffer_size=37, batch_size=16))
    fill(replay, walk(80, 3))
    stored = set(as_tuples(rows(replay).values()))
    for batch in batches(replay, np.random.default_rng(0)):
        assert stored.issuperset(as_tuples(batch))
    assert replay.num_drawn == 240


def test_draws_are_uniform_over_what_is_there(tiny_spaces: Spaces) -> None:
    replay = Replay(tiny_spaces, 1, Settings(batch_size=50, updates_per_step=40, buffer_size=1000))
    fill(replay, walk(10, 1))
    drawn = np.concatenate(
        [batch.observation[:, 1].copy() for batch in batches(replay, np.random.default_rng(0))]
    )
    assert len(drawn) == 20_000
    counts = np.unique(drawn, return_counts=True)[1]
    # Every row is drawn, and none of the 990 empty ones, which would have counted as time 0
    assert len(counts) == 10
    assert np.abs(counts - 2000).max() < 4 * np.sqrt(20_000 * 0.1 * 0.9)  # four standard deviations


def test_sampling_reuses_its_memory(tiny_spaces: Spaces) -> None:
    replay = Replay(tiny_spaces, 1, Settings(updates_per_step=3))
    places = [array.__array_interface__["data"][0] for array in replay.batch]
    fill(replay, walk(5, 1))
    for batch in batches(replay, np.random.default_rng(0)):
        assert [array.__array_interface__["data"][0] for array in batch] == places
        assert not any(
            np.shares_memory(array, stored) for array in batch for stored in rows(replay).values()
        )
    assert replay.num_drawn == 15


def test_updates_are_numbered_throughout(tiny_spaces: Spaces) -> None:
    # The number selects the kind of update (TD3 skips every second update of the actor), so it must
    # not restart
    replay, stream = Replay(tiny_spaces, 1, Settings(updates_per_step=3)), np.random.default_rng(0)
    numbers = []
    for step in walk(3, 1):
        replay.add(step, Decision(step.action))
        numbers.append([due.number for due in replay.due(stream)])
    assert numbers == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]


def test_the_end_of_a_run_makes_nothing_due(tiny_spaces: Spaces) -> None:
    replay, stream = (
        Replay(tiny_spaces, 1, Settings(learning_starts=5, updates_per_step=0.5)),
        np.random.default_rng(0),
    )
    fill(replay, walk(4, 1))
    assert list(replay.due(stream, final=True)) == []
    fill(replay, walk(4, 1))
    assert list(replay.due(stream)) == [Minibatch(0)]  # half of three
    assert list(replay.due(stream, final=True)) == []


def test_expected_updates_are_what_comes_due(tiny_spaces: Spaces) -> None:
    for updates_per_step, learning_starts in ((1, 0), (0.29, 0), (0.5, 7), (2, 30), (1, 200)):
        settings = Settings(
            updates_per_step=updates_per_step, learning_starts=learning_starts, batch_size=1
        )
        expected = Replay(tiny_spaces, 1, settings).expected_updates(100)
        assert expected == sum(drawn_each_step(tiny_spaces, settings, 1, 100))


@pytest.mark.parametrize("kind", ["one", "many"])
def test_choices_are_stored_as_integers(tiny_spaces: Spaces, kind: str) -> None:
    # float32 could not distinguish these from their neighbors
    sizes = (2**40,) if kind == "one" else (3, 2**40)
    spaces = replace(
        tiny_spaces,
        action=DiscreteAction(sizes=sizes, starts=(0,) * len(sizes), shape=(len(sizes),)),
    )
    replay, never = Replay(spaces, 1, Settings(batch_size=1)), np.zeros(1, bool)
    seen, choice_EA = np.zeros((1, 2), np.float32), np.array([[size - 1 for size in sizes]])
    replay.add(Transition(seen, choice_EA, np.zeros(1), seen, never, never), Decision(choice_EA))
    batch = next(batches(replay, np.random.default_rng(0)))
    assert batch.action.dtype == np.int64
    assert batch.action.tolist() == choice_EA.tolist()


def drawn_each_step(spaces: Spaces, settings: Settings, num_envs: int, num_steps: int) -> list[int]:
    replay, stream = Replay(spaces, num_envs, settings), np.random.default_rng(0)
    counts = []
    for step in walk(num_steps, num_envs):
        replay.add(step, Decision(step.action))
        counts.append(sum(1 for _ in replay.due(stream)))
    return counts


@pytest.mark.parametrize(
    ("updates_per_step", "num_envs", "learning_starts", "expected"),
    [
        (1, 1, 0, [1, 1, 1, 1, 1, 1]),
        (1, 1, 2, [0, 0, 1, 1, 1, 1]),
        (0.5, 1, 2, [0, 0, 0, 1, 0, 1]),  # every other step
        (2, 1, 2, [0, 0, 2, 2, 2, 2]),
        (0.5, 4, 6, [0, 1, 2, 2]),  # after 4, 8, 12, 16 steps: 0, half of 2, of 6, of 10
        (1, 4, 6, [0, 2, 4, 4]),
        (2, 4, 6, [0, 4, 8, 8]),
        (0, 4, 0, [0, 0, 0, 0]),
    ],
)
def test_due_counts(
    tiny_spaces: Spaces,
    updates_per_step: float,
    num_envs: int,
    learning_starts: int,
    expected: list[int],
) -> None:
    settings = Settings(updates_per_step=updates_per_step, learning_starts=learning_starts)
    assert drawn_each_step(tiny_spaces, settings, num_envs, len(expected)) == expected


@pytest.mark.parametrize("updates_per_step", [0.1, 0.29, 0.3, 0.7, 1.1])
def test_due_counts_of_a_fraction(tiny_spaces: Spaces, updates_per_step: float) -> None:
    settings = Settings(updates_per_step=updates_per_step, batch_size=1)
    hundred = round(100 * updates_per_step)  # 29 for 0.29, though 0.29 * 100 is 28.999999999999996
    assert sum(drawn_each_step(tiny_spaces, settings, 1, 100)) == hundred


def test_nothing_is_due_before_there_is_a_row(tiny_spaces: Spaces) -> None:
    settings = Settings(n_steps=5)
    never = np.zeros(1, bool)
    steps = [step._replace(terminated=never, truncated=never) for step in walk(7, 1)]
    replay, stream = Replay(tiny_spaces, 1, settings), np.random.default_rng(0)
    counts = []
    for step in steps:
        replay.add(step, Decision(step.action))
        counts.append(sum(1 for _ in replay.due(stream)))
    # The first row is complete at step 5, when the overdue minibatches are drawn
    assert counts == [0, 0, 0, 0, 5, 1, 1]


@pytest.mark.parametrize("n_steps", [1, 3])
def test_steps_that_are_resets_are_left_out(tiny_spaces: Spaces, n_steps: int) -> None:
    settings, steps = Settings(n_steps=n_steps), walk(40, 2)
    plain, masked = (Replay(tiny_spaces, 2, settings) for _ in range(2))
    fill(plain, steps)
    for step in steps:  # each environment's step on its own, the other one's numbers being nonsense
        for env in range(2):
            valid = np.arange(2) == env
            nonsense = [
                np.where(valid.reshape(-1, *[1] * (a.ndim - 1)), a, np.asarray(1, a.dtype))
                for a in step[:6]
            ]
            masked.add(Transition(*nonsense, valid), Decision(nonsense[1]))
        masked.add(step._replace(valid=np.zeros(2, bool)), Decision(step.action))
    assert masked.counters() == plain.counters()
    for name, array in rows(masked).items():
        assert np.array_equal(array, rows(plain)[name])


@pytest.mark.parametrize("capacity", [1000, 23])
@pytest.mark.parametrize("n_steps", [1, 4])
def test_goes_on_from_a_checkpoint(tiny_spaces: Spaces, capacity: int, n_steps: int) -> None:
    settings, steps = (
        Settings(n_steps=n_steps, buffer_size=capacity, learning_starts=10),
        walk(60, 2),
    )
    straight, stream = Replay(tiny_spaces, 2, settings), np.random.default_rng(0)
    fill(straight, steps[:35])
    for _ in straight.due(stream):
        pass
    saved = {name: array.copy() for name, array in straight.arrays().items()}
    counters, position = json.loads(json.dumps(straight.counters())), stream.bit_generator.state
    resumed, other = Replay(tiny_spaces, 2, settings), np.random.default_rng(1)
    resumed.restore(saved, counters)
    other.bit_generator.state = position
    assert len(resumed) == len(straight)
    for step in steps[35:]:
        straight.add(step, Decision(step.action))
        resumed.add(step, Decision(step.action))
        count = 0
        for mine, theirs in zip(straight.due(stream), resumed.due(other), strict=True):
            assert mine == theirs
            assert all(
                np.array_equal(a, b) for a, b in zip(straight.batch, resumed.batch, strict=True)
            )
            count += 1
        assert count == 2
    assert resumed.counters() == straight.counters()
    assert {n: a.tolist() for n, a in resumed.arrays().items()} == {
        n: a.tolist() for n, a in straight.arrays().items()
    }


def test_a_batch_larger_than_the_buffer_is_refused(tiny_spaces: Spaces) -> None:
    with pytest.raises(UserError, match="batch_size 11 is larger than buffer_size 10"):
        Replay(tiny_spaces, 1, Settings(batch_size=11, buffer_size=10))


# Without replacement


def test_minibatch_without_replacement_has_different_transitions(tiny_spaces: Spaces) -> None:
    replay = Replay(tiny_spaces, 1, Settings(batch_size=30, sample_with_replacement=False))
    fill(replay, walk(40, 1))
    drawn = [
        batch.observation[:, 1].tolist() for batch in batches(replay, np.random.default_rng(0))
    ]
    assert len(drawn) == 40
    assert all(len(set(times)) == 30 for times in drawn)
    counts = np.bincount(np.array(drawn, int).ravel(), minlength=40)
    assert counts.sum() == 40 * 30
    assert counts.min() > 15  # 30 of each expected, with a standard deviation of 2.7
    with_replacement = Replay(tiny_spaces, 1, Settings(batch_size=30))
    fill(with_replacement, walk(40, 1))
    assert any(
        len(set(b.observation[:, 1].tolist())) < 30
        for b in batches(with_replacement, np.random.default_rng(0))
    )


def test_minibatch_without_replacement_waits_for_enough_transitions(tiny_spaces: Spaces) -> None:
    replay = Replay(tiny_spaces, 1, Settings(batch_size=6, sample_with_replacement=False))
    stream, due = np.random.default_rng(0), []
    for step in walk(8, 1):
        replay.add(step, Decision(step.action))
        due.append(len(list(replay.due(stream))))
    assert due == [0, 0, 0, 0, 0, 6, 1, 1]
