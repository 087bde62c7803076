"""The critic probe against environments with known values, NumPy, and a slow loop."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from own_examples import TorchA2C
from variants import VARIANTS, small

from footlight.algorithms import ALGORITHMS, a2c, config_class
from footlight.environments import probes
from footlight.environments.serial import SerialEnvironments
from footlight.errors import UserError
from footlight.instruments import videos
from footlight.instruments.critic_probe import CriticProbe, load_critic_probe
from footlight.learning.agent import Agent
from footlight.types import Diagnosis
from tolerance import assert_close, close

SEEN, BOX, CHOICE = (
    gymnasium.spaces.Box(-1, 1, (3,), np.float32),
    gymnasium.spaces.Box(-2, 2, (2,)),
    gymnasium.spaces.Discrete(3),
)
CONTINUOUS = ("sac", "td3", "ddpg", "td7", *VARIANTS)
OBSERVATION = np.array([0.3, -0.7, 0.2], np.float32)


def probe_of(agent: Agent) -> CriticProbe:
    return CriticProbe(agent.algorithm, agent.spaces, agent.state, agent.normalizer)


def learner(algorithm: str, action: gymnasium.Space[Any] | None = None, **fields: Any) -> Agent:
    if "buffer_size" in config_class(algorithm).__dataclass_fields__:
        fields = {"buffer_size": 500, "batch_size": 16, "learning_starts": 0, **fields}
    action = action or (BOX if algorithm in CONTINUOUS else CHOICE)
    sizes = small(algorithm) if algorithm in VARIANTS else {"hidden_sizes": (8, 8)}
    fields = sizes | fields
    return Agent(algorithm, SEEN, action, seed=1, compile="off", **fields)


@pytest.mark.parametrize("algorithm", [*ALGORITHMS])
def test_diagnosis_of_every_algorithm_is_the_same_after_loading(
    algorithm: str, tmp_path: Path
) -> None:
    agent = learner(algorithm)
    found = probe_of(agent)(OBSERVATION)
    assert found.value is not None
    assert found.value.shape == ()
    if algorithm in CONTINUOUS:
        assert_close(found.mean * 2, agent.act(OBSERVATION), terms=16, depth=3, scale=2)
        assert (found.std is None, found.entropy is None, found.bonus is None) == (
            (algorithm not in ("sac", *VARIANTS)),
        ) * 3
    else:
        assert found.probabilities.sum() == close(1, terms=4)
        assert found.probabilities.argmax() == agent.act(OBSERVATION)
        assert found.entropy == close(
            -(found.probabilities * np.log(found.probabilities)).sum(), terms=4
        )
    agent.save(tmp_path / "agent")
    again = load_critic_probe(tmp_path / "agent")(OBSERVATION)
    for mine, loaded in zip(found, again, strict=True):
        np.testing.assert_array_equal(mine, loaded)


def test_value_is_the_minimum_over_critics_at_the_mode() -> None:
    for algorithm in ("sac", "td3"):
        agent = learner(algorithm)
        action = torch.as_tensor(agent.act(OBSERVATION)[None] / 2, dtype=torch.float32)
        with torch.no_grad():
            q_N = agent.networks.critic(
                agent.state.critic, torch.from_numpy(OBSERVATION[None]), action
            )[:, 0]
        assert q_N[0] != q_N[1]
        assert probe_of(agent)(OBSERVATION).value == close(q_N.min().item(), terms=16, depth=2)


@pytest.mark.parametrize("symlog", [False, True])
def test_replay_actor_critic_weights_values_by_its_policy(symlog: bool) -> None:
    agent = learner("replay-actor-critic", symlog_values=symlog)
    with torch.no_grad():
        agent.state.actor_critic.mul_(3)
        logits, q = (
            x[0].numpy()
            for x in agent.networks.actor_critic(
                agent.state.actor_critic, torch.from_numpy(OBSERVATION[None])
            )
        )
    share = np.exp(logits) / np.exp(logits).sum()
    q = np.sign(q) * np.expm1(np.abs(q)) if symlog else q
    assert probe_of(agent)(OBSERVATION).value == close((share * q).sum(), terms=16, depth=3)


def test_algorithm_without_critic_has_no_value() -> None:
    found = probe_of(learner("reinforce", baseline=False))(OBSERVATION)
    assert found.value is None
    assert found.probabilities is not None


@pytest.mark.parametrize("head", ["gaussian", "state-dependent-gaussian", "squashed-gaussian"])
def test_continuous_distributions_match_samples(head: str) -> None:
    agent = learner("ppo", BOX, action_head=head, initial_log_std=-0.5, n_steps=64)
    found = probe_of(agent)(OBSERVATION)
    stream = np.random.default_rng(0)
    many = np.repeat(OBSERVATION[None], 40_000, 0)
    drawn = agent.algorithm.act(agent.policy.state, None, many, stream)[0].action
    unit = np.tanh(drawn) if head == "squashed-gaussian" else drawn
    with torch.no_grad():
        output = agent.networks.actor_critic(agent.state.actor_critic, torch.from_numpy(many))[0]
        log_prob = agent.networks.head.log_prob(output, torch.from_numpy(drawn)).mean().item()
    assert found.entropy == pytest.approx(-log_prob, abs=0.02)
    low, high = np.quantile(unit, [0.1587, 0.8413], axis=0)  # one standard deviation to each side
    np.testing.assert_allclose(found.mean, np.quantile(unit, 0.5, axis=0), atol=0.02)
    np.testing.assert_allclose(found.std, (high - low) / 2, atol=0.02)


def test_probabilities_of_several_choices_are_concatenated() -> None:
    found = probe_of(learner("a2c", gymnasium.spaces.MultiDiscrete([2, 3])))(OBSERVATION)
    assert found.probabilities.shape == (5,)
    assert (found.probabilities[:2].sum(), found.probabilities[2:].sum()) == close((1, 1))


class Parts(torch.nn.Module):
    """A user's network whose value is the sum of what is seen."""

    def __init__(self, observation_space: Any, action_space: Any) -> None:
        super().__init__()
        self.actor = torch.nn.Linear(3, 3)
        self.critic = torch.nn.Linear(3, 1)
        with torch.no_grad():
            self.critic.weight.fill_(1)
            self.critic.bias.fill_(0)


