"""Comparing an environment that is given in place of a recorded id with what the id makes."""

from collections.abc import Callable
from typing import Any

import faulty
import gymnasium
import pytest
from gymnasium.wrappers import TransformReward

from footlight.environments.identity import why_not_known
from footlight.environments.source import EnvironmentSource

RECORDED = EnvironmentSource.of("CartPole-v1")


def cartpole(**settings: Any) -> Any:
    env: Any = gymnasium.make("CartPole-v1")
    for name, value in settings.items():
        setattr(env.unwrapped, name, value)
    return env


def used() -> Any:
    env = cartpole()
    env.reset(seed=0)
    for _ in range(5):
        env.step(env.action_space.sample())
    return env


@pytest.mark.parametrize(
    ("make_it", "reason"),
    [
        (cartpole, None),
        (used, None),
        (lambda: cartpole(gravity=3.0), "CartPoleEnv.gravity differs"),
        (
            lambda: gymnasium.make("CartPole-v1", max_episode_steps=20),
            "TimeLimit._max_episode_steps differs",
        ),
        (
            lambda: TransformReward(cartpole(), float),
            "it consists of TransformReward, TimeLimit, CartPoleEnv in place of TimeLimit, "
            "CartPoleEnv",
        ),
        (faulty.Walk, "it consists of Walk in place of TimeLimit, CartPoleEnv"),
    ],
)
def test_reason_names_layer_or_setting(make_it: Callable[[], Any], reason: str | None) -> None:
    for given in (make_it, make_it()):
        assert why_not_known(EnvironmentSource.of(given), RECORDED, 0) == reason


def test_given_object_is_neither_stepped_nor_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    env = cartpole()
    calls: list[str] = []
    for name in ("reset", "step", "close"):
        monkeypatch.setattr(env, name, lambda *given, name=name, **named: calls.append(name))
    why_not_known(EnvironmentSource.of(env), RECORDED, 0)
    assert calls == []


def test_instance_that_cannot_be_made_is_a_reason() -> None:
    def refuse() -> Any:
        raise RuntimeError("worker number 0 is still in use")

    reason = why_not_known(EnvironmentSource.of(refuse), RECORDED, 0)
    assert reason == "refuse failed to create an environment"
