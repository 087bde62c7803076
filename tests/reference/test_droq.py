"""DroQ compared with a second writing of its paper (Hiraoka et al. 2022, arXiv:2110.02034)."""

from functools import cache

import pytest
import torch
from recorder import OBSERVATION_SIZE, Recording
from sac_variants import NUM_ACTIONS, Batch, Variant, compare, pairs, recorded, require_defaults
from torch import Tensor, nn

from footlight.algorithms.droq import Config

PAPER = {
    "dropout": 0.01, "norm": "layer", "normalize_actor": False, "num_critics": 2,
    "target_rule": "minimum", "actor_rule": "mean", "updates_per_step": 20, "policy_delay": 20,
    "delay_targets": False, "hidden_sizes": (256, 256), "learning_rate": 3e-4, "gamma": 0.99,
    "tau": 0.005, "batch_size": 256, "learning_starts": 5_000, "optimizer": "adam",
    "target_network": True,
}  # fmt: skip
PROBABILITY = 1 / 8  # so that a mask of a small layer has zeros
LOW = 2**32 - 1


class Dropout(nn.Module):
    """x mask / (1 - p). The masks are those of the library: they are numbered, and each number is
    hashed with the place of a feature."""

    counter: Tensor
    seed: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("counter", torch.zeros(()))
        self.register_buffer("seed", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """The features, [B, size]."""
        key = (int(self.counter) * 0x9E3779B1 ^ int(self.seed) * 0x85EBCA6B) & LOW
        # As signed numbers of 32 bits, from the smallest to the largest
        draws = [(hashed(place ^ key) ^ 2**31) / 2**32 for place in range(x.numel())]
        mask = (torch.tensor(draws).view(x.shape) >= PROBABILITY).double()
        return x * mask / (1 - PROBABILITY)


def hashed(x: int) -> int:
    """The library's hash of an integer to 32 bits."""
    x = (x * 0x7FEB352D) & LOW
    x ^= x >> 15
    return (x * 0x846CA68B) & LOW


def number_masks(networks: list[nn.Sequential], number: int) -> None:
    """Have the networks drop out with the masks of this number."""
    for dropout in (part for network in networks for part in network if type(part) is Dropout):
        dropout.counter.fill_(number)


class DroQ(Variant):
    """Algorithm 2."""

    targets_wait_for_actor = False

    def make_critic(self) -> nn.Sequential:
        """Linear, dropout, LayerNorm, ReLU for each size (figure 1), then a linear layer."""
        num_inputs, layers = OBSERVATION_SIZE + NUM_ACTIONS, list[nn.Module]()
        for size in self.config.hidden_sizes:
            layers += [nn.Linear(num_inputs, size), Dropout(), nn.LayerNorm(size), nn.ReLU()]
            num_inputs = size
        return nn.Sequential(*layers, nn.Linear(num_inputs, 1))

    def predictions(
        self, index: int, batch: Batch, next_action: Tensor
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Dropout in the targets, too; each forward pass has a mask of its own."""
        now, following = pairs(batch, next_action)
        for target, critic in zip(self.target_critics, self.critics, strict=True):
            target.load_state_dict(dict(target.state_dict()) | dict(critic.named_buffers()))
        number_masks(self.target_critics, 2 * index)
        next_outputs = [target(following) for target in self.target_critics]
        number_masks(self.critics, 2 * index + 1)
        outputs = [critic(now) for critic in self.critics]
        number_masks(self.critics, 2 * index + 2)  # what the actor sees
        return outputs, next_outputs

    def followed(self, values: list[Tensor]) -> Tensor:
        """The mean of the critics (line 11)."""
        return (values[0] + values[1]) / 2


@cache
def recording() -> Recording:
    """Two steps of two environments with twenty updates for each, of which one has the actor."""
    found = recorded("droq", num_steps=6, dropout=PROBABILITY)
    assert [u.name for u in found.updates] == 4 * ["critic_and_actor", *19 * ["critic"]]
    return found


def test_defaults_are_those_of_the_paper() -> None:
    require_defaults(Config(), PAPER)


def test_updates_equal_a_second_writing() -> None:
    compare(recording(), DroQ)


class NoDropoutInTargets(DroQ):
    def predictions(
        self, index: int, batch: Batch, next_action: Tensor
    ) -> tuple[list[Tensor], list[Tensor]]:
        outputs, _ = super().predictions(index, batch, next_action)
        _, following = pairs(batch, next_action)
        return outputs, [without_dropout(target)(following) for target in self.target_critics]


class NoDropoutForTheActor(DroQ):
    def values(self, pair: Tensor) -> list[Tensor]:
        return [self.value(without_dropout(critic)(pair)) for critic in self.critics]


def without_dropout(network: nn.Sequential) -> nn.Sequential:
    return nn.Sequential(*(part for part in network if type(part) is not Dropout))


class ActorFollowsMinimum(DroQ):
    def followed(self, values: list[Tensor]) -> Tensor:
        return Variant.followed(self, values)


@pytest.mark.parametrize("wrong", [NoDropoutInTargets, NoDropoutForTheActor, ActorFollowsMinimum])
def test_comparison_fails_if_the_writing_is_wrong(wrong: type[DroQ]) -> None:
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        compare(recording(), wrong)


def test_masks_drop_about_this_share() -> None:
    ones = torch.ones(100, 40, dtype=torch.float64)
    dropout = Dropout().double()
    kept = (dropout(ones) > 0).double().mean().item()
    error = (PROBABILITY * (1 - PROBABILITY) / 4_000) ** 0.5
    assert kept == pytest.approx(1 - PROBABILITY, abs=4 * error)
