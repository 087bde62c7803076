"""Which parameter follows which step size; networks whose parts share a layer; the first policy."""

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

from footlight.algorithms.on_policy import optimizer_step, step_sizes
from footlight.errors import UserError
from footlight.learning.agent import Agent

OBSERVATIONS, ACTIONS = (
    gymnasium.spaces.Box(-1, 1, (3,), np.float32),
    gymnasium.spaces.Box(-1, 1, (2,), np.float32),
)


class Actor(torch.nn.Module):
    """A user's actor that learns its own standard deviations."""

    def __init__(self) -> None:
        super().__init__()
        self.mean, self.log_std = torch.nn.Linear(3, 2), torch.nn.Parameter(torch.zeros(2))

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        mean = self.mean(observation)
        return torch.cat([mean, self.log_std.expand_as(mean)], -1)


class Parts(torch.nn.Module):
    def __init__(self, observation_space: Any, action_space: Any) -> None:
        super().__init__()
        self.actor, self.critic = Actor(), torch.nn.Linear(3, 1)


def rates(**fields: Any) -> dict[float, int]:
    """How many parameters have which step size."""
    agent = Agent("a2c", OBSERVATIONS, ACTIONS, hidden_sizes=(5,), **fields)
    network = agent.networks.actor_critic
    values, counts = np.unique(
        np.broadcast_to(step_sizes(agent.config, network), network.initial.shape),
        return_counts=True,
    )
    return {round(float(value), 6): int(count) for value, count in zip(values, counts, strict=True)}


class SharedTorso(torch.nn.Module):
    """A first layer that both parts hold."""

    def __init__(self, observation_space: Any, action_space: Any) -> None:
        super().__init__()
        torso = torch.nn.Linear(3, 4)
        self.actor, self.critic = (
            torch.nn.Sequential(torso, torch.nn.Linear(4, 2)),
            torch.nn.Sequential(torso, torch.nn.Linear(4, 1)),
        )


# Parameters of the torso; of the actor's last layer with its log_std, and of the critic's
OURS, HEADS = 3 * 5 + 5, (5 * 2 + 2 + 2, 5 + 1)


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"learning_rate": 0.1}, {0.1: 2 * OURS + sum(HEADS)}),
        ({"actor_learning_rate": 0.2}, {0.0007: OURS + HEADS[1], 0.2: OURS + HEADS[0]}),
        ({"critic_learning_rate": 0.3}, {0.0007: OURS + HEADS[0], 0.3: OURS + HEADS[1]}),
        ({"actor_learning_rate": 0.2, "critic_learning_rate": 0.3, "shared_torso": True},
         {0.0007: OURS, 0.2: HEADS[0], 0.3: HEADS[1]}),
        ({"actor_learning_rate": 0.2, "critic_learning_rate": 0.3, "network": Parts},
         # log_std counts twice: the user's, and the default network's, which is unused
         {0.2: 3 * 2 + 2 + 2 + 2, 0.3: 3 + 1}),
        ({"actor_learning_rate": 0.2, "critic_learning_rate": 0.3, "network": SharedTorso},
         {0.0007: 3 * 4 + 4, 0.2: 4 * 2 + 2 + 2, 0.3: 4 + 1}),
    ],
)  # fmt: skip
def test_each_part_follows_its_own_step_size(
    fields: dict[str, Any], wanted: dict[float, int]
) -> None:
    assert rates(**fields) == wanted


def test_module_of_a_network_with_a_shared_layer_after_updates() -> None:
    agent = Agent("a2c", OBSERVATIONS, ACTIONS, network=SharedTorso, n_steps=2, compile="off")
    world = np.random.default_rng(0)
    for _ in range(2):
        seen, after = world.uniform(-1, 1, (2, 3)).astype(np.float32)
        agent.observe(seen, agent.act(seen, explore=True), 1.0, after, False, False)
    assert agent.num_updates == 1
    module, seen = (
        agent.policy.module(),
        torch.from_numpy(world.uniform(-1, 1, (5, 3)).astype(np.float32)),
    )
    output, value = agent.networks.actor_critic(agent.state.actor_critic, seen)
    torch.testing.assert_close(module.actor(seen), output[:, :2])
    torch.testing.assert_close(module.critic(seen).squeeze(-1), value)
    assert agent.networks.separate is False


