"""Hooks and their clocks: when they are called, and which of them have state."""

import itertools
from collections.abc import Mapping
from typing import Any

import pytest

from footlight.training.hooks import Clock, EveryEpisodes, every, stateful
from footlight.training.loop import Step


def steps(total: int, num_envs: int) -> list[Step]:
    numbers = [*range(0, total, num_envs), total]
    nothing: Any = None
    pairs = itertools.pairwise(numbers)
    return [Step(now, before, now == total, nothing, [], {}) for before, now in pairs]


@pytest.mark.parametrize(
    ("num_envs", "interval", "at_end", "expected"),
    [
        (1, 4, True, [4, 8, 12]),
        (1, 4, False, [4, 8]),
        (3, 4, True, [6, 9, 12]),
        (5, 2, True, [5, 10, 12]),
        (5, 0, True, []),
        (5, 100, True, []),
    ],
)
def test_clock_calls_at_every_multiple_of_its_interval(
    num_envs: int, interval: int, at_end: bool, expected: list[int]
) -> None:
    called: list[int] = []
    hook = every(interval, lambda step: called.append(step.number), at_end=at_end)
    for step in steps(12, num_envs):
        hook(step)
    assert called == expected


def test_clock_of_a_resumed_run_continues_where_it_was() -> None:
    straight: list[int] = []
    resumed: list[int] = []
    for step in steps(20, 3):
        every(4, lambda step: straight.append(step.number))(step)  # a new clock at each step
    clock = every(4, lambda step: resumed.append(step.number))
    for step in steps(20, 3):
        clock(step)
    assert straight == resumed


@pytest.mark.parametrize(
    ("interval", "expected"), [(1, [1, 3, 4]), (2, [3, 4]), (3, [3]), (4, [4]), (0, []), (9, [])]
)
def test_clock_of_episodes(interval: int, expected: list[int]) -> None:
    """Episodes end in the steps 1, 3 (two of them), 4 and 5, the last one."""

    class Log:
        count = 0

    log: Any = Log()
    called: list[int] = []
    hook = EveryEpisodes(interval, log, lambda step: called.append(step.number))
    ended = {1: 1, 3: 2, 4: 1, 5: 1}
    nothing: Any = None
    for number in range(1, 6):
        episodes: Any = [None] * ended.get(number, 0)
        log.count += len(episodes)
        hook(Step(number, number - 1, number == 5, nothing, episodes, {}))
    assert called == expected


class Counter:
    """A hook with state."""

    count = 0

    def __call__(self, step: Step) -> None:
        self.count += 1

    def state(self) -> dict[str, Any]:
        return {"count": self.count}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.count = state["count"]


def test_hooks_with_state_are_found_behind_clocks() -> None:
    counter, other = Counter(), Counter()
    hooks = [counter, lambda step: None, every(10, other), every(10, print)]
    assert stateful(hooks) == [counter, other]
    assert isinstance(hooks[2], Clock)
