"""Frames of a Dict's images stored once: the rows of `Replay` bit for bit, in less memory."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from footlight.buffers.frame_store import FrameStore, slot_bytes, stack_size, store_bytes
from footlight.buffers.frames import FrameReplay, has_images, replay_for
from footlight.buffers.replay import Replay, ReplayPlan
from footlight.errors import UserError
from footlight.trees import Leaf, leaves_of, packed
from footlight.types import Array, BoxAction, Decision, Spaces, Transition

LEAVES = {
    "cameras.front": Leaf(shape=(4, 6, 5), dtype="uint8"),
    "cameras.back": Leaf(shape=(2, 6, 5, 3), dtype="uint8"),
    "map": Leaf(shape=(3, 3), dtype="uint8"),
    "speed": Leaf(shape=(2,), dtype="float32"),
    "gear": Leaf(shape=(), dtype="int64", choices=(range(-1, 5),)),
}
SPACES = Spaces.of_leaves(
    LEAVES, BoxAction(low=np.full(1, -1, np.float32), high=np.ones(1, np.float32))
)
SLOT = 6 * 5 + 6 * 5 * 3 + 3 * 3 + 2 * 4 + 8
planned = partial(
    ReplayPlan, gamma=0.9, batch_size=16, buffer_size=400, learning_starts=0, updates_per_step=1.0
)


class Car:
    """Observations whose images are stacks of the last moments, some of them equal."""

    def __init__(self, generator: np.random.Generator) -> None:
        self.generator = generator
        self.reset()

    def moment(self) -> dict[str, Array]:
        draw = self.generator.integers
        speed = self.generator.choice(np.array([0.0, -0.0, 1.0], np.float32), 2)
        return {
            "cameras.front": draw(0, 2, (6, 5), np.uint8),
            "cameras.back": draw(0, 2, (6, 5, 3), np.uint8),
            "map": draw(0, 2, (3, 3), np.uint8),
            "speed": speed,
            "gear": draw(-1, 5),
        }

    def reset(self) -> None:
        self.moments = [self.moment()] * 4

    def step(self) -> None:
        self.moments = [*self.moments[1:], self.moment()]

    def observation(self) -> Array:
        now = dict(self.moments[-1])
        now["cameras.front"] = np.stack([each["cameras.front"] for each in self.moments])
        now["cameras.back"] = np.stack([each["cameras.back"] for each in self.moments[-2:]])
        return np.asarray(packed(now, np.dtype(SPACES.observation_dtype)))


def play(num_envs: int, steps: int, seed: int = 0) -> list[tuple[Transition, Decision]]:
    generator = np.random.default_rng(seed)
    cars, found = [Car(generator) for _ in range(num_envs)], []
    for time in range(steps):
        before = np.stack([car.observation() for car in cars])
        ends = generator.random((2, num_envs)) < 0.1
        for car in cars:
            car.step()
        after = np.stack([car.observation() for car in cars])
        action = np.arange(num_envs)[:, None] * 1000.0 + time
        reward = generator.standard_normal(num_envs).astype(np.float32)
        found.append((Transition(before, action, reward, after, *ends), Decision(action)))
        for env in np.flatnonzero(ends.any(0)):
            cars[env].reset()
    return found


def rows_of(replay: Replay | FrameReplay) -> list[list[bytes]]:
    """All rows, sorted by the action, which names environment and time."""
    if isinstance(replay, FrameReplay):
        found = []
        for start in range(0, len(replay), 16):
            replay.take(np.minimum(np.arange(start, start + 16), len(replay) - 1))
            found.append([np.copy(field) for field in replay.batch])
        fields = [np.concatenate(each) for each in zip(*found, strict=True)]
    else:
        fields = [field[: len(replay)] for field in replay._rows]
    order = np.unique(fields[1][:, 0], return_index=True)[1]
    leaves = [leaf for field in fields for leaf in leaves_of(field[order]).values()]
    return [[row.tobytes() for row in leaf] for leaf in leaves]


@pytest.mark.parametrize("n_steps", [1, 3])
@pytest.mark.parametrize("num_envs", [1, 3])
def test_rows_equal_those_of_plain_replay(num_envs: int, n_steps: int) -> None:
    frames, plain = (
        make(SPACES, num_envs, planned(n_steps=n_steps, buffer_size=2_000))
        for make in (FrameReplay, Replay)
    )
    for transition, decision in play(num_envs, 120):
        frames.add(transition, decision)
        plain.add(transition, decision)
    assert len(frames) == len(plain)
    assert rows_of(frames) == rows_of(plain)


def test_a_step_costs_one_frame_of_each_leaf() -> None:
    replay = replay_for(SPACES, 1, planned(buffer_size=50, batch_size=1))
    assert isinstance(replay, FrameReplay)
    row = sum(array.nbytes for array in replay._rows) // 50
    assert slot_bytes(SPACES) == SLOT
    assert replay.num_bytes == 50 * (SLOT + row) + sum(field.nbytes for field in replay.batch)
    assert sum(held.array.nbytes for held in replay._store._frames.values()) == 50 * SLOT
    car, never = Car(np.random.default_rng(1)), np.zeros(1, bool)
    for time in range(47 - 4):  # 4 black slots, 4 of the first observation, then one a step
        before = car.observation()[None]
        car.step()
        step = np.full((1, 1), time)
        after = car.observation()[None]
        replay.add(Transition(before, step, np.zeros(1), after, never, never), Decision(step))
    assert len(replay) == 43
    assert replay._store.num_slots.tolist() == [4 + 4 + 43]


def test_continues_from_a_checkpoint_and_on_a_disk(tmp_path: Path) -> None:
    events = play(2, 160)
    replays = [replay_for(SPACES, 2, planned(n_steps=2), where) for where in (None, str(tmp_path))]
    for replay in replays:
        for event in events[:100]:
            replay.add(*event)
    again = replay_for(SPACES, 2, planned(n_steps=2))
    saved = {name: array.copy() for name, array in replays[0].arrays().items()}
    assert saved["1.frames.cameras.back"].shape[1:] == (6, 5, 3)
    assert replays[0].spans().keys() == saved.keys() - {"counts"}
    again.restore(saved, replays[0].counters())
    for replay in (*replays, again):
        for event in events[100:]:
            replay.add(*event)
    streams = [np.random.default_rng(3) for _ in range(3)]
    for replay, stream in zip((*replays, again), streams, strict=True):
        replay.draw(stream)
    for field in ("observation", "next_observation", "reward"):
        one, *others = (getattr(replay.batch, field).tobytes() for replay in (*replays, again))
        assert [one, one] == others


def test_memory_of_one_block_is_aligned() -> None:
    size = store_bytes(SPACES, 7)
    assert size >= 7 * SLOT
    store = FrameStore(SPACES, 1, 7, np.zeros(size, np.uint8))
    assert all(held.array.flags.aligned for held in store._frames.values())


def test_where_frames_are_shared() -> None:
    assert [stack_size(leaf) for leaf in LEAVES.values()] == [4, 2, 1, 1, 1]
    small: dict[str, Any] = {name: LEAVES[name] for name in ("speed", "gear")}
    without = Spaces.of_leaves(small, SPACES.action)
    assert has_images(SPACES)
    assert not has_images(without)
    with pytest.raises(UserError, match="observations are a Dict or Tuple of 'speed', 'gear' - "):
        replay_for(without, 1, planned(), "/tmp")
