"""Every algorithm's critic reaches the known values of environments with all kinds of ends.

docs/time-limits.md derives the values. Agents and environments are the real ones, and the loop
makes the same calls as `Training`. Networks have no hidden layer, so that each position has an
independent value: errors in a value then come from its target. gamma is 0.9.
"""

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from footlight.environments import probes
from footlight.environments.make import Environments, EnvironmentSource, make
from footlight.learning.agent import Agent
from footlight.types import DiscreteAction, Transition

pytestmark = pytest.mark.usefixtures("replayed_updates")

TOLERANCE = 0.03  # of the value

# Learning rates are large, since all targets are exact: at the known values updates have no noise.
# The actor hardly changes, as no reward depends on it.
SLOW = {"actor_learning_rate": 1e-3, "hidden_sizes": ()}
REPLAY: dict[str, Any] = SLOW | {
    "critic_learning_rate": 0.05,
    "batch_size": 32,
    "buffer_size": 1_000,
    "learning_starts": 32,
    "tau": 0.2,
}
ROLLOUT: dict[str, Any] = SLOW | {
    "critic_learning_rate": 0.1,
    "max_grad_norm": None,
    "value_coef": 1.0,
}
FIELDS: dict[str, dict[str, Any]] = {
    # Almost no entropy bonus, which would be part of the value
    "sac": REPLAY | {"learn_alpha": False, "initial_alpha": 1e-6},
    "td3": REPLAY | {"policy_delay": 1},
    "ddpg": REPLAY,
    "actor-critic": ROLLOUT,
    "a2c": ROLLOUT | {"n_steps": 5, "optimizer": "adam"},
    "impala": ROLLOUT | {"n_steps": 8, "num_epochs": 2},
    "ppo": ROLLOUT | {"n_steps": 16, "minibatch_size": 16, "num_epochs": 4},
    "reinforce": ROLLOUT,
    "replay-actor-critic": {
        "learning_rate": 0.05,
        "hidden_sizes": (),
        "batch_size": 32,
        "buffer_size": 1_000,
        "learning_starts": 32,
        "tau": 0.3,
        "n_steps": 5,
        "critic_updates_per_actor": 5,
    },
    "sac-discrete": REPLAY | {"learn_alpha": False, "initial_alpha": 1e-6},
    "stream-ac": {
        "hidden_sizes": (32,),
        "normalize_observations": False,
        "normalize_rewards": False,
        "initialization": "pytorch",  # with fewer than 10 inputs, sparse weights would all be 0
    },
}
# SAC's critics of other kinds, and how many updates they need
PREDICTIONS: dict[str, tuple[int, dict[str, Any]]] = {
    "quantiles": (700, {
        "critic": "quantile", "dropped_quantiles": 0, "num_quantiles": 5,
        "critic_learning_rate": 0.2, "tau": 0.3,
    }),
    "bins": (450, {"critic": "categorical", "bin_bound": 11.0}),
}  # fmt: skip
UPDATES = {
    "sac": 350,
    "td3": 360,
    "ddpg": 350,
    "actor-critic": 450,
    "a2c": 180,
    "impala": 180,
    "ppo": 180,
    "reinforce": 300,
    "replay-actor-critic": 400,
    "sac-discrete": 400,
    "stream-ac": 500,
}
LONGER = {("stream-ac", probes.LongEpisode): 1_000}
# With several environments out of phase, Adam's momentum makes one-step targets oscillate at these
# learning rates
SEVERAL: dict[str, dict[str, Any]] = {
    "actor-critic": {"critic_learning_rate": 0.05, "optimizer": "rmsprop"},
}
# The other algorithms have continuous actions
DISCRETE = {"actor-critic", "replay-actor-critic", "sac-discrete", "stream-ac"}

RING = [4.0951, 3.439, 2.71, 1.9, 1]  # 1 + 0.9 + ... of 5, 4, 3, 2, 1 rewards
WORLDS: dict[type[probes._Positions], list[float]] = {
    probes.OneStep: [1, 10, 1],
    probes.TerminatingRing: RING,
    probes.TruncatedRing: [10] * 5,
    probes.TwoRooms: [10, 2],
    probes.LongEpisode: [(1 - 0.9**left) / 0.1 for left in range(12, 0, -1)],
    probes.Uneven: [3.439, 2.71, 1.9, 1],
}

# The rest have the worlds in which both kinds of ends occur
MIXED = probes.TwoRooms, probes.Uneven
EVERYWHERE = ("td3", "a2c", "impala", "stream-ac")
KNOWN = [
    pytest.param(method, world, id=f"{method}-{world.__name__}")
    for method in FIELDS
    for world in WORLDS
    if method in EVERYWHERE or world in MIXED
]

Change = Callable[[Transition, Environments], Transition]


