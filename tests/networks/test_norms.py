"""Batch normalization and renormalization: by hand, against PyTorch, alone and in ensembles."""

import copy
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import nn

from footlight.networks.flat import Network
from footlight.networks.norms import BatchNorm, BatchRenorm, Norm, RMSNorm, norm_layer, uses_batches
from tolerance import assert_close, close

FIRST = torch.tensor([[1.0, -2.0], [3.0, 4.0]])  # means 2 and 1, biased variances 1 and 9
SECOND = torch.tensor([[5.0, 0.0], [9.0, 0.0]])  # means 7 and 0, biased variances 4 and 0


def random(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def moved(norm: BatchNorm) -> BatchNorm:
    """With scale and shift away from one and zero."""
    with torch.no_grad():
        norm.weight.copy_(1 + 0.3 * random(*norm.weight.shape))
        norm.bias.copy_(0.5 * random(1 + len(norm.bias))[1:])
    return norm


@pytest.mark.filterwarnings("error")
def test_rms_norm_is_fp32_whatever_the_precision_of_the_products() -> None:
    norm = RMSNorm(2, 1e-6)
    x = torch.tensor([[3.0, 4.0]])  # mean of squares 12.5
    wanted = torch.tensor([[3.0, 4.0]]) / 12.5**0.5
    assert_close(norm(x), wanted, terms=2)
    with torch.autocast("cpu", torch.bfloat16):
        assert_close(norm(x.bfloat16()), wanted, terms=2)


def test_batch_norm_in_training_equals_torch() -> None:
    norm, x = moved(BatchNorm(5)), 3 + 2 * random(16, 5)
    wanted = nn.functional.batch_norm(
        x, None, None, norm.weight, norm.bias, training=True, eps=1e-3
    )
    assert_close(norm(x), wanted, terms=16, depth=4, scale=5)


def test_batch_norm_gradient_equals_torch() -> None:
    norm, x, weights = moved(BatchNorm(5)), 3 + 2 * random(16, 5), random(16, 5)
    mine, theirs = (x.clone().requires_grad_() for _ in range(2))
    (norm(mine) * weights).sum().backward()
    wanted = nn.functional.batch_norm(
        theirs, None, None, norm.weight, norm.bias, training=True, eps=1e-3
    )
    (wanted * weights).sum().backward()
    assert_close(mine.grad, theirs.grad, terms=16, depth=8, scale=5)


@pytest.mark.parametrize("first", [0.0, 10.0])
@pytest.mark.parametrize("center", [0.0, 1e4])
def test_features_far_from_zero_and_an_exceptional_first_row(center: float, first: float) -> None:
    norm, x = moved(BatchNorm(5)), center + random(256, 5)
    x[0] += first  # in standard deviations of the others
    wanted = nn.functional.batch_norm(
        x.double(), None, None, norm.weight.double(), norm.bias.double(), training=True, eps=1e-3
    )
    assert_close(norm(x), wanted.float(), terms=256, depth=4, scale=5 * (1 + first**2))


def test_a_feature_that_is_constant_becomes_the_bias() -> None:
    norm, x = moved(BatchNorm(2)), random(16, 2)
    x[:, 1] = 1e4 / 3
    x.requires_grad_()
    output = norm(x)
    assert output[:, 1].tolist() == [norm.bias[1].item()] * 16
    output.square().sum().backward()
    # sum over the batch of d(y^2) = 2 y dy is 2 b (dy - mean dy) / sqrt(epsilon) = 0 where y is b
    assert x.grad[:, 1].tolist() == close([0.0] * 16, scale=100)


@pytest.mark.parametrize("kind", [BatchNorm, BatchRenorm])
def test_running_statistics_by_hand(kind: type[BatchNorm]) -> None:
    norm = kind(2)
    norm(FIRST)
    # Means 0 + 0.01 * (2, 1); variances 1 + 0.01 * (1 - 1, 9 - 1)
    assert norm.running_mean.tolist() == close([0.02, 0.01])
    assert norm.running_var.tolist() == close([1.0, 1.08])
    norm(SECOND)
    # 0.02 + 0.01 * (7 - 0.02) = 0.0898, 0.01 - 0.01 * 0.01; 1 + 0.01 * 3, 1.08 - 0.01 * 1.08
    assert norm.running_mean.tolist() == close([0.0898, 0.0099], scale=7)
    assert norm.running_var.tolist() == close([1.03, 1.0692], scale=4)


@pytest.mark.parametrize("kind", [BatchNorm, BatchRenorm])
def test_running_statistics_equal_a_loop(kind: type[BatchNorm]) -> None:
    norm, mean, var = kind(3), np.zeros(3), np.ones(3)
    for number in range(20):
        x = number + random(8, 3 + number)[:, :3]
        norm(x)
        for feature in range(3):
            column = x[:, feature].tolist()
            of_batch = sum(column) / 8
            mean[feature] = 0.99 * mean[feature] + 0.01 * of_batch
            of_batch = sum((value - of_batch) ** 2 for value in column) / 8
            var[feature] = 0.99 * var[feature] + 0.01 * of_batch
    assert_close(norm.running_mean, mean, terms=8, depth=20, scale=20)
    assert_close(norm.running_var, var, terms=8, depth=20, scale=20)


@pytest.mark.parametrize("kind", [BatchNorm, BatchRenorm])
def test_outside_training_the_running_statistics_are_used_and_stay(kind: type[BatchNorm]) -> None:
    norm = moved(kind(2)).eval()
    norm.running_mean.copy_(torch.tensor([1.0, -2.0]))
    norm.running_var.copy_(torch.tensor([4.0, 0.25]))
    before = copy.deepcopy(norm.state_dict())
    x = random(6, 2)
    slow = [
        [
            (row[i] - (1.0, -2.0)[i]) / ((4.0, 0.25)[i] + 1e-3) ** 0.5 * norm.weight[i].item()
            + norm.bias[i].item()
            for i in range(2)
        ]
        for row in x.tolist()
    ]
    assert_close(norm(x), np.array(slow), depth=4)
    assert all(torch.equal(value, before[name]) for name, value in norm.state_dict().items())


def test_renormalization_is_batch_normalization_before_warmup_ends() -> None:
    norm, renorm = moved(BatchNorm(3)), BatchRenorm(3, warmup=3)
    renorm.load_state_dict(norm.state_dict(), strict=False)
    for number in range(3):
        x = number + random(8, 3)
        assert_close(renorm(x), norm(x), terms=8, depth=4, scale=5)
    x = 5 + random(8, 3)
    assert (renorm(x) - norm(x)).abs().min() > 0.1


def test_renormalization_by_hand() -> None:
    renorm = BatchRenorm(2, epsilon=0.0, max_r=2.0, max_d=5.0, warmup=0)
    renorm.running_var.copy_(torch.tensor([4.0, 1.0]))
    # Feature 0: deviations 1 and 2, r = 1/2 is not clipped, d = (2 - 0) / 2 = 1. So x is normalized
    # by the running statistics: 1/2 and 3/2.
    # Feature 1: deviations 3 and 1, r = 3 is clipped to 2, d = 1: -1 * 2 + 1 and 1 * 2 + 1
    assert_close(renorm(FIRST), torch.tensor([[0.5, -1.0], [1.5, 3.0]]), depth=4)
    far = BatchRenorm(2, epsilon=0.0, max_r=2.0, max_d=0.5, warmup=0)
    far.running_mean.copy_(torch.tensor([9.0, 0.0]))
    far.running_var.copy_(torch.tensor([16.0, 81.0]))
    # Feature 0: r = 1/4, clipped to 1/2, d = (2 - 9) / 4, clipped to -1/2
    # Feature 1: r = 1/3, clipped to 1/2, d = 1/9
    wanted = torch.tensor([[-1.0, -0.5 + 1 / 9], [0.0, 0.5 + 1 / 9]])
    assert_close(far(FIRST), wanted, depth=4)


def slow_renormalization(renorm: BatchRenorm, x: Any) -> Any:
    """One feature after the other, with Python's numbers."""
    found = np.zeros(x.shape)
    for i in range(x.shape[1]):
        column = x[:, i].tolist()
        mean = sum(column) / len(column)
        var = sum((value - mean) ** 2 for value in column) / len(column)
        sigma = (renorm.running_var[i].item() + 1e-3) ** 0.5
        r = min(max((var + 1e-3) ** 0.5 / sigma, 1 / 3), 3)
        d = min(max((mean - renorm.running_mean[i].item()) / sigma, -5), 5)
        for row, value in enumerate(column):
            normal = (value - mean) / (var + 1e-3) ** 0.5 * r + d
            found[row, i] = normal * renorm.weight[i].item() + renorm.bias[i].item()
    return found


def test_renormalization_equals_a_loop() -> None:
    renorm = cast(BatchRenorm, moved(BatchRenorm(4, warmup=0)))
    for factor in (1.0, 10.0, 0.1):
        x = factor * (1 + random(8, 4))
        wanted = slow_renormalization(renorm, x)
        assert_close(renorm(x), wanted, terms=8, depth=8, scale=float(np.abs(wanted).max() + 5))


def test_no_gradient_flows_through_the_correction() -> None:
    renorm = BatchRenorm(3, warmup=0)
    renorm.running_mean.fill_(0.5)
    renorm.running_var.fill_(2.0)
    x, weights = 1 + random(8, 3), random(8, 3)
    var, mean = torch.var_mean(x, 0, correction=0)
    r = ((var + 1e-3) / 2.001).sqrt()
    d = (mean - 0.5) / 2.001**0.5  # constants
    mine, theirs = (x.clone().requires_grad_() for _ in range(2))
    (renorm(mine) * weights).sum().backward()
    plain = nn.functional.batch_norm(theirs, None, None, training=True, eps=1e-3)
    ((plain * r + d) * weights).sum().backward()
    assert_close(mine.grad, theirs.grad, terms=8, depth=8, scale=5)


def test_batches_are_counted_until_warmup_ends() -> None:
    renorm, counts = BatchRenorm(2, warmup=3), []
    for _ in range(5):
        renorm(FIRST)
        counts.append(renorm.num_batches.item())
    assert counts == [1, 2, 3, 3, 3]
    renorm.eval()(FIRST)
    assert renorm.num_batches == 3


class Normalized(nn.Module):
    def __init__(self, norm: BatchNorm) -> None:
        super().__init__()
        self.layer, self.norm = nn.Linear(3, 4), norm

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.layer(x))


