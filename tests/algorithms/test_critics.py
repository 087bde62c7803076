"""What critics predict and learn: by hand, in loops, and CrossQ's joint batch in a second writing.

That compiled equals eager, and resumed equals uninterrupted, is in `test_critic_runs.py`.
"""

import copy
import math
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from footlight.algorithms.critics import Categorical, Prediction, Quantiles, Scalar, prediction_of
from footlight.algorithms.sac import Config
from footlight.learning.agent import Agent
from footlight.types import Batch
from tolerance import assert_close, close

OBSERVATIONS = gymnasium.spaces.Box(-1, 1, (3,), np.float32)
ACTIONS = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
REWARD, DISCOUNT, BONUS = (
    torch.tensor([1.0, -2.0]),
    torch.tensor([0.5, 0.0]),
    torch.tensor([2.0, 8.0]),
)


# Predictions


def test_scalar_by_hand() -> None:
    next_q, scalar = torch.tensor([[4.0, 1.0], [6.0, 3.0]]), Scalar(averages=False)
    # 1 + 0.5 * (4 + 2) = 4; -2, as the second terminates
    target, expected = scalar.target(next_q, REWARD, DISCOUNT, BONUS)
    assert target.tolist() == expected.tolist() == [4, -2]
    # 1 + 0.5 * (5 + 2) = 4.5
    assert Scalar(averages=True).target(next_q, REWARD, DISCOUNT, BONUS)[0].tolist() == [4.5, -2]
    assert scalar.loss(next_q, target).tolist() == [[0, 9], [4, 25]]
    huber = Scalar(averages=False, is_huber=True)
    assert huber.loss(next_q, target).tolist() == [[0, 2.5], [1.5, 4.5]]
    assert torch.equal(scalar.value(next_q), next_q)
    assert scalar.num_outputs == 1


def test_quantiles_by_hand() -> None:
    next_z = torch.tensor([[[4.0, 9.0], [0.0, 0.0]], [[6.0, 8.0], [0.0, 0.0]]])
    quantiles = Quantiles(num_outputs=2, num_dropped=1)
    assert quantiles.value(next_z).tolist() == [[6.5, 0], [7, 0]]
    target, expected = quantiles.target(next_z, REWARD, DISCOUNT, BONUS)
    # Of 4, 9, 6, 8 the smaller half: 1 + 0.5 * (4 + 2) = 4 and 1 + 0.5 * (6 + 2) = 5
    assert sorted(target[0].tolist()) == [4, 5]
    assert target[1].tolist() == [-2, -2]
    assert expected.tolist() == [4.5, -2]
    # Errors of 4 with tau 1/4: 0 and 1; of 9 with tau 3/4: -5 and -4, weight 1/4:
    # (0 + 1/4 * 1/2 + 1/4 * (4.5 + 3.5)) / 4 = 0.53125
    assert quantiles.loss(next_z, target)[0, 0].item() == close(0.53125, terms=4)


def test_categorical_by_hand() -> None:
    categorical = Categorical(num_outputs=3, bound=2.0, averages=False)  # bins -2, 0 and 2
    third, half = math.log(1 / 4), math.log(3 / 4)
    nothing = -200.0
    # Means of the first row: 3/4 * 2 = 1.5 and 1/4 * 2 = 0.5: the second critic's is chosen
    next_logits = torch.tensor(
        [[[nothing, third, half], [0.0, 0.0, 0.0]], [[nothing, half, third], [0.0, 0.0, 0.0]]]
    )
    assert categorical.value(next_logits).tolist() == [
        close([1.5, 0.0], depth=4, scale=2),
        close([0.5, 0.0], depth=4, scale=2),
    ]
    target, expected = categorical.target(next_logits, REWARD, DISCOUNT, torch.zeros(2))
    # 0 becomes 1, between 0 and 2; 2 becomes 2; the second row terminates with -2
    assert_close(target, torch.tensor([[0, 0.375, 0.625], [1, 0, 0]]), depth=4)
    assert_close(expected, torch.tensor([1.25, -2.0]), depth=4)
    averaging = Categorical(num_outputs=3, bound=2.0, averages=True)
    target, expected = averaging.target(next_logits, REWARD, DISCOUNT, torch.zeros(2))
    assert_close(target[0], torch.tensor([0, 0.25, 0.75]), depth=4)
    loss = categorical.loss(next_logits, target)
    wanted = -0.25 * third - 0.75 * half, -0.25 * half - 0.75 * third
    assert_close(loss[:, 0], torch.tensor(wanted), depth=4, scale=200)


