"""benchmarks/doctor_*.py: each planted mistake is in force."""

from typing import Any

import doctor_algorithms as algorithms
import doctor_environments as environments
import doctor_notebooks as notebooks
import gymnasium
import numpy as np
import pytest
import torch
from doctor_faults import BASES, FAULTS, CertainActor
from doctor_healthy import HEALTHY, LONG

import footlight
from footlight.algorithms import config_class
from footlight.algorithms.a2c import A2C
from footlight.algorithms.completion import complete
from footlight.algorithms.sac import SAC
from footlight.algorithms.td3 import TD3
from footlight.buffers.rollout import Rollout
from footlight.config.fields import build
from footlight.config.options import Options
from footlight.doctor import catalog
from footlight.environments.spaces import describe, spaces_of
from footlight.types import Batch, Decision, RolloutBatch, Transition

BATCH = 5


def of_pendulum() -> Any:
    return describe(*spaces_of(gymnasium.make("Pendulum-v1")))


def of_cartpole() -> Any:
    return describe(*spaces_of(gymnasium.make("CartPole-v1")))


def off_policy(base: Any, planted: Any) -> tuple[Any, Any]:
    """The algorithm and its planted copy, with the same networks."""
    config = build(config_class(base.__name__.lower()), {"hidden_sizes": (8,), "batch_size": BATCH})
    algorithm = base.create(config, of_pendulum())
    return algorithm, planted(config, algorithm.networks, algorithm.spaces)


def steps_of(algorithm: Any, update: str = "update_critic_and_actor") -> dict[str, torch.Tensor]:
    """What one update changes, by field of the state."""
    generator = torch.Generator().manual_seed(1)
    normal = lambda *shape: torch.randn(*shape, generator=generator)  # noqa: E731
    batch = Batch(
        normal(BATCH, 3), normal(BATCH, 1).tanh(), normal(BATCH), normal(BATCH, 3),
        torch.full((BATCH,), 0.9),
    )  # fmt: skip
    noise = {name: normal(*draw.shape) for name, draw in algorithm.draws(batch).items()}
    state = algorithm.init(1)
    state.target_critic += 1.0  # so that it has a way to go
    before = {n: x.clone() for n, x in vars(state).items() if isinstance(x, torch.Tensor)}
    getattr(algorithm, update)(state, batch, noise)
    return {name: getattr(state, name) - x for name, x in before.items()}


def transition(terminated: bool, truncated: bool, reward: float = 1.0, size: int = 3) -> Transition:
    return Transition(
        np.zeros((1, size), np.float32), np.zeros((1, 1), np.float32), np.array([reward]),
        np.ones((1, size), np.float32), np.array([terminated]), np.array([truncated]),
    )  # fmt: skip


def test_buffer_stores_truncation_as_termination() -> None:
    algorithm, planted = off_policy(TD3, algorithms.TD3Ends)
    for each, discount in (algorithm, 0.99), (planted, 0.0):
        buffer = each.buffer(1)
        buffer.add(transition(False, True), Decision(np.zeros((1, 1), np.float32)))
        assert buffer._rows.discount[0] == np.float32(discount)


def test_target_is_frozen() -> None:
    healthy, planted = map(steps_of, off_policy(TD3, algorithms.TD3FrozenTarget))
    assert healthy["target_critic"].any()
    assert not planted["target_critic"].any()
    assert planted["critic"].equal(healthy["critic"])


def test_loss_of_actor_has_the_wrong_sign() -> None:
    healthy, planted = map(steps_of, off_policy(SAC, algorithms.SACReversedActor))
    torch.testing.assert_close(planted["actor"], -healthy["actor"], rtol=1e-3, atol=1e-7)
    assert planted["critic"].equal(healthy["critic"])


def test_loss_of_critic_has_the_wrong_sign() -> None:
    update = "update_critic"
    healthy, planted = (
        steps_of(each, update) for each in off_policy(TD3, algorithms.TD3ReversedCritic)
    )
    assert healthy["critic"].any()
    torch.testing.assert_close(planted["critic"], -healthy["critic"], rtol=1e-3, atol=1e-7)


