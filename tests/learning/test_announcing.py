"""Compiling is announced, once, and only where the compiler is called."""

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest

import footlight
from footlight.learning import compiled_updates, learner
from footlight.learning.announcing import COMPILING
from footlight.learning.compilation import CompilerMissing

CONTINUOUS, CHOICE = gymnasium.spaces.Box(-1, 1, (2,), np.float32), gymnasium.spaces.Discrete(3)


def quick(function: Any, tensors: Any, announce: Callable[[], None]) -> Callable[[], None]:
    """A compiler that takes no time."""
    announce()
    return lambda: function(*tensors)


@pytest.fixture(autouse=True)
def quick_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled_updates, "compile_in_place", quick)
    monkeypatch.setattr(compiled_updates, "can_compile_ahead", lambda: False)
    monkeypatch.setattr(compiled_updates, "first_call", lambda step, function, tensors: step())


def learned(steps: int = 30, compile_first: bool = False, **fields: Any) -> list[str]:
    """The notices of an agent that learns."""
    notices: list[str] = []
    small: dict[str, Any] = {"learning_starts": 4, "batch_size": 4, "hidden_sizes": (4,)}
    values = {"compile": "on", **small, **fields}
    agent = footlight.Agent("td3", CONTINUOUS, CONTINUOUS, notice=notices.append, **values)
    if compile_first:
        agent.compile()
        assert notices == [COMPILING]
    observation = np.zeros(2, np.float32)
    for _ in range(steps):
        action = agent.act(observation, explore=True)
        agent.observe(observation, action, 0.0, observation, False, False)
    return notices


def test_first_compiled_update_is_announced_once() -> None:
    """TD3 compiles two updates, one with the actor and one without."""
    assert learned() == [COMPILING]
    assert learned(compile_first=True) == [COMPILING]


def test_compiled_update_of_an_earlier_run_is_not_announced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        compiled_updates,
        "compile_in_place",
        lambda function, tensors, announce: lambda: function(*tensors),
    )
    assert learned() == []


def test_eager_agent_is_silent() -> None:
    assert learned(compile="off") == []


def test_missing_compiler_is_said_instead(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("CXX", "no-such-compiler")
    (notice,) = learned()
    assert "no C++ compiler" in notice


def test_update_that_is_compiled_late_is_announced_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learner, "UPDATES_WORTH_COMPILING", 10)
    assert learned(steps=8, compile="auto") == []
    assert learned(steps=30, compile="auto") == [COMPILING]


@pytest.mark.parametrize("is_at_hand", [False, True])
def test_training_announces_once_and_says_how_long_it_took(
    is_at_hand: bool, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Also where a field changes, for which the update is compiled again."""

    def slower(training: Any) -> None:
        training.set(learning_rate=1e-4)

    if is_at_hand:
        monkeypatch.setattr(
            compiled_updates,
            "compile_in_place",
            lambda function, tensors, _: lambda: function(*tensors),
        )
    footlight.train(
        "a2c", "CartPole-v1", steps=60, compile="on", eval_episodes=0, probe="off",
        hooks=[footlight.every(20, slower)], threads=1,
    )  # fmt: skip
    output = capfd.readouterr()
    for text in COMPILING, "compiled in ":
        assert (output.out + output.err).count(text) == (0 if is_at_hand else 1)


def test_acting_on_vectors_is_not_compiled_and_not_announced() -> None:
    notices: list[str] = []
    agent = footlight.Agent("a2c", CONTINUOUS, CHOICE, compile="on", notice=notices.append)
    agent.act(np.zeros(2, np.float32), explore=True)
    assert notices == []


def test_acting_on_images_is_announced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("footlight.learning.policy.compile_checked", quick)
    notices: list[str] = []
    images = gymnasium.spaces.Box(0, 255, (1, 36, 36), np.uint8)
    agent = footlight.Agent(
        "a2c", images, CHOICE, compile="on", notice=notices.append, torso="small", hidden_sizes=(4,)
    )
    agent.act(np.zeros((1, 36, 36), np.uint8), explore=True)
    assert notices == [COMPILING]


def test_failing_compiler_is_said_after_the_announcement(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(function: Any, tensors: Any, announce: Callable[[], None]) -> Any:
        announce()
        raise CompilerMissing("the compiler failed")

    monkeypatch.setattr(compiled_updates, "compile_in_place", failing)
    first, second = learned()
    assert first == COMPILING
    assert second.startswith("not compiled: the compiler failed")
