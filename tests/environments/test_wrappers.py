"""Wrappers of rewards and of files: found by name, and left out of a copy."""

import types
from typing import Any

import faulty
import gymnasium
from gymnasium.vector import SyncVectorEnv
from gymnasium.wrappers import NormalizeObservation, NormalizeReward, TransformReward, vector

from footlight.environments.running_statistics import statistics_wrappers
from footlight.environments.wrappers import chain, recorders, reward_wrappers, without_recorders


def normalized() -> gymnasium.Env[Any, Any]:
    return NormalizeReward(NormalizeObservation(faulty.Walk()))


def test_names_of_wrappers() -> None:
    assert statistics_wrappers(normalized()) == ["NormalizeReward", "NormalizeObservation"]
    assert statistics_wrappers(faulty.Walk()) == []
    assert reward_wrappers(TransformReward(normalized(), float)) == [
        "TransformReward",
        "NormalizeReward",
    ]
    together = vector.ClipReward(
        SyncVectorEnv([lambda: TransformReward(faulty.Walk(), float)]), 0, 1
    )
    assert reward_wrappers(together) == ["ClipReward", "TransformReward"]


class Monitor(gymnasium.Wrapper[Any, Any, Any, Any]):
    """What Stable-Baselines3's looks like."""

    results_writer = types.SimpleNamespace()


class RecordVideo(gymnasium.wrappers.RecordVideo):  # type: ignore[type-arg]
    """Without the package that encodes."""

    def __init__(self, env: Any) -> None:
        gymnasium.Wrapper.__init__(self, env)


def test_an_environment_that_answers_to_any_name_is_not_taken_for_a_process() -> None:
    class Proxy(faulty.Walk):
        def __getattr__(self, name: str) -> Any:
            if name.startswith("__"):
                raise AttributeError(name)
            return lambda *given: None

    assert statistics_wrappers(Proxy()) == reward_wrappers(Proxy()) == []


def test_recorders_are_removed_from_the_chain() -> None:
    env = TransformReward(RecordVideo(Monitor(faulty.Walk())), float)
    assert recorders(env) == ["RecordVideo", "Monitor"]
    assert str(without_recorders(env)) == f"<TransformReward{env.unwrapped}>"
    assert isinstance(without_recorders(RecordVideo(faulty.Walk())), faulty.Walk)


def test_chain_ends_where_an_environment_refers_back_to_its_wrapper() -> None:
    env = TransformReward(faulty.Walk(), float)
    env.unwrapped.env = env  # type: ignore[attr-defined]
    assert list(chain(env)) == [env, env.unwrapped]
