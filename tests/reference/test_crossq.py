"""CrossQ compared with a second writing of its paper (Bhatt et al. 2024, arXiv:1902.05605), with
batch renormalization (Ioffe 2017, arXiv:1702.03275) and, as another case, weight normalization
(Palenicek et al. 2025, arXiv:2502.07523).
"""

from functools import cache

import pytest
import torch
from plain_layers import BatchNorm, give_unit_rows, linear_layers, perceptron
from recorder import OBSERVATION_SIZE, Recording
from sac_variants import NUM_ACTIONS, Batch, Joint, compare, recorded, require_defaults
from torch import Tensor, nn

from footlight.algorithms.crossq import Config

PAPER = {
    "target_network": False, "norm": "batch-renorm", "normalize_input": True,
    "norm_after_activation": True,
    "normalize_actor": True, "num_critics": 2, "hidden_sizes": (2048, 2048),
    "actor_hidden_sizes": (256, 256), "policy_delay": 3, "learning_rate": 1e-3, "adam_beta1": 0.5,
    "gamma": 0.99, "batch_size": 256, "updates_per_step": 1, "learning_starts": 5_000,
    "optimizer": "adam", "actor_rule": "minimum", "target_rule": "minimum",
}  # fmt: skip
WARMUP = 100_000
BEFORE = WARMUP - 3  # batches that the layers have seen before the first update


class BatchRenorm(BatchNorm):
    """Ioffe 2017, algorithm 1: after a warm-up the batch's statistics are corrected by r and d,
    which are clipped to [1/3, 3] and [-5, 5] and have no gradient."""

    num_batches: Tensor

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.register_buffer("num_batches", torch.zeros(()))

    def corrected(self, normal: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        """r (x - mean) / sigma + d."""
        is_warm = self.num_batches >= WARMUP
        self.num_batches.copy_((self.num_batches + 1).clamp(max=WARMUP))
        if not is_warm:
            return normal
        sigma = (self.running_var + 1e-3).sqrt()
        r = ((variance + 1e-3).sqrt() / sigma).clamp(1 / 3, 3).detach()
        d = ((mean - self.running_mean) / sigma).clamp(-5, 5).detach()
        return normal * r + d


class CrossQ(Joint):
    """Algorithm 1 (figure 2): no target networks, and one batch for (s, a) and (s', a')."""

    has_target_critics = False
    norm: type[nn.Module] = BatchRenorm
    has_bias = True

    def make_actor(self) -> nn.Sequential:
        """Batch renormalization of the input and after each ReLU, as in the authors' code."""
        sizes, num_outputs = self.config.actor_hidden_sizes, 2 * NUM_ACTIONS
        return perceptron(OBSERVATION_SIZE, sizes, num_outputs, self.norm, True, self.has_bias)

    def make_critic(self) -> nn.Sequential:
        """The same."""
        num_inputs = OBSERVATION_SIZE + NUM_ACTIONS
        sizes = self.config.hidden_sizes
        return perceptron(num_inputs, sizes, 1, self.norm, True, self.has_bias)


class WithWeightNormalization(CrossQ):
    """The rows of hidden layers, which have no bias, have norm 1 after each step; target networks
    are back, and move at each update."""

    has_target_critics, has_bias = True, False
    targets_wait_for_actor = False

    def after_step(self, networks: list[nn.Sequential]) -> None:
        """Of all layers but the last."""
        for network in networks:
            give_unit_rows(linear_layers(network)[:-1])


def nearly_warm(name: str, value: Tensor) -> None:
    """Let renormalization begin with the fourth batch; some features are so far from their running
    statistics that r or d is clipped."""
    kind, size = name.rpartition(".")[2], value.shape[-1] if value.dim() else 1
    if kind == "num_batches":
        value.fill_(BEFORE)
    elif kind == "running_mean":
        value.copy_(torch.linspace(-2, 2, size))
    else:
        value.copy_(torch.linspace(0.01, 2, size).flip(0))


@cache
def recording() -> Recording:
    return recorded("crossq", prepare=nearly_warm)


@cache
def recording_with_weight_normalization() -> Recording:
    wn = {"unit_weights": "hidden", "target_network": True}
    return recorded("crossq", prepare=nearly_warm, **wn)


def test_defaults_are_those_of_the_paper() -> None:
    require_defaults(Config(), PAPER)
    assert Config(target_network=True).tau == 0.005


def test_updates_equal_a_second_writing() -> None:
    compare(recording(), CrossQ)


def test_updates_from_the_first_batch_equal_a_second_writing() -> None:
    compare(recorded("crossq"), CrossQ)


def test_updates_with_weight_normalization_equal_a_second_writing() -> None:
    compare(recording_with_weight_normalization(), WithWeightNormalization)


def test_weights_have_norm_one_from_the_start() -> None:
    found = recording_with_weight_normalization()
    started = WithWeightNormalization(found.config, found.initial)
    for network in (started.actor, *started.critics, *started.target_critics):
        for layer in linear_layers(network)[:-1]:
            norms = (layer.weight**2).sum(1)
            torch.testing.assert_close(norms, torch.ones_like(norms), rtol=0, atol=1e-6)


def test_both_corrections_are_clipped() -> None:
    """In the first batch already, of which this looks at the input of a critic."""
    layer = CrossQ(recording().config, recording().initial).critics[0][0]
    assert isinstance(layer, BatchRenorm)
    update = recording().updates[0]
    x = torch.cat([update.batch["observation"], update.batch["action"]], 1)
    r = (x.var(0, correction=0) / (layer.running_var + 1e-3)).sqrt()
    d = (x.mean(0) - layer.running_mean) / (layer.running_var + 1e-3).sqrt()
    assert (r > 3).any()
    assert (r < 3).any()
    assert (d.abs() > 5).any()
    assert (d.abs() < 5).any()


class GradientIntoTargets(CrossQ):
    def target(
        self, next_outputs: list[Tensor], batch: Batch, bonus: Tensor, draws: Batch
    ) -> Tensor:
        return super().target(self.attached, batch, bonus, draws)

    def predictions(
        self, index: int, batch: Batch, next_action: Tensor
    ) -> tuple[list[Tensor], list[Tensor]]:
        outputs, self.attached = super().predictions(index, batch, next_action)
        return outputs, self.attached


class NeverWarm(BatchRenorm):
    def corrected(self, normal: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        super().corrected(normal, mean, variance)
        return normal


class PlainBatchNorm(CrossQ):
    norm = NeverWarm


class CriticsInTrainingMode(CrossQ):
    def values(self, pair: Tensor) -> list[Tensor]:
        return [self.value(critic.train()(pair)) for critic in self.critics]


@pytest.mark.parametrize("wrong", [GradientIntoTargets, PlainBatchNorm, CriticsInTrainingMode])
def test_comparison_fails_if_the_writing_is_wrong(wrong: type[CrossQ]) -> None:
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        compare(recording(), wrong)


class AlsoTheLastLayer(WithWeightNormalization):
    def after_step(self, networks: list[nn.Sequential]) -> None:
        for network in networks:
            give_unit_rows(linear_layers(network))


class TargetsWait(WithWeightNormalization):
    targets_wait_for_actor = True


@pytest.mark.parametrize("wrong", [AlsoTheLastLayer, TargetsWait])
def test_comparison_with_weight_normalization_fails(wrong: type[CrossQ]) -> None:
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        compare(recording_with_weight_normalization(), wrong)