def test_custom_network_is_probed(tmp_path: Path) -> None:
    agent = learner("a2c", network=Parts)
    assert probe_of(agent)(OBSERVATION).value == close(OBSERVATION.sum(), terms=OBSERVATION.size)
    agent.save(tmp_path / "agent")
    assert load_critic_probe(tmp_path / "agent", network=Parts)(OBSERVATION).value == close(
        OBSERVATION.sum(), terms=OBSERVATION.size
    )
    with pytest.raises(UserError, match="pass it again as network"):
        load_critic_probe(tmp_path / "agent")


def test_algorithm_without_diagnose_is_rejected() -> None:
    @dataclass(frozen=True)
    class Mine(a2c.A2C):  # type: ignore[misc]
        diagnose = None

    agent = Agent(Mine, SEEN, CHOICE)
    with pytest.raises(UserError, match="Mine has no values to overlay - it lacks `diagnose`"):
        probe_of(agent)


class Valuing(TorchA2C):  # type: ignore[misc]
    """Says what a state is worth."""

    def value(self, observation: Any) -> Any:
        return self.critic(observation)


def test_ordinary_pytorch_is_probed_where_it_has_values(tmp_path: Path) -> None:
    agent = Agent(Valuing, SEEN, CHOICE, n_steps=1)
    agent.observe(OBSERVATION, np.int64(1), 1.0, OBSERVATION, False, False)  # not as it began
    agent.save(tmp_path / "agent")
    own: Any = agent.algorithm
    for probe in (probe_of(agent), load_critic_probe(tmp_path / "agent", algorithm=Valuing)):
        found = probe(OBSERVATION)
        assert found.value == own.user.critic(torch.tensor(OBSERVATION)).detach().numpy()
        assert found.value.shape == ()
        assert found.probabilities.sum() == close(1, terms=3)
        assert found.entropy > 0
    with pytest.raises(UserError, match=r"TorchA2C .* it lacks `def value\(self, observation\)"):
        probe_of(Agent(TorchA2C, SEEN, CHOICE))


# Returns


def slow_returns(
    agent: Agent, rewards: list[float], bonus: list[float], last: float | None, scale: float = 1
) -> list[float]:
    """Each return as its own sum; `last` is None where the episode terminated."""
    gamma, clip, count = agent.config.gamma, agent.config.clip_reward or np.inf, len(rewards)
    found = []
    for start in range(count + 1):
        total = 0.0
        for at in range(start, count):
            total += gamma ** (at - start) * scale * max(-clip, min(clip, rewards[at]))
            if at + 1 < count or last is not None:
                total += gamma ** (at - start + 1) * bonus[at + 1]
        found.append(total + (0 if last is None else gamma ** (count - start) * last))
    return found


