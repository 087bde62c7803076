"""Rollouts with their behavior: contents, minibatches of whole sequences, and restoring."""

import json

import numpy as np
import pytest

from footlight.buffers.trajectories import BEHAVIOR, Sequences, Trajectories
from footlight.errors import UserError
from footlight.types import Decision, Spaces, Transition

GAMMA, UNLINKED = 0.9, Sequences(is_linked=False)


def stream() -> np.random.Generator:
    return np.random.default_rng(0)


def step(time: int, num_envs: int, valid: list[bool] | None = None) -> Transition:
    """One that goes on; an observation is (environment, time)."""
    who, never = np.arange(num_envs), np.zeros(num_envs, bool)
    now, later = (
        np.stack([who, np.full(num_envs, t)], 1).astype(np.float32) for t in (time, time + 1)
    )
    valid_E = None if valid is None else np.array(valid)
    return Transition(now, now[:, :1], now.sum(1), later, never, never, valid_E)


def decision(time: int, num_envs: int) -> Decision:
    """Outputs (environment, time, 1)."""
    outputs = [[env, time, 1] for env in range(num_envs)]
    return Decision(np.zeros((num_envs, 1)), {BEHAVIOR: np.array(outputs, np.float32)})


def made(spaces: Spaces, num_envs: int = 4, **options: int | bool) -> Trajectories:
    return Trajectories(spaces, num_envs, GAMMA, 3, 3, **options)  # type: ignore[arg-type]


def fill(buffer: Trajectories, times: range, num_envs: int = 4) -> None:
    for time in times:
        buffer.add(step(time, num_envs), decision(time, num_envs))


def drawn(buffer: Trajectories, generator: np.random.Generator, final: bool = False) -> list[list]:
    """By minibatch, what its rows hold, [T, M, (environment, time)]."""
    found = []
    for due in buffer.due(generator, final):
        assert due == UNLINKED
        rows = buffer.batch.rows
        observation = buffer.batch.observation.reshape(-1, 2)[rows]
        behavior = buffer.batch.behavior.reshape(-1, 3)[rows]
        assert np.array_equal(behavior[:, :2], observation)
        assert (behavior[:, 2] == 1).all()
        found.append(observation.reshape(3, -1, 2).tolist())
    return found


def test_is_due_once_it_is_full(tiny_spaces: Spaces) -> None:
    buffer, counts = made(tiny_spaces), []
    for time in range(7):
        fill(buffer, range(time, time + 1))
        counts.append(len(drawn(buffer, stream())))
    assert counts == [0, 0, 1, 0, 0, 1, 0]
    assert buffer.num_steps == 28
    assert buffer.capacity == 12
    assert buffer.expected_updates(25) == 3
    assert buffer.num_bytes == buffer._rollout.num_bytes + buffer.batch.behavior.nbytes


@pytest.mark.parametrize("num_minibatches", [1, 2, 4])
def test_minibatches_are_whole_sequences_and_each_is_once_in_an_epoch(
    tiny_spaces: Spaces, num_minibatches: int
) -> None:
    buffer = made(tiny_spaces, num_epochs=3, num_minibatches=num_minibatches)
    fill(buffer, range(3))
    found = drawn(buffer, stream())
    assert len(found) == 3 * num_minibatches == buffer.expected_updates(12)
    orders = set()
    for epoch in range(3):
        envs = []
        for minibatch in found[epoch * num_minibatches : (epoch + 1) * num_minibatches]:
            own = [env for env, _ in minibatch[0]]
            assert len(own) == 4 // num_minibatches
            # The same environments at each time, one time after the other
            assert minibatch == [[[env, time] for env in own] for time in range(3)]
            envs += own
        assert sorted(envs) == [0, 1, 2, 3]
        orders.add(tuple(envs))
    assert len(orders) > 1  # each epoch has an order of its own


