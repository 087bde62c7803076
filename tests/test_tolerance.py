"""The tolerance of all tests: it allows rounding in any order of summation, and little more."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tolerance import assert_close, close, largest_intermediate, longest_sum, rounding_error


def sums(values: Any) -> list[float]:
    """One sum in four orders: forwards, backwards, in lanes, in pairs.

    Each operation is rounded to the dtype of `values`.
    """
    lanes = np.zeros(8, values.dtype)
    for start in range(0, len(values), 8):
        lanes = lanes + values[start : start + 8]
    pairs = values
    while len(pairs) > 1:
        pairs = pairs[::2] + pairs[1::2]
    running = [np.add.accumulate(order)[-1] for order in (values, values[::-1], lanes)]
    return [float(total) for total in (*running, pairs[0])]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("terms", [16, 256, 4096])
def test_orders_of_summation_pass_and_an_error_a_hundred_times_larger_does_not(
    dtype: Any, terms: int
) -> None:
    stream, errors = np.random.default_rng(terms), []
    for _ in range(20):
        values = stream.standard_normal(terms).astype(dtype)
        exact, scale = math.fsum(values.tolist()), float(np.abs(np.add.accumulate(values)).max())
        found = sums(values)
        for total in found:
            assert_close(np.array(total, dtype), np.array(exact), terms=terms, scale=scale)
        errors.append(max(abs(total - exact) for total in found) / scale)
    allowed = rounding_error(dtype, terms=terms)
    assert max(errors) < allowed < 100 * max(errors)
    with pytest.raises(AssertionError):
        assert_close(np.array(1 + 100 * max(errors)), np.array(1.0), terms=terms, dtype=dtype)


def test_tolerance_allows_rounding_but_not_a_hundred_times_more() -> None:
    generator = torch.Generator().manual_seed(0)
    network = nn.Sequential(
        nn.Linear(64, 128), nn.Tanh(), nn.Linear(128, 128), nn.Tanh(), nn.Linear(128, 8)
    )
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(
                torch.randn(parameter.shape, generator=generator) / parameter.shape[-1] ** 0.5
            )
        seen = torch.randn(32, 64, generator=generator)
        scale, terms = largest_intermediate(network, seen), longest_sum(network)
        assert terms == 128 / 8
        exact = network.double()(seen.double()).numpy()
        single = [parameter.numpy().astype(np.float32) for parameter in network.parameters()]
    x = seen.numpy()
    for index in (
        0,
        2,
        4,
    ):  # eight sums side by side, of one product after the other: the least that a library does
        products = (x[:, None, :] * single[index]).reshape(len(x), len(single[index]), -1, 8)
        lanes = np.add.accumulate(products, 2)[..., -1, :]
        x = np.add.accumulate(lanes, -1)[..., -1] + single[index + 1]
        x = np.tanh(x) if index < 4 else x
    error = float(np.abs(x - exact).max())
    assert_close(x, exact.astype(np.float32), terms=terms, depth=3, scale=scale)
    assert error < rounding_error(terms=terms, depth=3, scale=scale) < 100 * error
    with pytest.raises(AssertionError):
        assert_close(x + np.float32(100 * error), exact, terms=terms, depth=3, scale=scale)


@pytest.mark.parametrize(
    "wanted",
    [0.3, [0.3, -100.0], np.float32([[0.3], [2]]), torch.tensor([1.0, 3.0]), {"a": torch.ones(2)}],
)
def test_everything_that_holds_numbers_is_compared(wanted: Any) -> None:
    def moved(value: Any, by: float) -> Any:
        if isinstance(value, dict):
            return {name: moved(part, by) for name, part in value.items()}
        return (np.asarray(value, np.float64) * (1 + by)).astype(np.float32)

    assert_close(moved(wanted, 1e-7), wanted, dtype=np.float32)
    with pytest.raises(AssertionError):
        assert_close(moved(wanted, 1e-5), wanted, dtype=np.float32)


def test_larger_differences_are_not_close() -> None:
    assert close(1) == 1 + 3e-7
    assert close(1) != 1 + 1e-6
    assert close(1, np.float64) != 1 + 3e-7
    for found, wanted in (
        (math.nan, 1.0),
        (1.0, math.nan),
        (math.inf, 1.0),
        (np.ones(2), np.ones(3)),
        (np.ones(2), 2.0),
    ):
        with pytest.raises(AssertionError):
            assert_close(found, wanted, dtype=np.float32)


def test_layer_is_measured_by_its_longest_sum_and_largest_output() -> None:
    network = nn.Sequential(nn.Conv2d(2, 3, 5), nn.Flatten(), nn.Linear(3 * 4 * 4, 1))
    assert longest_sum(network) == 7  # 2 * 5 * 5 in eight lanes
    with torch.no_grad():
        network[0].bias.fill_(1000)
    assert 900 < largest_intermediate(network, torch.rand(1, 2, 8, 8)) < 1100 + 50_000
