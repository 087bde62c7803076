"""torch's threads: how many a run has, and whether they get the cores that they need."""

import time
from collections.abc import Callable
from typing import Any

from footlight.agent import Agent
from footlight.environments.native import cores
from footlight.options import Options

WINDOW = 5.0  # seconds in calls that a judgement is about, at least
CROWDED = 0.6  # share of the time asked for: undisturbed threads, which wait awake, reach more, two runs on the same cores a half


def choose_threads(options: Options, agent: Agent) -> int:
    """Threads in force: from the configuration alone, so that equal runs are equal on equal machines."""
    if options.threads is not None:
        return options.threads
    multiplications = agent.rows_per_update * agent.num_parameters
    return cores() if multiplications >= 20_000_000 else 1  # below, threads wait for each other longer than they work


class CrowdWatch:
    """Notices that other programs want the same cores: the processor time of calls that keep all threads busy falls far below
    their wall time × threads.

    Threads that meet a thousand times a second wait for the one of them that has no core: two runs of two threads each on two
    cores may get an eighth of the steps that they get with one thread each.
    """

    def __init__(
        self, threads: int, say: Callable[[str], None],
        clock: Callable[[], float] = time.perf_counter, processor_clock: Callable[[], float] = time.process_time,
    ) -> None:  # fmt: skip
        self._threads, self._say = threads, say
        self._clock, self._processor_clock = clock, processor_clock
        self._wall = self._processor = 0.0
        self._has_said = False

    def timed(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """`call`, whose time is counted; as it is where there is only one thread, which waits for no other."""
        if self._threads == 1:
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
        share = self._processor / (self._wall * self._threads)
        if share < CROWDED:
            self._has_said = True
            self._say(
                f"{self._threads} threads got {share:.0%} of the processor time that they need - other programs seem to use "
                "the same cores - --threads 1 is likely to be faster"
            )
        self._wall = self._processor = 0.0
