"""Mixed precision: hidden layers in bfloat16, the layers that outputs come from in float32."""

import copy
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from variants import VARIANTS, small

from footlight import Agent
from footlight.networks.bodies import ActorCritic, Architecture
from footlight.networks.flat import Network
from footlight.networks.precision import keep_in_fp32, output_layers, restore_forward

SMALL = Architecture((32,), torso="small", initialization="orthogonal")
FLOAT32_AT_90 = 2.0**-17  # distance of neighbors; bfloat16's are 0.5 apart


def screens(count: int) -> Tensor:
    return torch.randint(
        0, 256, (count, 2, 40, 40), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )


def values_near_90(module: ActorCritic) -> ActorCritic:
    with torch.no_grad():
        module.critic[-1].bias.fill_(90)
    return module


@pytest.mark.parametrize("shared", [True, False])
def test_bf16_rounds_hidden_layers_and_neither_values_nor_logits(shared: bool) -> None:
    torch.manual_seed(0)
    module = values_near_90(ActorCritic((2, 40, 40), 3, SMALL, shared=shared))
    network = Network([module], precision="bf16")
    network.keep_outputs_in_fp32(screens(2))
    with torch.no_grad():
        logits, value = network(network.initial, screens(256))
        with torch.autocast("cpu", torch.bfloat16):
            features = module.torso(screens(256))
            hidden = [part[:-1](features).float() for part in (module.actor, module.critic)]
        expected_logits, expected_value = (
            part[-1](x) for part, x in zip((module.actor, module.critic), hidden, strict=True)
        )
    assert len(value.unique()) > 200  # three, if rounded to bfloat16
    torch.testing.assert_close(value, expected_value.squeeze(-1), rtol=0, atol=16 * FLOAT32_AT_90)
    torch.testing.assert_close(logits, expected_logits, rtol=1e-4, atol=1e-6)
    assert not torch.equal(logits, module(screens(256))[0])  # the hidden layers are rounded


class Residual(nn.Module):
    """A policy behind a LayerNorm, and a value that two layers add up to."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.last, self.norm = nn.Linear(1600, 32), nn.Linear(32, 3), nn.LayerNorm(3)
        self.base, self.bonus = nn.Linear(32, 1), nn.Bilinear(32, 32, 1)

    def forward(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        x = self.hidden(observation.flatten(1)[:, :1600] / 255).relu()
        return self.norm(self.last(x)), self.base(x) + self.bonus(x, x)


class Own(nn.Module):
    """Multiplies with a parameter outside of any layer."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3200, 3))

    def forward(self, observation: Tensor) -> Tensor:
        return observation.flatten(1) / 255 @ self.weight


def test_output_layers_follow_the_flow_of_numbers() -> None:
    module = Residual()
    assert set(output_layers(module, screens(2))) == {module.last, module.base, module.bonus}
    own = Own()
    assert output_layers(own, screens(2)) == [own]
    frozen = nn.Sequential(
        nn.Flatten(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 1)
    ).requires_grad_(False)
    assert output_layers(frozen, torch.ones(2, 2, 2)) == [frozen[3]]
    assert not any(weight.requires_grad for weight in frozen.parameters())


def test_a_copy_of_the_network_has_its_layers_as_they_were() -> None:
    module = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 1))
    before = module[1].forward
    module[1].forward = lambda x: before(x) + 1.0  # of a user who has replaced it
    own = vars(module[1])["forward"]
    keep_in_fp32(list(module))
    keep_in_fp32(list(module))  # no second time
    assert list(module.state_dict()) == ["0.weight", "0.bias", "1.weight", "1.bias"]
    with torch.autocast("cpu", torch.bfloat16):
        assert module(torch.ones(2, 3)).dtype == torch.float32
    twin = copy.deepcopy(module)
    with torch.no_grad():
        twin[0].weight.fill_(0.0)
        # The copy has its own weights
        assert not torch.equal(twin[0](torch.ones(2, 3)), module[0](torch.ones(2, 3)))
    restore_forward(module)
    assert "forward" not in vars(module[0])
    assert vars(module[1])["forward"] is own


def test_threads_act_with_one_policy() -> None:
    network = Network([ActorCritic((2, 40, 40), 3, SMALL, shared=True)], precision="bf16")
    network.keep_outputs_in_fp32(screens(2))
    trained_P = network.initial + 0.01
    started = threading.Barrier(2, timeout=30)

    def act(_: int) -> Tensor:
        started.wait()
        with torch.no_grad():
            logits: Tensor = torch.stack([network(trained_P, screens(4))[0] for _ in range(10)])
        return logits

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(2) as pool:
            found = list(pool.map(act, range(2)))
    finally:
        sys.setswitchinterval(before)
    with torch.no_grad():
        expected = network(trained_P, screens(4))[0]
    for logits in torch.cat(found):
        torch.testing.assert_close(logits, expected, rtol=1e-2, atol=1e-3)
    assert not torch.allclose(
        network(network.initial, screens(4))[0], expected, rtol=1e-2, atol=1e-3
    )


