"""Replay of images: the rows of `Replay` bit for bit, for all kinds of episodes, in less memory."""

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from footlight.buffers import memory
from footlight.buffers.frame_store import stack_size
from footlight.buffers.frames import FrameReplay, has_images, replay_for
from footlight.buffers.replay import Replay, ReplayPlan
from footlight.errors import UserError
from footlight.learning.agent import Agent
from footlight.types import Array, Batch, Decision, DiscreteAction, Spaces, Transition

ACTION = DiscreteAction(sizes=(2**40,), starts=(0,))


planned = partial(
    ReplayPlan, gamma=0.9, batch_size=7, buffer_size=400, learning_starts=0, updates_per_step=1.0
)


def images(*shape: int) -> Spaces:
    return Spaces(observation_shape=shape, observation_dtype="uint8", action=ACTION)


class Event(NamedTuple):
    """A step of all environments, and who begins a new episode after it without an end."""

    step: Transition
    action_EA: Array
    forgotten_E: Array


class Game:
    """One environment with a stack of `stack` frames, in which everything happens that may happen.

    Frames have 4 levels and 2 pixels, so that different moments look the same now and then.
    """

    def __init__(self, stack: int, generator: np.random.Generator) -> None:
        self.stack, self.generator, self.resets = stack, generator, False
        self.reset()

    def frames(self, count: int) -> Array:
        return self.generator.integers(0, 4, (count, 1, 2, 1), np.uint8)

    def reset(self) -> None:
        """A first observation: padded with black or with itself, or after steps that nobody saw."""
        padding = self.generator.integers(3)
        first = self.frames(1)
        blank = np.zeros_like(first) if padding == 0 else first
        seen = [blank] * (self.stack - 1) if padding < 2 else [self.frames(self.stack - 1)]
        self.seen = np.concatenate([*seen, first])

    def step(self) -> tuple[Any, ...]:
        """Observation, reward, next observation, terminated, truncated, valid, forgotten."""
        chance, now = self.generator.random(6), self.seen
        if self.resets:  # the row of a reset under autoreset NEXT_STEP: nonsense, and masked
            self.resets = False
            return self.frames(self.stack), 99.0, self.seen, True, False, False, False
        moved = self.stack if chance[0] < 0.05 else min(self.stack, 2 if chance[0] < 0.1 else 1)
        self.seen = after = np.concatenate([now[moved:], self.frames(moved)])
        terminated, truncated, life_lost = chance[1] < 0.1, chance[2] < 0.1, chance[3] < 0.1
        forgotten = not (terminated or truncated) and chance[4] < 0.05
        # The last condition is a jump that no flag announces
        if terminated or truncated or forgotten or chance[4] > 0.98:
            self.reset()
            self.resets = bool((terminated or truncated) and chance[5] < 0.5)
        reward = np.float32(self.generator.standard_normal())
        return now, reward, after, terminated or life_lost, truncated, True, forgotten


def play(num_steps: int, num_envs: int, stack: int, seed: int) -> Iterator[Event]:
    """Steps whose action says where a row is from: environment * 10^6 + time."""
    games = [Game(stack, child) for child in np.random.default_rng(seed).spawn(num_envs)]
    for time in range(num_steps):
        seen, reward, after, terminated, truncated, valid, forgotten = (
            np.array(column) for column in zip(*(game.step() for game in games), strict=True)
        )
        action_EA = (np.arange(num_envs) * 10**6 + time)[:, None]
        mask = None if valid.all() else valid
        yield Event(
            Transition(seen, action_EA, reward, after, terminated, truncated, mask),
            action_EA,
            forgotten,
        )


def fill(replay: Replay | FrameReplay, events: list[Event]) -> None:
    for step, action_EA, forgotten_E in events:
        replay.add(step, Decision(action_EA))
        replay.forget_pending(forgotten_E)