def slow_categorical(
    next_output: Tensor, row: int, averages: bool, bonus: float
) -> tuple[list[float], float]:
    """The target of a row over 5 bins from -2 to 2, value by value."""
    centers = [-2.0, -1.0, 0.0, 1.0, 2.0]
    all_probabilities = []
    for logits in next_output[:, row].tolist():
        weights = [math.exp(x) for x in logits]
        all_probabilities.append([weight / sum(weights) for weight in weights])
    means = [sum(p * c for p, c in zip(each, centers, strict=True)) for each in all_probabilities]
    mixed = [sum(column) / len(column) for column in zip(*all_probabilities, strict=True)]
    probabilities = mixed if averages else all_probabilities[means.index(min(means))]
    target = [0.0] * 5
    for center, probability in zip(centers, probabilities, strict=True):
        value = REWARD[row].item() + DISCOUNT[row].item() * (center + bonus)
        place = min(max(value, -2.0), 2.0) + 2
        low = min(int(place), 3)
        target[low] += probability * (low + 1 - place)
        target[low + 1] += probability * (place - low)
    return target, sum(p * c for p, c in zip(target, centers, strict=True))


@pytest.mark.parametrize("averages", [False, True])
@pytest.mark.parametrize("bonus", [0.0, 0.75])
def test_categorical_target_equals_a_loop(averages: bool, bonus: float) -> None:
    next_output = torch.randn(3, 2, 5, generator=torch.Generator().manual_seed(0))
    prediction = Categorical(5, 2.0, averages)
    given: Any = torch.full((2,), bonus) if bonus else 0.0
    target, expected = prediction.target(next_output, REWARD, DISCOUNT, given)
    for row in range(2):
        wanted, mean = slow_categorical(next_output, row, averages, bonus)
        assert target[row].tolist() == close(wanted, terms=5, depth=6, scale=2)
        assert expected[row].item() == close(mean, terms=5, depth=6, scale=2)


@pytest.mark.parametrize("kind", [Scalar(False), Quantiles(4, 1), Categorical(5, 2.0, False)])
def test_without_a_bonus_and_with_a_bonus_of_zero(kind: Prediction) -> None:
    shape = (3, 2) if kind.num_outputs == 1 else (3, 2, kind.num_outputs)
    next_output = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    without = kind.target(next_output, REWARD, DISCOUNT, 0.0)
    assert_close(without, kind.target(next_output, REWARD, DISCOUNT, torch.zeros(2)))


def test_prediction_of_each_config() -> None:
    assert prediction_of(Config()) == Scalar(averages=False)
    assert prediction_of(Config(target_rule="mean"), True) == Scalar(averages=True, is_huber=True)
    quantile = Config(critic="quantile", num_quantiles=7, dropped_quantiles=3)
    assert prediction_of(quantile) == Quantiles(7, 3)
    categorical = Config(critic="categorical", num_bins=9, bin_bound=4.0, target_rule="mean")
    assert prediction_of(categorical) == Categorical(9, 4.0, averages=True)


# Critics of an agent


def agent_of(**fields: Any) -> Agent:
    settings = {"hidden_sizes": (8, 8), "compile": "off", "optimizer": "sgd", **fields}
    return Agent("sac", OBSERVATIONS, ACTIONS, seed=2, learning_rate=0.1, **settings)


