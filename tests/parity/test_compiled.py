"""The compiled update is the eager one, only faster; and one agent's graph is never another's."""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

from footlight.learning.agent import Agent
from footlight.learning.announcing import COMPILING
from footlight.trees import tree_items
from tolerance import assert_close, longest_sum

OBSERVATIONS = gymnasium.spaces.Box(-1, 1, (3,), np.float32)
ACTIONS = gymnasium.spaces.Box(-2, 2, (2,), np.float32)

# Sums over 16 units, two layers forward and backward per update; rounding errors accumulate over
# ten updates.
AFTER_UPDATES: dict[str, Any] = {"terms": 16, "depth": 40}
# Encoders in front of the critics: ten layers forward and backward per update, over all 22
AFTER_EMBEDDED_UPDATES: dict[str, Any] = {"terms": 16, "depth": 440}
# On-policy updates divide by the standard deviation of advantages and start from zero moments:
# rounding errors accumulate over all 30.
AFTER_ON_POLICY_UPDATES: dict[str, Any] = {"terms": 16, "depth": 4000}


class UserNetwork(torch.nn.Module):
    """A user's own actor and critic, with a constant that is a buffer."""

    def __init__(
        self, observation_space: gymnasium.Space[Any], action_space: gymnasium.Space[Any]
    ) -> None:
        super().__init__()
        self.actor = torch.nn.Sequential(
            Scale(), torch.nn.Linear(3, 8), torch.nn.SiLU(), torch.nn.Linear(8, 2), torch.nn.Tanh()
        )
        self.critic = Critic()


class Scale(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.full((3,), 0.5))

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        return observation * self.scale


