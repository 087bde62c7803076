"""Limits of a start-up probe or trial: its time, and its use of process-wide random numbers."""

import contextlib
import random
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch

JUDGED_STEPS = 10  # after which it is known how long a step takes
SECONDS = 10.0  # that a probe may take


class TooLong(Exception):
    """The steps of a probe or trial would take longer than the budget."""


class Budget:
    """Limits the seconds that the steps of a probe or trial take.

    The time of a step is judged by the median of the first ones, so that an environment which
    compiles something in its first step does not count as slow. Environments of less than 20 ms a
    step are far from the limit, so that their verdict does not depend on the clock.
    """

    def __init__(
        self, steps: int, seconds: float = SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.steps, self.seconds, self._clock = steps, seconds, clock
        self.taken: list[float] = []

    @contextlib.contextmanager
    def step(self) -> Iterator[None]:
        """Around each step and reset. Raises `TooLong` after it."""
        before = self._clock()
        yield
        self.taken.append(self._clock() - before)
        enough = len(self.taken) >= JUDGED_STEPS
        projected = float(np.median(self.taken[:JUDGED_STEPS])) * self.steps if enough else 0.0
        if (longest := max(sum(self.taken), projected)) > self.seconds:
            limit = f"{self.seconds:.0f} s are allowed"
            raise TooLong(f"{self.steps} steps would take {longest:.0f} s, {limit}")


def global_randomness() -> Callable[[], None]:
    """A function that restores the process-wide generators, so that a probe changes no training."""
    python, numpy, pytorch = random.getstate(), np.random.get_state(), torch.get_rng_state()

    def restore() -> None:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(pytorch)

    return restore
