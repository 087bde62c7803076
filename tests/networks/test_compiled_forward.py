"""The compiled forward pass of acting, with a compiler that only calls. Numbers of the real one are
compared in `tests/parity/test_compiled.py`."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from footlight.networks.bodies import ActorCritic, Architecture
from footlight.networks.compiled_forward import CompiledForward
from footlight.networks.flat import Network


def call(function: Callable[..., None], tensors: list[Tensor]) -> Callable[[], None]:
    return lambda: function(*tensors)


def sums(parameters_P: Tensor, observation: Tensor) -> Tensor:
    return observation.sum(1) + parameters_P.sum()


@pytest.fixture
def parameters_P() -> Tensor:
    return torch.ones(4)


@pytest.fixture
def forward(parameters_P: Tensor) -> CompiledForward:
    return CompiledForward(sums, parameters_P, np.zeros((2, 3), np.float32), call)


def test_output_follows_observations_and_parameters(
    parameters_P: Tensor, forward: CompiledForward
) -> None:
    observation = np.arange(6, dtype=np.float32).reshape(2, 3)
    first = forward(observation)
    parameters_P.zero_()
    assert forward(observation).tolist() == [3, 12]
    assert first.tolist() == [7, 16]  # a copy


def test_fits_one_vector_one_shape_and_one_dtype(
    parameters_P: Tensor, forward: CompiledForward
) -> None:
    observation = np.zeros((2, 3), np.float32)
    assert forward.fits(parameters_P, observation)
    assert not forward.fits(parameters_P.clone(), observation)
    assert not forward.fits(parameters_P, observation[:1])
    assert not forward.fits(parameters_P, observation.astype(np.uint8))


def test_network_uses_it_where_it_fits() -> None:
    network = Network([ActorCritic((3,), 2, Architecture((4,), "gelu"))])
    vector_P, calls = network.initial, [0]

    def counting(function: Callable[..., None], tensors: list[Tensor]) -> Callable[[], None]:
        def run() -> None:
            calls[0] += 1
            function(*tensors)

        return run

    network.compile_infer(vector_P, np.zeros((2, 3), np.float32), counting)
    observation = np.ones((3, 3), np.float32)
    output_EH: Any = network.infer(vector_P, observation[:2])  # without the values
    expected_EH, _ = network.infer(vector_P, observation)
    assert calls == [1]
    assert output_EH.shape == (2, 2)
    assert np.array_equal(output_EH, network(vector_P, torch.ones(2, 3))[0].numpy())
    assert expected_EH.shape == (3, 2)


def test_records_and_several_outputs(parameters_P: Tensor) -> None:
    def both(parameters_P: Tensor, observation: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        return observation["image"].sum(1) + parameters_P.sum(), observation["speed"] * 2.0

    records = np.zeros(2, [("image", np.uint8, 3), ("speed", np.float32)])
    forward = CompiledForward(both, parameters_P, records, call)
    seen = records.copy()
    seen["image"][1], seen["speed"] = 5, (1, -3)
    assert forward.fits(parameters_P, seen)
    assert not forward.fits(parameters_P, seen[:1])
    sums, doubled = forward(seen)
    assert sums.tolist() == [4, 19]
    assert doubled.tolist() == [2, -6]