class Critic(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(5, 1)

    def forward(self, observation: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        return self.layer(torch.cat([observation, action], -1)).squeeze(-1)


def make(algorithm: str, compile: str, hidden: int = 16, **fields: Any) -> Agent:
    settings = {
        "hidden_sizes": (hidden, hidden),
        "batch_size": 8,
        "buffer_size": 100,
        "learning_starts": 8,
        **fields,
    }
    options: dict[str, Any] = {"seed": 3, "compile": compile, "notice": fail, **settings}
    return Agent(algorithm, OBSERVATIONS, ACTIONS, **options)


def fail(message: str) -> None:
    # The only other notice that these agents could print is that compiling failed
    assert message == COMPILING


def feed(agent: Agent, steps: int) -> None:
    world = np.random.default_rng(0)
    for step in range(steps):
        observation, successor = world.uniform(-1, 1, (2, 3)).astype(np.float32)
        action = world.uniform(-2, 2, 2).astype(np.float32)
        agent.observe(
            observation, action, observation.sum(), successor, step % 7 == 6, step % 11 == 10
        )


def leaves(agent: Agent) -> dict[str, np.ndarray]:
    return {name: np.asarray(leaf).copy() for name, leaf in tree_items(agent.state).items()}


@pytest.mark.parametrize(
    ("algorithm", "fields"),
    [
        (
            "sac",
            {
                "policy_delay": 2,
                "target_actor": True,
                "log_std": "rescaled",
                "norm": "layer",
                "critic": "quantile",
                "num_quantiles": 5,
                "dropped_quantiles": 1,
                "dropout": 0.1,
                "n_steps": 3,
                "prioritization": "proportional",
                "total_steps": 40,
                "normalize_rewards": True,
            },
        ),
        # TD3, and SAC with other critics: algorithms/test_critic_runs.py
        ("ddpg", {"network": UserNetwork}),
        ("td7", {"copy_interval": 5, "embedding_size": 16}),
    ],
)
def test_compiled_equals_eager(algorithm: str, fields: dict[str, Any]) -> None:
    eager, compiled = make(algorithm, "off", **fields), make(algorithm, "on", **fields)
    before = leaves(compiled)
    compiled.compile()
    assert compiled.compiled
    # Compiling does not run the update
    assert all(np.array_equal(value, before[name]) for name, value in leaves(compiled).items())
    feed(eager, 30)
    feed(compiled, 30)
    assert eager.num_updates == compiled.num_updates >= 22
    tolerance = AFTER_EMBEDDED_UPDATES if algorithm == "td7" else AFTER_UPDATES
    for name, value in leaves(eager).items():
        assert_close(leaves(compiled)[name], value, **tolerance, message=name)
    assert_close(compiled.metrics(), eager.metrics(), **tolerance, dtype=np.float32)


@pytest.mark.parametrize(
    ("algorithm", "actions", "fields"),
    [
        ("actor-critic", gymnasium.spaces.Discrete(3), {
            "shared_torso": True, "final_entropy_coef": 0.01}),
        ("a2c", ACTIONS, {
            "num_envs": 2, "learning_rate_schedule": "linear", "actor_learning_rate": 1e-4,
            "layer_norm": True}),
        ("impala", gymnasium.spaces.Discrete(3), {
            "num_envs": 2, "n_steps": 8, "num_epochs": 2, "num_minibatches": 2,
            "trace_lambda": 0.9, "optimizer": "rmsprop"}),
        # With clipped ratios and several choices: learning/test_scheduling.py
        ("ppo", ACTIONS, {
            "n_steps": 8, "minibatch_size": 4, "objective": "spo", "rpo_alpha": 0.5,
            "value_clip_range": 0.2, "target_kl": 0.1}),
        ("reinforce", ACTIONS, {"action_head": "squashed-gaussian", "entropy_coef": 0.01}),
        ("replay-actor-critic", gymnasium.spaces.Discrete(3), {
            "n_steps": 4, "batch_size": 4, "learning_starts": 8, "buffer_size": 99,
            "optimizer": "adamw", "weight_decay": 0.1, "bootstrap": "max", "q_mean_coef": 0.1,
            "prioritization": "proportional"}),
        ("sac-discrete", gymnasium.spaces.Discrete(3), {
            "batch_size": 4, "learning_starts": 8, "buffer_size": 99, "policy_delay": 2,
            "n_steps": 3, "layer_norm": True}),
        ("stream-ac", ACTIONS, {}),
    ],
)  # fmt: skip
def test_compiled_equals_eager_on_policy(
    algorithm: str, actions: gymnasium.Space[Any], fields: dict[str, Any]
) -> None:
    normalized = {"normalize_observations": True, "normalize_rewards": True}
    options = {"hidden_sizes": (16, 16), "total_steps": 60, **normalized, **fields}
    options |= {"seed": 3, "notice": fail}
    eager, compiled = (
        Agent(algorithm, OBSERVATIONS, actions, compile=mode, **options) for mode in ("off", "on")
    )
    compiled.compile()
    for agent in (eager, compiled):
        world = np.random.default_rng(0)
        # Both get the actions of one agent, since rounding must not lead them to different states.
        # What IMPALA learns from it has to have drawn: choices, which rounding does not change
        for step in range(30):
            observation, successor = world.uniform(-1, 1, (2, agent.num_envs, 3)).astype(np.float32)
            action = np.stack([draw(actions, world) for _ in range(agent.num_envs)])
            if algorithm == "impala":
                action = agent.act(observation, explore=True)
            ends = np.full(agent.num_envs, step % 7 == 6), np.full(agent.num_envs, step % 11 == 10)
            agent.observe(observation, action, observation.sum(-1), successor, *ends)
        agent.finish()
    assert compiled.compiled
    assert eager.num_updates == compiled.num_updates > 2
    for name, value in leaves(eager).items():
        assert_close(leaves(compiled)[name], value, **AFTER_ON_POLICY_UPDATES, message=name)
    assert_close(compiled.metrics(), eager.metrics(), **AFTER_ON_POLICY_UPDATES, dtype=np.float32)


def draw(space: gymnasium.Space[Any], world: np.random.Generator) -> np.ndarray:
    if isinstance(space, gymnasium.spaces.Box):
        return world.uniform(space.low, space.high).astype(np.float32)
    return world.integers(0, space.n)  # type: ignore[attr-defined]


def test_nothing_is_compiled_again_and_agents_keep_their_own_graphs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = []
    import footlight.learning.compiled_updates as module

    original = module.compile_in_place
    monkeypatch.setattr(
        module, "compile_in_place", lambda *given: calls.append(1) or original(*given)
    )
    small, large = make("ddpg", "on", hidden=8), make("ddpg", "on", hidden=24)
    for _ in range(3):  # in turns: neither may run the other's kernels
        feed(small, 15)
        feed(large, 15)
    assert len(calls) == 2
    for agent, hidden in ((small, 8), (large, 24)):
        alone = make("ddpg", "off", hidden=hidden)
        for _ in range(3):
            feed(alone, 15)
        assert_close(agent.state.actor.numpy(), alone.state.actor.numpy(), **AFTER_UPDATES)


def test_without_a_compiler_the_run_goes_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    said: list[str] = []
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))  # nothing was compiled before
    monkeypatch.setenv("CXX", "no-such-compiler")
    agent = Agent(
        "ddpg",
        OBSERVATIONS,
        ACTIONS,
        compile="on",
        notice=said.append,
        batch_size=4,
        buffer_size=9,
        learning_starts=2,
    )
    feed(agent, 10)
    assert agent.num_updates == 8
    assert not agent.compiled
    assert len(said) == 1
    assert "no C++ compiler" in said[0]


def test_acting_on_images_is_compiled_too() -> None:
    images, choices = (
        gymnasium.spaces.Box(0, 255, (4, 84, 84), np.uint8),
        gymnasium.spaces.Discrete(4),
    )
    options: dict[str, Any] = {"seed": 3, "num_envs": 2, "notice": fail}
    agents = [Agent("a2c", images, choices, compile=mode, **options) for mode in ("off", "on")]
    draws = np.random.default_rng(0)
    for rows in (2, 3):  # as it is compiled for, and otherwise
        seen = draws.integers(0, 256, (rows, 4, 84, 84), np.uint8)
        if rows == 2:
            eager, compiled = (agent.act(seen, explore=True) for agent in agents)
            assert np.array_equal(eager, compiled)  # drawn with equal random numbers
        outputs = [
            agent.networks.actor_critic.infer(agent.state.actor_critic, seen) for agent in agents
        ]
        eager, compiled = (output[0] if isinstance(output, tuple) else output for output in outputs)
        assert eager.shape == compiled.shape == (rows, 4)
        acting = agents[0].policy.acting_module()
        # The last layer starts with a gain of 0.01, which scales errors together with the logits
        assert_close(compiled, eager, terms=longest_sum(acting), depth=5)
    first = agents[1].networks.actor_critic.infer(agents[1].state.actor_critic, seen[:2])
    agents[1].state.actor_critic.mul_(2)  # learning changes the parameters in place
    second = agents[1].networks.actor_critic.infer(agents[1].state.actor_critic, seen[:2])
    assert not np.array_equal(first, second)