def trained(
    method: str,
    source: EnvironmentSource,
    num_envs: int | None = None,
    change: Change | None = None,
    updates: int | None = None,
    **fields: Any,
) -> Agent:
    """The agent after its `UPDATES`; `change` falsifies the transitions that it observes."""
    environments = make(source, seed=1, num_envs=num_envs)
    several = SEVERAL.get(method, {}) if environments.num_envs > 1 else {}
    fields = FIELDS[method] | several | fields
    spaces = environments.observation_space, environments.action_space
    agent = Agent(
        method, *spaces, seed=1, num_envs=environments.num_envs,
        **{"compile": "on", "gamma": 0.9, **fields},
    )  # fmt: skip
    environments.reset()
    while agent.num_updates < (updates or UPDATES[method]):
        transition = environments.step(agent.act(environments.observation, explore=True))
        agent.observe(*(transition if change is None else change(transition, environments)))
    return agent


def values(agent: Agent, num_places: int) -> np.ndarray[Any, Any]:
    """Each critic's values in units of the raw reward, [..., positions].

    V(s), or Q(s, .) of the policy's action or of all actions.
    """
    seen = np.eye(num_places, dtype=np.float32)
    observation = torch.from_numpy(
        seen if agent.normalizer is None else agent.normalizer.observation(seen)
    )
    with torch.no_grad():
        if hasattr(agent.state, "critic") and isinstance(agent.spaces.action, DiscreteAction):
            q_NEA = agent.networks.critic(agent.state.critic, observation)
            return q_NEA.transpose(1, 2).numpy()
        if hasattr(agent.state, "critic"):
            action = torch.as_tensor(agent.act(seen))
            found: Any = agent.algorithm.critics.q(agent.state, observation, action)
            return np.asarray(found)
        _, value = agent.networks.actor_critic(agent.state.actor_critic, observation)
    scale = 1 if agent.normalizer is None else agent.normalizer.reward_scale[0]
    return value.numpy().T / scale


def error(found: Any, known: list[float]) -> float:
    """The largest relative error."""
    return float(np.abs(found / np.array(known) - 1).max())


@pytest.mark.parametrize(("method", "world"), KNOWN)
def test_known_values(method: str, world: type[probes._Positions]) -> None:
    num_envs = 3 if world is probes.Uneven and method != "stream-ac" else 1
    updates = LONGER.get((method, world))
    agent = trained(method, lambda: world(discrete=method in DISCRETE), num_envs, updates=updates)
    found = values(agent, len(WORLDS[world]))
    assert found == pytest.approx(np.broadcast_to(WORLDS[world], found.shape), rel=TOLERANCE)


@pytest.mark.parametrize("world", MIXED, ids=lambda world: world.__name__)
@pytest.mark.parametrize("kind", PREDICTIONS)
def test_known_values_as_distributions(kind: str, world: type[probes._Positions]) -> None:
    updates, fields = PREDICTIONS[kind]
    num_envs = 3 if world is probes.Uneven else 1
    agent = trained("sac", world, num_envs, updates=updates, **fields)
    found = values(agent, len(WORLDS[world]))
    assert found == pytest.approx(np.broadcast_to(WORLDS[world], found.shape), rel=TOLERANCE)


@pytest.mark.parametrize("method", FIELDS)
def test_both_ends_at_once_are_a_termination_bit_for_bit(method: str) -> None:
    both, terminating = (
        values(trained(method, lambda ring=ring: ring(discrete=method in DISCRETE), updates=40), 5)
        for ring in (probes.BothRing, probes.TerminatingRing)
    )
    assert np.array_equal(both, terminating)


@pytest.mark.parametrize("world", MIXED, ids=lambda world: world.__name__)
@pytest.mark.parametrize("mode", AutoresetMode)
def test_every_autoreset_mode(mode: AutoresetMode, world: type[probes._Positions]) -> None:
    agent = trained("a2c", SyncVectorEnv([world] * 3, autoreset_mode=mode))
    assert error(values(agent, len(WORLDS[world])), WORLDS[world]) < TOLERANCE


@pytest.mark.parametrize(
    "method", ["sac", "actor-critic", "impala", "ppo", "reinforce", "replay-actor-critic"]
)
def test_steps_that_only_reset_count_for_nothing(method: str) -> None:
    vector = SyncVectorEnv(
        [lambda: probes.Uneven(discrete=method in DISCRETE)] * 3,
        autoreset_mode=AutoresetMode.NEXT_STEP,
    )
    assert error(values(trained(method, vector), 4), WORLDS[probes.Uneven]) < TOLERANCE


@pytest.mark.parametrize(
    ("method", "world"),
    [
        ("sac", probes.Uneven),
        ("td3", probes.TruncatedRing),
        ("sac-discrete", probes.Uneven),
        ("sac-discrete", probes.TruncatedRing),
    ],
)
def test_n_step_returns(method: str, world: type[probes._Positions]) -> None:
    agent = trained(method, lambda: world(discrete=method in DISCRETE), 3, n_steps=3)
    assert error(values(agent, len(WORLDS[world])), WORLDS[world]) < TOLERANCE


