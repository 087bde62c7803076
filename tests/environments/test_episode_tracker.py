"""Return, length, index and seed of current episodes; positions in messages."""

import numpy as np
import pytest

from footlight.environments.episodes import (
    ALL,
    Episode,
    EpisodeTracker,
    shown,
    without_failed_step,
)
from footlight.errors import EnvironmentFault
from footlight.streams import derived_seed

ACTION = np.array([[0.5], [1.0]], np.float32)


def tracker(steps: int = 2) -> EpisodeTracker:
    episodes = EpisodeTracker(2, 7, "episode")
    for _ in range(steps):
        episodes.advance(ACTION)
        episodes.add_reward(np.array([1.0, 10.0]))
    return episodes


def test_returns_and_lengths() -> None:
    episodes = tracker()
    assert episodes.total.tolist() == [2, 20]
    assert episodes.length.tolist() == [2, 2]
    assert episodes.finish(1, True) == Episode(1, 20, 2, True)
    assert episodes.index.tolist() == [0, 1]
    assert episodes.total.tolist() == [2, 0]
    assert episodes.length.tolist() == [2, 0]


def test_steps_that_only_reset_are_not_counted() -> None:
    episodes = tracker()
    episodes.advance(ACTION, np.array([True, False]))
    assert episodes.length.tolist() == [3, 2]


def test_failed_step_is_undone() -> None:
    episodes = tracker()
    before = episodes.advance(ACTION)
    episodes.add_reward(np.ones(2))
    episodes.finish_all(np.array([0]), np.ones(2, bool))
    episodes.restore(before)
    assert episodes.index.tolist() == [0, 0]
    assert episodes.total.tolist() == [2, 20]
    assert episodes.length.tolist() == [2, 2]


def test_seeds_follow_from_environment_and_episode() -> None:
    episodes = tracker()
    episodes.finish(1, False)
    assert episodes.episode_seed(0) == derived_seed(7, "episode", 0, 0)
    assert episodes.episode_seed(1) == derived_seed(7, "episode", 1, 1)
    assert episodes.common_seed() == derived_seed(7, "episode", 1)


def test_position_names_environment_step_seed_and_action() -> None:
    episodes = tracker()
    seed = derived_seed(7, "episode", 1, 0)
    expected = f"environment 1 failed at step 2 of the episode with seed {seed}, action [1.]"
    assert episodes.describe_position(1, "failed") == expected
    episodes.seedless[1] = True
    assert "at step 2 of its episode 0, action" in episodes.describe_position(1, "failed")


def test_position_of_all_environments() -> None:
    described = tracker().describe_position(ALL, "failed")
    assert described.startswith("the vector environment failed at steps 2, 2 of its episodes")
    many = EpisodeTracker(9, 7, "evaluation").describe_position(ALL, "failed")
    assert many.startswith("evaluation: the vector environment failed at steps ")
    assert many.endswith("0, ... of its episodes")


def test_fault_holds_the_episode() -> None:
    episode = tracker().fault(0, "it broke", "mend nothing").episode
    assert episode is not None
    assert (episode.env, episode.step, episode.what) == (0, 2, "it broke")
    assert episode.action.tolist() == [0.5]


def test_check_names_the_first_invalid_component() -> None:
    episodes = tracker()
    episodes.check(0, "observation", np.zeros((2, 2)))
    with pytest.raises(EnvironmentFault, match=r"observation\[0, 1\] is nan"):
        episodes.check(0, "observation", np.array([[0, np.nan], [np.inf, 0]]))


def test_episode_of_a_failed_environment_is_cut_before_the_failed_step() -> None:
    episode = Episode(1, 20.0, 3, False)
    assert without_failed_step(episode, [0]) == episode
    assert without_failed_step(episode, [0, 1]) == Episode(1, 20.0, 2, False, fault=True)


def test_long_actions_are_shown_in_one_line() -> None:
    assert shown(np.arange(100)) == "[ 0 1 2 ... 97 98 99]"
