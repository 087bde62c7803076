"""Rollouts: contents against a slow loop, when they are due, minibatches, and restoring."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from footlight.buffers.rollout import Rollout
from footlight.errors import UserError
from footlight.types import (
    Array,
    Decision,
    DiscreteAction,
    Minibatch,
    Spaces,
    Transition,
    WholeRollout,
)
from tolerance import assert_close

WHOLE = WholeRollout(is_linked=False)
GAMMA = 0.9


def stream() -> np.random.Generator:
    return np.random.default_rng(0)


def walk(num_steps: int, num_envs: int, resets: bool = False) -> list[Transition]:
    """Random episodes, out of phase; an observation is (environment, time).

    resets: whether the step after an end is a reset and no transition.
    """
    generator = np.random.default_rng(1)
    steps, ended = [], np.zeros(num_envs, bool)
    for time in range(num_steps):
        who = np.arange(num_envs)
        now, later = (
            np.stack([who, np.full(num_envs, t)], 1).astype(np.float32) for t in (time, time + 1)
        )
        reward = generator.standard_normal(num_envs)
        valid = ~ended if resets else None
        terminated, truncated = (generator.random((2, num_envs)) < 0.2) & (
            True if valid is None else valid
        )
        steps.append(Transition(now, now[:, :1] - 0.5, reward, later, terminated, truncated, valid))
        ended = terminated | truncated
    return steps


def fill(rollout: Rollout, steps: list[Transition]) -> None:
    for step in steps:
        rollout.add(step, Decision(step.action))


def calm(num_steps: int, num_envs: int) -> list[Transition]:
    """The same without any end."""
    never = np.zeros(num_envs, bool)
    return [step._replace(terminated=never, truncated=never) for step in walk(num_steps, num_envs)]


def copies(arrays: dict[str, Array]) -> dict[str, Array]:
    return {name: array.copy() for name, array in arrays.items()}


def assert_holds(rollout: Rollout, steps: list[Transition]) -> None:
    """The definition of each array, one row at a time."""
    batch = rollout.batch
    for time, step in enumerate(steps):
        for env in range(rollout.num_envs):
            is_step = step.valid is None or bool(step.valid[env])
            assert batch.weight[time, env] == is_step
            if not is_step:
                continue
            assert batch.observation[time, env].tolist() == [env, time]
            assert batch.next_observation[time, env].tolist() == [env, time + 1]
            assert batch.action[time, env].tolist() == [env - 0.5]
            assert batch.reward[time, env] == np.float32(step.reward[env])
            assert batch.discount[time, env] == np.float32(0 if step.terminated[env] else GAMMA)
            if time + 1 < len(steps):
                following = steps[time + 1]
                follows = following.valid is None or bool(following.valid[env])
                ended = bool(step.terminated[env] or step.truncated[env])
                assert batch.continues[time, env] == (follows and not ended)


def test_ends_by_hand(tiny_spaces: Spaces) -> None:
    # Five steps: one amid, one terminated, one truncated, one both at once, one amid
    rollout = Rollout(tiny_spaces, 1, 0.5, 5)
    for terminated, truncated in ((0, 0), (1, 0), (0, 1), (1, 1), (0, 0)):
        step = walk(1, 1)[0]._replace(
            terminated=np.array([terminated], bool), truncated=np.array([truncated], bool)
        )
        rollout.add(step, Decision(step.action))
    assert list(rollout.due(stream())) == [WHOLE]
    assert rollout.batch.discount.tolist() == [[0.5], [0], [0.5], [0], [0.5]]
    assert rollout.batch.continues[:4].tolist() == [[1], [0], [0], [0]]
    assert rollout.batch.weight.tolist() == [[1]] * 5


@pytest.mark.parametrize("num_envs", [1, 3])
@pytest.mark.parametrize("resets", [False, True])
def test_holds_what_came(tiny_spaces: Spaces, num_envs: int, resets: bool) -> None:
    rollout, steps = Rollout(tiny_spaces, num_envs, GAMMA, 30), walk(30, num_envs, resets)
    fill(rollout, steps)
    assert list(rollout.due(stream())) == [WHOLE]
    assert_holds(rollout, steps)
    valid = sum(num_envs if step.valid is None else int(step.valid.sum()) for step in steps)
    assert rollout.num_steps == valid
    assert rollout.batch.weight.sum() == valid
    assert not resets or valid < 30 * num_envs


def test_is_due_whenever_it_is_full(tiny_spaces: Spaces) -> None:
    rollout, steps, counts = Rollout(tiny_spaces, 2, GAMMA, 3), walk(7, 2), []
    for step in steps:
        rollout.add(step, Decision(step.action))
        counts.append(list(rollout.due(stream())))
    assert counts == [[], [], [WHOLE], [], [], [WHOLE], []]
    assert rollout.num_steps == 14
    assert rollout.expected_updates(12) == 2
    assert rollout.expected_updates(14) == 3  # the last one is what is left at the end
    assert list(rollout.due(stream(), final=True)) == [WHOLE]
    assert list(rollout.due(stream(), final=True)) == []  # once


def test_the_second_rollout_has_nothing_of_the_first(tiny_spaces: Spaces) -> None:
    steps = walk(6, 2, resets=True)
    used, fresh = (Rollout(tiny_spaces, 2, GAMMA, 3) for _ in range(2))
    fill(used, steps[:3])
    list(used.due(stream()))
    for rollout in (used, fresh):
        fill(rollout, steps[3:])
        list(rollout.due(stream()))
    for name, array in used.arrays().items():
        assert np.array_equal(array, fresh.arrays()[name]), name


@pytest.mark.parametrize("filled", [1, 2, 4])
def test_the_rest_at_the_end_of_a_run(tiny_spaces: Spaces, filled: int) -> None:
    rollout, steps = Rollout(tiny_spaces, 2, GAMMA, 5), calm(5, 2)
    fill(rollout, steps)
    list(rollout.due(stream()))  # leaves rows behind which are not those of the next rollout
    fill(rollout, steps[:filled])
    assert list(rollout.due(stream())) == []
    assert rollout.batch.weight[:filled].all()
    assert list(rollout.due(stream(), final=True)) == [WHOLE]
    assert_holds(rollout, steps[:filled])
    assert not rollout.batch.weight[filled:].any()
    # Nothing follows the last filled row
    assert rollout.batch.continues[:, 0].tolist()[:filled] == [1] * (filled - 1) + [0]


def test_nothing_is_due_of_nothing(tiny_spaces: Spaces) -> None:
    rollout = Rollout(tiny_spaces, 2, GAMMA, 2)
    assert list(rollout.due(stream(), final=True)) == []
    for step in walk(2, 2):  # a rollout of resets alone: its means would be 0 / 0
        rollout.add(step._replace(valid=np.zeros(2, bool)), Decision(step.action))
    assert list(rollout.due(stream())) == []
    assert rollout.num_steps == 0
    fill(rollout, walk(2, 2))
    assert list(rollout.due(stream())) == [WHOLE]


def test_a_new_episode_that_does_not_follow_cuts_the_sums(tiny_spaces: Spaces) -> None:
    rollout, steps = Rollout(tiny_spaces, 3, GAMMA, 4), calm(4, 3)
    rollout.forget_pending(np.ones(3, bool))  # before the first step there is nothing to cut
    fill(rollout, steps[:2])
    rollout.forget_pending(np.array([True, False, True]))
    fill(rollout, steps[2:])
    assert rollout.batch.continues[:3].tolist() == [[1, 1, 1], [0, 1, 0], [1, 1, 1]]
    assert_close(rollout.batch.discount, GAMMA)  # no end of the world


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32"])
def test_observations_keep_their_dtype(tiny_spaces: Spaces, dtype: str) -> None:
    rollout, steps = Rollout(replace(tiny_spaces, observation_dtype=dtype), 1, GAMMA, 3), walk(3, 1)
    fill(rollout, steps)
    assert rollout.batch.observation.dtype == rollout.batch.next_observation.dtype == dtype
    assert_holds(rollout, steps)


def test_choices_are_integers(tiny_spaces: Spaces) -> None:
    action = DiscreteAction(sizes=(5, 2**40), starts=(0, 0), shape=(2,))
    rollout = Rollout(replace(tiny_spaces, action=action), 1, GAMMA, 1)
    rollout.add(walk(1, 1)[0], Decision(np.array([[4, 2**40 - 1]])))
    assert rollout.batch.action.dtype == np.int64
    assert rollout.batch.action.tolist() == [[[4, 2**40 - 1]]]


def test_the_world_may_reuse_its_arrays(tiny_spaces: Spaces) -> None:
    rollout, steps = Rollout(tiny_spaces, 2, GAMMA, 6), walk(6, 2, resets=True)
    for step in steps:
        arrays: list[Any] = [np.array(array) for array in step]
        rollout.add(Transition._make(arrays), Decision(arrays[1]))
        for array in arrays:
            array[:] = 1
    assert_holds(rollout, steps)


# Minibatches


def drawn(rollout: Rollout, generator: np.random.Generator, final: bool = False) -> list[list[int]]:
    """The rows of each minibatch, and that they are numbered from 0."""
    found = []
    for number, index in enumerate(rollout.due(generator, final)):
        assert index == Minibatch(number)
        found.append(rollout.batch.rows.tolist())
    return found


def joined(minibatches: list[list[int]]) -> list[int]:
    return [row for rows in minibatches for row in rows]


@pytest.mark.parametrize("minibatch_size", [1, 4, 12])
@pytest.mark.parametrize("num_epochs", [1, 3])
def test_every_row_once_in_each_epoch(
    tiny_spaces: Spaces, minibatch_size: int, num_epochs: int
) -> None:
    rollout = Rollout(tiny_spaces, 2, GAMMA, 6, num_epochs, minibatch_size)
    fill(rollout, walk(6, 2))
    minibatches = drawn(rollout, stream())
    count = 12 // minibatch_size
    assert len(minibatches) == num_epochs * count == rollout.updates_per_rollout
    assert {len(rows) for rows in minibatches} == {minibatch_size}
    epochs = [
        joined(minibatches[epoch * count : (epoch + 1) * count]) for epoch in range(num_epochs)
    ]
    for epoch in epochs:
        assert sorted(epoch) == list(range(12))
    assert len({tuple(epoch) for epoch in epochs}) == num_epochs  # each in an order of its own
    assert rollout.expected_updates(25) == 3 * num_epochs * count


def test_order_is_drawn_from_the_stream_and_uniformly(tiny_spaces: Spaces) -> None:
    rollout, generator = Rollout(tiny_spaces, 2, GAMMA, 3, 4000, 2), stream()
    fill(rollout, walk(3, 2))
    firsts = np.array(drawn(rollout, generator))[::3, 0]  # the row that begins each epoch
    counts = np.bincount(firsts, minlength=6)
    assert np.abs(counts - 4000 / 6).max() < 4 * np.sqrt(4000 * 5 / 36)  # four standard deviations
    again = Rollout(tiny_spaces, 2, GAMMA, 3, 4000, 2)
    fill(again, walk(3, 2))
    assert np.array_equal(np.array(drawn(again, stream()))[::3, 0], firsts)


def test_steps_that_are_resets_fill_up_the_last_minibatch(tiny_spaces: Spaces) -> None:
    rollout, steps = Rollout(tiny_spaces, 3, GAMMA, 8, 2, 4), walk(8, 3, resets=True)
    fill(rollout, steps)
    minibatches = drawn(rollout, stream())
    real = {row for row in range(24) if rollout.batch.weight.flatten()[row]}
    count = -(-len(real) // 4)
    assert 0 < len(real) <= 20  # one minibatch at least has none, and is left out
    assert len(real) % 4
    assert len(minibatches) == 2 * count
    for epoch in range(2):
        rows = joined(minibatches[epoch * count : (epoch + 1) * count])
        assert len(set(rows)) == len(rows)
        assert set(rows[: len(real)]) == real


def test_minibatches_of_the_rest(tiny_spaces: Spaces) -> None:
    rollout = Rollout(tiny_spaces, 2, GAMMA, 8, 3, 4)
    fill(rollout, walk(8, 2))
    assert len(drawn(rollout, stream())) == 12
    fill(rollout, walk(3, 2))
    minibatches = drawn(rollout, stream(), final=True)
    assert len(minibatches) == 3 * 2  # six rows: one full minibatch and half of one
    for epoch in range(3):
        rows = joined(minibatches[2 * epoch : 2 * epoch + 2])
        assert set(rows[:6]) == set(range(6))
        assert rollout.batch.weight.flatten()[rows].tolist() == [1] * 6 + [0] * 2


def test_memory_is_reused(tiny_spaces: Spaces) -> None:
    rollout = Rollout(tiny_spaces, 2, GAMMA, 4, 2, 4)
    places = [array.ctypes.data for array in rollout.batch]
    for _ in range(2):
        fill(rollout, walk(4, 2))
        for _ in rollout.due(stream()):
            assert [array.ctypes.data for array in rollout.batch] == places


@pytest.mark.parametrize(
    ("minibatch_size", "better"), [(5, 4), (7, 8), (9, 8), (13, 12), (25, 24), (1000, 24)]
)
def test_a_minibatch_size_that_does_not_divide_is_refused(
    tiny_spaces: Spaces, minibatch_size: int, better: int
) -> None:
    message = (
        f"minibatch_size {minibatch_size} does not divide the rollout of 24 steps .*try {better}$"
    )
    with pytest.raises(UserError, match=message):
        Rollout(tiny_spaces, 3, GAMMA, 8, 1, minibatch_size)
    Rollout(tiny_spaces, 3, GAMMA, 8, 1, better)


def test_a_rollout_that_does_not_fit_is_refused(tiny_spaces: Spaces) -> None:
    with pytest.raises(UserError, match="n_steps x num_envs"):
        Rollout(tiny_spaces, 1000, GAMMA, 10**9)


def test_size_is_that_of_the_arrays(tiny_spaces: Spaces) -> None:
    for dtype in ("float32", "uint8"):
        rollout = Rollout(replace(tiny_spaces, observation_dtype=dtype), 3, GAMMA, 7)
        assert rollout.capacity == 21
        assert rollout.num_bytes == sum(array.nbytes for array in rollout.batch)


# Checkpoints


@pytest.mark.parametrize("filled", [0, 2, 4])
@pytest.mark.parametrize("minibatch_size", [None, 4])
def test_goes_on_from_a_checkpoint(
    tiny_spaces: Spaces, filled: int, minibatch_size: int | None
) -> None:
    def made() -> Rollout:
        return Rollout(tiny_spaces, 2, GAMMA, 6, 2 if minibatch_size else 1, minibatch_size)

    steps, straight, generator = walk(30, 2, resets=True), made(), stream()
    for step in steps[: 6 + filled]:
        straight.add(step, Decision(step.action))
        list(straight.due(generator))
    saved, counters = copies(straight.arrays()), json.loads(json.dumps(straight.counters()))
    resumed, other = made(), np.random.default_rng(99)
    resumed.restore(saved, counters)
    other.bit_generator.state = generator.bit_generator.state
    compared = 0
    for step in steps[6 + filled :]:
        straight.add(step, Decision(step.action))
        resumed.add(step, Decision(step.action))
        for mine, theirs in zip(straight.due(generator), resumed.due(other), strict=True):
            assert mine == theirs
            for a, b in zip(straight.batch, resumed.batch, strict=True):
                assert np.array_equal(a, b)
            compared += 1
    assert compared >= 3
    assert resumed.counters() == straight.counters()
    assert {n: a.tolist() for n, a in resumed.arrays().items()} == {
        n: a.tolist() for n, a in straight.arrays().items()
    }


def test_restores_into_its_own_memory(tiny_spaces: Spaces) -> None:
    rollout, other = (Rollout(tiny_spaces, 2, GAMMA, 6) for _ in range(2))
    fill(other, walk(3, 2))
    places = [array.ctypes.data for array in rollout.batch]  # where the update's tensors look
    rollout.restore(copies(other.arrays()), other.counters())
    assert [array.ctypes.data for array in rollout.batch] == places
    assert rollout.num_steps == 6
