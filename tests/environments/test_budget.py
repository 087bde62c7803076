"""Limits of probes and trials: their seconds, and their use of process-wide random numbers."""

import itertools
import random
from collections.abc import Callable

import numpy as np
import pytest
import torch

from footlight.environments import budget
from footlight.environments.budget import Budget, TooLong, global_randomness


def seconds_of(*each: float) -> Callable[[], float]:
    """A clock on which the steps of a budget take so long."""
    ticks = itertools.accumulate(each, initial=0.0)
    return itertools.chain.from_iterable(itertools.pairwise(ticks)).__next__


@pytest.mark.parametrize(
    ("each", "stopped_after"),
    [
        ([0.02] * 100, None),
        ([0.2] * 100, budget.JUDGED_STEPS),  # 20 s to come
        ([4.0, *[0.001] * 99], None),  # compiles in its first step
        ([6.0, 6.0, *[0.001] * 98], 2),  # longer than the budget already
    ],
)
def test_budget_stops_as_soon_as_it_will_be_exceeded(
    each: list[float], stopped_after: int | None
) -> None:
    budget, stopped = Budget(100, 10.0, seconds_of(*each)), None
    for number in range(1, 101):
        try:
            with budget.step():
                pass
        except TooLong:
            stopped = number
            break
    assert stopped == stopped_after


def test_message_names_the_expected_duration_and_the_limit() -> None:
    budget = Budget(100, 10.0, seconds_of(11.0))
    with (
        pytest.raises(TooLong, match=r"100 steps would take 11 s, 10 s are allowed"),
        budget.step(),
    ):
        pass


def draw() -> tuple[float, float, float]:
    return random.random(), float(np.random.random()), float(torch.rand(()))


def test_generators_of_the_process_are_restored() -> None:
    restore = global_randomness()
    expected = draw()
    restore()
    assert draw() == expected
