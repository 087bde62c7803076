"""SimBa compared with a second writing of its paper (Lee et al. 2025, arXiv:2410.09754)."""

from functools import cache

import pytest
import torch
from recorder import OBSERVATION_SIZE, Recording
from sac_variants import NUM_ACTIONS, Variant, compare, recorded, require_defaults
from torch import Tensor, nn

from footlight.algorithms.simba import Config

PAPER = {
    "body": "residual", "norm": "layer", "normalize_observations": True,
    "hidden_sizes": (512, 512), "actor_hidden_sizes": (128,), "initialization": "orthogonal",
    "optimizer": "adamw", "learning_rate": 1e-4, "weight_decay": 1e-2, "updates_per_step": 2,
    "log_std": "rescaled-wide",
    "initial_alpha": 0.01, "target_entropy_per_action": -0.5, "gamma": 0.99, "tau": 0.005,
    "batch_size": 256, "learning_starts": 5_000, "policy_delay": 1, "target_network": True,
}  # fmt: skip


class Block(nn.Module):
    """x + W2 ReLU(W1 LN(x)), four times as wide inside (eq. 3)."""

    def __init__(self, size: int) -> None:
        super().__init__()
        wide, narrow = nn.Linear(size, 4 * size), nn.Linear(4 * size, size)
        self.branch = nn.Sequential(nn.LayerNorm(size), wide, nn.ReLU(), narrow)

    def forward(self, x: Tensor) -> Tensor:
        """Features of the same shape."""
        norm, wide, _, narrow = self.branch
        return x + narrow(wide(norm(x)).clamp(min=0))


class SimBa(Variant):
    """SAC with these networks and AdamW."""

    target_entropy = -NUM_ACTIONS / 2

    def make_network(
        self, num_inputs: int, sizes: tuple[int, ...], num_outputs: int
    ) -> nn.Sequential:
        """An embedding, the blocks, a normalization, and the output (section 4.1)."""
        blocks = [Block(size) for size in sizes]
        embedding, output = nn.Linear(num_inputs, sizes[0]), nn.Linear(sizes[0], num_outputs)
        return nn.Sequential(embedding, *blocks, nn.LayerNorm(sizes[0]), output)

    def make_actor(self) -> nn.Sequential:
        """Mean and log standard deviation."""
        return self.make_network(OBSERVATION_SIZE, self.config.actor_hidden_sizes, 2 * NUM_ACTIONS)

    def make_critic(self) -> nn.Sequential:
        """Q(s, a)."""
        return self.make_network(OBSERVATION_SIZE + NUM_ACTIONS, self.config.hidden_sizes, 1)

    def log_std(self, raw: Tensor) -> Tensor:
        """Between -10 and 2, by tanh, as in the authors' code."""
        return -10 + 12 * (raw.tanh() + 1) / 2

    def make_optimizer(self, parameters: list[Tensor]) -> torch.optim.Adam:
        """AdamW (Loshchilov & Hutter 2019, algorithm 2)."""
        rate, epsilon = self.config.learning_rate, self.config.optimizer_epsilon
        return torch.optim.AdamW(parameters, lr=rate, eps=epsilon, weight_decay=1e-2)


@cache
def recording() -> Recording:
    return recorded("simba")


def test_defaults_are_those_of_the_paper() -> None:
    require_defaults(Config(), PAPER)


def test_updates_equal_a_second_writing() -> None:
    compare(recording(), SimBa)


def test_updates_equal_a_second_writing_with_one_critic() -> None:
    compare(recorded("simba", num_critics=1), SimBa)


class DecaysWithTheGradient(SimBa):
    def make_optimizer(self, parameters: list[Tensor]) -> torch.optim.Adam:
        rate, epsilon = self.config.learning_rate, self.config.optimizer_epsilon
        return torch.optim.Adam(parameters, lr=rate, eps=epsilon, weight_decay=1e-2)


class DecaysTheTemperature(SimBa):
    def make_adam(self, parameters: list[Tensor]) -> torch.optim.Adam:
        return self.make_optimizer(parameters)


class NotNormalized(SimBa):
    def make_network(
        self, num_inputs: int, sizes: tuple[int, ...], num_outputs: int
    ) -> nn.Sequential:
        network = super().make_network(num_inputs, sizes, num_outputs)
        norm = network[-2]
        norm.forward = lambda x: norm.weight * x + norm.bias  # type: ignore[method-assign]
        return network


class TwiceTheEntropy(SimBa):
    target_entropy = -1.0 * NUM_ACTIONS


@pytest.mark.parametrize(
    "wrong", [DecaysWithTheGradient, DecaysTheTemperature, NotNormalized, TwiceTheEntropy]
)
def test_comparison_fails_if_the_writing_is_wrong(wrong: type[SimBa]) -> None:
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        compare(recording(), wrong)