@pytest.mark.parametrize("kind", [BatchNorm, lambda size: BatchRenorm(size, warmup=1)])
@pytest.mark.parametrize("training", [True, False])
def test_ensemble_equals_each_module_by_itself(kind: Any, training: bool) -> None:
    modules = [Normalized(moved(kind(4))) for _ in range(3)]
    network = Network(modules, ensemble=True, keeps_statistics=True)
    statistics_Q = network.initial_statistics
    for number in range(3):  # with renormalization, the last two are after its warm-up
        x = number + random(8, 3)
        before = None if statistics_Q is None else statistics_Q.clone()
        output, after_Q = network.with_statistics(
            network.initial, statistics_Q, x, training=training
        )
        wanted = torch.stack([module.train(training)(x) for module in modules])
        assert_close(output, wanted, terms=8, depth=8, scale=20)
        assert statistics_Q is not None
        assert before is not None
        assert torch.equal(statistics_Q, before)  # the new ones are returned
        named = network.named_state(network.initial, after_Q)
        for index, module in enumerate(modules):
            buffers = dict(module.named_buffers())
            assert_close({name: named[name][index] for name in buffers}, buffers, terms=8, scale=9)
        assert torch.equal(after_Q, before) is not training
        statistics_Q = after_Q


def test_layer_of_each_name() -> None:
    assert norm_layer("none") is None
    kinds: dict[Norm, type[nn.Module]] = {
        "layer": nn.LayerNorm,
        "rms": RMSNorm,
        "batch": BatchNorm,
        "batch-renorm": BatchRenorm,
    }
    for name, kind in kinds.items():
        make = norm_layer(name)
        assert make is not None
        layer = make([6])
        assert type(layer) is kind
        assert {p.shape for p in layer.parameters()} == {(6,)}
        assert layer(random(4, 6)).shape == (4, 6)
        assert uses_batches(name) is name.startswith("batch")
    assert not uses_batches("none")
    for name in ("layer", "rms"):
        make = norm_layer(name, is_affine=False)
        assert make is not None
        assert not list(make([6]).parameters())