@pytest.mark.parametrize("head", ["gaussian", "state-dependent-gaussian", "squashed-gaussian"])
@pytest.mark.parametrize("shared_torso", [False, True])
def test_every_continuous_head_starts_at_the_initial_log_std(head: str, shared_torso: bool) -> None:
    agent = Agent(
        "a2c",
        OBSERVATIONS,
        ACTIONS,
        action_head=head,
        shared_torso=shared_torso,
        initial_log_std=-1.5,
    )
    output, _ = agent.networks.actor_critic(agent.state.actor_critic, torch.zeros(1, 3))
    assert output[0, 2:].tolist() == [-1.5, -1.5]
    assert output[0, :2].tolist() == [0, 0]


# Optimizers against torch's own, which an update is meant to equal


def stepped(optimizer: str, weight_decay: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Parameters after five clipped steps of the agent's and of torch's optimizer."""
    fields = {
        "optimizer": optimizer,
        "weight_decay": weight_decay,
        "learning_rate": 0.05,
        "optimizer_epsilon": 1e-5,
    }
    agent = Agent("a2c", OBSERVATIONS, ACTIONS, hidden_sizes=(5,), **fields)
    ours_P = agent.state.actor_critic
    peer_P = ours_P.clone().requires_grad_()
    peers = {
        "adam": torch.optim.Adam,
        "adamw": torch.optim.AdamW,
        "rmsprop": torch.optim.RMSprop,
        "sgd": torch.optim.SGD,
    }
    more = {} if optimizer == "sgd" else {"eps": 1e-5}
    peer = peers[optimizer]([peer_P], lr=0.05, weight_decay=weight_decay, **more)
    generator = torch.Generator().manual_seed(0)
    for _ in range(5):
        gradient_P = torch.randn(ours_P.shape, generator=generator)
        optimizer_step(agent.config, agent.networks, agent.state, gradient_P)
        peer_P.grad = gradient_P.clone()
        torch.nn.utils.clip_grad_norm_([peer_P], agent.config.max_grad_norm)
        peer.step()
    return ours_P, peer_P.detach()


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "rmsprop", "sgd"])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_optimizer_with_weight_decay_equals_torch(optimizer: str, weight_decay: float) -> None:
    ours_P, peer_P = stepped(optimizer, weight_decay)
    # The relative error of Adam's 1 - 0.999 in float32 is 1.3e-5, that of its root half as much, in
    # each of 5 steps with the learning rate 0.05
    torch.testing.assert_close(ours_P, peer_P, rtol=1e-5, atol=5 * 1e-5 * 0.05)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "rmsprop", "sgd"])
def test_weight_decay_changes_what_is_learned(optimizer: str) -> None:
    assert not torch.equal(stepped(optimizer, 0.1)[0], stepped(optimizer, 0.0)[0])


class OffPolicyParts(torch.nn.Module):
    def __init__(self, observation_space: Any, action_space: Any) -> None:
        super().__init__()
        self.actor, self.critic = torch.nn.Linear(3, 2), torch.nn.Bilinear(3, 2, 1)


class SingleOutput(torch.nn.Linear):
    def __init__(self, observation_space: Any, action_space: Any) -> None:
        super().__init__(3, 3)

    def forward(self, observation: torch.Tensor) -> Any:
        return {"output": super().forward(observation)}


class ListOfLayers(torch.nn.Module):
    """Its layers are in a list, where PyTorch does not find their parameters."""

    def __init__(self, observation_space: Any, action_space: Any) -> None:
        super().__init__()
        self.layers = [torch.nn.Linear(3, action_space.n)]

    def forward(self, observation: torch.Tensor) -> Any:
        return self.layers[0](observation), observation[..., 0]


class LookUp(torch.nn.Linear):
    def __init__(self, observation_space: Any, action_space: Any) -> None:
        super().__init__(3, 3)

    def forward(self, observation: torch.Tensor) -> Any:
        return {"velocity": observation}["position"]


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (
            LookUp,
            "the forward of the network cannot be called - KeyError: 'position' - it is called as",
        ),
        (
            OffPolicyParts,
            r"the critic of the network cannot be called - .*missing 1 required positional .* - it "
            r"is called as critic\(observation\), and must return values \[B\]",
        ),
        (
            SingleOutput,
            r"the forward of the network cannot be called - ValueError: not enough values .* - it "
            r"is called as forward\(observation\), and must return \(output, value\): values \[B\]",
        ),
        (5, "network is 5 - it cannot be called"),
    ],
)
def test_unsuitable_part_of_a_network_is_named(network: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Agent("ppo", OBSERVATIONS, ACTIONS, network=network, compile="off")


def test_network_without_parameters_is_refused() -> None:
    message = "the network's part ListOfLayers has no parameters - nothing in it can learn - assign"
    with pytest.raises(UserError, match=message):
        Agent("ppo", OBSERVATIONS, gymnasium.spaces.Discrete(2), network=ListOfLayers)
