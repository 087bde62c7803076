"""V-trace by hand, and against the sum in the paper's definition, step by step."""

import math
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from footlight.equations.returns import generalized_advantage
from footlight.equations.vtrace import truncated_ratio, vtrace
from tolerance import assert_close, close

GAMMA = 0.9


class Step(NamedTuple):
    reward: float
    value: float
    next_value: float
    pi: float
    mu: float
    terminated: bool
    truncated: bool
    valid: bool


def test_by_hand() -> None:
    # gamma 0.5. The ratios are 2, cut to 1, and 0.5
    target, advantage = vtrace(
        reward_TE=torch.tensor([[1.0], [2.0]]),
        discount_TE=torch.tensor([[0.5], [0.5]]),
        continues_TE=torch.tensor([[1.0], [0.0]]),
        value_TE=torch.tensor([[4.0], [6.0]]),
        next_value_TE=torch.tensor([[6.0], [8.0]]),
        rho_TE=torch.tensor([[1.0], [0.5]]),
        c_TE=torch.tensor([[0.8], [0.4]]),
    )
    # delta_1 = 0.5 (2 + 4 - 6) = 0, delta_0 = 1 + 3 - 4 = 0: the values are already consistent
    assert target.tolist() == [[4.0], [6.0]]
    assert advantage.tolist() == [[0.0], [0.0]]
    target, advantage = vtrace(
        reward_TE=torch.tensor([[1.0], [4.0]]),
        discount_TE=torch.tensor([[0.5], [0.5]]),
        continues_TE=torch.tensor([[1.0], [0.0]]),
        value_TE=torch.tensor([[4.0], [6.0]]),
        next_value_TE=torch.tensor([[6.0], [8.0]]),
        rho_TE=torch.tensor([[1.0], [0.5]]),
        c_TE=torch.tensor([[0.8], [0.4]]),
    )
    # v_1 = 6 + 0.5 (4 + 4 - 6) = 7, v_0 = 4 + 0 + 0.5 * 0.8 * (7 - 6) = 4.4
    assert target.flatten().tolist() == close([4.4, 7.0])
    # 1 + 0.5 * 7 - 4 = 0.5, 4 + 0.5 * 8 - 6 = 2: not weighted, which the policy gradient does
    assert advantage.flatten().tolist() == close([0.5, 2.0])


@pytest.mark.parametrize(
    ("terminated", "target"),
    [
        (True, 0 + 1 * (1 - 0)),  # the reward alone
        (False, 0 + 1 * (1 + 0.5 * 10 - 0)),  # and the value of the true successor
    ],
)
def test_nothing_of_the_next_episode_is_in_a_target(terminated: bool, target: float) -> None:
    columns = torch.tensor([[1.0, 0.0 if terminated else 0.5, 0.0, 0.0, 10.0], [9, 0.5, 0, 3, 3]])
    reward, discount, continues, value, next_value = columns[:, :, None].unbind(1)
    ones = torch.ones(2, 1)
    found, advantage = vtrace(reward, discount, continues, value, next_value, ones, ones)
    assert found[0].item() == target
    assert advantage[0].item() == target


def steps_of(kind: str, horizon: int, num_envs: int = 3) -> list[list[Step]]:
    """Random steps by environment; each is valid but for resets, and consistent with the next."""
    generator = torch.Generator().manual_seed(horizon)

    def uniform() -> float:
        return torch.rand((), generator=generator, dtype=torch.float64).item()

    environments = []
    for _ in range(num_envs):
        steps: list[Step] = []
        value = uniform()
        for _ in range(horizon):
            after = 4 * uniform() - 2
            is_end, is_other = uniform() < 0.2, uniform() < 0.2
            step = Step(
                reward=uniform() - 0.5,
                value=value,
                next_value=after,
                pi=0.01 + uniform(),
                mu=0.01 + uniform(),
                terminated=is_end and kind in ("terminated", "mixed", "resets"),
                truncated=is_other and kind in ("truncated", "mixed", "resets"),
                valid=True,
            )
            if kind == "resets" and steps and (steps[-1].terminated or steps[-1].truncated):
                step = step._replace(valid=False, terminated=False, truncated=False)
            steps.append(step)
            ended = step.terminated or step.truncated
            value = 4 * uniform() - 2 if ended else after
        environments.append(steps)
    return environments


