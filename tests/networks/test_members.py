"""The modules of a network: which are refused, their tensors side by side, and several names."""

import pytest
import torch
from torch import nn

from footlight.errors import UserError
from footlight.networks.bodies import Architecture, QCritic
from footlight.networks.flat import Network
from footlight.networks.members import aliases, paths, stacked


@pytest.mark.parametrize(
    ("part", "name"),
    [
        (nn.BatchNorm1d(3), "BatchNorm1d"),
        (nn.SyncBatchNorm(3), "SyncBatchNorm"),
        (nn.Dropout(0.1), "Dropout"),
        (nn.Dropout2d(0.1), "Dropout2d"),
        (nn.AlphaDropout(0.1), "AlphaDropout"),
        (nn.InstanceNorm1d(3, track_running_stats=True), "InstanceNorm1d"),
        (nn.RReLU(), "RReLU"),  # draws its slopes
    ],
)
def test_hidden_state_is_refused(part: nn.Module, name: str) -> None:
    with pytest.raises(UserError, match=rf"part '1\.0' is a {name}"):
        Network([nn.Sequential(nn.Linear(3, 3), nn.Sequential(part))])


def test_random_layers_are_refused_even_where_statistics_are_kept() -> None:
    Network([nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))], keeps_statistics=True)
    with pytest.raises(UserError, match="part '1' is a Dropout"):
        Network([nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.1))], keeps_statistics=True)


def test_ensemble_of_different_shapes_is_refused() -> None:
    critics = [QCritic((3,), 2, Architecture(sizes)) for sizes in ((8, 4), (8, 4), (8, 5))]
    with pytest.raises(UserError, match="differ in shape"):
        Network(critics, ensemble=True)


def test_ensemble_whose_buffers_differ_is_refused() -> None:
    """Every copy would be run with the buffers of the first."""

    class RandomFeatures(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(8, 1)
            self.register_buffer("directions", torch.randn(3, 8))

        def forward(self, observation: torch.Tensor) -> torch.Tensor:
            return self.linear((observation @ self.directions).cos())

    with pytest.raises(UserError, match="directions"):
        Network([RandomFeatures(), RandomFeatures()], ensemble=True)


def test_stacked_tensors_have_a_leading_dimension_in_an_ensemble_only() -> None:
    named = [{"a": torch.full((2,), float(n)), "b": torch.zeros(())} for n in (1, 2, 3)]
    assert stacked(named, True)["a"].tolist() == [[1, 1], [2, 2], [3, 3]]
    assert stacked(named, True)["b"].shape == (3,)
    assert stacked(named[:1], False)["a"].tolist() == [1, 1]


def test_stacked_shapes_need_no_numbers() -> None:
    parts = [{"a": torch.empty(4, 5, device="meta")}] * 2
    found = stacked(parts, True)["a"]
    assert found.is_meta
    assert found.shape == (2, 4, 5)


class Shared(nn.Module):
    """One layer in two places, and one weight in two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.other = nn.Linear(3, 3), nn.Linear(3, 3)
        self.again = self.first
        self.other.weight = self.first.weight


def test_paths_are_all_names_of_a_parameter() -> None:
    assert paths(Shared()) == {
        "first.weight": ["first.weight", "other.weight", "again.weight"],
        "first.bias": ["first.bias", "again.bias"],
        "other.bias": ["other.bias"],
    }


def test_aliases_are_those_of_other_modules() -> None:
    assert aliases(Shared()) == {"other.weight": "first.weight"}
    assert aliases(nn.Linear(3, 3)) == {}
