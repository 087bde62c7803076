"""Networks of the off-policy algorithms: ensembles, and modules of a user's own."""

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from constant import Deterministic, Linear
from variants import VARIANTS, small

from footlight.algorithms import config_class
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


class GaussianOnly(torch.nn.Module):
    """An actor for SAC."""

    def __init__(self, observation_space: Any, action_space: Any) -> None:
        super().__init__()
        self.actor = Pair(1, 1)


class Several(torch.nn.Module):
    """A critic that predicts `number` values, or one that has no dimension of its own."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(2, number)

    def forward(self, observation: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        return self.layer(torch.cat([observation, action], -1)).squeeze(-1)


def critic_with(number: int) -> Any:
    class CriticOf(torch.nn.Module):
        def __init__(self, observation_space: Any, action_space: Any) -> None:
            super().__init__()
            self.critic = Several(number)

    return CriticOf


@pytest.mark.parametrize("part", ["actor", "critic"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_of_sac_take_either_part(variant: str, part: str) -> None:
    fields = small(variant) | {"updates_per_step": 1.0, "num_quantiles": 5, "num_bins": 7}
    kind = config_class(variant)(**fields).critic
    numbers = {"scalar": 1, "quantile": 5, "categorical": 7}[kind]
    network = GaussianOnly if part == "actor" else critic_with(numbers)
    agent = Agent(variant, OBSERVATIONS, ACTIONS, network=network, compile="off", seed=1, **fields)
    before = agent.state.actor.clone(), agent.state.critic.clone()
    for step in range(12):
        seen = np.array([step / 12], np.float32)
        agent.observe(seen, agent.act(seen, explore=True), 1.0, seen, False, step % 4 == 3)
    assert agent.num_updates == 4
    after = agent.state.actor, agent.state.critic
    assert not any(torch.equal(*pair) for pair in zip(before, after, strict=True))


@pytest.mark.parametrize("number", [1, 4])
def test_critic_that_predicts_other_numbers_is_refused(number: int) -> None:
    found = r"\(2,\)" if number == 1 else r"\(2, 4\)"
    message = rf"the critic returns shape {found} for 2 observations - it must return \(2, 25\)"
    with pytest.raises(UserError, match=message):
        Agent("tqc", OBSERVATIONS, ACTIONS, network=critic_with(number), compile="off")
