"""The number of torch's threads, and a warning if they do not get the cores they need."""

import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from footlight.config.options import Options
from footlight.config.tuning import tuning
from footlight.errors import counted
from footlight.learning.agent import Agent
from footlight.machine import all_cores, cores

P = ParamSpec("P")
T = TypeVar("T")

WINDOW = 5.0  # seconds of measured calls before the first judgment
# Cores in use on average. An undisturbed update keeps at least one thread busy all the time.
CROWDED = 0.7


def choose_threads(options: Options, agent: Agent) -> int:
    """The number of threads, from the configuration and the machine's tuning alone."""
    if options.threads is not None:
        return options.threads
    return min(_threads_alone(agent), cores())


def threads_notices(options: Options, agent: Agent) -> list[str]:
    """A line for a run that shares its cores and so has fewer threads than by itself, if it has."""
    alone, share = _threads_alone(agent), choose_threads(options, agent)
    if options.threads is not None or share == alone:
        return []
    return [
        f"{counted(share, 'thread')}, as several runs share {counted(all_cores(), 'core')}: a run "
        f"by itself has {alone} and rounds differently; --threads {alone} trains fewer at a time"
    ]


def _threads_alone(agent: Agent) -> int:
    return tuning().threads_for(agent.learner.rows_per_update * agent.num_parameters)


class CoreWatch:
    """Detects that other programs use the same cores, so that updates get too little CPU time.

    Threads that meet a thousand times a second wait for the one of them that has no core: two runs
    of two threads each on two cores can drop to an eighth of the steps of one thread each.
    """

    def __init__(
        self,
        threads: int,
        device: str,
        notify: Callable[[str], None],
        num_cores: int | None = None,
        clock: Callable[[], float] = time.perf_counter,
        processor_clock: Callable[[], float] = time.process_time,
    ) -> None:
        self._threads, self._notify = threads, notify
        self._cores = cores() if num_cores is None else num_cores
        # One thread waits for no other, and a GPU keeps one waiting.
        self._watches = threads > 1 and device == "cpu"
        self._clock, self._processor_clock = clock, processor_clock
        self._wall = self._processor = 0.0
        self._has_notified = False

    def timed(self, call: Callable[P, T]) -> Callable[P, T]:
        """Return `call` with its time measured; `call` itself if there is nothing to watch."""
        if not self._watches:
            return call

        def timed_call(*args: P.args, **kwargs: P.kwargs) -> T:
            wall, processor = self._clock(), self._processor_clock()
            result = call(*args, **kwargs)
            self._wall += self._clock() - wall
            self._processor += self._processor_clock() - processor
            return result

        return timed_call

    def check(self) -> None:
        """Print a warning, once, if the threads got too little CPU time. Call it now and then."""
        if self._wall < WINDOW or self._has_notified:
            return
        if self._threads > self._cores:
            self._has_notified = True
            self._notify(
                f"{self._threads} threads share {counted(self._cores, 'core')} - they wait for "
                f"each other - --threads {self._cores} is likely to be faster"
            )
        elif self._processor < CROWDED * self._wall:
            self._has_notified = True
            share = 100 * self._processor / (self._wall * self._threads)
            self._notify(
                f"{self._threads} threads got {share:.0f} % of the CPU time they could use - "
                "other programs seem to use the same cores - --threads 1 is likely to be faster"
            )
        self._wall = self._processor = 0.0
