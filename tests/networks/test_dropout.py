"""Dropout: shares in standard errors, masks that are part of the state, and the hash."""

import copy
import math

import pytest
import torch
from torch import nn

from footlight.networks.bodies import Architecture, QCritic
from footlight.networks.dropout import Dropout, hashed
from footlight.networks.flat import Network
from tolerance import assert_close

ONES = torch.ones(64, 32)


def layer(p: float = 0.5, seed: int = 0) -> Dropout:
    torch.manual_seed(seed)
    return Dropout(p)


@pytest.mark.parametrize("p", [0.01, 0.1, 0.5, 0.9])
def test_share_of_zeros(p: float) -> None:
    dropout, num_calls = layer(p), 50
    zeros = sum(int((dropout(ONES) == 0).sum()) for _ in range(num_calls))
    count = num_calls * ONES.numel()
    assert abs(zeros - p * count) < 5 * math.sqrt(count * p * (1 - p))


def test_each_place_and_each_pair_of_places_is_dropped_as_often() -> None:
    dropout, num_calls = layer(0.3), 2000
    masks = torch.stack([(dropout(torch.ones(4, 8)) == 0).flatten() for _ in range(num_calls)])
    shares = masks.float().mean(0)
    assert (shares - 0.3).abs().max() < 5 * math.sqrt(0.3 * 0.7 / num_calls)
    both = (masks.float().T @ masks.float()) / num_calls
    apart = both[~torch.eye(32, dtype=torch.bool)]
    assert (apart - 0.09).abs().max() < 5 * math.sqrt(0.09 * 0.91 / num_calls)


def test_what_is_left_is_scaled() -> None:
    x = torch.randn(8, 16)
    out = layer(0.2)(x)
    kept = out != 0
    assert 0 < kept.sum() < kept.numel()
    assert_close(out[kept], x[kept] / 0.8)


def test_outside_training_nothing_happens() -> None:
    dropout = layer().eval()
    before = copy.deepcopy(dropout.state_dict())
    assert torch.equal(dropout(ONES), ONES)
    assert all(torch.equal(value, before[name]) for name, value in dropout.state_dict().items())


def share_of_equal(first: torch.Tensor, second: torch.Tensor) -> float:
    return float(((first == 0) == (second == 0)).float().mean())


def require_independent(first: torch.Tensor, second: torch.Tensor) -> None:
    """Masks of p = 0.5 agree in half of the places."""
    assert abs(share_of_equal(first, second) - 0.5) < 5 * 0.5 / math.sqrt(first.numel())


def test_calls_and_layers_have_masks_of_their_own() -> None:
    first, second = layer(seed=0), layer(seed=1)
    assert first.seed != second.seed
    calls = [first(ONES), first(ONES), second(ONES), second(ONES)]
    for index, one in enumerate(calls):
        for other in calls[:index]:
            require_independent(one, other)


def test_layers_and_members_of_an_ensemble_have_masks_of_their_own() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(()))
            self.first, self.second = Dropout(0.5), Dropout(0.5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.scale * torch.stack([self.first(x), self.second(x)])

    torch.manual_seed(0)
    modules = [Twice() for _ in range(3)]
    network = Network(modules, ensemble=True, keeps_statistics=True)
    output, after_Q = network.with_statistics(
        network.initial, network.initial_statistics, ONES, training=True
    )
    masks = output.flatten(0, 1)
    for index, one in enumerate(masks):
        for other in masks[:index]:
            require_independent(one, other)
    alone = torch.stack([module.train()(ONES) for module in modules])
    assert torch.equal(output, alone)  # the same as those of each module by itself
    again, _ = network.with_statistics(network.initial, after_Q, ONES, training=True)
    require_independent(output, again)
    quiet, same_Q = network.with_statistics(network.initial, after_Q, ONES)
    assert torch.equal(quiet, torch.ones_like(quiet))
    assert torch.equal(same_Q, after_Q)


def test_same_counter_and_seed_give_the_same_masks() -> None:
    dropout = layer()
    dropout(ONES)
    state = copy.deepcopy(dropout.state_dict())
    straight = [dropout(ONES) for _ in range(3)]
    resumed = layer(seed=5)
    resumed.load_state_dict(state)
    assert all(torch.equal(resumed(ONES), wanted) for wanted in straight)


def test_counter_starts_again_after_the_largest_exact_float() -> None:
    dropout = layer()
    first = dropout(ONES)
    dropout.counter.fill_(2**24 - 1)
    assert dropout.counter == 2**24 - 1
    dropout(ONES)
    assert dropout.counter == 0
    assert torch.equal(dropout(ONES), first)
    assert dropout.counter == 1


def hashed_by_python(x: int) -> int:
    x = x * 0x7FEB352D % 2**32
    x ^= x >> 15
    return x * 0x846CA68B % 2**32


def restored(x: int) -> int:
    """The inverse: of each multiplication modulo 2^32, and of the shift."""
    x = x * pow(0x846CA68B, -1, 2**32) % 2**32
    x ^= x >> 15 ^ x >> 30
    return x * pow(0x7FEB352D, -1, 2**32) % 2**32


SAMPLE = [0, 1, 2, 3, 255, 2**16, 2**31 - 1, 2**31, 2**32 - 1] + [
    each * 2654435761 % 2**32 for each in range(1000)
]


def hashed_unsigned(numbers: list[int]) -> list[int]:
    """The hash of int32, of and as numbers from 0 to 2^32 - 1."""
    signed = torch.tensor(numbers, dtype=torch.int64).to(torch.int32)
    return [int(x) % 2**32 for x in hashed(signed)]


def test_hash_equals_pythons() -> None:
    assert hashed_unsigned(SAMPLE) == [hashed_by_python(x) for x in SAMPLE]


def test_hash_is_a_bijection_of_32_bits() -> None:
    assert [restored(x) for x in hashed_unsigned(SAMPLE)] == SAMPLE
    assert hashed(torch.arange(2**20, dtype=torch.int32)).unique().numel() == 2**20


def test_masks_equal_pythons() -> None:
    dropout, x = layer(0.3), torch.ones(3, 5)
    dropout.counter.fill_(9)
    key = (9 * 0x9E3779B1 ^ int(dropout.seed) * 0x85EBCA6B) % 2**32
    # As signed numbers of 32 bits, from the smallest to the largest
    is_zero = [(hashed_by_python(place ^ key) ^ 2**31) / 2**32 < 0.3 for place in range(15)]
    assert (dropout(x) == 0).flatten().tolist() == is_zero


def test_dropout_lies_between_a_hidden_layer_and_its_norm() -> None:
    critic = QCritic((3,), 1, Architecture((8, 8), norm="layer", dropout=0.1))
    kinds = [nn.Linear, Dropout, nn.LayerNorm, nn.ReLU] * 2 + [nn.Linear]
    assert [type(part) for part in critic.body] == kinds
    seeds = {float(part.seed) for part in critic.body if isinstance(part, Dropout)}
    assert len(seeds) == 2
