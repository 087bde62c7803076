"""FlashSAC compared with a second writing of its paper (arXiv:2604.04539), but for the departures
that `flashsac.py` names: the order of the updates, and the actor's batches."""

import dataclasses
import math
from functools import cache
from typing import Any

import pytest
import torch
from plain_layers import BatchNorm, give_unit_rows, layers_of, linear_layers
from recorder import OBSERVATION_SIZE, Recording
from sac_variants import (
    NUM_ACTIONS,
    Batch,
    Categorical,
    compare,
    recorded,
    require_defaults,
    require_equal,
)
from torch import Tensor, nn

from footlight.algorithms.flashsac import Config
from tolerance import DIGITS

PAPER = {
    "body": "residual-post-norm", "norm": "batch", "normalize_input": True,
    "unit_weights": "all-and-norms", "hidden_sizes": (256, 256), "actor_hidden_sizes": (128, 128),
    "critic": "categorical", "num_critics": 2, "num_bins": 101, "bin_bound": 5.0,
    "target_rule": "minimum", "target_network": True, "log_std": "rescaled-wide",
    "hold_noise": True, "initial_alpha": 0.01, "policy_delay": 2, "delay_targets": False,
    "tau": 0.01, "batch_size": 512, "learning_rate": 3e-4, "learning_rate_schedule": "cosine",
    "final_learning_rate": 0.5, "gamma": 0.99, "normalize_rewards": True,
    "clip_normalized_reward": None, "max_normalized_return": 5.0, "optimizer": "adam",
}  # fmt: skip
ENTROPY = math.log(2 * math.pi * math.e * 0.15**2) / 2  # of a Gaussian with deviation 0.15


class RMSNorm(nn.Module):
    """w x / sqrt(mean x^2)."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x: Tensor) -> Tensor:
        """Features of the same shape, [B, size]."""
        return self.weight * x / ((x**2).mean(1, keepdim=True) + 1e-6).sqrt()


class Block(nn.Module):
    """x + ReLU(BN(W2 ReLU(BN(W1 x)))), four times as wide inside."""

    def __init__(self, size: int) -> None:
        super().__init__()
        wide = nn.Linear(size, 4 * size, bias=False)
        narrow = nn.Linear(4 * size, size, bias=False)
        self.branch = nn.Sequential(
            wide, BatchNorm(4 * size), nn.ReLU(), narrow, BatchNorm(size), nn.ReLU()
        )

    def forward(self, x: Tensor) -> Tensor:
        """Features of the same shape, [B, size]."""
        return x + self.branch(x)


class FlashSAC(Categorical):
    """Critics first, then actor and temperature at every second update."""

    targets_wait_for_actor = False
    target_entropy = ENTROPY * NUM_ACTIONS

    def make_network(
        self, num_inputs: int, sizes: tuple[int, ...], num_outputs: int
    ) -> nn.Sequential:
        """BatchNorm of the input, an embedding, the blocks, RMSNorm and the output."""
        size = sizes[0]
        embedding = nn.Linear(num_inputs, size, bias=False)
        blocks, output = [Block(size) for _ in sizes], nn.Linear(size, num_outputs)
        return nn.Sequential(BatchNorm(num_inputs), embedding, *blocks, RMSNorm(size), output)

    def make_actor(self) -> nn.Sequential:
        """Mean and log standard deviation."""
        return self.make_network(OBSERVATION_SIZE, self.config.actor_hidden_sizes, 2 * NUM_ACTIONS)

    def make_critic(self) -> nn.Sequential:
        """The logits of the bins."""
        num_inputs = OBSERVATION_SIZE + NUM_ACTIONS
        return self.make_network(num_inputs, self.config.hidden_sizes, self.num_outputs)

    def log_std(self, raw: Tensor) -> Tensor:
        """Between -10 and 2."""
        return -10 + 6 * (1 + raw.tanh())

    def share(self, progress: float) -> float:
        """Half a cosine, from 1 to 1/2."""
        return 0.5 + 0.5 * (1 + math.cos(math.pi * progress)) / 2

    def after_step(self, networks: list[nn.Sequential]) -> None:
        """Each row of weights gets norm 1; scale and shift of a BatchNorm together get sqrt(d), and
        so does the scale of the RMSNorm."""
        for network in networks:
            give_unit_rows(linear_layers(network))
            for kind in (BatchNorm, RMSNorm):
                for norm in layers_of(network, kind):
                    own = [parameter.data for parameter in norm.parameters()]
                    length = math.sqrt(sum(float((each**2).sum()) for each in own))
                    for each in own:
                        each *= math.sqrt(len(each)) / length


@cache
def recording() -> Recording:
    return recorded("flashsac", target_entropy_per_action=ENTROPY)


def test_defaults_are_those_of_the_paper() -> None:
    require_defaults(Config(), PAPER)
    assert Config().target_entropy_per_action == pytest.approx(ENTROPY, abs=DIGITS[4])


def test_updates_equal_a_second_writing() -> None:
    compare(recording(), FlashSAC)


def test_updates_equal_a_second_writing_where_returns_are_bounded() -> None:
    fields = {"target_entropy_per_action": ENTROPY, "num_steps": 10}
    bounded = recorded("flashsac", max_normalized_return=1.0, **fields)
    compare(bounded, FlashSAC)
    unbounded = dataclasses.replace(bounded.config, max_normalized_return=None)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        compare(dataclasses.replace(bounded, config=unbounded), FlashSAC)


def test_norms_are_right_from_the_start() -> None:
    started = FlashSAC(recording().config, recording().initial)
    started.after_step([started.actor, *started.critics, *started.target_critics])
    initial = {
        group: {name: value.float() for name, value in named.items()}
        for group, named in recording().initial.items()
    }  # they were computed in float32
    require_equal(started, initial, 0)


class FirstCriticInTarget(FlashSAC):
    def target(self, next_outputs: list[Tensor], batch: Batch, bonus: Tensor, draws: Batch) -> Any:
        return super().target(next_outputs[:1], batch, bonus, draws)


class TargetsApart(FlashSAC):
    """Only (s', a') pass through the target networks."""

    def predictions(
        self, index: int, batch: Batch, next_action: Tensor
    ) -> tuple[list[Tensor], list[Tensor]]:
        outputs, _ = super().predictions(index, batch, next_action)
        pair = torch.cat([batch["next_observation"], next_action], 1)
        return outputs, [target(pair) for target in self.target_critics]


class ConstantRate(FlashSAC):
    def share(self, progress: float) -> float:
        return 1.0


class FreeNorms(FlashSAC):
    def after_step(self, networks: list[nn.Sequential]) -> None:
        for network in networks:
            give_unit_rows(linear_layers(network))


class TargetsWait(FlashSAC):
    targets_wait_for_actor = True


@pytest.mark.parametrize(
    "wrong", [FirstCriticInTarget, TargetsApart, ConstantRate, FreeNorms, TargetsWait]
)
def test_comparison_fails_if_the_writing_is_wrong(wrong: type[FlashSAC]) -> None:
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        compare(recording(), wrong)