class Scaled(nn.Module):
    """Bytes as numbers from 0 to 1."""

    def forward(self, observation: Tensor) -> Tensor:
        return observation.flatten(1) / 255


class Parts(nn.Module):
    """A user's own critic."""

    def __init__(self) -> None:
        super().__init__()
        self.critic = nn.Sequential(Scaled(), nn.Linear(3200, 16), nn.ReLU(), nn.Linear(16, 1))


@pytest.mark.parametrize(
    ("algorithm", "network"),
    [
        *(
            (name, None)
            for name in (
                "actor-critic",
                "a2c",
                "impala",
                "ppo",
                "reinforce",
                "replay-actor-critic",
            )
        ),
        ("a2c", Residual),
        ("ppo", Parts),
    ],
)
def test_every_algorithm_distinguishes_large_values_in_bf16(algorithm: str, network: Any) -> None:
    space = gymnasium.spaces.Box(0, 255, (2, 40, 40), np.uint8)
    agent = Agent(
        algorithm,
        space,
        gymnasium.spaces.Discrete(3),
        torso="small",
        hidden_sizes=(8,),
        precision="bf16",
        compile="off",
        network=None if network is None else lambda observations, actions: network(),
    )
    networks = agent.networks.actor_critic
    with torch.no_grad():
        for name, parameter in networks.unflatten(agent.state.actor_critic).items():
            if (
                name.endswith("bias")
                and ("critic" in name or "base" in name)
                and len(parameter) in (1, 3)
            ):
                parameter.add_(90)  # of the layer that values come from
        _, value = networks(agent.state.actor_critic, screens(64))
    assert value.min() > 64
    assert len(value.flatten().unique()) > 40


def test_critics_of_choices_distinguish_large_values_in_bf16() -> None:
    agent = Agent(
        "sac-discrete", gymnasium.spaces.Box(0, 255, (2, 40, 40), np.uint8),
        gymnasium.spaces.Discrete(3), torso="small", hidden_sizes=(8,), precision="bf16",
        buffer_size=10, batch_size=5, compile="off",
    )  # fmt: skip
    critic = agent.networks.critic
    with torch.no_grad():
        *_, output_bias = critic.unflatten(agent.state.critic).values()
        assert output_bias.shape == (2, 3)
        output_bias.add_(90)
        value = critic(agent.state.critic, screens(64))
    assert value.min() > 64
    assert len(value.flatten().unique()) > 40


@pytest.mark.parametrize("name", ["sac", "td3", *VARIANTS])
def test_critics_of_actions_distinguish_large_values_in_bf16(name: str) -> None:
    box = gymnasium.spaces.Box(-1, 1, (3,), np.float32)
    fields = small(name) if name in VARIANTS else {"hidden_sizes": (16, 16)}
    agents = {
        precision: Agent(name, box, box, seed=1, precision=precision, compile="off", **fields)
        for precision in ("fp32", "bf16")
    }
    agent = agents["bf16"]
    critics, state = agent.algorithm.critics, agent.state
    statistics = state.critic_statistics
    if statistics is not None:  # which finding the last layers has not moved
        assert torch.equal(statistics, agents["fp32"].state.critic_statistics)
    rows = torch.rand(2, 64, 3, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        outputs = {
            precision: each.networks.critic.with_statistics(state.critic, statistics, *rows)[0]
            for precision, each in agents.items()
        }
        assert outputs["bf16"].dtype == torch.float32
        assert not torch.equal(outputs["bf16"], outputs["fp32"])  # hidden layers are rounded
        assert (outputs["bf16"] - outputs["fp32"]).abs().max() < 0.1
        if critics.prediction.num_outputs > 1:
            return
        *_, output_bias = (
            leaf
            for key, leaf in agent.networks.critic.unflatten(state.critic).items()
            if key.endswith("bias") and leaf.shape[-1] == 1
        )
        output_bias.add_(90)
        value = critics.q(state, *rows)
    assert value.min() > 64
    assert len(value[0].unique()) > 40


def test_embeddings_and_values_are_fp32_in_bf16() -> None:
    box = gymnasium.spaces.Box(-1, 1, (3,), np.float32)
    fields: dict[str, Any] = {"hidden_sizes": (16, 16), "embedding_size": 16, "compile": "off"}
    wide, narrow = (Agent("td7", box, box, seed=1, precision=p, **fields) for p in ("fp32", "bf16"))
    state, rows = narrow.state, torch.rand(64, 3, generator=torch.Generator().manual_seed(0))
    found = {}
    with torch.no_grad():
        for name, agent in ("fp32", wide), ("bf16", narrow):
            networks = agent.networks
            z_s = networks.state_encoder(state.state_encoder, rows)
            z_sa = networks.action_encoder(state.action_encoder, z_s, rows)
            value = networks.critic(state.critic, rows, rows, z_s, z_sa)
            found[name] = torch.cat([z_s.flatten(), z_sa.flatten(), value.flatten()])
            assert found[name].dtype == torch.float32
            assert len(value[0].unique()) > 60  # far fewer, if rounded to bfloat16
    assert not torch.equal(found["bf16"], found["fp32"])
    assert (found["bf16"] - found["fp32"]).abs().max() < 0.1
