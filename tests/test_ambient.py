"""Settings of torch and of the process have no effect on footlight, and are restored."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from learned_agents import ACTED, FIELDS, SEEN, learned
from variants import DIFFERENT

from footlight import ambient
from footlight.algorithms import ALGORITHMS
from footlight.learning.agent import Agent


@contextlib.contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@contextlib.contextmanager
def product_precision() -> Iterator[None]:
    torch.set_float32_matmul_precision("medium")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision("highest")


@contextlib.contextmanager
def deterministic() -> Iterator[None]:
    torch._C._set_deterministic_algorithms(
        True, warn_only=False
    )  # without the compiler, which the public function imports
    try:
        yield
    finally:
        torch._C._set_deterministic_algorithms(False, warn_only=False)


AMBIENT: dict[str, Any] = {
    "float64": lambda: default_dtype(torch.float64),
    "float16": lambda: default_dtype(torch.float16),
    "meta": lambda: torch.device("meta"),
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "inference": torch.inference_mode,
    "no_grad": torch.no_grad,
    "products": product_precision,
    "deterministic": deterministic,
}


def test_every_algorithm_is_covered() -> None:
    assert FIELDS.keys() == ALGORITHMS.keys()


@pytest.mark.parametrize("name", DIFFERENT)
def test_all_modes_together_change_no_bit(name: str, tmp_path: Path) -> None:
    expected = learned(name, tmp_path / "one")
    with contextlib.ExitStack() as modes:
        for mode in AMBIENT.values():
            modes.enter_context(mode())
        assert learned(name, tmp_path / "two") == expected


@pytest.mark.parametrize("mode", AMBIENT)
def test_each_mode_changes_no_bit_and_is_restored(mode: str, tmp_path: Path) -> None:
    expected = learned("sac", tmp_path / "one")
    with AMBIENT[mode]():
        before = (
            torch.get_default_dtype(),
            torch.get_default_device(),
            torch.get_float32_matmul_precision(),
        )
        assert learned("sac", tmp_path / "two") == expected
        assert before == (
            torch.get_default_dtype(),
            torch.get_default_device(),
            torch.get_float32_matmul_precision(),
        )


def test_networks_are_initialized_without_the_generator_of_the_program(tmp_path: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    Agent("ppo", SEEN, ACTED, compile="off", n_steps=64, minibatch_size=64)
    assert torch.equal(torch.rand(1), expected)


def test_denormals_are_flushed_only_inside() -> None:
    inside = ambient.computes(ambient.flushes_denormals)
    assert not ambient.flushes_denormals()
    assert inside()
    assert not ambient.flushes_denormals()
    try:
        torch.set_flush_denormal(True)
        assert inside()
        assert ambient.flushes_denormals()
        with ambient.process_restored():
            pass
        assert ambient.flushes_denormals()
    finally:
        torch.set_flush_denormal(False)


def test_threads_and_modes_are_restored_after_an_error() -> None:
    @ambient.computes
    def fails() -> None:
        torch.set_num_threads(2)
        assert torch.get_default_dtype() == torch.float32
        raise LookupError

    with default_dtype(torch.float64), contextlib.suppress(LookupError), ambient.process_restored():
        fails()
    assert torch.get_default_dtype() == torch.float32
    assert torch.get_num_threads() == 1
    assert not ambient.flushes_denormals()


def fails() -> None:
    raise RuntimeError("the joint broke")
