"""Targets and advantages by hand and against slow loops; statistics of advantages against NumPy."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from footlight.equations.returns import (
    clipped_surrogate,
    discounted_sums,
    explained_variance,
    generalized_advantage,
    penalized_surrogate,
    standardized,
    symexp,
    symlog,
    td_target,
    weighted_mean,
)  # fmt: skip
from tolerance import assert_close, close

GAMMA = 0.9


def test_td_target_by_hand() -> None:
    reward_B = torch.tensor([1.0, 2.0, -0.5])
    discount_B = torch.tensor([0.9, 0.0, 0.81])  # one step; terminated; two steps with gamma 0.9
    next_value_B = torch.tensor([10.0, 100.0, -2.0])
    # 1 + 0.9 * 10 = 10;  2 + 0 * 100 = 2;  -0.5 + 0.81 * -2 = -2.12
    assert_close(td_target(reward_B, discount_B, next_value_B), torch.tensor([10.0, 2.0, -2.12]))


def test_td_target_equals_a_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    reward_B, discount_B, next_value_B = torch.randn(3, 50, generator=generator)
    slow = [
        r + d * v
        for r, d, v in zip(
            reward_B.tolist(), discount_B.tolist(), next_value_B.tolist(), strict=True
        )
    ]
    assert_close(td_target(reward_B, discount_B, next_value_B), torch.tensor(slow))


def test_td_target_gives_no_gradient_of_its_own() -> None:
    next_value_B = torch.tensor([3.0], requires_grad=True)
    td_target(torch.tensor([1.0]), torch.tensor([0.5]), next_value_B).sum().backward()
    assert next_value_B.grad is not None
    # dy/dV = discount: the caller detaches, or uses `grad` of other inputs
    assert next_value_B.grad.item() == 0.5


# Sums


def test_discounted_sums_by_hand() -> None:
    # From the end: 4;  3 + 0.5 * 4 = 5;  2 + 0 * 5 = 2;  1 + 0.5 * 2 = 2; the last factor is unused
    sums = discounted_sums(
        torch.tensor([[1.0], [2.0], [3.0], [4.0]]), torch.tensor([[0.5], [0.0], [0.5], [9.0]])
    )
    assert sums.tolist() == [[2], [2], [5], [4]]


# Around the powers of two, where doubling ends
@pytest.mark.parametrize("horizon", [1, 2, 3, 4, 5, 7, 8, 9, 31, 32, 33, 100])
def test_discounted_sums_equal_a_loop(horizon: int) -> None:
    generator = torch.Generator().manual_seed(horizon)
    term_TE, factor_TE = torch.randn(2, horizon, 3, generator=generator, dtype=torch.float64)
    given = term_TE.clone(), factor_TE.clone()
    slow, following = torch.zeros_like(term_TE), torch.zeros(3, dtype=torch.float64)
    for time in reversed(range(horizon)):
        following = term_TE[time] + factor_TE[time] * following
        slow[time] = following
    assert_close(discounted_sums(term_TE, factor_TE), slow, terms=horizon)
    assert torch.equal(term_TE, given[0])  # neither is changed
    assert torch.equal(factor_TE, given[1])


def test_discounted_sums_do_not_lose_digits() -> None:
    # A sum over 2,048 steps in float32: sum of 0.99^k = (1 - 0.99^2048) / 0.01 = 100 (1 - 1.1e-9)
    sums = discounted_sums(torch.ones(2048, 1), torch.full((2048, 1), 0.99))
    assert sums[0].item() == close(100, terms=2048)
    assert sums[-2].item() == close(1.99)


# Advantages


@dataclass
class Steps:
    """T steps of E environments, as a rollout holds them."""

    reward: Tensor
    value: Tensor
    next_value: Tensor
    terminated: Tensor
    truncated: Tensor
    valid: Tensor

    def advantage(self, decay: float) -> Tensor:
        """`generalized_advantage`, with `discount` and `continues` as in `RolloutBatch`."""
        discount = GAMMA * (~self.terminated).double()
        # Nothing follows the last row
        follows = torch.cat([self.valid[1:], torch.zeros_like(self.valid[:1])])
        continues = (~self.terminated & ~self.truncated & follows).double()
        return generalized_advantage(
            self.reward, discount, continues, self.value, self.next_value, decay
        )

    def episodes(self, env: int) -> list[list[int]]:
        """The rows of each stretch of steps that follow from each other."""
        found: list[list[int]] = [[]]
        for time in range(len(self.reward)):
            if self.valid[time, env]:
                found[-1].append(time)
            if not self.valid[time, env] or self.terminated[time, env] or self.truncated[time, env]:
                found.append([])
        return [rows for rows in found if rows]


def steps_of(kind: str, horizon: int = 40, num_envs: int = 4) -> Steps:
    """Random numbers with ends of this kind, drawn per environment, so they are out of phase."""
    generator = torch.Generator().manual_seed(5)
    reward, value, next_value = torch.randn(
        3, horizon, num_envs, generator=generator, dtype=torch.float64
    )
    one, other, resets = torch.rand(3, horizon, num_envs, generator=generator) < 0.15
    nothing = torch.zeros_like(one)
    ends = {
        "endless": (nothing, nothing),
        "terminated": (one, nothing),
        "truncated": (nothing, one),
        "mixed": (one, other),
        "at once": (one, one),
        "one-step": (~one, one),  # every step ends an episode, one way or the other
        "resets": (one, other),
    }
    terminated, truncated = (end.clone() for end in ends[kind])
    return Steps(
        reward,
        value,
        next_value,
        terminated,
        truncated,
        valid=~resets if kind == "resets" else ~nothing,
    )


KINDS = ["endless", "terminated", "truncated", "mixed", "at once", "one-step", "resets"]


def n_step_advantage(steps: Steps, rows: list[int], env: int, first: int, count: int) -> float:
    """The n-step advantage of step `first` of one episode, with n = `count`."""
    total = 0.0
    for index, time in enumerate(rows[first : first + count]):
        total += GAMMA**index * float(steps.reward[time, env])
    last = rows[first + count - 1]
    if not steps.terminated[last, env]:
        total += GAMMA**count * float(steps.next_value[last, env])
    return total - float(steps.value[rows[first], env])


def consistent(steps: Steps) -> Steps:
    """The same steps with the value after each equal to that before the next, so sums telescope."""
    for env in range(steps.reward.shape[1]):
        for rows in steps.episodes(env):
            for time, later in pairwise(rows):
                steps.next_value[time, env] = steps.value[later, env]
    return steps


def test_advantage_by_hand() -> None:
    # gamma 0.5, lambda 0.5: decay 0.25. Rewards 1, 2, 3, 4 with all values before 10 and after 8:
    # TD errors: 1 + 4 - 10 = -5;  terminated: 2 - 10 = -8;  truncated: 3 + 4 - 10 = -3;
    # 4 + 4 - 10 = -2
    # Advantages from the end: -2;  -3, nothing follows;  -8, nothing follows;  -5 + 0.25 * -8 = -7
    reward_TE = torch.tensor([[1.0], [2.0], [3.0], [4.0]])
    discount_TE, continues_TE = (
        torch.tensor([[0.5], [0.0], [0.5], [0.5]]),
        torch.tensor([[1.0], [0.0], [0.0], [1.0]]),
    )
    advantage_TE = generalized_advantage(
        reward_TE,
        discount_TE,
        continues_TE,
        torch.full((4, 1), 10.0),
        torch.full((4, 1), 8.0),
        0.25,
    )
    assert advantage_TE.tolist() == [[-7], [-8], [-3], [-2]]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lambda_", [0.0, 0.6, 1.0])
def test_advantage_is_a_sum_of_td_errors(kind: str, lambda_: float) -> None:
    steps = steps_of(kind)
    advantage_TE = steps.advantage(GAMMA * lambda_)
    count = 0
    for env in range(4):
        for rows in steps.episodes(env):
            for first, time in enumerate(rows):
                expected = 0.0
                for distance, later in enumerate(rows[first:]):
                    after = (
                        0.0
                        if steps.terminated[later, env]
                        else GAMMA * float(steps.next_value[later, env])
                    )
                    td_error = (
                        float(steps.reward[later, env]) + after - float(steps.value[later, env])
                    )
                    expected += (GAMMA * lambda_) ** distance * td_error
                assert advantage_TE[time, env].item() == close(
                    expected, np.float64, terms=8, scale=10
                )
                count += 1
    assert count == int(steps.valid.sum())


@pytest.mark.parametrize("kind", KINDS)
def test_advantage_is_the_lambda_return_less_the_value(kind: str) -> None:
    # The definition: G^lambda = (1 - lambda) sum_n lambda^(n-1) G^(n), where the last n-step return
    # has the remaining weight
    steps, lambda_ = consistent(steps_of(kind)), 0.7
    advantage_TE = steps.advantage(GAMMA * lambda_)
    for env in range(4):
        for rows in steps.episodes(env):
            for first, time in enumerate(rows):
                longest = len(rows) - first
                weights = [(1 - lambda_) * lambda_ ** (n - 1) for n in range(1, longest)] + [
                    lambda_ ** (longest - 1)
                ]
                assert sum(weights) == close(1, np.float64, terms=8)
                returns = [
                    n_step_advantage(steps, rows, env, first, n) for n in range(1, longest + 1)
                ]
                expected = sum(w * g for w, g in zip(weights, returns, strict=True))
                assert advantage_TE[time, env].item() == close(
                    expected, np.float64, terms=8, scale=10
                )


@pytest.mark.parametrize("kind", KINDS)
def test_lambda_one_gives_n_step_returns(kind: str) -> None:
    steps = consistent(steps_of(kind))
    advantage_TE = steps.advantage(GAMMA)
    for env in range(4):
        for rows in steps.episodes(env):
            for first, time in enumerate(rows):
                expected = n_step_advantage(steps, rows, env, first, len(rows) - first)
                assert advantage_TE[time, env].item() == close(
                    expected, np.float64, terms=8, scale=10
                )


def test_lambda_zero_gives_td_errors() -> None:
    steps = steps_of("mixed")
    expected = (
        steps.reward + GAMMA * torch.where(steps.terminated, 0.0, steps.next_value) - steps.value
    )
    assert_close(steps.advantage(0.0), expected, terms=3)


def test_a_time_limit_in_mid_rollout_keeps_the_value_of_its_successor() -> None:
    steps = steps_of("endless", horizon=6, num_envs=1)
    steps.truncated[2, 0] = True
    before = steps.advantage(0.8)
    # The value of the true last state counts with gamma, and with the decay for each earlier step
    steps.next_value[2, 0] += 1
    steps.reward[3:] += 100  # what comes after belongs to another episode
    change = (steps.advantage(0.8) - before)[:, 0]
    assert_close(change[:3], torch.tensor([0.576, 0.72, 0.9], dtype=torch.float64))
    assert (change[3:] >= 100).all()


def test_environments_do_not_mix() -> None:
    steps = steps_of("mixed")
    together = steps.advantage(0.8)
    for env in range(4):
        alone = Steps(**{name: array[:, env : env + 1] for name, array in vars(steps).items()})
        assert_close(alone.advantage(0.8), together[:, env : env + 1], terms=8)


# Statistics over the rows that are transitions


@pytest.fixture
def weighed() -> tuple[Any, Any]:
    """500 numbers, and which of them count."""
    generator = np.random.default_rng(0)
    return 3 + 2 * generator.standard_normal(500), generator.random(500) < 0.7


def test_weighted_mean_by_hand() -> None:
    # (1 * 10 + 3 * 2) / 4 = 4
    assert weighted_mean(torch.tensor([10.0, 2.0, 99.0]), torch.tensor([1.0, 3.0, 0.0])).item() == 4


def test_weighted_mean_skips_rows_of_weight_zero(weighed: tuple[Any, Any]) -> None:
    x, counts = weighed
    mean = weighted_mean(torch.from_numpy(x), torch.from_numpy(counts).double())
    assert mean.item() == close(x[counts].mean(), np.float64, terms=500)


def test_standardized_by_hand() -> None:
    # The mean of 1, 2, 6 is 3; deviations -2, -1, 3; sample variance (4 + 1 + 9) / 2 = 7. The
    # fourth number has no weight.
    result = standardized(torch.tensor([1.0, 2.0, 6.0, 10.0]), torch.tensor([1.0, 1.0, 1.0, 0.0]))
    assert_close(result, torch.tensor([-2.0, -1.0, 3.0, 7.0]) / 7**0.5)


def test_standardized_equals_numpy(weighed: tuple[Any, Any]) -> None:
    x, counts = weighed
    result = standardized(torch.from_numpy(x), torch.from_numpy(counts).double()).numpy()
    assert_close(result, (x - x[counts].mean()) / (x[counts].std(ddof=1) + 1e-8), terms=500)


def test_epsilon_is_added_to_the_deviation() -> None:
    # Mean 1, sample variance (1 + 1) / 1 = 2
    result = standardized(torch.tensor([0.0, 2.0]), torch.ones(2), epsilon=0.5)
    assert_close(result, torch.tensor([-1.0, 1.0]) / (2**0.5 + 0.5))


@pytest.mark.parametrize("x", [torch.full((5,), 3.0), torch.tensor([7.0])])
def test_nothing_to_tell_apart_standardizes_to_zero(x: Tensor) -> None:
    assert standardized(x, torch.ones(len(x))).tolist() == [0] * len(x)


def test_surrogates_by_hand() -> None:
    # r = 1.5 and 0.5 with c = 0.2: clipped to 1.2 and 0.8 where A rewards leaving the range
    ratio_B = torch.tensor([1.5, 1.5, 0.5, 0.5, 1.1])
    advantage_B = torch.tensor([2.0, -2.0, 2.0, -2.0, 2.0])
    clipped_B = clipped_surrogate(ratio_B, advantage_B, 0.2)
    assert clipped_B.tolist() == close([2.4, -3.0, 1.0, -1.6, 2.2])
    # 2 * 0.5^2 / 0.4 = 1.25 and 2 * 0.1^2 / 0.4 = 0.05
    penalized_B = penalized_surrogate(ratio_B, advantage_B, 0.2)
    wanted = [3.0 - 1.25, -3.0 - 1.25, 1.0 - 1.25, -1.0 - 1.25, 2.2 - 0.05]
    assert penalized_B.tolist() == close(wanted, depth=4)


@pytest.mark.parametrize("surrogate", [clipped_surrogate, penalized_surrogate])
def test_surrogates_equal_a_loop(surrogate: Any) -> None:
    generator = torch.Generator().manual_seed(2)
    ratio_B = torch.rand(50, generator=generator, dtype=torch.float64) * 2
    advantage_B = torch.randn(50, generator=generator, dtype=torch.float64)
    found_B = surrogate(ratio_B, advantage_B, torch.tensor(0.3, dtype=torch.float64))
    for found, r, a in zip(found_B, ratio_B.tolist(), advantage_B.tolist(), strict=True):
        if surrogate is clipped_surrogate:
            wanted = min(r * a, max(0.7, min(1.3, r)) * a)
        else:
            wanted = r * a - abs(a) * (r - 1) ** 2 / 0.6
        assert_close(found, wanted, depth=4, scale=4)


@pytest.mark.parametrize(("advantage", "best"), [(3.0, 1.2), (-3.0, 0.8)])
def test_penalized_surrogate_is_largest_at_the_edge_of_the_range(
    advantage: float, best: float
) -> None:
    ratio_B = torch.linspace(0, 2, 2_001, dtype=torch.float64)
    values_B = penalized_surrogate(ratio_B, torch.full_like(ratio_B, advantage), 0.2)
    assert ratio_B[values_B.argmax()].item() == pytest.approx(best, abs=1e-3)


def test_explained_variance_by_hand() -> None:
    # Targets 0, 2, 4: variance 8 / 3. Errors 0, 1, 0 with mean 1/3: variance 2 / 9.
    # 1 - (2 / 9) / (8 / 3) = 11 / 12
    ones = torch.ones(3)
    explained = explained_variance(
        torch.tensor([0.0, 1.0, 4.0]), torch.tensor([0.0, 2.0, 4.0]), ones
    )
    assert explained.item() == close(11 / 12)


def test_explained_variance_of_perfect_and_useless_values(weighed: tuple[Any, Any]) -> None:
    target_B, weight_B = torch.from_numpy(weighed[0]), torch.from_numpy(weighed[1]).double()
    assert explained_variance(target_B, target_B, weight_B).item() == 1
    # A constant error has no variance
    assert explained_variance(target_B + 5, target_B, weight_B).item() == close(1)
    assert explained_variance(torch.full_like(target_B, 3.3), target_B, weight_B).item() == close(
        0, np.float64
    )
    assert explained_variance(-target_B, target_B, weight_B).item() == close(-3)  # error 2 t: 1 - 4


def test_explained_variance_equals_numpy_and_skips_rows_of_weight_zero(
    weighed: tuple[Any, Any],
) -> None:
    target, counts = weighed
    value = 0.8 * target + np.random.default_rng(1).standard_normal(500)
    expected = 1 - (target - value)[counts].var() / target[counts].var()
    arguments = (torch.from_numpy(array) for array in (value, target, counts.astype(np.float64)))
    assert explained_variance(*arguments).item() == close(expected, np.float64, terms=8, scale=10)


def test_explained_variance_of_equal_targets_is_finite() -> None:
    explained = explained_variance(
        torch.tensor([1.0, 2.0]), torch.tensor([3.0, 3.0]), torch.ones(2)
    )
    assert torch.isfinite(explained)


# Symmetric logarithm


def test_symlog_and_symexp_by_hand() -> None:
    # log(1 + 1) = 0.693147, log(1 + 999) = 6.907755;  e - 1 = 1.718282, e^2 - 1 = 6.389056
    assert_close(
        symlog(torch.tensor([-999.0, -1.0, 0.0, 1.0])),
        torch.tensor([-6.907755, -0.693147, 0.0, 0.693147]),
    )
    assert_close(symexp(torch.tensor([-2.0, 0.0, 1.0])), torch.tensor([-6.389056, 0.0, 1.718282]))


def test_symexp_is_the_inverse_of_symlog() -> None:
    x = torch.cat([-torch.logspace(-6, 6, 50), torch.zeros(1), torch.logspace(-6, 6, 50)]).double()
    assert_close(symexp(symlog(x)), x, depth=2)
    assert (symlog(x).diff().sign() == x.diff().sign()).all()  # the order is kept