@pytest.mark.parametrize(
    ("method", "observations"), [("stream-ac", True), ("stream-ac", False), ("ppo", False)]
)
def test_normalized_rewards(method: str, observations: bool) -> None:
    # Values are learned in units of the scale at that time, which still moves a little
    def source() -> gymnasium.Env[Any, Any]:
        return gymnasium.wrappers.TransformReward(
            probes.TwoRooms(discrete=method in DISCRETE), lambda reward: 20 * reward
        )

    agent = trained(method, source, normalize_observations=observations, normalize_rewards=True)
    assert agent.normalizer is not None
    assert agent.normalizer.reward_scale[0] < 0.1
    assert error(values(agent, 2), [200, 40]) < TOLERANCE


@pytest.mark.parametrize(("method", "updates"), [("xqc", 900), ("flashsac", 600)])
def test_bins_reach_beyond_time_limits(
    method: str, updates: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their bins end at 5 after scaling, and values go on where an episode is cut off: the scale
    must not be that of the returns until then, 4.1 instead of 10."""
    monkeypatch.setitem(FIELDS, method, {
        "learn_alpha": False, "initial_alpha": 1e-6, "hidden_sizes": (32, 32),
        "actor_hidden_sizes": (8,), "num_bins": 21, "batch_size": 64, "buffer_size": 1_000,
        "learning_starts": 100, "tau": 0.1, "updates_per_step": 1.0, "learning_rate": 3e-3,
        "learning_rate_schedule": "constant", "policy_delay": 1_000_000,
    })  # fmt: skip
    agent = trained(method, probes.TruncatedRing, updates=updates, compile="off")
    assert agent.normalizer is not None
    assert error(values(agent, 5) / agent.normalizer.reward_scale[0], [10] * 5) < TOLERANCE


@pytest.mark.parametrize(("baseline", "mean_return"), [(True, 10), (False, np.mean(RING))])
def test_reinforce_needs_a_baseline_at_a_time_limit(baseline: bool, mean_return: float) -> None:
    agent = trained("reinforce", probes.TruncatedRing, baseline=baseline)
    agent.metrics()
    trained_for = agent.num_updates
    environments = make(probes.TruncatedRing, seed=2)
    environments.reset()
    while agent.num_updates == trained_for:
        agent.observe(*environments.step(agent.act(environments.observation, explore=True)))
    assert agent.metrics()["return_mean"] == pytest.approx(mean_return, rel=TOLERANCE)


def limit_is_an_end(transition: Transition, _: Environments) -> Transition:
    return transition._replace(
        terminated=transition.terminated | transition.truncated,
        truncated=np.zeros_like(transition.truncated),
    )


def end_is_a_limit(transition: Transition, _: Environments) -> Transition:
    return transition._replace(
        terminated=np.zeros_like(transition.terminated),
        truncated=transition.terminated | transition.truncated,
    )


def limit_comes_first(transition: Transition, _: Environments) -> Transition:
    return transition._replace(terminated=transition.terminated & ~transition.truncated)


def next_episode_follows(transition: Transition, environments: Environments) -> Transition:
    return transition._replace(next_observation=environments.observation.copy())


# With a mistake, targets are random
MUCH: dict[str, Any] = {"learning_starts": 2_000, "buffer_size": 3_000, "batch_size": 128}


@pytest.mark.parametrize(
    ("mistake", "world", "wrong"),
    [
        (limit_is_an_end, probes.TruncatedRing, RING),
        (limit_is_an_end, probes.Uneven, [2.6545, 2.206, 1.675, 1]),
        (end_is_a_limit, probes.TerminatingRing, [10] * 5),
        (limit_comes_first, probes.OneStep, [1, 10, 10]),
        (limit_comes_first, probes.Uneven, [4.4017, 3.7797, 3.0886, 2.3206]),
        (next_episode_follows, probes.TwoRooms, [7, 5]),
    ],
)
def test_a_mistake_is_seen(
    mistake: Change, world: type[probes._Positions], wrong: list[float]
) -> None:
    # The values that the table in docs/time-limits.md gives for one-step methods
    found = values(trained("td3", world, 3, mistake, **MUCH), len(wrong))
    assert error(found, WORLDS[world]) > 5 * TOLERANCE
    assert error(found, wrong) < 0.1


def test_to_count_steps_that_only_reset_is_seen() -> None:
    # A fourth row for every three: reward 0, and the next episode's first observation as successor
    vector = SyncVectorEnv([probes.TwoRooms] * 3, autoreset_mode=AutoresetMode.NEXT_STEP)
    found = values(
        trained(
            "td3", vector, change=lambda transition, _: transition._replace(valid=None), **MUCH
        ),
        2,
    )
    assert error(found, [10, 2]) > 5 * TOLERANCE
    assert error(found, [5.4231, 3.5769]) < 0.1
