"""The streaming update against two implementations of Elsayed et al. 2024.

One is a slow loop over the agent's networks, the other a complete agent with its own layers,
statistics and traces.
"""

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from torch import Tensor

from footlight.errors import UserError
from footlight.learning.agent import Agent
from tolerance import assert_close

OBSERVATIONS = gymnasium.spaces.Box(-1, 1, (3,), np.float32)


def slow_step(
    agent: Agent,
    weights: Tensor,
    traces: list[Tensor],
    seen: Tensor,
    action: Tensor,
    reward: float,
    after: Tensor,
    terminated: bool,
    ended: bool,
) -> tuple[Tensor, list[Tensor]]:
    """New weights and traces of actor and critic after one transition."""
    config, networks = agent.config, agent.networks
    is_critic = networks.actor_critic.mask("critic") > 0
    value_of = lambda w, observation: networks.actor_critic(w, observation)[1][0]  # noqa: E731
    bootstrap = 0.0 if terminated else config.gamma * float(value_of(weights, after))
    delta = reward + bootstrap - float(value_of(weights, seen))

    leaf = weights.clone().requires_grad_()
    output = networks.actor_critic(leaf, seen)[0]
    log_prob, entropy = (
        networks.head.log_prob(output, action)[0],
        networks.head.entropy(output, torch.zeros(1, 0))[0],
    )
    (actor_gradient,) = torch.autograd.grad(
        log_prob + config.entropy_coef * np.sign(delta) * entropy, leaf
    )
    (critic_gradient,) = torch.autograd.grad(value_of(leaf, seen), leaf)
    actor_gradient, critic_gradient = actor_gradient * ~is_critic, critic_gradient * is_critic

    weights, following = weights.clone(), []
    for trace, gradient, step_size, kappa in (
        (traces[0], actor_gradient, config.actor_step_size, config.actor_kappa),
        (traces[1], critic_gradient, config.critic_step_size, config.critic_kappa),
    ):
        trace = config.gamma * config.trace_lambda * trace + gradient
        overshoot = step_size * kappa * max(abs(delta), 1.0) * float(trace.abs().sum())
        weights += min(step_size / overshoot, step_size) * delta * trace
        following.append(torch.zeros_like(trace) if ended else trace)
    return weights, following


@pytest.mark.parametrize(
    "actions", [gymnasium.spaces.Discrete(3), gymnasium.spaces.Box(-2, 2, (2,), np.float32)]
)
def test_equals_a_slow_loop(actions: gymnasium.Space[Any]) -> None:
    plain: dict[str, Any] = {
        "normalize_observations": False,
        "normalize_rewards": False,
        "hidden_sizes": (16, 16),
        "entropy_coef": 0.1,
        "initialization": "orthogonal",  # with 3 inputs, sparse weights would all be 0
    }
    agent = Agent("stream-ac", OBSERVATIONS, actions, seed=1, compile="off", **plain)
    weights = agent.state.actor_critic.clone()
    traces = [torch.zeros_like(weights)] * 2
    world = np.random.default_rng(0)
    for step in range(40):
        seen, after = world.uniform(-1, 1, (2, 1, 3)).astype(np.float32)
        reward, terminated, truncated = float(world.normal(0, 3)), step % 9 == 8, step % 7 == 6
        given = agent.act(seen, explore=True)
        assert agent.pending is not None
        drawn = torch.as_tensor(agent.pending.decision.action)
        agent.observe(seen, given, reward, after, terminated, truncated)
        before, behind = torch.as_tensor(seen), torch.as_tensor(after)
        ended = terminated or truncated
        weights, traces = slow_step(
            agent, weights, traces, before, drawn, reward, behind, terminated, ended
        )
        assert_close(agent.state.actor_critic, weights, terms=16, depth=36)
        # Three layers, forward and backward
        assert_close(agent.state.trace, traces[0] + traces[1], terms=16, depth=36)
    assert not weights.equal(agent.networks.actor_critic.initial)


