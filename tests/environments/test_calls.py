"""Calls of a single environment: validated answers, and faults for its exceptions."""

import sys
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest

from footlight.environments import calls
from footlight.environments.episodes import EpisodeTracker, WorkerLost
from footlight.environments.infos import LIFE_LOST
from footlight.errors import EnvironmentFault


class Scripted(gymnasium.Env[Any, Any]):
    """`step` and `reset` return what the function returns."""

    def __init__(self, answer: Callable[[], Any]) -> None:
        self.answer, self.tracker = answer, EpisodeTracker(2, 7, "episode")
        self.called: list[int | None] = []

    def step(self, action: Any) -> Any:
        self.called.append(self.tracker.called)
        return self.answer()

    def reset(self, **options: Any) -> Any:
        self.seed = options["seed"]
        return self.answer()


def step(answer: Callable[[], Any]) -> Any:
    env = Scripted(answer)
    try:
        return calls.step(env.tracker, 1, env, np.zeros(1))
    finally:
        assert env.called == [1]
        assert env.tracker.called is None


def leave() -> None:
    sys.exit(3)


def interrupt() -> None:
    raise KeyboardInterrupt


def lose() -> None:
    raise WorkerLost("its process has closed its pipe")


def test_flags_are_bools_whatever_their_type() -> None:
    _, _, terminated, truncated, info = step(lambda: (0, 1.0, np.True_, 0, {}))
    assert (terminated, truncated, info) == (True, False, {})
    assert type(terminated) is type(truncated) is bool


def test_lost_life_is_reported() -> None:
    assert step(lambda: [0, 1.0, False, False, {LIFE_LOST: np.True_}])[-1] == {LIFE_LOST: True}


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (leave, r"environment 1 failed .*step raised SystemExit: 3 - fix the environment"),
        (lose, r"its process has closed its pipe - .* on_worker_death restart"),
        (lambda: (0, 1.0, False, {}), r"step returned 4 values .* - return observation, reward"),
        (lambda: (0, 1.0, "no", False, {}), "step returned 'no' as terminated - return True or"),
    ],
)
def test_exceptions_and_invalid_answers_are_faults(answer: Callable[[], Any], message: str) -> None:
    with pytest.raises(EnvironmentFault, match=message):
        step(answer)


@pytest.mark.usefixtures("ctrl_c_interrupts")
def test_interruption_is_passed_on() -> None:
    with pytest.raises(KeyboardInterrupt):
        step(interrupt)


def test_reset_passes_the_seed_of_the_episode() -> None:
    env = Scripted(lambda: ("first", {}))
    env.tracker.total[1] = env.tracker.length[1] = 5
    assert calls.reset(env.tracker, 1, env) == "first"
    assert env.seed == env.tracker.episode_seed(1)
    assert (env.tracker.total[1], env.tracker.length[1]) == (0, 0)


def test_failed_reset_is_a_fault() -> None:
    env = Scripted(lambda: "alone")
    with pytest.raises(EnvironmentFault, match=r"reset returned 'alone' alone, as in Gym's"):
        calls.reset(env.tracker, 0, env)