def kept(replay: FrameReplay) -> Batch:
    """Every row that can be drawn, through the same code that draws."""
    size, count = replay.settings.batch_size, len(replay)
    parts = []
    for start in range(0, count, size):
        replay.take(np.minimum(np.arange(start, start + size), count - 1))
        parts.append([array[: count - start].copy() for array in replay.batch])
    columns = zip(*parts, strict=True) if parts else [[array[:0]] for array in replay.batch]
    return Batch(*(np.concatenate(column) for column in columns))


def naive(events: list[Event], spaces: Spaces, num_envs: int, plan: ReplayPlan) -> Batch:
    """Every row of the same steps, by environment, the oldest first."""
    replay = Replay(spaces, num_envs, replace(plan, buffer_size=10_000))
    fill(replay, events)
    rows = [array for name, array in replay.arrays().items() if name.startswith("rows.")]
    order = rows[1][:, 0].argsort()
    return Batch(*(array[order] for array in rows))


def of_env(batch: Batch, env: int) -> list[Array]:
    return [array[batch.action[:, 0] // 10**6 == env] for array in batch]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    stack=st.integers(1, 4),
    num_envs=st.integers(1, 5),
    n_steps=st.integers(1, 5),
    # From the smallest buffer allowed to one that is never full
    spare=st.sampled_from([0, 1, 5, 40, 2000]),
    num_steps=st.integers(1, 150),
    seed=st.integers(0, 10**6),
)
def test_equals_the_naive_buffer(
    stack: int, num_envs: int, n_steps: int, spare: int, num_steps: int, seed: int
) -> None:
    slots = max(2 * stack * n_steps + spare, 7)
    plan, spaces = planned(n_steps=n_steps, buffer_size=slots * num_envs), images(stack, 1, 2, 1)
    replay, events = (
        FrameReplay(spaces, num_envs, plan),
        list(play(num_steps, num_envs, stack, seed)),
    )
    for until in range(0, num_steps, 29):
        fill(replay, events[until : until + 29])
        mine, all_rows = kept(replay), naive(events[: until + 29], spaces, num_envs, plan)
        assert replay.num_rows == len(all_rows.reward)
        masks = [event.step.valid for event in events[: until + 29]]
        assert replay.num_steps == sum(num_envs if mask is None else mask.sum() for mask in masks)
        if spare == 2000:
            assert len(replay) == replay.num_rows
        for env in range(num_envs):
            newest, everything = of_env(mine, env), of_env(all_rows, env)
            count = len(newest[0])
            for array, wanted in zip(newest, everything, strict=True):
                assert array.dtype == wanted.dtype
                assert array.tobytes() == wanted[len(wanted) - count :].tobytes()


def test_a_long_episode_costs_one_frame_a_step() -> None:
    # 50 slots: the newest belongs only to a successor, the oldest three only to the oldest stack
    stack, slots = 4, 50
    frames = np.random.default_rng(0).integers(0, 256, (300, 2, 2, 1), np.uint8)
    never = np.zeros(1, bool)
    for n_steps, held in ((1, 46), (3, 44)):
        replay = FrameReplay(images(stack, 2, 2, 1), 1, planned(buffer_size=slots, n_steps=n_steps))
        for time in range(200):
            now, later = (
                frames[None, time : time + stack],
                frames[None, time + 1 : time + 1 + stack],
            )
            replay.add(
                Transition(now, np.full((1, 1), time), np.zeros(1), later, never, never),
                Decision(np.full((1, 1), time)),
            )
        assert len(replay) == held
        assert kept(replay).action[:, 0].tolist() == list(
            range(200 - held - n_steps + 1, 201 - n_steps)
        )


@pytest.mark.parametrize("n_steps", [1, 2, 5])
def test_the_smallest_buffer_holds_the_longest_row(n_steps: int) -> None:
    # No frame is shared: each step takes one stack per observation, and n steps are pending
    generator, never = np.random.default_rng(0), np.zeros(1, bool)
    plan, spaces = (
        planned(n_steps=n_steps, buffer_size=2 * 3 * n_steps, batch_size=1),
        images(3, 2, 2, 1),
    )
    replay, events = FrameReplay(spaces, 1, plan), []
    for time in range(4 * n_steps):
        now, later = generator.integers(0, 256, (2, 1, 3, 2, 2, 1), np.uint8)
        step = Transition(now, np.full((1, 1), time), np.ones(1), later, never, never)
        events.append(Event(step, step.action, never))
        fill(replay, events[-1:])
        assert len(replay) == (time >= n_steps - 1)
        for mine, wanted in zip(kept(replay), naive(events, spaces, 1, plan), strict=True):
            assert np.array_equal(mine, wanted[len(wanted) - len(mine) :])


def test_a_lost_life_costs_nothing_and_an_end_its_frames() -> None:
    # Episodes of 10 steps: 4 frames of the first observation and 10 successors, regardless of
    # terminations within
    generator, slots = np.random.default_rng(0), 4 + 5 * 14
    replay = FrameReplay(images(4, 2, 2, 1), 1, planned(buffer_size=slots))
    for _ in range(5):
        frames = generator.integers(1, 256, (14, 2, 2, 1), np.uint8)
        for time in range(10):
            terminated = np.array([time % 3 == 0 or time == 9])
            now, later = frames[None, time : time + 4], frames[None, time + 1 : time + 5]
            step = Transition(
                now, np.zeros((1, 1), int), np.zeros(1), later, terminated, np.zeros(1, bool)
            )
            replay.add(step, Decision(step.action))
    assert len(replay) == 50  # one slot more and the first row would be gone
    replay.add(step, Decision(step.action))
    assert len(replay) < 51


def test_draws_are_uniform_over_all_environments() -> None:
    plan = planned(batch_size=50, buffer_size=60)
    replay, events = FrameReplay(images(2, 1, 2, 1), 3, plan), list(play(60, 3, 2, 1))
    fill(replay, events)
    stream, drawn = np.random.default_rng(0), []
    for _ in range(400):
        replay.draw(stream)
        drawn.append(replay.batch.action[:, 0].copy())
    counts = np.unique(np.concatenate(drawn), return_counts=True)[1]
    share = 1 / len(replay)
    assert len(counts) == len(replay)
    # Environments hold different numbers of rows
    assert len({len(of_env(kept(replay), env)[0]) for env in range(3)}) > 1
    assert np.abs(counts - 20_000 * share).max() < 4.5 * np.sqrt(20_000 * share * (1 - share))


@pytest.mark.parametrize("spare", [0, 300])
@pytest.mark.parametrize("n_steps", [1, 3])
@pytest.mark.parametrize("on_disk", [False, True])
def test_goes_on_from_a_checkpoint(spare: int, n_steps: int, on_disk: bool, tmp_path: Path) -> None:
    plan = planned(n_steps=n_steps, buffer_size=2 * (8 * n_steps + spare), learning_starts=10)
    spaces, events = images(4, 1, 2, 1), list(play(90, 2, 4, 3))
    straight, stream = FrameReplay(spaces, 2, plan), np.random.default_rng(0)
    fill(straight, events[:50])
    for _ in straight.due(stream):
        pass
    saved = {name: array.copy() for name, array in straight.arrays().items()}
    counters, position = json.loads(json.dumps(straight.counters())), stream.bit_generator.state
    assert (
        sum(array.nbytes for name, array in saved.items() if name.endswith("frames"))
        <= 2 * plan.buffer_size
    )
    resumed, other = (
        FrameReplay(spaces, 2, plan, str(tmp_path) if on_disk else None),
        np.random.default_rng(1),
    )
    resumed.restore(saved, counters)
    other.bit_generator.state = position
    for event in events[50:]:
        for replay in (straight, resumed):
            fill(replay, [event])
        for mine, theirs in zip(straight.due(stream), resumed.due(other), strict=True):
            assert mine == theirs
            assert all(
                np.array_equal(a, b) for a, b in zip(straight.batch, resumed.batch, strict=True)
            )
    assert straight.num_drawn > 100
    assert resumed.counters() == straight.counters()
    assert {n: a.tolist() for n, a in resumed.arrays().items()} == {
        n: a.tolist() for n, a in straight.arrays().items()
    }
    assert not list(tmp_path.iterdir())  # the file has no name


def test_draws_come_due_as_in_the_naive_buffer() -> None:
    plan, spaces = planned(n_steps=3, learning_starts=20, updates_per_step=0.29), images(2, 1, 2, 1)
    mine, theirs, drawn = FrameReplay(spaces, 2, plan), Replay(spaces, 2, plan), 0
    assert mine.expected_updates(100) == theirs.expected_updates(100) == 23
    for event in play(50, 2, 2, 0):
        fill(mine, [event])
        fill(theirs, [event])
        numbers = list(mine.due(np.random.default_rng(0)))
        assert numbers == list(theirs.due(np.random.default_rng(0)))
        drawn += len(numbers)
    assert drawn == theirs.num_drawn > 10


def test_a_million_atari_frames() -> None:
    # Bytes per frame: 84 * 84, 8 for the action, 4 each for reward and discount, 8 for each of two
    # slots
    spaces = Spaces(
        observation_shape=(4, 84, 84),
        observation_dtype="uint8",
        action=DiscreteAction(sizes=(18,), starts=(0,)),
    )
    plan = planned(buffer_size=10**4, batch_size=32)
    replay = FrameReplay(spaces, 8, plan)
    batch = 32 * (2 * 4 * 84 * 84 + 8 + 4 + 4)
    assert replay.num_bytes == 10**4 * (7056 + 32) + batch
    frames = replay._store._frames[""].array
    assert replay.num_bytes == sum(array.nbytes for array in (frames, *replay._rows, *replay.batch))
    assert 7.0e9 < (replay.num_bytes - batch) * 100 + batch < 7.15e9


@pytest.mark.parametrize(
    ("shape", "stack"),
    [
        ((4, 84, 84), 4),
        ((2, 84, 84), 2),
        ((4, 96, 96, 3), 4),
        ((1, 96, 96, 3), 1),
        ((96, 96, 3), 1),
        ((3, 96, 96), 1),
        ((1, 84, 84), 1),
        ((84, 84, 4), 1),
        ((84, 84, 1), 1),
    ],
)
def test_which_axis_is_time(shape: tuple[int, ...], stack: int) -> None:
    assert has_images(images(*shape))
    assert stack_size(images(*shape).observation[""]) == stack
    replay = FrameReplay(images(*shape), 1, planned(batch_size=1, buffer_size=20))
    seen, after = np.random.default_rng(0).integers(0, 256, (2, 1, *shape), np.uint8)
    never = np.zeros(1, bool)
    replay.add(
        Transition(seen, np.zeros((1, 1), int), np.zeros(1), after, never, never),
        Decision(np.zeros((1, 1), int)),
    )
    replay.draw(np.random.default_rng(0))
    assert np.array_equal(replay.batch.observation, seen)
    assert np.array_equal(replay.batch.next_observation, after)


def test_planes_of_several_colors_are_shared_too() -> None:
    # Two images of three planes in sequence are six slots; a step adds three new ones
    planes, never = (
        np.random.default_rng(0).integers(0, 256, (1, 90, 7, 7), np.uint8),
        np.zeros(1, bool),
    )
    replay = FrameReplay(images(6, 7, 7), 1, planned(buffer_size=6 + 6 + 27 * 3))
    for time in range(28):
        now, later = planes[:, 3 * time : 3 * time + 6], planes[:, 3 * time + 3 : 3 * time + 9]
        replay.add(
            Transition(now, np.full((1, 1), time), np.zeros(1), later, never, never),
            Decision(np.full((1, 1), time)),
        )
    assert np.array_equal(
        kept(replay).observation, [planes[0, 3 * time : 3 * time + 6] for time in range(28)]
    )


def test_everything_else_is_kept_whole(tiny_spaces: Spaces) -> None:
    assert type(replay_for(images(4, 84, 84), 1, planned())) is FrameReplay
    for spaces in (
        tiny_spaces,
        images(128),
        images(84, 84),
        replace(images(4, 84, 84), observation_dtype="float32"),
    ):
        assert not has_images(spaces)
        assert type(replay_for(spaces, 1, planned(buffer_size=10))) is Replay
    with pytest.raises(
        UserError, match=r"buffer_dir is /tmp - .* float32 of shape \(2,\) - leave it out$"
    ):
        replay_for(tiny_spaces, 1, planned(), "/tmp")


def test_what_cannot_work_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    spaces = images(4, 84, 84)
    with pytest.raises(UserError, match="batch_size 11 is larger than buffer_size 10"):
        FrameReplay(spaces, 1, planned(batch_size=11, buffer_size=10))
    message = "buffer_size 100 is too small - n_steps 5 of 3 environments with 4 frames .*need 120 "
    with pytest.raises(UserError, match=message):
        FrameReplay(spaces, 3, planned(n_steps=5, buffer_size=100))
    with pytest.raises(UserError, match="there is no such folder"):
        FrameReplay(spaces, 1, planned(), str(tmp_path / "missing"))
    monkeypatch.setattr(
        memory.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 10**6})
    )
    with pytest.raises(
        UserError,
        match=r"buffer_size 400 needs 2\.8 MB on the disk of .* - 1\.0 MB are free - .* about 127$",
    ):
        FrameReplay(spaces, 1, planned(), str(tmp_path))
    monkeypatch.setattr(memory, "available_bytes", lambda: 10**6)
    with pytest.raises(UserError, match=r"buffer_size 400 needs 3\.2 MB - 1\.0 MB are free - "):
        FrameReplay(spaces, 1, planned())
    assert not list(tmp_path.iterdir())