class Published:
    """Streaming AC(λ) from the paper, one weight matrix and trace at a time, in float64.

    Layer normalization: section 3.3. SampleMeanVar, ScaleReward, NormalizeObservation: algorithms 4
    to 6, with the departures that docs/algorithms/stream-ac.md lists: the variance is that around
    the mean of the returns and divided by n, an observation is added to the statistics after its
    step, and normalized observations are clipped.
    """

    def __init__(self, agent: Agent) -> None:
        self.config = agent.config
        views = agent.networks.actor_critic.unflatten(agent.state.actor_critic)
        self.weights = {name: view.double().clone() for name, view in views.items()}
        self.traces = {name: torch.zeros_like(weight) for name, weight in self.weights.items()}
        self.seen: list[np.ndarray] = []
        self.returns: list[float] = []
        self.u = 0.0

    def output(self, weights: dict[str, Tensor], part: str, observation: Tensor) -> Tensor:
        x, last = observation, 6  # linear, norm, activation; the same again; linear
        for layer in (0, 3, last):
            x = weights[f"{part}.{layer}.weight"] @ x + weights[f"{part}.{layer}.bias"]
            if layer != last:
                x = (x - x.mean()) / (x.var(unbiased=False) + 1e-5).sqrt()
                x = torch.where(x > 0, x, 0.01 * x)
        return x

    def normalized(self, observation: np.ndarray) -> Tensor:
        mean, variance = np.mean(self.seen, 0), np.var(self.seen, 0) if len(self.seen) > 1 else 1.0
        return torch.from_numpy(((observation - mean) / np.sqrt(variance + 1e-8)).clip(-10, 10))

    def step(
        self,
        s: np.ndarray,
        action: int,
        r: float,
        after: np.ndarray,
        terminated: bool,
        truncated: bool,
    ) -> None:
        config = self.config
        ended = terminated or truncated
        self.u = config.gamma * (1 - ended) * self.u + r
        self.returns.append(self.u)
        variance = np.var(self.returns) if len(self.returns) > 1 else 1.0
        reward = r / np.sqrt(variance + 1e-8)
        self.seen.append(s.astype(np.float64))
        now, then = self.normalized(s), self.normalized(after)

        leaves = {name: weight.clone().requires_grad_() for name, weight in self.weights.items()}
        value = self.output(leaves, "critic", now)[0]
        value_after = 0.0 if terminated else float(self.output(self.weights, "critic", then)[0])
        delta = reward + config.gamma * value_after - float(value.detach())
        log_probs = self.output(leaves, "actor", now).log_softmax(0)
        entropy = -(log_probs.exp() * log_probs).sum()
        objective = log_probs[action] + config.entropy_coef * np.sign(delta) * entropy
        (value + objective).backward()
        for name, leaf in leaves.items():
            self.traces[name] = config.gamma * config.trace_lambda * self.traces[name] + leaf.grad
        steps = (
            ("actor", config.actor_step_size, config.actor_kappa),
            ("critic", config.critic_step_size, config.critic_kappa),
        )
        for part, alpha, kappa in steps:
            names = [name for name in leaves if name.startswith(part)]
            norm = sum(float(self.traces[name].abs().sum()) for name in names)
            bound = alpha * kappa * max(abs(delta), 1) * norm
            for name in names:
                self.weights[name] += alpha / max(1, bound) * delta * self.traces[name]
        if ended:
            self.traces = {name: torch.zeros_like(trace) for name, trace in self.traces.items()}


def test_whole_agent_equals_the_published_algorithms_across_episodes() -> None:
    space = gymnasium.spaces.Box(-np.inf, np.inf, (12,), np.float32)
    agent = Agent(
        "stream-ac",
        space,
        gymnasium.spaces.Discrete(3),
        seed=3,
        hidden_sizes=(16, 16),
        compile="off",
    )
    twin, world = Published(agent), np.random.default_rng(0)
    s = world.normal(2, 5, 12).astype(np.float32)
    for step in range(30):
        action = int(agent.act(s, explore=True))
        after = world.normal(2, 5, 12).astype(np.float32)
        reward, terminated, truncated = (
            float(step % 11 == 10) * 5 - 0.1,
            step % 11 == 10,
            step % 17 == 16,
        )
        agent.observe(s, action, reward, after, terminated, truncated)
        twin.step(s, action, reward, after, terminated, truncated)
        s = world.normal(2, 5, 12).astype(np.float32) if terminated or truncated else after
        for name, view in agent.networks.actor_critic.unflatten(agent.state.actor_critic).items():
            torch.testing.assert_close(
                view,
                twin.weights[name].float(),
                rtol=1e-4,
                atol=1e-5,
                msg=f"{name} after step {step}",
            )
    start = agent.networks.actor_critic.unflatten(agent.networks.actor_critic.initial)
    assert (
        max(float((twin.weights[name] - view).abs().max()) for name, view in start.items()) > 0.01
    )


