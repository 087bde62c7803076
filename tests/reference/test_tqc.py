"""TQC compared with a second writing of its paper (Kuznetsov et al. 2020, arXiv:2005.04269)."""

from functools import cache
from typing import Any

import pytest
import torch
from recorder import Recording
from sac_variants import Batch, Variant, compare, recorded, require_defaults
from torch import Tensor

from footlight.algorithms.tqc import Config

PAPER = {
    "critic": "quantile", "num_critics": 5, "num_quantiles": 25, "dropped_quantiles": 2,
    "hidden_sizes": (512, 512, 512), "actor_hidden_sizes": (256, 256), "actor_rule": "mean",
    "learning_rate": 3e-4, "gamma": 0.99, "tau": 0.005, "batch_size": 256, "policy_delay": 1,
    "target_entropy_per_action": -1.0, "optimizer": "adam", "target_network": True,
}  # fmt: skip


class TQC(Variant):
    """Algorithm 1, with N critics of M quantiles."""

    num_outputs = 25
    num_dropped = 2

    def target(self, next_outputs: list[Tensor], batch: Batch, bonus: Tensor, draws: Batch) -> Any:
        """y_i of the N (M - k) smallest quantiles of all critics, a list for each row (eq. 11)."""
        count = len(next_outputs) * (self.num_outputs - self.num_dropped)
        rows = []
        for row in range(len(bonus)):
            pooled = sorted(z for output in next_outputs for z in output[row].tolist())
            reward, discount = batch["reward"][row].item(), batch["discount"][row].item()
            rows.append([reward + discount * (z + bonus[row].item()) for z in pooled[:count]])
        return torch.tensor(rows, dtype=torch.float64)

    def loss(self, output: Tensor, target: Any) -> Tensor:
        """The mean of |tau_m - 1{y < theta_m}| Huber(y - theta_m), eq. 14."""
        total = torch.zeros((), dtype=torch.float64)
        for m in range(1, self.num_outputs + 1):
            tau = (2 * m - 1) / (2 * self.num_outputs)
            theta = output[:, m - 1, None]
            error = (target - theta).abs()
            huber = torch.where(error <= 1, error**2 / 2, error - 1 / 2)
            weight = (tau - (target < theta).double()).abs()
            total = total + (weight * huber).sum()
        return total / (self.num_outputs * target.numel())

    def value(self, output: Tensor) -> Tensor:
        """The mean of the quantiles."""
        return output.sum(1) / self.num_outputs

    def followed(self, values: list[Tensor]) -> Tensor:
        """The mean of all quantiles of all critics (eq. 15)."""
        return torch.stack(values).mean(0)


@cache
def recording() -> Recording:
    return recorded("tqc")


def test_defaults_are_those_of_the_paper() -> None:
    require_defaults(Config(), PAPER)


def test_updates_equal_a_second_writing() -> None:
    compare(recording(), TQC)


class DropsOneMore(TQC):
    num_dropped = 3


class DropsOfEachCritic(TQC):
    def target(self, next_outputs: list[Tensor], batch: Batch, bonus: Tensor, draws: Batch) -> Any:
        kept = [super(DropsOfEachCritic, self).target([each], batch, bonus, draws)
                for each in next_outputs]  # fmt: skip
        return torch.cat(kept, 1)


class ActorFollowsMinimum(TQC):
    def followed(self, values: list[Tensor]) -> Tensor:
        return Variant.followed(self, values)


class SquaredErrors(TQC):
    def loss(self, output: Tensor, target: Any) -> Tensor:
        return ((target.mean(1, keepdim=True) - output) ** 2).mean()


@pytest.mark.parametrize(
    "wrong", [DropsOneMore, DropsOfEachCritic, ActorFollowsMinimum, SquaredErrors]
)
def test_comparison_fails_if_the_writing_is_wrong(wrong: type[TQC]) -> None:
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        compare(recording(), wrong)
