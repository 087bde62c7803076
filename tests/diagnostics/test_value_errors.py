"""Values beside returns: hand-computed episodes, and a slow loop."""

import numpy as np
import pytest

from footlight.diagnostics.value_errors import compare, followed, quantile
from tolerance import assert_close


def column(*values: float | bool) -> np.ndarray:
    return np.array(values)[:, None]


def test_return_ends_with_the_episode() -> None:
    reward = column(1.0, 2.0, 4.0)
    after = followed(reward, column(False, True, False), column(False, False, False), 0.5)
    # The second step terminates; the third begins an episode that the record cuts off
    assert after.return_TE[:, 0].tolist() == [2.0, 2.0, 4.0]
    assert after.discount_TE[:, 0].tolist() == [0.0, 0.0, 0.5]
    assert after.last_TE[:, 0].tolist() == [1, 1, 2]


def test_truncated_episode_is_continued_by_the_critic() -> None:
    reward = column(1.0, 2.0, 4.0)
    after = followed(reward, column(False, False, False), column(False, True, False), 0.5)
    assert after.return_TE[:, 0].tolist() == [2.0, 2.0, 4.0]
    assert after.discount_TE[:, 0].tolist() == [0.25, 0.5, 0.5]


def test_bonus_counts_in_every_state_but_the_terminal_one() -> None:
    reward, never = column(0.0, 0.0, 0.0), column(False, False, False)
    after = followed(reward, column(False, False, True), never, 0.5, bonus=8.0)
    assert after.return_TE[:, 0].tolist() == [4.0 + 2.0, 4.0, 0.0]


def test_returns_equal_a_slow_loop() -> None:
    stream = np.random.default_rng(0)
    reward = stream.standard_normal((40, 3))
    terminated, truncated = stream.random((2, 40, 3)) < 0.1
    after = followed(reward, terminated, truncated, 0.9, 0.3)
    for env in range(3):
        for start in range(40):
            total, factor = 0.0, 1.0
            for step in range(start, 40):
                total += factor * reward[step, env]
                factor *= 0.9
                if terminated[step, env]:
                    factor = 0.0
                total += factor * 0.3
                if terminated[step, env] or truncated[step, env]:
                    break
            assert_close(after.return_TE[start, env], total, terms=80, scale=10)
            assert_close(after.discount_TE[start, env], factor, terms=40)
            assert after.last_TE[start, env] == step


def test_right_values_have_no_bias() -> None:
    returns = np.array([3.0, 5.0, 7.0, 4.0])
    found = compare(returns, returns, np.zeros(4), np.zeros(4))
    assert found["critic_bias"] == 0
    assert found["critic_spread"] == 0
    assert found["critic_explained_variance"] == 1


@pytest.mark.parametrize("discount", [0.0, 0.25, 0.5])
def test_constant_error_is_found_whatever_the_critic_continues(discount: float) -> None:
    true, error = np.array([10.0, 12.0, 8.0, 10.0]), 5.0
    factors = np.full(4, discount)
    # What follows the record is worth 4, and the critic says 9
    observed = true - factors * 4.0
    found = compare(true + error, observed, factors, np.full(4, 4.0 + error))
    full = true + factors * error
    assert_close(found["critic_bias"], error / full.mean(), terms=16)
    assert found["critic_spread"] < 1e-12


def test_states_whose_return_is_mostly_the_critics_are_left_out() -> None:
    value, returns = np.array([9.0, 1.0, 2.0]), np.array([0.0, 1.0, 2.0])
    found = compare(value, returns, np.array([0.6, 0.0, 0.0]), np.zeros(3))
    assert found["critic_bias"] == 0
    assert compare(value, returns, np.array([0.6, 0.6, 0.0]), np.zeros(3)) == {}


def test_equal_returns_have_no_variance_to_explain() -> None:
    found = compare(np.array([1.0, 2.0]), np.array([50.0, 50.0]), np.zeros(2), np.zeros(2))
    assert "critic_explained_variance" not in found
    assert_close(found["critic_bias"], -48.5 / 50, terms=8)


def test_quantile_is_one_of_the_numbers() -> None:
    numbers = np.arange(101.0)[::-1].reshape(1, -1)
    assert [quantile(numbers, share) for share in (0.0, 0.5, 0.95, 1.0)] == [0, 50, 95, 100]
