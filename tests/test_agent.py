"""The agent: what can be passed to it, and where a user's own algorithm does not fit."""

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from user_files import write

from footlight.algorithms import ddpg
from footlight.algorithms.protocol import Outcome
from footlight.errors import UserError
from footlight.learning.agent import Agent
from footlight.learning.execution import Execution

OBSERVATIONS = gymnasium.spaces.Box(-1, 1, (3,), np.float32)
ACTIONS = gymnasium.spaces.Box(-1, 1, (2,), np.float32)


def own_algorithm(metrics: tuple[str, ...]) -> Any:
    """DDPG whose update also returns a metric `surprise`, of which these are named."""

    @dataclass(frozen=True)
    class Mine(ddpg.DDPG):  # type: ignore[misc]
        METRICS = ddpg.DDPG.METRICS + metrics

        @property
        def updates(self) -> Any:
            return {"surprising": self.update}

        def update(self, *given: Any) -> Outcome:
            outcome = self.update_critic_and_actor(*given)
            return Outcome({**outcome.metrics, "surprise": torch.ones(())})

    return Mine


def learn(algorithm: Any, compile: str) -> Agent:
    fields = {"learning_starts": 4, "batch_size": 4, "hidden_sizes": (4,)}
    agent = Agent(algorithm, OBSERVATIONS, ACTIONS, compile=compile, **fields)
    for step in range(6):
        agent.observe(np.full(3, step / 9), np.zeros(2), 0.0, np.full(3, step / 9), False, False)
    return agent


@pytest.mark.parametrize("compile", ["off", "on"])
def test_metric_that_the_algorithm_does_not_name_is_refused(compile: str) -> None:
    expected = r"update 'surprising' returned a metric 'surprise' that METRICS does not name - add"
    with pytest.raises(UserError, match=expected):
        learn(own_algorithm(()), compile)


def test_named_metric_of_an_own_algorithm_is_reported() -> None:
    assert learn(own_algorithm(("surprise",)), "off").metrics()["surprise"] == 1


def test_every_option_may_be_a_keyword_beside_config_fields() -> None:
    notices: list[str] = []
    agent = Agent(
        "sac", OBSERVATIONS, ACTIONS, seed=7, num_envs=2, device="cpu", compile="off", threads=1,
        total_steps=50, network=None, keep_gradients=True, notice=notices.append, gamma=0.5,
    )  # fmt: skip
    assert (agent.seed, agent.num_envs, agent.device.type) == (7, 2, "cpu")
    assert (agent.learner.total_steps, agent.config.gamma, agent.compiled) == (50, 0.5, False)
    assert agent.execution == Execution(
        compile="off", threads=1, keep_gradients=True, notice=notices.append
    )


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("gama", "gamma"),
        ("lr", "learning_rate"),
        ("treads", "threads"),
        ("n_envs", "num_envs"),
        ("random_seed", "seed"),
        ("keep_gradient", "keep_gradients"),
    ],
)
def test_misspelled_keyword_is_refused_with_the_one_that_was_meant(name: str, meant: str) -> None:
    with pytest.raises(UserError, match=f"^unknown field '{name}' - did you mean '{meant}'"):
        Agent("sac", OBSERVATIONS, ACTIONS, **{name: 1})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"num_envs": 0}, "num_envs is 0 - it must be"),
        ({"total_steps": 0}, "total_steps is 0 - it must be"),
        ({"seed": -1}, "seed is -1 - it must be"),
        ({"compile": "maybe"}, "compile is 'maybe' - it must be one of auto, on, off"),
        ({"device": "tpu"}, "device is 'tpu' - it must be cpu or cuda"),
        ({"gamma": 2}, "gamma is 2"),
    ],
)
def test_value_that_cannot_work_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=f"^{message}"):
        Agent("sac", OBSERVATIONS, ACTIONS, **values)


def test_signature_and_docstring_name_every_option() -> None:
    documented = f"{inspect.signature(Agent)} {Agent.__doc__}"
    for name in ("seed", "num_envs", "total_steps", "network", *Execution.__dataclass_fields__):
        assert name in documented


def test_algorithm_and_network_are_named_in_files(tmp_path: Path) -> None:
    mine = write(tmp_path)
    seen, choice = gymnasium.spaces.Box(-1, 1, (3,), np.float32), gymnasium.spaces.Discrete(2)
    agent = Agent(f"{tmp_path}/algorithm.py:Mine", seen, choice, network=f"{mine}:MyNetwork")
    assert (agent.name, agent.blueprint.network_name) == ("Mine", "MyNetwork")
    agent.save(tmp_path / "agent")
    words = {"algorithm": f"{tmp_path}/algorithm.py:Mine", "network": f"{mine}:MyNetwork"}
    again: Any = Agent.load(tmp_path / "agent", **words)
    assert again.act(np.ones(3, np.float32)) == agent.act(np.ones(3, np.float32))
    with pytest.raises(UserError, match=r"has no 'Mime' - did you mean 'Mine'"):
        Agent(f"{tmp_path}/algorithm.py:Mime", seen, choice)
    with pytest.raises(UserError, match="network is 'mine' - that is text, not an object"):
        Agent("a2c", seen, choice, network="mine")
