"""The circumstances in which methods of an algorithm in ordinary PyTorch are called."""

import contextlib
import random
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import nn


@contextlib.contextmanager
def seeded(seed: int, device: torch.device, everywhere: bool = False) -> Iterator[None]:
    """Draw random numbers from this seed inside of the context, and restore the generators
    afterwards: what they draw is then a function of the run's seed.

    everywhere: the global generators of NumPy and Python, too, and not of torch alone.
    """
    devices = [] if device.type == "cpu" else [torch.cuda.current_device()]
    others = other_generators() if everywhere else None
    with torch.random.fork_rng(devices=devices):
        torch.default_generator.manual_seed(seed)
        if devices:
            torch.cuda.manual_seed(seed)
        if everywhere:
            random.seed(seed)
            np.random.seed(seed % 2**32)
        try:
            yield
        finally:
            if others is not None:
                random.setstate(others[0])
                np.random.set_state(others[1])


def other_generators() -> tuple[Any, Any]:
    """The states of Python's and of NumPy's global generators."""
    return random.getstate(), np.random.get_state(legacy=False)


def positions() -> tuple[Any, ...]:
    """Where these generators are, to be compared."""
    own, numpys = other_generators()
    return own, numpys["state"]["pos"], numpys["state"]["key"].tobytes()


@contextlib.contextmanager
def evaluating(modules: Iterable[nn.Module]) -> Iterator[None]:
    """The modules in evaluation mode, as for acting: no dropout, running statistics."""
    training = [part for module in modules for part in module.modules() if part.training]
    for part in training:
        part.training = False
    try:
        yield
    finally:
        for part in training:
            part.training = True
