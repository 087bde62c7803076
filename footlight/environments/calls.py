"""Step or reset a single environment and validate its answer; its exceptions become faults."""

from collections.abc import Mapping
from typing import Any

import gymnasium

from footlight.environments.episodes import EpisodeTracker, WorkerLost
from footlight.environments.interface import as_flag, old_interface, reset_answer, step_answer
from footlight.errors import EnvironmentFault, describe_error
from footlight.signals import is_interruption


def step(
    tracker: EpisodeTracker, env: int, environment: gymnasium.Env[Any, Any], action: Any
) -> tuple[Any, Any, bool, bool, Mapping[str, Any]]:
    """Step environment `env`: observation, reward, terminated, truncated, info.

    Observation and reward are not checked. Raises `EnvironmentFault`.
    """
    tracker.called = env
    try:
        answer: Any = environment.step(action)
        # Checked here, since calling `step_answer` would cost more
        if type(answer) is not tuple or len(answer) != 5 or type(answer[4]) is not dict:
            answer = step_answer(answer)
        observed, reward, terminated, truncated, info = answer
        if type(terminated) is not bool or type(truncated) is not bool:
            terminated = as_flag("terminated", terminated)
            truncated = as_flag("truncated", truncated)
        return observed, reward, terminated, truncated, info
    except BaseException as error:  # SystemExit included, which would end the program
        if is_interruption(error):
            raise
        raise fault_of_call(tracker, env, "step", error) from error
    finally:
        tracker.called = None


def reset(tracker: EpisodeTracker, env: int, environment: gymnasium.Env[Any, Any]) -> Any:
    """Begin the current episode of environment `env` and return its first observation, unchecked.

    Raises `EnvironmentFault`.
    """
    tracker.begin(env)
    tracker.called = env
    try:
        observation, _ = reset_answer(environment.reset(seed=tracker.episode_seed(env)))
    except BaseException as error:
        if is_interruption(error):
            raise
        raise fault_of_call(tracker, env, "reset", error) from error
    finally:
        tracker.called = None
    return observation


def fault_of_call(
    tracker: EpisodeTracker, env: int, method: str, error: BaseException
) -> EnvironmentFault:
    """The fault for an exception that `step` or `reset` of an environment raised."""
    if isinstance(error, WorkerLost):
        remedy = "find out what ended it, or use on_worker_death restart"
        return tracker.fault(env, str(error), remedy)
    if (violation := old_interface(method, error)) is not None:
        return tracker.fault(env, *violation.args)
    return tracker.fault(env, f"{method} raised {describe_error(error)}")
