"""torch's threads: how many a run has, and whether they get the cores that they need."""

import time
from collections.abc import Callable
from typing import Any

from footlight.config.options import Options
from footlight.errors import counted
from footlight.learning.agent import Agent
from footlight.machine import cores

WINDOW = 5.0  # seconds in calls that a judgment is about, at least
CROWDED = 0.7  # cores in use on average: an undisturbed update keeps at least one thread busy all the time


def choose_threads(options: Options, agent: Agent) -> int:
    """Threads in force: from the configuration alone, so that equal runs are equal on equal machines."""
    if options.threads is not None:
        return options.threads
    multiplications = agent.rows_per_update * agent.num_parameters
    return (
        cores() if multiplications >= 20_000_000 else 1
    )  # below, threads wait for each other longer than they work


class CrowdWatch:
    """Notices that other programs want the same cores: the CPU time of updates falls far below their wall time.

    Threads that meet a thousand times a second wait for the one of them that has no core: two runs of two threads each on two
    cores may get an eighth of the steps that they get with one thread each.
    """

    def __init__(
        self, threads: int, device: str, say: Callable[[str], None], num_cores: int | None = None,
        clock: Callable[[], float] = time.perf_counter, processor_clock: Callable[[], float] = time.process_time,
    ) -> None:  # fmt: skip
        self._threads, self._say = threads, say
        self._cores = cores() if num_cores is None else num_cores
        self._watches = (
            threads > 1 and device == "cpu"
        )  # one thread waits for no other, and a GPU keeps one waiting
        self._clock, self._processor_clock = clock, processor_clock
        self._wall = self._processor = 0.0
        self._has_said = False

    def timed(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """`call`, whose time is counted; `call` itself where there is nothing to watch."""
        if not self._watches:
            return call

        def timed_call(*given: Any) -> Any:
            wall, processor = self._clock(), self._processor_clock()
            result = call(*given)
            self._wall += self._clock() - wall
            self._processor += self._processor_clock() - processor
            return result

        return timed_call

    def look(self) -> None:
        """Say it, once, where the threads got too little. Call it now and then."""
        if self._wall < WINDOW or self._has_said:
            return
        if self._threads > self._cores:
            self._has_said = True
            self._say(
                f"{self._threads} threads share {counted(self._cores, 'core')} - they wait for each other - "
                f"--threads {self._cores} is likely to be faster"
            )
        elif self._processor < CROWDED * self._wall:
            self._has_said = True
            share = 100 * self._processor / (self._wall * self._threads)
            self._say(
                f"{self._threads} threads got {share:.0f} % of the CPU time they could use - other programs seem to use "
                "the same cores - --threads 1 is likely to be faster"
            )
        self._wall = self._processor = 0.0