def minibatch(num_rows: int = 16) -> tuple[Batch, dict[str, Tensor]]:
    random = torch.Generator().manual_seed(4)
    now, following = torch.randn(2, num_rows, 3, generator=random)
    action, noise = torch.randn(2, num_rows, 2, generator=random)
    reward, discount = torch.randn(num_rows, generator=random), torch.full((num_rows,), 0.9)
    batch = Batch(now, action.tanh(), reward, 1 + following, discount)
    return batch, {"next_action": noise, "action": noise.flip(0)}


def members(agent: Agent, parameters_P: Tensor) -> list[Any]:
    """Each critic as a module of its own, in training mode, with the agent's statistics."""
    network = agent.networks.critic
    named = network.named_state(parameters_P, agent.state.critic_statistics)
    found = []
    for index in range(network.num_copies):
        module = copy.deepcopy(network.module).train()
        module.load_state_dict({name: value[index] for name, value in named.items()})
        found.append(module)
    return found


def slow_next_action(agent: Agent, batch: Batch, noise: Tensor) -> tuple[Tensor, Tensor]:
    """The next actions and their bonus, with the actor's running statistics."""
    actor = agent.networks.actor.to_module(agent.state.actor, agent.state.actor_statistics)
    with torch.no_grad():
        mean, log_std = actor.eval()(batch.next_observation)
        normal = torch.distributions.Normal(mean, log_std.exp())
        before = mean + log_std.exp() * noise
        jacobian = (1 - before.tanh().square()).log()
        log_prob = (normal.log_prob(before) - jacobian).sum(-1)
    return before.tanh(), -agent.config.initial_alpha * log_prob  # type: ignore[attr-defined]


def slow_joint_update(
    agent: Agent, batch: Batch, noise: Tensor
) -> tuple[float, list[dict[str, Tensor]]]:
    """CrossQ's critic loss, and all tensors of each critic after a step of gradient descent."""
    next_action, bonus = slow_next_action(agent, batch, noise)
    critics, state = members(agent, agent.state.critic), agent.state
    observations = torch.cat([batch.observation, batch.next_observation])
    actions = torch.cat([batch.action, next_action])
    both = [critic(observations, actions) for critic in critics]
    target = state.target_critic
    of_target = critics if target is None else members(agent, target)
    following = both if target is None else [each(observations, actions) for each in of_target]
    count = len(batch.reward)
    next_q = torch.stack([each[count:].detach() for each in following]).min(0).values
    y = batch.reward + batch.discount * (next_q + bonus)
    loss = torch.stack([((each[:count] - y) ** 2).mean() for each in both]).sum()
    loss.backward()
    with torch.no_grad():
        for critic in critics:
            for parameter in critic.parameters():
                parameter -= 0.1 * parameter.grad
    return loss.item(), [critic.state_dict() for critic in critics]


@pytest.mark.parametrize("norm", ["batch", "batch-renorm"])
@pytest.mark.parametrize("target_network", [False, True])
def test_joint_batch_equals_a_second_writing(norm: str, target_network: bool) -> None:
    agent = agent_of(norm=norm, target_network=target_network, tau=0.0)
    state, (batch, noise) = agent.state, minibatch()
    assert (state.target_critic is None) is not target_network
    if target_network:
        state.target_critic.mul_(0.7)
    for part in (state.actor_statistics, state.critic_statistics):
        part.add_(0.1)
    loss, wanted = slow_joint_update(agent, batch, noise["next_action"])
    before_Q = state.critic_statistics.clone()
    metrics = agent.algorithm.update_critic(state, batch, noise).metrics
    assert metrics["critic_loss"].item() == close(loss, terms=32, depth=16)
    found = agent.networks.critic.named_state(state.critic, state.critic_statistics)
    for index, tensors in enumerate(wanted):
        mine = {name: found[name][index] for name in tensors}
        assert_close(mine, tensors, terms=32, depth=32, scale=4)
    assert not torch.equal(state.critic_statistics, before_Q)  # the state keeps them


