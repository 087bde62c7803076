"""The replay buffer for hand-written code."""

from typing import Any

import numpy as np
import pytest
import torch

from footlight.buffers.simple_replay import ReplayBuffer
from footlight.errors import UserError


def filled(count: int, capacity: int = 10, seed: int = 0) -> ReplayBuffer:
    buffer = ReplayBuffer(capacity, seed)
    for number in range(count):
        seen = np.array([number, -number, 0.5])  # float64, as many environments return
        buffer.add(seen, np.array([0.1 * number]), float(number), seen + 1, number % 2 == 1)
    return buffer


def test_samples_are_transitions_in_the_documented_shapes() -> None:
    buffer = filled(8)
    assert len(buffer) == 8
    batch = buffer.sample(5)
    shapes = [tuple(part.shape) for part in batch]
    assert shapes == [(5, 3), (5, 1), (5,), (5, 3), (5,)]
    assert {part.dtype for part in batch} == {torch.float32}
    assert torch.equal(batch.next_observation, batch.observation + 1)
    assert torch.equal(batch.observation[:, 0], batch.reward)
    assert torch.equal(batch.terminated, batch.reward % 2)
    assert len(set(batch.reward.tolist())) == 5  # all different


def test_oldest_transition_is_overwritten() -> None:
    buffer = filled(23)
    assert len(buffer) == 10
    assert sorted(buffer.sample(10).reward.tolist()) == [float(x) for x in range(13, 23)]


def test_seed_determines_the_minibatches() -> None:
    one, same, other = filled(10, seed=4), filled(10, seed=4), filled(10, seed=5)
    first = [one.sample(4).reward.tolist() for _ in range(5)]
    assert [same.sample(4).reward.tolist() for _ in range(5)] == first
    assert [other.sample(4).reward.tolist() for _ in range(5)] != first


def test_every_transition_is_drawn_equally_often() -> None:
    buffer = filled(10)
    drawn = [int(x) for _ in range(4_000) for x in buffer.sample(5).reward]
    counts = np.bincount(drawn, minlength=10)
    assert (abs(counts - 2_000) < 6 * np.sqrt(4_000 * 0.25)).all()  # six standard deviations


def test_choices_images_and_tensors_are_stored_as_they_are() -> None:
    buffer = ReplayBuffer(5)
    image = torch.full((1, 4, 4), 200, dtype=torch.uint8)
    for choice in range(3):
        buffer.add(image, choice, torch.tensor(1.5), image, np.bool_(True))
    batch = buffer.sample(3)
    assert batch.observation.dtype == torch.uint8
    assert tuple(batch.observation.shape) == (3, 1, 4, 4)
    assert batch.action.dtype == torch.int64
    assert sorted(batch.action[:, 0].tolist()) == [0, 1, 2]
    assert batch.reward.tolist() == [1.5] * 3


def test_sample_is_not_changed_by_later_transitions() -> None:
    buffer = filled(10)
    batch = buffer.sample(10)
    before = batch.reward.clone()
    for _ in range(10):
        buffer.add(np.zeros(3), np.zeros(1), 99.0, np.zeros(3), False)
    assert torch.equal(batch.reward, before)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda buffer: ReplayBuffer(0), "capacity"),
        (lambda buffer: ReplayBuffer(5, seed=-1), "seed"),
        (lambda buffer: ReplayBuffer(10**15).add(np.zeros(9), 0, 0.0, np.zeros(9), False), "needs"),
        (lambda buffer: buffer.sample(9), "a batch of 9 was asked of a buffer of 8"),
        (lambda buffer: buffer.sample(0), "batch_size"),
        (
            lambda buffer: buffer.add(np.zeros(2), [0.0], 0.0, np.zeros(3), False),
            r"observation has the shape \[2\] - that of the first transition was \[3\]",
        ),
        (lambda buffer: buffer.add({"a": 1}, [0.0], 0.0, {"a": 1}, False), "observation is {'a'"),
        (lambda buffer: buffer.add(np.zeros(3), [0.0], [1, 2], np.zeros(3), False), "2 numbers"),
        (lambda buffer: buffer.add(np.zeros(3), [0.0], 0.0, np.zeros(3), 0.5), "True or False"),
    ],
)
def test_what_does_not_fit_is_refused(call: Any, message: str) -> None:
    buffer = filled(8)
    with pytest.raises(UserError, match=message):
        call(buffer)
    assert len(buffer) == 8


def test_number_after_choices_is_refused() -> None:
    buffer = ReplayBuffer(5)
    buffer.add(np.zeros(3), 0, 0.0, np.zeros(3), False)
    with pytest.raises(UserError, match="action is of floating point - in the first"):
        buffer.add(np.zeros(3), 0.5, 0.0, np.zeros(3), False)
