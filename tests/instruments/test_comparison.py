"""The comparison of an exported file with the policy: differences that it finds and tolerates."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from exported import BOX, CHOICE, Parts, learner, require_refused

from footlight.algorithms import a2c
from footlight.instruments.comparison import BATCHES
from footlight.instruments.export import export
from footlight.types import Decision

pytestmark = pytest.mark.usefixtures("operators_read_once")


class Branches(Parts):
    """A network whose way depends on the numbers, which no graph holds."""

    def forward(self, observation: torch.Tensor) -> Any:
        output = self.actor(observation)
        return output if output.sum() > 0 else -output, self.critic(observation)


class Pairs(Parts):
    """A network that does something else with two observations."""

    def forward(self, observation: torch.Tensor) -> Any:
        return self.actor(observation) * (1 if len(observation) == 2 else -1), self.critic(
            observation
        )


@pytest.mark.parametrize("network", [Branches, Pairs])
def test_network_that_is_not_a_graph_is_rejected(
    network: Any, saved: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    learner("a2c", CHOICE, network=network).save("agent")
    require_refused(["cannot be expressed in ONNX", "any batch size"], network=network)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("action", [CHOICE, BOX])
def test_algorithm_that_acts_differently_is_rejected(action: Any, saved: Path) -> None:
    @dataclass(frozen=True)
    class Mine(a2c.A2C):  # type: ignore[misc]
        def act(self, *given: Any) -> Any:
            drawn_EA = a2c.A2C.act(self, *given)[0].action
            moved_EA = (drawn_EA + 1) % 3 if action is CHOICE else drawn_EA + 0.001
            return Decision(moved_EA), None

    mine = Mine
    learner(mine, action).save("agent")
    words = (
        ["of 1,000 choices differ"] if action is CHOICE else ["of their range", "rounding explains"]
    )
    require_refused(["policy.onnx was not written", *words], algorithm=mine)


def test_policy_that_returns_nan_is_rejected(saved: Path) -> None:
    agent = learner("ddpg", BOX)
    agent.state.actor.fill_(float("nan"))
    agent.save("agent")
    require_refused(["up to nan of their range"])


def test_choices_between_equal_logits_may_differ(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = learner("a2c", CHOICE)
    agent.state.actor_critic.zero_()
    agent.save("agent")
    act = a2c.A2C.act
    monkeypatch.setattr(a2c.A2C, "act", lambda *given: (Decision(act(*given)[0].action + 1), None))
    found = export("agent", "policy.onnx")
    assert (found.num_differing, found.num_choices, found.difference) == (1_000, 1_000, 0)
    assert "1,000 of 1,000 choices differ, by logits at most 0.0e+00 apart" in str(found)


def test_batches_hold_a_thousand_observations() -> None:
    assert sum(BATCHES) == 1_000