def test_following_the_critics_does_not_move_their_statistics() -> None:
    agent, (batch, _) = agent_of(norm="batch"), minibatch()
    state, critics = agent.state, agent.algorithm.critics
    before_Q = state.critic_statistics.clone()
    q_NB = critics.q(state, batch.observation, batch.action, training=True)
    alone = [each.eval()(batch.observation, batch.action) for each in members(agent, state.critic)]
    assert_close(q_NB, torch.stack(alone), terms=8, depth=8, scale=4)
    first = critics.first_q(state, batch.observation, batch.action)
    assert_close(first, alone[0], terms=8, depth=8, scale=4)
    assert torch.equal(state.critic_statistics, before_Q)


def test_dropout_falls_on_next_values_and_then_on_values() -> None:
    agent, (batch, _) = agent_of(dropout=0.5), minibatch()
    state, next_action = agent.state, batch.action.flip(0)
    found, learned = agent.algorithm.critics.loss(state.critic, state, batch, next_action, {})
    critics = members(agent, state.critic)  # the target is still the same
    next_q = torch.stack([each(batch.next_observation, next_action) for each in critics])
    q_NB = torch.stack([each(batch.observation, batch.action) for each in critics])
    y = batch.reward + batch.discount * next_q.min(0).values
    assert found.item() == close((q_NB - y).square().mean(1).sum().item(), terms=16, depth=8)
    counters = agent.networks.critic.named_state(state.critic, learned.statistics_Q)
    assert counters["body.1.counter"].tolist() == [2, 2]


@pytest.mark.parametrize(
    ("critic", "rule"),
    [
        (critic, rule)
        for critic in ("scalar", "quantile", "categorical")
        for rule in ("minimum", "mean", "subset")
        if (critic, rule) != ("quantile", "mean")  # which is refused: quantiles are pooled
    ],
)
def test_loss_of_each_kind_and_rule(critic: str, rule: str) -> None:
    agent, (batch, _) = agent_of(critic=critic, target_rule=rule, num_critics=3), minibatch()
    critics, next_action, state = agent.algorithm.critics, batch.action.flip(0), agent.state
    noise = {"critics": torch.tensor([2, 0])} if rule == "subset" else {}
    assert critics.draws().keys() == noise.keys()
    loss, learned = critics.loss(state.critic, state, batch, next_action, noise)
    alone = members(agent, state.critic)
    following = [each(batch.next_observation, next_action) for each in alone]
    if rule == "subset":
        following = [following[2], following[0]]
    output = torch.stack([each(batch.observation, batch.action) for each in alone])
    kind, wanted = critics.prediction, 0.0
    for row in range(len(batch.reward)):  # each row is by itself
        one = slice(row, row + 1)
        next_row = torch.stack([each[one] for each in following])
        target, mean = kind.target(next_row, batch.reward[one], batch.discount[one], 0.0)
        assert learned.target_q_B[row].item() == close(mean.item(), terms=101, depth=8, scale=5)
        wanted += kind.loss(output[:, one], target).sum().item() / len(batch.reward)
    assert loss.item() == close(wanted, terms=101, depth=8)
    assert_close(learned.q_NB, kind.value(output), terms=101, depth=8, scale=5)


@pytest.mark.parametrize("kind", ["hidden", "all", "all-and-norms"])
def test_rows_have_norm_one_after_an_update(kind: str) -> None:
    agent, (batch, noise) = agent_of(unit_weights=kind, norm="batch"), minibatch()
    agent.algorithm.update_critic_and_actor(agent.state, batch, noise)
    for network, vector_P in (
        (agent.networks.critic, agent.state.critic),
        (agent.networks.actor, agent.state.actor),
    ):
        views = network.unflatten(vector_P)
        names = [n for n, part in network.module.named_modules() if isinstance(part, nn.Linear)]
        for name in names[:-1] if kind == "hidden" else names:
            norms = views[f"{name}.weight"].norm(dim=-1)
            assert_close(norms, torch.ones_like(norms), terms=8)