def test_memory_asked_for_is_less_on_a_disk(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda: 10**6)
    replay = FrameReplay(images(4, 84, 84), 1, planned(), str(tmp_path))
    events = list(play(30, 1, 4, 0))
    small, mapped = (
        FrameReplay(images(4, 1, 2, 1), 1, planned(), folder) for folder in (None, str(tmp_path))
    )
    for each in (small, mapped):
        fill(each, events)
    assert all(np.array_equal(a, b) for a, b in zip(kept(small), kept(mapped), strict=True))
    assert replay.num_bytes > 10**6


class Pixels(gymnasium.Env[Any, Any]):
    """A stack of 4 frames of 6 x 5 pixels; every episode has 9 steps."""

    observation_space = gymnasium.spaces.Box(0, 255, (4, 6, 5), np.uint8)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.steps, self.seen = 0, np.zeros((4, 6, 5), np.uint8)
        return self.seen.copy(), {}

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        self.steps += 1
        self.seen = np.concatenate(
            [self.seen[1:], self.np_random.integers(0, 256, (1, 6, 5), np.uint8)]
        )
        return self.seen.copy(), float(action), self.steps == 9, False, {}


def test_an_agent_learns_from_images_and_goes_on(tmp_path: Path) -> None:
    fields = {
        "n_steps": 4,
        "batch_size": 4,
        "buffer_size": 64,
        "learning_starts": 8,
        "hidden_sizes": (8,),
    }
    states = []
    for folder in (None, str(tmp_path)):
        env = Pixels()
        agent = Agent(
            "replay-actor-critic",
            env.observation_space,
            env.action_space,
            **fields,
            buffer_dir=folder,
        )
        seen, _ = env.reset(seed=0)
        for step in range(120):
            action = agent.act(seen, explore=True)
            after, reward, terminated, truncated, _ = env.step(action)
            agent.observe(seen, action, reward, after, terminated, truncated)
            seen = env.reset()[0] if terminated else after
            if step == 60:
                agent.save(tmp_path / "agent")
                agent = Agent.load(tmp_path / "agent")
        assert type(agent.buffer.replay) is FrameReplay
        assert agent.num_updates > 100
        states.append(agent.state.actor_critic)
    assert torch.equal(*states)
