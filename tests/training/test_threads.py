"""Threads that get too few cores are noticed, by the clocks alone."""

from typing import Any

import pytest

from footlight.training.threads import CoreWatch


class Clocks:
    """Wall time and processor time, which pass when a call is made."""

    def __init__(self, processor_seconds: float) -> None:
        self.wall = self.processor = 0.0
        self.processor_seconds = processor_seconds

    def call(self, *given: Any) -> Any:
        self.wall += 1.0
        self.processor += self.processor_seconds
        return given


@pytest.mark.parametrize(
    ("processor_seconds", "says"), [(0.3, True), (0.6, True), (1.0, False), (2.0, False)]
)
def test_too_little_processor_time_is_warned_about_once(
    processor_seconds: float, says: bool
) -> None:
    said: list[str] = []
    clocks = Clocks(processor_seconds)
    watch = CoreWatch(2, "cpu", said.append, 2, lambda: clocks.wall, lambda: clocks.processor)
    timed = watch.timed(clocks.call)
    for number in range(30):
        assert timed(number, "x") == (number, "x")
        clocks.wall += 100.0  # between the calls: environments, evaluations
        watch.check()
        assert len(said) == (says and number >= 4)
    if says:
        assert "--threads 1" in said[0]
        assert f"{50 * processor_seconds:.0f} %" in said[0]


@pytest.mark.parametrize(("threads", "device"), [(1, "cpu"), (2, "cuda")])
def test_one_thread_or_a_gpu_is_not_watched(threads: int, device: str) -> None:
    clocks = Clocks(0.1)
    assert CoreWatch(threads, device, print, 2).timed(clocks.call) == clocks.call


def test_more_threads_than_cores_are_told() -> None:
    said: list[str] = []
    clocks = Clocks(2.0)
    watch = CoreWatch(8, "cpu", said.append, 2, lambda: clocks.wall, lambda: clocks.processor)
    timed = watch.timed(clocks.call)
    for _ in range(20):
        timed()
        watch.check()
    assert said == [
        "8 threads share 2 cores - they wait for each other - --threads 2 is likely to be faster"
    ]


def test_crowding_that_begins_later_is_noticed() -> None:
    said: list[str] = []
    clocks = Clocks(2.0)
    watch = CoreWatch(2, "cpu", said.append, 2, lambda: clocks.wall, lambda: clocks.processor)
    timed = watch.timed(clocks.call)
    for number in range(40):
        clocks.processor_seconds = 2.0 if number < 20 else 0.3
        timed()
        watch.check()
        assert bool(said) == (number >= 24)
