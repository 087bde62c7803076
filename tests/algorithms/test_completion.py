"""What the author may leave out, and what is checked of what the author wrote."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import gymnasium
import numpy as np
import pytest
import torch
from own_examples import PAGE, PureA2C, TorchA2C, pure
from torch import nn

import footlight
from footlight.algorithms import a2c
from footlight.algorithms.authoring import Decision, Outcome
from footlight.algorithms.completion import AlgorithmFailed, actions_of, complete
from footlight.errors import UserError

OBSERVED = gymnasium.spaces.Box(-1, 1, (4,), np.float32)
BRIEF: dict[str, Any] = {"quiet": True, "compile": "off", "eval_episodes": 1, "threads": 1}


def agent(algorithm: Any, acted: Any = None, **fields: Any) -> footlight.Agent:
    acted = gymnasium.spaces.Discrete(2) if acted is None else acted
    return footlight.Agent(algorithm, OBSERVED, acted, num_envs=2, compile="off", **fields)


def changed(**members: Any) -> Any:
    """The documented algorithm of pure functions with other members."""
    return type("Mine", (PureA2C,), {"__module__": __name__, **members})


def test_our_own_classes_and_complete_ones_stay_what_they_are() -> None:
    assert complete(a2c.A2C) is a2c.A2C
    assert complete(PureA2C) is complete(PureA2C)
    assert issubclass(complete(PureA2C), PureA2C)
    assert complete(PureA2C).__qualname__ == PureA2C.__qualname__
    assert actions_of(a2c.A2C) == a2c.A2C.ACTIONS
    assert actions_of(PureA2C) == ("box", "discrete")


def test_create_that_names_its_own_class_is_completed() -> None:
    class Named(PureA2C):  # type: ignore[misc]
        @classmethod
        def create(cls, config: Any, spaces: Any, network: Any = None) -> Any:
            made: Any = complete(PureA2C).create(config, spaces, pure.Net)
            return Named(made.config, made.networks, made.spaces)

    assert set(agent(Named).algorithm.updates) == {"update"}


def test_network_of_the_user_takes_the_place_of_the_class() -> None:
    class Wide(nn.Module):
        def __init__(self, observation_space: Any, action_space: Any) -> None:
            super().__init__()
            self.both = nn.Linear(4, 3)

        def forward(self, observation: Any) -> Any:
            output = self.both(observation)
            return output[..., :2], output[..., 2]

    assert agent(PureA2C, network=Wide).num_parameters == 15


RETURNS: dict[str, tuple[dict[str, Any], str]] = {
    "init": ({"init": lambda self, n: None}, r"Mine.init returned None .*`return State\(...\)`"),
    "buffer": ({"buffer": lambda self, n: None}, "Mine.buffer returned None .*rollout_buffer"),
    "act-none": (
        {"act": lambda *given: None},
        r"Mine.act returned None .*`return Decision\(action\), memory`",
    ),
    "act-dict": ({"act": lambda *given: {}}, "Mine.act returned a dict"),
    "act-alone": ({"act": lambda *given: Decision(np.zeros((2, 1)))}, "returned a Decision"),
    "act-tensor": (
        {"act": lambda *given: (Decision(torch.zeros(2, 1)), None)},  # type: ignore[arg-type]
        "Mine.act decided on a Tensor .*NumPy array",
    ),
    "update-none": (
        {"update": lambda *given: None},
        r'Mine.update returned None .*`return Outcome\({"loss": loss}\)`',
    ),
    "update-dict": (
        {"update": lambda *given: {"loss": 1}}, "Mine.update returned a dict .*Outcome"
    ),
    "update-float": (
        {"update": lambda *given: Outcome({"loss": 1.0})},  # type: ignore[dict-item]
        "Mine.update returned loss as a float .*take its mean",
    ),
    "update-rows": (
        {"update": lambda *given: Outcome({"loss": torch.ones(3)})},
        r"Mine.update returned loss as a Tensor of shape \[3\]",
    ),
    "update-undeclared": (
        {"METRICS": ("error",), "update": lambda *given: Outcome({"loss": torch.ones(())})},
        "update 'update' returned a metric 'loss' that METRICS does not name - add it there",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", RETURNS)
def test_wrong_return_value_is_refused_before_anything_is_created(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    members, message = RETURNS[case]
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message) as caught:
        footlight.train(changed(**members), "CartPole-v1", steps=40, **BRIEF)
    assert len(str(caught.value).splitlines()) == 1
    assert not any(tmp_path.iterdir())


def test_state_without_the_field_of_its_network() -> None:
    @dataclass
    class State:
        parameters: Any

    def init(self: Any, num_envs: int) -> State:
        return State(torch.zeros(1))

    with pytest.raises(UserError, match=r"no `actor_critic` .* add `actor_critic: Tensor`"):
        agent(changed(init=init))


def test_exception_names_method_and_line(tmp_path: Path) -> None:
    def update(self: Any, batch: Any) -> Any:
        raise KeyError("gone")

    kind = type("Mine", (TorchA2C,), {"update": update, "__module__": __name__})
    with pytest.raises(AlgorithmFailed, match=r"Mine.update failed.*KeyError: 'gone'") as caught:
        footlight.train(kind, "CartPole-v1", steps=40, run_dir=tmp_path / "run", **BRIEF)
    assert caught.value.exit_code == 2
    assert footlight.Run(tmp_path / "run").result is not None
    message = rf"the network Net failed - AttributeError: .* \({PAGE.name}, line \d+\)"
    with pytest.raises(UserError, match=message):
        agent(PureA2C, gymnasium.spaces.Box(-1, 1, (1,), np.float32))  # has no `n`


def test_metrics_are_those_that_updates_return() -> None:
    class Twice(PureA2C):  # type: ignore[misc]
        METRICS: ClassVar[Any] = ("loss", "never")

    assert agent(PureA2C).learner.reported.names == ["loss"]
    assert agent(Twice).learner.reported.names == ["loss", "never"]