@pytest.mark.parametrize("terminated", [True, False])
@pytest.mark.parametrize("with_bonus", [True, False])
@pytest.mark.parametrize("clip", [None, 1.0])
def test_returns_match_a_slow_loop(terminated: bool, with_bonus: bool, clip: float | None) -> None:
    agent = learner("a2c", gamma=0.8, clip_reward=clip)
    rewards, bonus = [1.0, -3.0, 0.5, 2.0], [0.7, 0.1, -0.2, 0.4, 0.3] if with_bonus else [0.0] * 5
    marks = [np.array(float(n)) for n in (9, 8, 7, 6, 5)]
    seen = [
        Diagnosis(value=value, bonus=np.array(b) if with_bonus else None)
        for value, b in zip(marks, bonus, strict=True)
    ]
    found = probe_of(agent).returns(rewards, seen, terminated)
    assert found == close(
        slow_returns(agent, rewards, bonus, None if terminated else 5.0), np.float64, terms=8
    )
    assert "±1" in probe_of(agent).units or clip is None


def test_return_ends_with_a_lost_life() -> None:
    probe = probe_of(learner("a2c", gamma=0.5))
    seen = [Diagnosis(value=np.array(9.0))] * 4
    assert probe.returns([1, 2, 4], seen, False, [False, True, False]) == pytest.approx(
        [1 + 0.5 * 2, 2, 4 + 0.5 * 9, 9]
    )


def test_rewards_are_scaled_as_in_training(tmp_path: Path) -> None:
    agent = learner("a2c", normalize_rewards=True, normalize_observations=True, gamma=0.5)
    for reward in (10.0, -10.0, 30.0, 5.0, 0.0, 20.0):
        agent.observe(
            OBSERVATION * reward,
            agent.act(OBSERVATION, explore=True),
            reward,
            OBSERVATION,
            False,
            False,
        )
    assert agent.normalizer is not None
    scale = float(agent.normalizer.reward_scale[0])
    assert scale != 1
    seen = [Diagnosis(value=np.array(0.0))] * 3
    agent.save(tmp_path / "agent")
    for probe in (probe_of(agent), load_critic_probe(tmp_path / "agent")):
        assert probe.returns([10.0, 4.0], seen, True) == pytest.approx([scale * 12, scale * 4, 0])
        assert f"× {scale:.3g}" in probe.units
        normal = agent.normalizer.observation(OBSERVATION[None])
        _, value = agent.networks.actor_critic(agent.state.actor_critic, torch.from_numpy(normal))
        assert probe(OBSERVATION).value == close(value.item())


@pytest.mark.parametrize(
    ("world", "wanted"),
    [("TerminatingRing", [4.0951, 3.439, 2.71, 1.9, 1.0]), ("TruncatedRing", [10.0] * 6)],
)
def test_trained_critic_matches_the_returns(world: str, wanted: list[float]) -> None:
    environment = getattr(probes, world)
    environments = SerialEnvironments([environment(discrete=True)], seed=1, stream="episode")
    spaces = environments.observation_space, environments.action_space
    fields: dict[str, Any] = {
        "gamma": 0.9,
        "learning_rate": 5e-3,
        "optimizer": "adam",
        "n_steps": 10,
        "hidden_sizes": (16,),
    }
    agent = Agent("a2c", *spaces, seed=1, compile="off", **fields)
    environments.reset()
    for _ in range(6_000):
        agent.observe(*environments.step(agent.act(environments.observation, explore=True)))
    probe, env = probe_of(agent), environment(discrete=True)
    step = videos.play(agent.policy.player, env, seed=3)
    steps = list(step)
    seen = [probe(s.observation) for s in steps]
    found = probe.returns([s.reward for s in steps[1:]], seen, steps[-1].terminated)
    assert found[: len(wanted)] == pytest.approx(wanted, abs=0.35)
    assert [float(a.value) for a in seen][: len(wanted)] == pytest.approx(wanted, abs=0.35)


def test_agent_that_keeps_gradients_can_be_probed(tmp_path: Path) -> None:
    agent = learner("a2c", keep_gradients=True)
    agent.save(tmp_path / "agent")
    assert (
        load_critic_probe(tmp_path / "agent")(OBSERVATION).value
        == probe_of(agent)(OBSERVATION).value
    )