# The trace ends with its episode


def steps_of(agent: Agent, count: int, **ends: bool) -> None:
    world = np.random.default_rng(0)
    for _ in range(count):
        seen, after = world.uniform(-1, 1, (2, 3)).astype(np.float32)
        agent.observe(
            seen,
            agent.act(seen, explore=True),
            1.0,
            after,
            ends.get("terminated", False),
            ends.get("truncated", False),
        )


@pytest.mark.parametrize("end", ["terminated", "truncated", "abandoned"])
def test_trace_is_zero_after_an_episode_however_it_ends(end: str) -> None:
    agent = Agent(
        "stream-ac", OBSERVATIONS, gymnasium.spaces.Discrete(2), hidden_sizes=(8,), compile="off"
    )
    steps_of(agent, 3)
    assert agent.state.trace.any()
    if end == "abandoned":
        agent.forget_episodes([0])
    else:
        steps_of(agent, 1, **{end: True})
    assert not agent.state.trace.any()


# Networks of the user's own


class Separate(torch.nn.Module):
    """A forward of its own, around parts that share nothing."""

    def __init__(self, observation_space: Any, action_space: Any) -> None:
        super().__init__()
        self.actor = torch.nn.Sequential(
            torch.nn.Linear(3, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2)
        )
        self.critic = torch.nn.Sequential(
            torch.nn.Linear(3, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1)
        )

    def forward(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        return self.actor(observation), self.critic(observation)


class SharedByReference(torch.nn.Module):
    """The first layer is the same object in both parts."""

    def __init__(self, observation_space: Any, action_space: Any) -> None:
        super().__init__()
        first = torch.nn.Linear(3, 8)
        self.actor = torch.nn.Sequential(first, torch.nn.Tanh(), torch.nn.Linear(8, 2))
        self.critic = torch.nn.Sequential(first, torch.nn.Tanh(), torch.nn.Linear(8, 1))


class SharedParameter(Separate):
    """Two layers with one weight."""

    def __init__(self, observation_space: Any, action_space: Any) -> None:
        super().__init__(observation_space, action_space)
        self.critic[0].weight = self.actor[0].weight


class ReadsTheActor(Separate):
    """Values from the actor's output."""

    def __init__(self, observation_space: Any, action_space: Any) -> None:
        super().__init__(observation_space, action_space)
        self.critic = torch.nn.Linear(2, 1)

    def forward(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        output = self.actor(observation)
        return output, self.critic(output)


class OtherNames(torch.nn.Module):
    """Parts whose names do not say which is the critic."""

    def __init__(self, observation_space: Any, action_space: Any) -> None:
        super().__init__()
        self.policy, self.value = torch.nn.Linear(3, 2), torch.nn.Linear(3, 1)

    def forward(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        return self.policy(observation), self.value(observation)


@pytest.mark.parametrize("network", [SharedByReference, SharedParameter, ReadsTheActor, OtherNames])
def test_networks_that_share_parameters_are_refused(network: Any) -> None:
    with pytest.raises(
        UserError, match="they share parameters, or their names do not tell them apart"
    ):
        Agent("stream-ac", OBSERVATIONS, gymnasium.spaces.Discrete(2), network=network)


def test_network_with_forward_and_separate_parts_is_accepted() -> None:
    agent = Agent(
        "stream-ac", OBSERVATIONS, gymnasium.spaces.Discrete(2), network=Separate, compile="off"
    )
    steps_of(agent, 2)
    assert agent.num_updates == 2


# The first policy


@pytest.mark.parametrize("head", ["gaussian", "state-dependent-gaussian"])
def test_first_standard_deviation_is_softplus_of_zero(head: str) -> None:
    actions = gymnasium.spaces.Box(-2, 2, (2,), np.float32)
    agent = Agent("stream-ac", OBSERVATIONS, actions, action_head=head)
    output, _ = agent.networks.actor_critic(agent.state.actor_critic, torch.zeros(1, 3))
    assert agent.networks.head.diagnose(output).std[0].tolist() == pytest.approx(
        [np.log(2), np.log(2)], rel=1e-3
    )
