"""The agent and a user's own algorithm: what it is told where the two do not fit."""

from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

from footlight.algorithms import ddpg
from footlight.algorithms.protocol import Outcome
from footlight.errors import UserError
from footlight.learning.agent import Agent

OBSERVATIONS, ACTIONS = (
    gymnasium.spaces.Box(-1, 1, (3,), np.float32),
    gymnasium.spaces.Box(-1, 1, (2,), np.float32),
)


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
    agent = Agent(algorithm, OBSERVATIONS, ACTIONS, compile=compile, **fields)  # type: ignore[arg-type]
    for step in range(6):
        agent.observe(np.full(3, step / 9), np.zeros(2), 0.0, np.full(3, step / 9), False, False)
    return agent


@pytest.mark.parametrize("compile", ["off", "on"])
def test_metric_that_the_algorithm_does_not_name_is_refused(compile: str) -> None:
    with pytest.raises(
        UserError,
        match=r"update 'surprising' returned a metric 'surprise' that METRICS does not name - add it there",
    ):
        learn(own_algorithm(()), compile)


def test_named_metric_of_an_own_algorithm_is_reported() -> None:
    assert learn(own_algorithm(("surprise",)), "off").metrics()["surprise"] == 1
