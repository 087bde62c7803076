"""Weights of constant norm: which rows, which scales, alone and in ensembles."""

from typing import Any

import pytest
import torch
from torch import nn

from footlight.networks.bodies import Architecture, GaussianActor, QCritic
from footlight.networks.flat import Network
from footlight.networks.norms import BatchNorm, RMSNorm
from footlight.networks.unit_weights import UnitWeights, restore_norms_
from tolerance import assert_close, close

KINDS: list[UnitWeights] = ["hidden", "all", "all-and-norms"]


def architecture(kind: UnitWeights, **fields: Any) -> Architecture:
    return Architecture((8, 8), unit_weights=kind, **fields)


def network_of(modules: list[nn.Module], ensemble: bool = False) -> tuple[Network, torch.Tensor]:
    torch.manual_seed(1)
    network = Network(modules, ensemble=ensemble, keeps_statistics=True)
    return network, network.initial + 0.5 * torch.randn_like(network.initial)


def slow_rows(weight: torch.Tensor) -> list[list[float]]:
    return [[x / sum(y * y for y in row) ** 0.5 for x in row] for row in weight.tolist()]


def test_by_hand() -> None:
    module = nn.Sequential(nn.Linear(2, 2), BatchNorm(2), nn.RMSNorm(2), nn.Linear(2, 1))
    views = {name: p.detach().clone() for name, p in module.named_parameters()}
    views["0.weight"].copy_(torch.tensor([[3.0, 4.0], [0.0, -2.0]]))
    views["0.bias"].fill_(7.0)
    views["1.weight"].copy_(torch.tensor([2.0, 2.0]))
    views["1.bias"].copy_(torch.tensor([0.0, 1.0]))
    views["2.weight"].copy_(torch.tensor([6.0, 8.0]))
    views["3.weight"].copy_(torch.tensor([[0.6, 0.8]]) * 5)
    restore_norms_(module, views, "all-and-norms")
    assert_close(views["0.weight"], torch.tensor([[0.6, 0.8], [0.0, -1.0]]))
    assert views["0.bias"].tolist() == [7, 7]
    # 4 + 4 + 0 + 1 = 9 becomes 2: times sqrt(2) / 3. 36 + 64 = 100 becomes 2: times sqrt(2) / 10
    assert_close(views["1.weight"], torch.tensor([2.0, 2.0]) * 2**0.5 / 3, depth=4)
    assert_close(views["1.bias"], torch.tensor([0.0, 1.0]) * 2**0.5 / 3, depth=4)
    assert_close(views["2.weight"], torch.tensor([0.6, 0.8]) * 2**0.5, depth=4)
    assert_close(views["3.weight"], torch.tensor([[0.6, 0.8]]))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("body", ["mlp", "residual", "residual-post-norm"])
@pytest.mark.parametrize("norm", ["none", "layer", "rms", "batch", "batch-renorm"])
def test_rows_have_norm_one(kind: UnitWeights, body: Any, norm: Any) -> None:
    actor = GaussianActor((3,), 2, architecture(kind, body=body, norm=norm))
    network, vector_P = network_of([actor])
    before = {name: view.clone() for name, view in network.unflatten(vector_P).items()}
    restore_norms_(network.module, network.unflatten(vector_P), kind)
    after, parts = network.unflatten(vector_P), dict(actor.named_modules())
    linears = [name for name, part in parts.items() if isinstance(part, nn.Linear)]
    for name in linears:
        weight = f"{name}.weight"
        if name == linears[-1] and kind == "hidden":
            assert torch.equal(after[weight], before[weight])
        else:
            wanted = torch.tensor(slow_rows(before[weight]))
            assert_close(after[weight], wanted, terms=32, depth=4)
    for name, value in after.items():
        part = parts[name.rsplit(".", 1)[0]]
        is_scaled = kind == "all-and-norms" and isinstance(part, BatchNorm | nn.RMSNorm)
        if not isinstance(part, nn.Linear) and not is_scaled:
            assert torch.equal(value, before[name])
    assert torch.equal(after[f"{linears[-1]}.bias"], before[f"{linears[-1]}.bias"])


def test_scales_and_shifts_have_the_root_of_their_size() -> None:
    fields: dict[str, Any] = {"body": "residual-post-norm", "norm": "batch"}
    critics: list[nn.Module] = [
        QCritic((3,), 2, architecture("all-and-norms", **fields)) for _ in range(3)
    ]
    network, vector_P = network_of(critics, ensemble=True)
    before = {name: view.clone() for name, view in network.unflatten(vector_P).items()}
    restore_norms_(network.module, network.unflatten(vector_P), "all-and-norms")
    after, kinds = network.unflatten(vector_P), set()
    for name, part in critics[0].named_modules():
        if not isinstance(part, BatchNorm | nn.RMSNorm):
            continue
        kinds.add(type(part))
        own = [f"{name}.{each}" for each, _ in part.named_parameters()]
        for member in range(3):
            old = torch.cat([before[each][member] for each in own])
            new = torch.cat([after[each][member] for each in own])
            root = len(part.weight) ** 0.5
            assert new.norm().item() == close(root, terms=64)
            assert_close(new, old * root / old.norm(), terms=64)  # the same direction
    assert kinds == {BatchNorm, RMSNorm}


@pytest.mark.parametrize("kind", KINDS)
def test_ensemble_equals_each_module_by_itself(kind: UnitWeights) -> None:
    critics: list[nn.Module] = [
        QCritic((3,), 2, architecture(kind, norm="batch")) for _ in range(3)
    ]
    network, vector_P = network_of(critics, ensemble=True)
    views = {name: view.clone() for name, view in network.unflatten(vector_P).items()}
    restore_norms_(network.module, network.unflatten(vector_P), kind)
    for member in range(3):
        alone = {name: view[member].clone() for name, view in views.items()}
        restore_norms_(critics[member], alone, kind)
        found = {name: view[member] for name, view in network.unflatten(vector_P).items()}
        assert_close(found, alone, terms=16)


def test_none_changes_nothing() -> None:
    network, vector_P = network_of([QCritic((3,), 2, architecture("none", norm="batch"))])
    before = vector_P.clone()
    restore_norms_(network.module, network.unflatten(vector_P), "none")
    assert torch.equal(vector_P, before)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_zeros_stay(kind: UnitWeights) -> None:
    network, vector_P = network_of([QCritic((3,), 2, architecture(kind, norm="batch"))])
    vector_P.zero_()
    restore_norms_(network.module, network.unflatten(vector_P), kind)
    assert not vector_P.any()


@pytest.mark.parametrize("kind", KINDS)
def test_networks_start_with_these_norms(kind: UnitWeights) -> None:
    network, _ = network_of([QCritic((3,), 2, architecture(kind))])
    initial = network.initial.clone()
    vector_P, statistics_Q = network.start(kind)
    assert statistics_Q is None
    assert network.unflatten(vector_P)["body.0.weight"].norm(dim=-1).tolist() == close([1.0] * 8)
    assert torch.equal(network.initial, initial)  # a copy
    again = vector_P.clone()
    restore_norms_(network.module, network.unflatten(again), kind)
    assert_close(again, vector_P)


@pytest.mark.parametrize("kind", KINDS)
def test_hidden_layers_have_no_bias(kind: UnitWeights) -> None:
    critic = QCritic((3,), 2, architecture(kind))
    linears = [part for part in critic.modules() if isinstance(part, nn.Linear)]
    assert [part.bias is None for part in linears] == [True, True, False]
