"""Networks of the off-policy algorithms: ensembles, and modules of a user's own."""

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from constant import Deterministic, Linear

from footlight.errors import UserError
from footlight.learning.agent import Agent

OBSERVATIONS = gymnasium.spaces.Box(-1, 1, (1,), np.float32)
ACTIONS = gymnasium.spaces.Box(-1, 1, (1,), np.float32)


class CriticOnly(torch.nn.Module):
    """The actor is the default one."""

    def __init__(self, observation_space: Any, action_space: Any) -> None:
        super().__init__()
        self.critic = Linear()


class Nothing(torch.nn.Module):
    def __init__(self, observation_space: Any, action_space: Any) -> None:
        super().__init__()


class TwoActions(Deterministic):
    def __init__(self, observation_space: Any, action_space: Any) -> None:
        super().__init__(observation_space, action_space)
        self.actor = torch.nn.Linear(1, 2)  # type: ignore[assignment]


class OnPolicyParts(torch.nn.Module):
    def __init__(self, observation_space: Any, action_space: Any) -> None:
        super().__init__()
        self.actor, self.critic = torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)


class OnlyActor(torch.nn.Module):
    def __init__(self, observation_space: Any, action_space: Any) -> None:
        super().__init__()
        self.actor = torch.nn.Linear(1, 1)


class TwoOutputs(torch.nn.Module):
    def __init__(self, observation_space: Any, action_space: Any) -> None:
        super().__init__()
        self.actor = Pair(1, 1)


class WithoutParameters(torch.nn.Module):
    def __init__(self, observation_space: Any, action_space: Any) -> None:
        super().__init__()
        self.actor = torch.nn.Tanh()


class Pair(torch.nn.Linear):
    def forward(self, observation: torch.Tensor) -> Any:
        return super().forward(observation), super().forward(observation)


def agent_of(**fields: Any) -> Agent:
    return Agent("td3", OBSERVATIONS, ACTIONS, compile="off", hidden_sizes=(4,), **fields)


def test_critics_start_with_weights_of_their_own_and_targets_with_the_same() -> None:
    agent = agent_of(num_critics=3)
    for weights in agent.networks.critic.unflatten(agent.state.critic).values():
        assert len(weights) == 3
        if weights[0].numel() > 1:
            assert not torch.equal(weights[0], weights[1])
    assert torch.equal(agent.state.critic, agent.state.target_critic)
    assert agent.state.critic.data_ptr() != agent.state.target_critic.data_ptr()


def test_missing_part_is_the_default() -> None:
    agent = agent_of(network=CriticOnly)
    assert agent.state.critic.tolist() == [2, 2, 3, 3]
    assert len(agent.state.actor) == 1 * 4 + 4 + 4 * 1 + 1


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (Linear(), "network is a module - a new one is needed for each run"),
        (Nothing, "with the parts `actor` and `critic`"),
        (
            TwoActions,
            r"the actor returns shape \(2, 2\) for 2 observations - it must return \(2, 1\)",
        ),
        (
            lambda observations, actions: 3,
            "network returned int - it must return a torch.nn.Module",
        ),
        (5, "network is 5 - it cannot be called - pass the class of a torch.nn.Module"),
        (lambda: Linear(), "network <lambda> cannot be called - too many positional arguments"),
        (
            OnPolicyParts,
            r"the critic of the network cannot be called - .* 2 positional arguments but 3 were "
            r"given - it is called as critic\(observation, action\), and must return values \[B\]",
        ),
        (
            WithoutParameters,
            "the network's part Tanh has no parameters - nothing in it can learn - assign each",
        ),
        (
            TwoOutputs,
            r"the actor returns 2 tensors - it is called as actor\(observation\), and must return "
            r"actions \[B, A\] in \[-1, 1\]",
        ),
    ],
)
def test_unsuitable_module_is_refused(network: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        agent_of(network=network)


class Failing(torch.nn.Module):
    def __init__(self, observation_space: Any, action_space: Any) -> None:
        super().__init__()
        raise FAILURES[type(self).__name__]


FAILURES: dict[str, BaseException] = {
    "Broken": KeyError("hidden"),
    "Leaving": SystemExit(3),
    "OutOfMemory": MemoryError(),
}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Broken", r"^the network Broken failed - KeyError: 'hidden' \(test_.*, line \d+\) - fix"),
        ("Leaving", r"^the network Leaving failed - SystemExit: 3 \(test_.*, line \d+\) - fix"),
    ],
)
@pytest.mark.parametrize("algorithm", ["td3", "a2c"])
def test_network_that_fails_is_named_with_its_error(
    algorithm: str, name: str, message: str
) -> None:
    network = type(name, (Failing,), {})
    with pytest.raises(UserError, match=message) as caught:
        Agent(algorithm, OBSERVATIONS, ACTIONS, network=network, compile="off")
    assert caught.value.__cause__ is FAILURES[name]
    assert len(str(caught.value).splitlines()) == 1


def test_lack_of_memory_is_not_the_networks_fault() -> None:
    with pytest.raises(MemoryError):
        agent_of(network=type("OutOfMemory", (Failing,), {}))


def test_actor_of_sac_returns_two_tensors() -> None:
    with pytest.raises(UserError, match=r"returns 1 tensor - .* must return \(mean, raw log_std\)"):
        Agent("sac", OBSERVATIONS, ACTIONS, network=OnlyActor, compile="off")
