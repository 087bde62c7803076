"""Random numbers and modes of modules while methods of an author's are called."""

import random

import numpy as np
import torch
from torch import nn

from footlight.algorithms.author_calls import evaluating, positions, seeded

CPU = torch.device("cpu")


def drawn() -> tuple[float, float, float]:
    return float(torch.rand(())), random.random(), float(np.random.rand())


def test_all_generators_are_those_of_the_seed_and_come_back() -> None:
    before, of_torch = positions(), torch.get_rng_state()
    found = []
    for _ in range(2):
        with seeded(2**62, CPU, everywhere=True):
            found.append(drawn())
    assert found[0] == found[1]
    assert positions() == before
    assert torch.equal(torch.get_rng_state(), of_torch)


def test_the_other_generators_are_left_alone_unless_asked_for() -> None:
    with seeded(1, CPU):
        before = positions()
        random.random()
        assert positions() != before
        before = positions()
        np.random.rand()
        assert positions() != before


def test_modules_are_evaluated_inside_alone() -> None:
    modules = [nn.Sequential(nn.Dropout()), nn.BatchNorm1d(2).eval()]
    with evaluating(modules):
        assert not any(part.training for module in modules for part in module.modules())
    assert [module.training for module in modules] == [True, False]
    assert modules[0].get_submodule("0").training
