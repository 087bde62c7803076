"""Ends of episodes that are not what they are said to be."""

from dataclasses import replace
from typing import Any

import gymnasium
from broken_environments import Healthy

from footlight.examination.contract import Contract
from footlight.examination.episode_ends import STEPS, end_findings, return_findings, wrapped_limit
from footlight.examination.random_play import Ended, Play

TERMINATED = Ended(1.0, 1.0, 200, True, False, False)


def checks(play: Play, limit: int | None = None) -> list[str]:
    return [f"{each.severity} {each.check}" for each in end_findings(play, limit)]


def played(*episodes: Ended, shows_time: bool = False) -> Play:
    return Play(list(episodes), [1.0] * STEPS, shows_time=shows_time)


def test_terminations_at_one_length_are_a_time_limit() -> None:
    assert checks(played(*[TERMINATED] * 10)) == ["warning time-limit-terminates"]
    assert checks(played(*[replace(TERMINATED, length=1)] * 10)) == []  # bandits
    assert checks(played(*[TERMINATED] * 3)) == []  # too few to tell


def test_a_clock_makes_it_a_termination() -> None:
    assert checks(played(*[TERMINATED] * 10, shows_time=True)) == []


def test_some_episodes_may_end_before() -> None:
    early = [replace(TERMINATED, length=length) for length in (20, 51, 70, 99)]
    assert checks(played(*early, *[TERMINATED] * 4)) == ["warning time-limit-terminates"]
    assert checks(played(*early, TERMINATED)) == []
    late = replace(TERMINATED, terminated=False, truncated=True)
    assert checks(played(*early, *[late] * 4)) == []


def test_an_info_of_gym_tells_as_well() -> None:
    early = replace(TERMINATED, length=7)
    said = replace(TERMINATED, says_time_limit=True)
    assert checks(played(early, said)) == ["warning time-limit-terminates"]


class Drops(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Turns every end into a termination."""

    def step(self, action: Any) -> Any:
        observation, reward, terminated, truncated, info = super().step(action)
        return observation, reward, terminated or truncated, False, info


def test_a_truncation_that_a_wrapper_drops_is_found_without_playing_that_long() -> None:
    env = gymnasium.make("CartPole-v1")  # whose limit random play never reaches
    assert wrapped_limit(Contract(env), seed=1) is None
    found = wrapped_limit(Contract(Drops(env)), seed=1)
    assert found is not None
    assert "after 500 steps, but around it step returned terminated" in found.evidence
    assert wrapped_limit(Contract(Healthy()), seed=1) is None


def test_episodes_that_do_not_end() -> None:
    assert checks(played()) == ["warning never-ends"]
    assert checks(played(), limit=10 * STEPS) == ["note never-ends"]
    assert checks(Play([], [1.0] * 10)) == []  # slow: nothing is known


def test_random_play_that_solves_it() -> None:
    play = played(*[TERMINATED] * 10)
    assert [each.check for each in return_findings(play, 0.5)] == ["solved-by-chance"]
    assert not list(return_findings(play, 1.5))
    assert not list(return_findings(play, None))