def test_actions_are_halved_twice() -> None:
    algorithm, planted = off_policy(SAC, algorithms.SACHalvedActions)
    policy = algorithm.policy(algorithm.init(1))
    observation = np.ones((4, 3), np.float32)
    act = [each.act(policy, {}, observation, None)[0].action for each in (algorithm, planted)]
    assert np.array_equal(act[1], act[0] / 2)
    stream, many = np.random.default_rng(0), np.ones((99, 3), np.float32)
    random = planted.explore(policy, planted.memory(99), many, stream, 0)
    assert 0.4 < np.abs(random[0].action).max() <= 0.5


def test_rollout_is_learned_from_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(algorithms, "LAG", 2)
    config = build(config_class("a2c"), {"n_steps": 1})
    buffer = algorithms.A2CLate.buffer(A2C.create(config, of_cartpole()), 1)
    assert isinstance(buffer, Rollout)
    rewards = []
    for reward in range(5):
        step = transition(False, False, reward, 4)
        buffer.add(step, Decision(np.zeros((1, 1), np.int64)))
        rewards += [float(buffer.batch.reward[0, 0]) for _ in buffer.due(np.random.default_rng())]
    assert rewards == [0, 0, 0, 1, 2]


def own_step(planted: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """The steps of actor and critic in one update of an own A2C, by plain gradient descent."""
    torch.manual_seed(0)
    spaces = of_cartpole()
    config = algorithms.OwnConfig(optimizer="sgd", max_grad_norm=None)
    algorithm = complete(planted).create(config, spaces)
    generator = torch.Generator().manual_seed(1)
    shape = 3, 2
    batch = RolloutBatch(
        torch.randn(*shape, 4, generator=generator), torch.ones(*shape, 1, dtype=torch.int64),
        torch.randn(shape, generator=generator), torch.randn(*shape, 4, generator=generator),
        torch.full(shape, 0.99), torch.ones(shape), torch.ones(shape), torch.zeros(0),
    )  # fmt: skip
    state = algorithm.init(2)
    before = state.actor_critic.clone()
    algorithm.update(state, batch, {})
    step, of_critic = state.actor_critic - before, algorithm.networks.actor_critic.mask("critic")
    return step[of_critic == 0], step[of_critic == 1]


def test_mistakes_in_own_a2c() -> None:
    actor, critic = own_step(algorithms.OwnA2C)
    assert actor.any()
    assert critic.any()
    close = lambda one, other: torch.allclose(one, other, rtol=1e-3, atol=1e-6)  # noqa: E731
    of_actor, of_critic = own_step(algorithms.A2CReversedPolicy)
    assert close(of_actor, -actor)
    assert close(of_critic, critic)
    of_actor, of_critic = own_step(algorithms.A2CReversedCritic)
    assert close(of_actor, actor)
    assert close(of_critic, -critic)
    of_actor, of_critic = own_step(algorithms.A2CAttached)
    assert close(of_actor, actor)
    assert not close(of_critic, critic)


def rollout_of_ones(discount: float, steps: int = 1) -> RolloutBatch:
    ones = torch.ones(steps, 1)
    observation = torch.ones(steps, 1, 4)
    action = torch.ones(steps, 1, 1, dtype=torch.int64)
    return RolloutBatch(
        observation, action, ones, observation, discount * ones, ones, ones, torch.zeros(0)
    )


def test_notebook_whose_critic_never_learns() -> None:
    spaces = of_cartpole()
    agent = notebooks.ReplayNotebook(notebooks.NotebookConfig(), spaces)
    head = agent.policy.values.weight.clone(), agent.policy.logits.weight.clone()
    agent.update(rollout_of_ones(0.99, steps=16))
    assert torch.equal(head[0], agent.policy.values.weight)
    assert not torch.equal(head[1], agent.policy.logits.weight)


def test_notebook_without_gamma() -> None:
    losses = []
    for discount in (0.99, 0.1):
        torch.manual_seed(0)
        agent = notebooks.OneStepNotebook(notebooks.NotebookConfig(), of_cartpole())
        losses.append(float(agent.update(rollout_of_ones(discount))["critic_loss"].detach()))
    assert losses[0] == losses[1]


def test_time_limit_is_reported_as_termination() -> None:
    inner = gymnasium.make("Pendulum-v1", max_episode_steps=1)
    env = environments.EndsAreTerminal(inner)
    env.reset(seed=0)
    assert env.step(np.zeros(1, np.float32))[2:4] == (True, False)


def test_rewards_and_observations_are_changed() -> None:
    for name, want in {
        "reward x 1000: A2C": 1000, "reward - 2: PPO": -1, "reward constant: TD3": 1
    }.items():  # fmt: skip
        wrap = FAULTS[name].training.rewards
        assert wrap is not None
        env = wrap(gymnasium.make("CartPole-v1"))
        env.reset(seed=0)
        assert env.step(0)[1] == want
    scaled = FAULTS["observations x 10,000: SAC"].training.wrapper
    equal = FAULTS["observations all equal: A2C"].training.wrapper
    assert scaled is not None
    assert equal is not None
    plain = gymnasium.make("Pendulum-v1").reset(seed=0)[0]
    assert np.allclose(scaled(gymnasium.make("Pendulum-v1")).reset(seed=0)[0], 1e4 * plain)
    assert np.array_equal(equal(gymnasium.make("CartPole-v1")).reset(seed=0)[0], np.ones(4))


def test_actions_reach_the_environment_unscaled() -> None:
    env = environments.UnscaledActions(gymnasium.make("Pendulum-v1"))
    env.reset(seed=0)
    env.step(env.action_space.high)
    assert env.unwrapped.last_u == 1.0  # type: ignore[attr-defined]
    assert env.env.action_space.high == 2.0  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "broken",
    [environments.NoReward, environments.EndsAtOnce, environments.FrozenObservation],
)
def test_one_of_eight_environments_is_broken(broken: Any) -> None:
    made = footlight.make_environments(environments.OneOfEight("CartPole-v1", broken), num_envs=8)
    first, last = made.observation.copy(), made.step(np.zeros(8, np.int64))
    if broken is environments.FrozenObservation:
        is_broken = (last.next_observation == first).all(-1)
    else:
        is_broken = last.reward == 0 if broken is environments.NoReward else last.terminated
    assert is_broken.sum() == 1


