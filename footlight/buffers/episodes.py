"""Whole episodes of one policy: steps wait until their episode has ended and its return is known."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from footlight.buffers.memory import fill
from footlight.types import Array, Chunk, Decision, EpisodeBatch, Spaces, Transition


class Episodes:
    """Finished episodes, due once there are `episodes_per_update` of them, in chunks of `chunk_size` steps.

    Episodes differ in length and a compiled update does not, so an update's gradient is gathered chunk by chunk: `due` says
    of each chunk whether it is the last one of its update. What is kept grows with the longest episode.

    An update learns only from episodes that began after the one before, so that each was played by one policy. It uses the
    first `share` of them from each environment, with `share` * E >= `episodes_per_update`: using whichever end first would
    favor short ones. Episodes in progress when an update is due are dropped (`is_stale` until they end or are abandoned), and so
    are episodes beyond an environment's share.
    """

    sums_rewards = True  # the `reward` of its batches is the return of the rest of the episode

    def __init__(
        self, spaces: Spaces, num_envs: int, gamma: float, episodes_per_update: int, chunk_size: int
    ) -> None:
        self.gamma, self.episodes_per_update, self.capacity = gamma, episodes_per_update, chunk_size
        dtype, shape = np.dtype(spaces.observation_dtype), (chunk_size, *spaces.observation_shape)
        self.batch = EpisodeBatch(
            observation=np.zeros(shape, dtype),
            action=np.zeros((chunk_size, spaces.action.size), spaces.action.stored_dtype),
            reward=np.zeros(chunk_size, np.float32),
            next_observation=np.zeros(shape, dtype),
            discount=np.zeros(chunk_size, np.float32),
            weight=np.zeros(chunk_size, np.float32),
        )
        self.num_bytes = sum(array.nbytes for array in self.batch)
        self.num_steps = 0  # environment steps taken
        self.share = -(
            -episodes_per_update // num_envs
        )  # episodes of each environment in an update
        self.is_stale = np.zeros(
            num_envs, bool
        )  # environments whose episode began before the last update
        self._running: list[list[tuple[Any, ...]]] = [
            [] for _ in range(num_envs)
        ]  # (observation, action, reward) by environment
        self._finished: list[list[EpisodeBatch]] = [
            [] for _ in range(num_envs)
        ]  # by environment, in the order they ended

    def expected_updates(self, steps: int) -> int:
        """Updates that this many environment steps will bring, if episodes are short; how long they are is not known."""
        return steps // 50

    def add(self, transition: Transition, decision: Decision) -> None:
        """Keep one step of each environment."""
        action_EA = decision.action
        for env, steps in enumerate(self._running):
            if transition.valid is not None and not transition.valid[env]:
                continue
            self.num_steps += 1
            ends = transition.terminated[env] or transition.truncated[env]
            if self.is_stale[env] or len(self._finished[env]) == self.share:
                self.is_stale[env] = not ends  # a new episode is surplus until the next update
                continue
            steps.append(
                (
                    transition.observation[env].copy(),
                    action_EA[env].copy(),
                    float(transition.reward[env]),
                )
            )
            if ends:
                self._finish(
                    env, transition.next_observation[env], bool(transition.terminated[env])
                )

    @property
    def is_dropped(self) -> Array:
        """Environments in an episode that an update has dropped, as a mask [E]: nothing more is learned from it.

        A stale episode beyond the environment's share is none of these: it would only be followed by another such.
        """
        if not self.is_stale.any():
            return self.is_stale
        return self.is_stale & np.array([not episodes for episodes in self._finished])

    def _finish(self, env: int, last_observation: Array, terminated: bool) -> None:
        """Returns from each step on, G_t = r_t + gamma G_{t+1}, and what the value of the last observation counts there."""
        steps, self._running[env] = self._running[env], []
        count = len(steps)
        returns = np.zeros(count, np.float32)
        total = 0.0
        for index in range(count - 1, -1, -1):
            total = steps[index][2] + self.gamma * total
            returns[index] = total
        self._finished[env].append(
            EpisodeBatch(
                observation=np.stack([step[0] for step in steps]),
                action=np.stack([step[1] for step in steps]),
                reward=returns,
                next_observation=np.broadcast_to(
                    last_observation.copy(), (count, *last_observation.shape)
                ),
                discount=(self.gamma ** np.arange(count, 0, -1) * (not terminated)).astype(
                    np.float32
                ),
                weight=np.ones(count, np.float32),
            )
        )

    def due(self, stream: np.random.Generator, final: bool = False) -> Iterator[Chunk]:
        """Chunks of the finished episodes, as `batch` in reused memory, once there are enough; `final` asks for fewer, too."""
        group = [episode for finished in self._finished for episode in finished]
        if not group or not (final or len(group) == self.share * len(self._finished)):
            return
        for env, steps in enumerate(self._running):
            self.is_stale[env] |= bool(steps)
            steps.clear()
            self._finished[env].clear()
        left, filled = sum(len(episode.reward) for episode in group), 0
        self.batch.weight[:] = 0
        for episode in group:
            at = 0
            while at < len(episode.reward):
                count = min(self.capacity - filled, len(episode.reward) - at)
                for out, array in zip(self.batch, episode, strict=True):
                    out[filled : filled + count] = array[at : at + count]
                at, filled, left = at + count, filled + count, left - count
                if filled == self.capacity or left == 0:
                    yield Chunk(is_last=left == 0)
                    filled = 0
                    self.batch.weight[:] = 0

    def forget_pending(self, envs_E: Array) -> None:
        """Drop the unfinished episodes in the environments of this mask."""
        self.is_stale[envs_E] = False
        for env in np.flatnonzero(envs_E):
            self._running[env] = []

    def arrays(self) -> dict[str, Array]:
        """Everything that a checkpoint has to hold, but for the counters."""
        found = {f"batch.{name}": array for name, array in self.batch._asdict().items()}
        found |= {
            "is_stale": self.is_stale,
            "num_finished": np.array([len(episodes) for episodes in self._finished]),
        }
        for env, steps in enumerate(self._running):
            if steps:
                columns = zip(
                    ("observation", "action", "reward"), zip(*steps, strict=True), strict=True
                )
                found |= {f"running.{env}.{name}": np.array(column) for name, column in columns}
        for index, episode in enumerate(
            episode for finished in self._finished for episode in finished
        ):
            found |= {
                f"finished.{index}.{name}": array for name, array in episode._asdict().items()
            }
        return found

    def counters(self) -> dict[str, int]:
        """The numbers that a checkpoint has to hold."""
        return {"num_steps": self.num_steps}

    def restore(self, arrays: dict[str, Array], counters: dict[str, Any]) -> None:
        """Go on from `arrays()` and `counters()`."""
        self.num_steps = int(counters["num_steps"])
        for name, array in self.batch._asdict().items():
            fill(array, arrays[f"batch.{name}"])
        for env in range(len(self._running)):
            columns = [
                arrays.get(f"running.{env}.{name}", np.empty(0))
                for name in ("observation", "action", "reward")
            ]
            self._running[env] = [
                (seen, action, float(reward)) for seen, action, reward in zip(*columns, strict=True)
            ]
        num_envs = len(self._running)
        self.is_stale[:] = arrays.get("is_stale", np.zeros(num_envs, bool)).reshape(num_envs)
        waiting = min(
            int(counters.get("num_finished", 0)), self.share
        )  # in a checkpoint that does not name their environments
        counts = (
            arrays.get("num_finished", np.array([waiting] + [0] * (num_envs - 1)))
            .reshape(num_envs)
            .tolist()
        )
        episodes = (
            EpisodeBatch(*(arrays[f"finished.{index}.{name}"] for name in EpisodeBatch._fields))
            for index in range(sum(counts))
        )
        self._finished = [[next(episodes) for _ in range(count)] for count in counts]
