"""Times of parts add up to the whole, and each part's is its own."""

import time

import pytest

from footlight.instruments import profile as module
from footlight.instruments.profile import REST, Profile, span_cost


class Clock:
    """Times that pass only when told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.wall = self.cpu = 0
        monkeypatch.setattr(module, "perf_counter_ns", lambda: self.wall)
        monkeypatch.setattr(module, "thread_time_ns", lambda: self.cpu)

    def compute(self, seconds: float) -> None:
        self.wall += int(seconds * 1e9)
        self.cpu += int(seconds * 1e9)

    def wait(self, seconds: float) -> None:
        self.wall += int(seconds * 1e9)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_parts_exclude_what_they_call_and_add_up(clock: Clock) -> None:
    profile = Profile()
    inner = profile.timed("inner", lambda: clock.wait(2))

    def around() -> str:
        clock.compute(1)
        inner()
        inner()
        clock.compute(0.5)
        return "result"

    outer = profile.timed("outer", around)
    clock.compute(0.25)
    assert outer() == "result"
    clock.wait(0.25)
    table = profile.table()
    assert (profile.parts["outer"].wall_ns, profile.parts["outer"].calls) == (1_500_000_000, 1)
    assert (profile.parts["inner"].wall_ns, profile.parts["inner"].calls) == (4_000_000_000, 2)
    assert (profile.rest.wall_ns, profile.rest.cpu_ns) == (500_000_000, 250_000_000)
    rows = [line.split() for line in table.splitlines()]
    assert rows[1] == ["inner", "4.00", "66.7%", "2", "2,000,000.0", "100%"]
    assert rows[2] == ["outer", "1.50", "25.0%", "1", "1,500,000.0", "0%"]
    assert rows[3] == [*REST.split(), "0.50", "8.3%", "50%"]
    assert rows[4][:2] == ["all", "6.00"]
    assert max(map(len, table.splitlines())) < 80


def test_part_that_raises_is_closed(clock: Clock) -> None:
    profile = Profile()

    def failing() -> None:
        clock.compute(1)
        raise KeyError

    with pytest.raises(KeyError):
        profile.timed("failing", failing)()
    clock.compute(2)
    profile.table()
    assert profile.parts["failing"].wall_ns == 1_000_000_000
    assert profile.rest.wall_ns == 2_000_000_000


def test_items_are_measured_where_they_are_made(clock: Clock) -> None:
    profile = Profile()

    def numbers() -> list[int]:
        clock.compute(1)
        return [1, 2]

    found = []
    for number in profile.timed_items("numbers", numbers)():
        clock.compute(10)
        found.append(number)
    assert found == [1, 2]
    profile.table()
    assert profile.parts["numbers"].wall_ns == 1_000_000_000
    assert profile.rest.wall_ns == 20_000_000_000


def test_trace_holds_the_first_calls_and_long_ones(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_EVENTS", 3)
    profile = Profile()
    short = profile.timed("short", lambda: clock.compute(0.001))
    long = profile.timed("long", lambda: clock.compute(0.5))
    for _ in range(5):
        short()
    for _ in range(5):
        long()
    trace = profile.chrome_trace()
    assert [each["name"] for each in trace["traceEvents"]] == ["short"] * 3 + ["long"] * 3
    assert {each["ph"] for each in trace["traceEvents"]} == {"X"}
    assert trace["traceEvents"][1]["ts"] == pytest.approx(1000)
    assert trace["traceEvents"][-1]["dur"] == pytest.approx(5e5)
    assert trace["otherData"]["parts"]["short"]["calls"] == 5


def test_cost_of_a_call_is_measured() -> None:
    before = time.perf_counter()
    assert 0 < span_cost() < time.perf_counter() - before