def tensors(environments: list[list[Step]]) -> dict[str, Tensor]:
    """By name, [T, E]; `discount` and `continues` as a rollout holds them."""
    horizon = len(environments[0])
    found = {
        name: torch.tensor(
            [[getattr(steps[t], name) for steps in environments] for t in range(horizon)],
            dtype=torch.float64,
        )
        for name in Step._fields
    }
    found["discount"] = GAMMA * (1 - found["terminated"])
    follows = torch.cat([found["valid"][1:], 0 * found["valid"][:1]])
    ended = (found["terminated"] + found["truncated"]).clamp(max=1)
    found["continues"] = (1 - ended) * follows
    return found


def stretches(steps: list[Step]) -> list[list[int]]:
    """The steps of each stretch of one episode."""
    found: list[list[int]] = [[]]
    for time, step in enumerate(steps):
        if not step.valid:
            found.append([])
            continue
        found[-1].append(time)
        if step.terminated or step.truncated:
            found.append([])
    return [stretch for stretch in found if stretch]


def slow_targets(
    steps: list[Step], decay: float, rho_bar: float, c_bar: float
) -> dict[int, tuple[float, float]]:
    """By step, v_s and r_s + gamma v_{s+1} - V(x_s).

    v_s = V(x_s) + sum_{t = s}^{s + n - 1} gamma^{t - s} (prod_{i = s}^{t - 1} c_i) delta_t, with
    delta_t = rho_t (r_t + gamma V(x_{t+1}) - V(x_t)): equation 1 of the paper, c_i with lambda as
    in its remark 2.
    """
    found = {}
    for stretch in stretches(steps):
        targets = []
        for start in range(len(stretch)):
            target, factor = steps[stretch[start]].value, 1.0
            for time in stretch[start:]:
                step = steps[time]
                bootstrap = 0.0 if step.terminated else step.next_value
                rho = min(rho_bar, step.pi / step.mu)
                target += factor * rho * (step.reward + GAMMA * bootstrap - step.value)
                factor *= GAMMA * decay * min(c_bar, step.pi / step.mu)
            targets.append(target)
        last = steps[stretch[-1]]
        following = [*targets[1:], 0.0 if last.terminated else last.next_value]
        for time, target, after in zip(stretch, targets, following, strict=True):
            found[time] = target, steps[time].reward + GAMMA * after - steps[time].value
    return found


@pytest.mark.parametrize("kind", ["endless", "terminated", "truncated", "mixed", "resets"])
@pytest.mark.parametrize(
    ("decay", "rho_bar", "c_bar"),
    [(1.0, 1.0, 1.0), (0.9, 1.0, 1.0), (1.0, 4.0, 0.5), (0.0, 2.0, 2.0), (0.7, 1e9, 1e9)],
)
@pytest.mark.parametrize("horizon", [1, 2, 13])
def test_equals_the_definition(
    kind: str, decay: float, rho_bar: float, c_bar: float, horizon: int
) -> None:
    environments = steps_of(kind, horizon)
    given = tensors(environments)
    log_ratio = given["pi"].log() - given["mu"].log()
    target, advantage = vtrace(
        given["reward"],
        given["discount"],
        given["continues"],
        given["value"],
        given["next_value"],
        truncated_ratio(log_ratio, rho_bar),
        decay * truncated_ratio(log_ratio, c_bar),
    )
    for env, steps in enumerate(environments):
        slow = slow_targets(steps, decay, rho_bar, c_bar)
        assert slow
        for time, (wanted, wanted_advantage) in slow.items():
            scale = max(1.0, *(abs(number) for pair in slow.values() for number in pair))
            assert target[time, env].item() == close(
                wanted, torch.float64, terms=horizon, depth=4, scale=scale
            )
            assert advantage[time, env].item() == close(
                wanted_advantage, torch.float64, terms=horizon, depth=4, scale=scale
            )


@pytest.mark.parametrize("decay", [0.0, 0.5, 1.0])
def test_is_generalized_advantage_estimation_on_policy(decay: float) -> None:
    given = tensors(steps_of("mixed", 20))
    rollout = [given[name] for name in ("reward", "discount", "continues", "value", "next_value")]
    ones = torch.ones_like(given["reward"])
    target, advantage = vtrace(*rollout, ones, decay * ones)
    expected = generalized_advantage(*rollout, GAMMA * decay)
    assert_close(target - given["value"], expected, terms=20, scale=10.0)
    if decay == 1:  # with lambda 1 both are the n-step return's
        assert_close(advantage, expected, terms=20, scale=10.0)


def test_ratios() -> None:
    log_ratio = torch.tensor([0.0, math.log(0.5), 1.0, 1000.0, -1000.0])
    assert truncated_ratio(log_ratio, 1.0).tolist() == close([1.0, 0.5, 1.0, 1.0, 0.0])
    assert truncated_ratio(log_ratio, 4.0).tolist() == close([1.0, 0.5, math.e, 4.0, 0.0])
