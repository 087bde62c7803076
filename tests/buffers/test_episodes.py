"""Complete episodes: an update uses those of one policy, equally many from each environment."""

from collections.abc import Iterator

import numpy as np

from footlight.buffers.episodes import Episodes
from footlight.types import Decision, Spaces, Transition

STREAM = np.random.default_rng(0)  # of which nothing is drawn


class Feed:
    """Steps a buffer, with observations that identify environment and time."""

    def __init__(self, spaces: Spaces, num_envs: int, episodes_per_update: int) -> None:
        self.buffer = Episodes(spaces, num_envs, 1.0, episodes_per_update, chunk_size=4)
        self.num_envs, self.tick = num_envs, 0

    def step(self, *ends: int) -> list[list[int]]:
        """Add one step of each environment, at which those in `ends` end.

        Returns the steps of each update that is due, as env * 100 + tick.
        """
        ended = np.isin(np.arange(self.num_envs), ends)
        observation = np.stack(
            [np.full(2, env * 100 + self.tick, np.float32) for env in range(self.num_envs)]
        )
        reward, never = np.ones(self.num_envs, np.float32), np.zeros(self.num_envs, bool)
        self.buffer.add(
            Transition(observation, observation, reward, observation, ended, never),
            Decision(np.zeros((self.num_envs, 1))),
        )
        self.tick += 1
        return list(self.updates())

    def updates(self, final: bool = False) -> Iterator[list[int]]:
        learned: list[int] = []
        for chunk in self.buffer.due(STREAM, final):
            weight = self.buffer.batch.weight > 0
            learned += self.buffer.batch.observation[weight][:, 0].astype(int).tolist()
            if chunk.is_last:
                yield learned
                learned = []


def test_one_environment_waits_for_its_episodes(tiny_spaces: Spaces) -> None:
    feed = Feed(tiny_spaces, 1, 2)
    assert feed.step() == []
    assert feed.step(0) == []
    assert feed.step(0) == [[0, 1, 2]]
    assert feed.step(0) == []
    assert not feed.buffer.is_stale.any()


def test_update_takes_the_first_episode_of_each_environment(tiny_spaces: Spaces) -> None:
    feed = Feed(tiny_spaces, 2, 2)
    assert feed.step(0) == []  # environment 0 is done, and waits
    assert feed.step(0) == []  # its second episode, as short as the first, is one too many
    assert not feed.buffer.is_dropped.any()  # of no use, but the next one would not be either
    assert feed.step() == []
    assert feed.step(1) == [[0, 100, 101, 102, 103]]


def test_nothing_of_an_older_policy_is_learned_from(tiny_spaces: Spaces) -> None:
    feed = Feed(tiny_spaces, 2, 2)
    feed.step(0)
    feed.step()
    assert feed.step(1) == [[0, 100, 101, 102]]
    # Environment 0 is in an episode that began under the old policy
    assert feed.buffer.is_stale.tolist() == [True, False]
    assert feed.buffer.is_dropped.tolist() == [True, False]
    assert feed.step(0, 1) == []  # it ends there, and environment 1 is done
    assert feed.buffer.is_stale.tolist() == [False, False]
    assert feed.step() == []
    assert feed.step(0) == [[4, 5, 103]]


def test_episodes_per_update_is_rounded_up_to_a_share_for_each(tiny_spaces: Spaces) -> None:
    for episodes, share in ((1, 1), (3, 1), (4, 2), (6, 2), (7, 3)):
        assert Feed(tiny_spaces, 3, episodes).buffer.share == share


def test_abandoned_episodes_are_fresh_again(tiny_spaces: Spaces) -> None:
    feed = Feed(tiny_spaces, 2, 2)
    feed.step(0)
    feed.step()
    feed.step(1)
    feed.buffer.forget_pending(np.array([True, False]))  # a new episode begins in environment 0
    assert not feed.buffer.is_stale.any()
    assert feed.step(0, 1) == [[3, 103]]


def test_last_update_takes_what_has_finished(tiny_spaces: Spaces) -> None:
    feed = Feed(tiny_spaces, 2, 2)
    feed.step()
    feed.step(1)
    assert list(feed.updates(final=True)) == [[100, 101]]
    assert list(feed.updates(final=True)) == []


def test_checkpoint_in_the_middle_changes_nothing(tiny_spaces: Spaces) -> None:
    ends = [(0,), (), (0, 2), (1,), (0,), (2,), (1, 2), (), (0, 1), (2,), (0,), (1,), (2,)] * 2
    for cut in range(len(ends)):
        straight, resumed = Feed(tiny_spaces, 3, 6), Feed(tiny_spaces, 3, 6)
        for ended in ends[:cut]:
            straight.step(*ended)
        saved = {name: array.copy() for name, array in straight.buffer.arrays().items()}
        resumed.buffer.restore(saved, straight.buffer.counters())
        resumed.tick = straight.tick
        assert [straight.step(*ended) for ended in ends[cut:]] == [
            resumed.step(*ended) for ended in ends[cut:]
        ]


def test_checkpoint_that_does_not_say_whose_episodes_wait(tiny_spaces: Spaces) -> None:
    straight, resumed = Feed(tiny_spaces, 1, 2), Feed(tiny_spaces, 1, 2)
    straight.step(0)
    arrays = {
        name: array
        for name, array in straight.buffer.arrays().items()
        if name not in ("is_stale", "num_finished")
    }
    resumed.buffer.restore(arrays, {"num_steps": 1, "num_finished": 1})
    resumed.tick = 1
    assert resumed.step(0) == straight.step(0) == [[0, 1]]
