"""Where the time of a run goes, part by part: `--profile`."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from time import perf_counter_ns, thread_time_ns
from typing import Any

MAX_EVENTS = 10_000  # of a trace, from its beginning; later ones only if they are long
LONG_NS = 10_000_000  # spans of the trace that are kept also after that many, and as many again
REST = "the loop itself"
_TRIALS = 2_000  # empty spans, by which a span's own cost is measured


@dataclass
class Part:
    """The time of one part of a run, without that of the parts inside of it."""

    wall_ns: int = 0
    cpu_ns: int = 0
    """How much of it the calling thread computed; in the rest of it, it waited."""
    calls: int = 0


class Profile:
    """Measures functions, each as a part of a whole that begins when this is made.

    A part's time does not contain that of other parts that it calls, so all of them and the rest
    add up to the whole.
    """

    def __init__(self) -> None:
        self.parts: dict[str, Part] = {}
        self.rest = Part()
        self.events: list[tuple[str, int, int]] = []
        """The first calls, and later long ones: name, start and duration in nanoseconds."""
        self._open: list[Part] = []
        self._long = self._spans = 0
        self._began = self._wall = perf_counter_ns()
        self._cpu = thread_time_ns()

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, measured as the part of this name."""
        self.parts.setdefault(name, Part())

        def measured(*args: Any, **kwargs: Any) -> Any:
            began = self._enter(name)
            try:
                return function(*args, **kwargs)
            finally:
                self._leave(name, began)

        return measured

    def timed_items(
        self, name: str, function: Callable[..., Iterable[Any]]
    ) -> Callable[..., Iterator[Any]]:
        """The function, measured where its result's items are made, not where they are used."""
        self.parts.setdefault(name, Part())

        def measured(*args: Any, **kwargs: Any) -> Iterator[Any]:
            items, end = self.timed(name, lambda: iter(function(*args, **kwargs)))(), object()
            following = self.timed(name, lambda: next(items, end))
            while (item := following()) is not end:
                yield item

        return measured

    def _enter(self, name: str) -> int:
        self._switch()
        self._open.append(self.parts[name])
        return self._wall

    def _leave(self, name: str, began: int) -> None:
        self._switch()
        self._open.pop().calls += 1
        self._spans += 1
        duration = self._wall - began
        if self._spans > MAX_EVENTS:
            if duration < LONG_NS or self._long == MAX_EVENTS:
                return
            self._long += 1
        self.events.append((name, began, duration))

    def _switch(self) -> None:
        """Add the time since the last switch to the innermost part."""
        wall, cpu = perf_counter_ns(), thread_time_ns()
        part = self._open[-1] if self._open else self.rest
        part.wall_ns += wall - self._wall
        part.cpu_ns += cpu - self._cpu
        self._wall, self._cpu = wall, cpu

    def table(self) -> str:
        """The parts by their share, in lines of at most 79 characters."""
        self._switch()
        rows = [*self.parts.items(), (REST, self.rest)]
        rows = sorted((row for row in rows if row[1].wall_ns), key=lambda row: -row[1].wall_ns)
        whole = sum(part.wall_ns for _, part in rows) or 1
        lines = ["where the time went     seconds   share       calls     us/call   waiting"]
        for name, part in rows:
            waited = max(0.0, 1 - part.cpu_ns / part.wall_ns)
            counts = f"{'':>12}{'':>12}"
            if part.calls:
                counts = f"{part.calls:>12,}{part.wall_ns / part.calls / 1e3:>12,.1f}"
            seconds, share = part.wall_ns / 1e9, part.wall_ns / whole
            lines.append(f"{name:<20}{seconds:>11,.2f}{share:>8.1%}{counts}{waited:>10.0%}")
        own = self._spans * span_cost()
        lines.append(f"{'all':<20}{whole / 1e9:>11,.2f}   of which the measurement: {own:.2f} s")
        return "\n".join(lines)

    def chrome_trace(self) -> dict[str, Any]:
        """The calls in Chrome's trace event format, for ui.perfetto.dev or chrome://tracing, and
        all parts."""
        events = [
            {
                "name": name, "cat": "footlight", "ph": "X", "pid": 1, "tid": 1,
                "ts": (began - self._began) / 1e3, "dur": duration / 1e3,
            }
            for name, began, duration in self.events
        ]  # fmt: skip
        about = f"the first {MAX_EVENTS:,} calls, then those of at least {LONG_NS / 1e6:.0f} ms"
        parts = {name: vars(part) for name, part in [*self.parts.items(), (REST, self.rest)]}
        other = {"content": about, "parts": parts}
        return {"traceEvents": events, "displayTimeUnit": "ms", "otherData": other}


def span_cost() -> float:
    """Seconds that measuring one call takes."""
    profile = Profile()
    nothing = profile.timed("nothing", lambda: None)
    began = perf_counter_ns()
    for _ in range(_TRIALS):
        nothing()
    return (perf_counter_ns() - began) / _TRIALS / 1e9