def test_all_environments_have_the_same_seed() -> None:
    make = lambda: environments.SameSeed(gymnasium.make("CartPole-v1"))  # noqa: E731
    made = footlight.make_environments(make, num_envs=3, seed=5)
    assert (made.observation == made.observation[0]).all()


def test_units_of_planted_networks() -> None:
    env, generator = gymnasium.make("CartPole-v1"), torch.Generator().manual_seed(0)
    given = env.observation_space, env.action_space
    observation = torch.randn(64, 4, generator=generator)
    with torch.no_grad():
        assert not environments.DeadUnits(*given).actor[:2](observation).any()
        units = environments.SaturatedUnits(*given).critic[:4](observation)
        assert (units.abs() > 0.99).float().mean() > 0.95
        probabilities = environments.CertainPolicy(*given)(observation)[0].softmax(-1)
        assert probabilities.amax(-1).min() > 1 - 1e-6
        box = gymnasium.make("Pendulum-v1")
        actor = CertainActor(box.observation_space, box.action_space).actor
        assert (actor(torch.ones(2, 3))[1] == -20).all()


@pytest.mark.parametrize("name", [*FAULTS, *HEALTHY, *LONG])
def test_fields_of_trainings_are_valid(name: str) -> None:
    training = FAULTS[name].training if name in FAULTS else {**HEALTHY, **LONG}[name]
    options = {key: x for key, x in training.fields.items() if key in Options.__dataclass_fields__}
    fields = training.fields.keys() - options.keys() - {"preset"}
    build(Options, options)
    if isinstance(training.algorithm, str):
        build(config_class(training.algorithm), {key: training.fields[key] for key in fields})
    if name in FAULTS:
        assert training != BASES[FAULTS[name].base]
        assert FAULTS[name].causes <= catalog.CATALOG.keys()
