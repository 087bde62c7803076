"""XQC compared with a second writing of its paper (Palenicek et al. 2026, arXiv:2509.25174)."""

from functools import cache

import pytest
import torch
from plain_layers import BatchNorm, give_unit_rows, linear_layers, perceptron
from recorder import OBSERVATION_SIZE, Recording
from sac_variants import NUM_ACTIONS, Categorical, compare, projected, recorded, require_defaults
from torch import Tensor, nn

from footlight.algorithms.xqc import Config
from tolerance import assert_close

PAPER = {
    "norm": "batch", "normalize_input": True, "normalize_actor": True, "unit_weights": "all",
    "hidden_sizes": (512, 512, 512, 512), "actor_hidden_sizes": (256, 256, 256, 256),
    "critic": "categorical", "num_critics": 2, "num_bins": 101, "bin_bound": 5.0,
    "target_rule": "minimum", "target_network": True, "initial_alpha": 0.01,
    "target_entropy_per_action": -0.5, "policy_delay": 3, "delay_targets": False, "tau": 0.005,
    "updates_per_step": 2, "learning_rate": 3e-4, "learning_rate_schedule": "linear",
    "final_learning_rate": 0.1, "gamma": 0.99, "batch_size": 256, "normalize_rewards": True,
    "clip_normalized_reward": None, "learning_starts": 5_000, "optimizer": "adam",
}  # fmt: skip
SIZES = {"hidden_sizes": (8, 8, 8, 8), "actor_hidden_sizes": (6, 6, 6, 6)}


class XQC(Categorical):
    """CrossQ's joint batch with target networks, unit weights and the cross-entropy."""

    targets_wait_for_actor = False
    target_entropy = -NUM_ACTIONS / 2

    def make_actor(self) -> nn.Sequential:
        """BatchNorm, then four times Linear, BatchNorm, ReLU, and an output layer."""
        sizes = self.config.actor_hidden_sizes
        return perceptron(OBSERVATION_SIZE, sizes, 2 * NUM_ACTIONS, BatchNorm)

    def make_critic(self) -> nn.Sequential:
        """The same, with the logits of the bins."""
        num_inputs, sizes = OBSERVATION_SIZE + NUM_ACTIONS, self.config.hidden_sizes
        return perceptron(num_inputs, sizes, self.num_outputs, BatchNorm)

    def share(self, progress: float) -> float:
        """A line from 1 to 1/10."""
        return 1 - 0.9 * progress

    def after_step(self, networks: list[nn.Sequential]) -> None:
        """The rows of all layers, output layers included, get norm 1."""
        for network in networks:
            give_unit_rows(linear_layers(network))


@cache
def recording() -> Recording:
    return recorded("xqc", num_steps=12, **SIZES)


def test_defaults_are_those_of_the_paper() -> None:
    require_defaults(Config(), PAPER)


def test_updates_equal_a_second_writing() -> None:
    compare(recording(), XQC)


def test_weights_have_norm_one_from_the_start() -> None:
    started = XQC(recording().config, recording().initial)
    for network in (started.actor, *started.critics, *started.target_critics):
        for layer in linear_layers(network):
            length = layer.weight.norm(dim=1)
            assert_close(length, torch.ones_like(length), dtype=torch.float32, terms=8)


def test_projection_by_hand() -> None:
    """Between centers, on one, and beyond the last."""
    found = projected([0.25, 1.0, 9.0], [0.5, 0.25, 0.25], (-1.0, 0.0, 1.0, 2.0))
    assert found == [0, 0.375, 0.125 + 0.25, 0.25]


class OutputLayersAreFree(XQC):
    def after_step(self, networks: list[nn.Sequential]) -> None:
        for network in networks:
            give_unit_rows(linear_layers(network)[:-1])


class TargetsByRunningStatistics(XQC):
    def predictions(
        self, index: int, batch: dict[str, Tensor], next_action: Tensor
    ) -> tuple[list[Tensor], list[Tensor]]:
        outputs, _ = super().predictions(index, batch, next_action)
        pair = torch.cat([batch["next_observation"], next_action], 1)
        return outputs, [target.eval()(pair) for target in self.target_critics]


class RateFallsToZero(XQC):
    def share(self, progress: float) -> float:
        return 1 - progress


class ActorFollowsTheMean(XQC):
    def followed(self, values: list[Tensor]) -> Tensor:
        return torch.stack(values).mean(0)


class ActorByRunningStatistics(XQC):
    def update_actor(self, batch: dict[str, Tensor], noise: Tensor) -> None:
        self.actor.train = lambda mode=True: self.actor  # type: ignore[method-assign]
        super().update_actor(batch, noise)


@pytest.mark.parametrize(
    "wrong",
    [
        OutputLayersAreFree, TargetsByRunningStatistics, RateFallsToZero, ActorFollowsTheMean,
        ActorByRunningStatistics,
    ],
)  # fmt: skip
def test_comparison_fails_if_the_writing_is_wrong(wrong: type[XQC]) -> None:
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        compare(recording(), wrong)
