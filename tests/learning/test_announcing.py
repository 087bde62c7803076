"""Compiling in the middle of a loop is announced, once."""

from typing import Any

import gymnasium
import numpy as np
import pytest

import footlight
from footlight.learning import announcing, learner
from footlight.learning.announcing import COMPILING, Announcement

CONTINUOUS, CHOICE = gymnasium.spaces.Box(-1, 1, (2,), np.float32), gymnasium.spaces.Discrete(3)


@pytest.fixture(autouse=True)
def new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing has been compiled yet, and the compiler takes no time."""
    monkeypatch.setattr(announcing, "_compiled", set())
    monkeypatch.setattr(
        learner, "compile_in_place", lambda function, tensors: lambda: function(*tensors)
    )
    monkeypatch.setattr(learner, "first_call", lambda step, function, tensors: step())


def learned(steps: int = 30, compile_first: bool = False, **fields: Any) -> list[str]:
    """The notices of an agent that learns."""
    notices: list[str] = []
    small: dict[str, Any] = {"learning_starts": 4, "batch_size": 4, "hidden_sizes": (4,)}
    values = {"compile": "on", **small, **fields}
    agent = footlight.Agent("td3", CONTINUOUS, CONTINUOUS, notice=notices.append, **values)
    if compile_first:
        agent.compile()
    observation = np.zeros(2, np.float32)
    for _ in range(steps):
        action = agent.act(observation, explore=True)
        agent.observe(observation, action, 0.0, observation, False, False)
    return notices


def test_first_compiled_update_is_announced_once() -> None:
    """TD3 compiles two updates, one with the actor and one without."""
    assert learned() == [COMPILING]


def test_second_agent_of_the_same_configuration_is_silent() -> None:
    assert learned() == [COMPILING]
    assert learned() == []
    assert learned(gamma=0.9) == [COMPILING]
    assert learned(batch_size=8) == [COMPILING]


def test_eager_agent_and_one_that_was_compiled_by_the_caller_are_silent() -> None:
    assert learned(compile="off") == []
    assert learned(compile_first=True) == []


def test_update_that_is_compiled_late_is_announced_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learner, "UPDATES_WORTH_COMPILING", 10)
    assert learned(steps=8, compile="auto") == []
    assert learned(steps=30, compile="auto") == [COMPILING]


def test_training_announces_once(capfd: pytest.CaptureFixture[str]) -> None:
    """Also where a field changes, for which the update is compiled again."""

    def slower(training: Any) -> None:
        training.set(learning_rate=1e-4)

    footlight.train(
        "a2c", "CartPole-v1", steps=60, compile="on", eval_episodes=0, probe="off",
        hooks=[footlight.every(20, slower)], threads=1,
    )  # fmt: skip
    output = capfd.readouterr()
    assert (output.out + output.err).count(COMPILING) == 1


def test_skipped_announcement_is_not_made_later() -> None:
    notices: list[str] = []
    announce = Announcement("configuration", notices.append)
    announce.skip()
    announce()
    assert notices == []


def test_acting_on_vectors_is_not_compiled_and_not_announced() -> None:
    notices: list[str] = []
    agent = footlight.Agent("a2c", CONTINUOUS, CHOICE, compile="on", notice=notices.append)
    agent.act(np.zeros(2, np.float32), explore=True)
    assert notices == []


def test_acting_on_images_is_announced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "footlight.learning.policy.compile_checked",
        lambda function, tensors: lambda: function(*tensors),
    )
    notices: list[str] = []
    images = gymnasium.spaces.Box(0, 255, (1, 36, 36), np.uint8)
    agent = footlight.Agent(
        "a2c", images, CHOICE, compile="on", notice=notices.append, torso="small", hidden_sizes=(4,)
    )
    agent.act(np.zeros((1, 36, 36), np.uint8), explore=True)
    assert notices == [COMPILING]