def test_rest_at_the_end_of_a_run(tiny_spaces: Spaces) -> None:
    buffer = made(tiny_spaces, num_minibatches=2)
    fill(buffer, range(3))
    drawn(buffer, stream())
    fill(buffer, range(3, 5))
    assert drawn(buffer, stream()) == []
    found = drawn(buffer, stream(), final=True)
    assert len(found) == 2
    assert [minibatch[1][0][1] for minibatch in found] == [4, 4]
    assert buffer.batch.weight.tolist() == [[1] * 4, [1] * 4, [0] * 4]
    assert buffer.batch.continues.tolist()[:2] == [[1] * 4, [0] * 4]
    assert drawn(buffer, stream(), final=True) == []


def test_minibatches_without_any_transition_are_left_out(tiny_spaces: Spaces) -> None:
    buffer = made(tiny_spaces, num_epochs=5, num_minibatches=4)
    for time in range(3):
        buffer.add(step(time, 4, [False, True, False, time == 2]), decision(time, 4))
    envs = [minibatch[0][0][0] for minibatch in drawn(buffer, stream())]
    assert len(envs) == 10
    assert set(envs) == {1, 3}
    for time in range(3):
        buffer.add(step(time, 4, [False] * 4), decision(time, 4))
    assert drawn(buffer, stream()) == []


def test_linked_rollouts_are_told_apart(tiny_spaces: Spaces) -> None:
    def due(truncated_at: int) -> list[Sequences]:
        buffer = made(tiny_spaces, tell_linked=True)
        for time in range(3):
            ends = np.array([time == truncated_at] * 4)
            buffer.add(step(time, 4)._replace(truncated=ends), decision(time, 4))
        return list(buffer.due(stream()))

    assert due(-1) == due(2) == [Sequences(is_linked=True)]
    assert due(1) == [UNLINKED]


def test_episode_that_does_not_follow_cuts_the_trace(tiny_spaces: Spaces) -> None:
    buffer = made(tiny_spaces)
    fill(buffer, range(2))
    buffer.forget_pending(np.array([True, False, False, True]))
    assert buffer.batch.continues[1].tolist() == [0, 1, 1, 0]


def test_action_of_unknown_probability_is_refused(tiny_spaces: Spaces) -> None:
    buffer = made(tiny_spaces)
    with pytest.raises(UserError, match=r"not one that act\(\) returned .* call act\(\) before"):
        buffer.add(step(0, 4), Decision(np.zeros((4, 1))))
    assert buffer.num_steps == 0


@pytest.mark.parametrize(("num_minibatches", "better"), [(3, 4), (5, 6), (9, 6)])
def test_number_of_minibatches_that_does_not_divide_is_refused(
    tiny_spaces: Spaces, num_minibatches: int, better: int
) -> None:
    num_envs = 6 if num_minibatches > 3 else 4
    message = f"num_minibatches {num_minibatches} does not divide num_envs .*try {better}$"
    with pytest.raises(UserError, match=message):
        made(tiny_spaces, num_envs, num_minibatches=num_minibatches)


@pytest.mark.parametrize("filled", [0, 2])
def test_continues_from_a_checkpoint(tiny_spaces: Spaces, filled: int) -> None:
    straight, generator = made(tiny_spaces, num_epochs=2, num_minibatches=2), stream()
    fill(straight, range(3))
    drawn(straight, generator)
    fill(straight, range(3, 3 + filled))
    saved = {name: array.copy() for name, array in straight.arrays().items()}
    counters = json.loads(json.dumps(straight.counters()))
    resumed, other = made(tiny_spaces, num_epochs=2, num_minibatches=2), stream()
    resumed.restore(saved, counters)
    other.bit_generator.state = generator.bit_generator.state
    for buffer in (straight, resumed):
        fill(buffer, range(3 + filled, 6))
    assert drawn(straight, generator) == drawn(resumed, other)
    assert resumed.num_steps == straight.num_steps
    for name, array in straight.arrays().items():
        assert np.array_equal(array, resumed.arrays()[name]), name
