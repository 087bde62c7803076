"""The display of a training: a live one on a terminal, plain lines everywhere else, nothing when quiet."""

import os
import sys
import time
from collections import deque
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from footlight.errors import printable

# Seconds: how far steps/s looks back, how often it is measured, and the least and greatest pause between plain lines.
WINDOW = 10.0
SAMPLE_EVERY = 0.25
SHORTEST_PAUSE, LONGEST_PAUSE = 2.0, 60.0


class _Console(Console):
    """A console that goes on in silence when its reader, such as `head`, has left: the run is worth more than its picture."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        _discard_output()


def _discard_output() -> None:
    """Let what is written from here on, and what waits, go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Display:
    """Shows how far a training is, how fast it goes and how well it does; use it as a context manager.

    `total_steps` and `start_step` (where a resumed run goes on) are environment steps; without `console` it writes to
    standard output. On a terminal Rich redraws the display four times a second; elsewhere a line is printed every two
    seconds, less often in long runs, and one at the end. `quiet` prints nothing at all.
    """

    _started: float
    _next_sample: float
    _next_line: float

    def __init__(self, total_steps: int, start_step: int = 0, quiet: bool = False, console: Console | None = None) -> None:
        self._total = total_steps
        self._step = start_step
        self._quiet = quiet
        self._console = console or _Console()
        self._values: dict[str, float] = {}
        self._metrics: dict[str, float] = {}
        self._rate: float | None = None
        self._live: Live | None = None
        self._stale = False
        self._start_clock()

    def __enter__(self) -> Self:
        self._start_clock()
        if not self._quiet and self._console.is_interactive:
            self._live = Live(console=self._console, refresh_per_second=4, get_renderable=self._render)
            self._live.start(refresh=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        live, self._live = self._live, None
        try:
            self._measure(time.monotonic())
        finally:
            if live is not None:
                live.stop()
            elif self._stale and not self._quiet:
                self._print_line()

    def update(
        self,
        step: int,
        *,
        training_return: float | None = None,
        evaluation_return: float | None = None,
        metrics: Mapping[str, float] | None = None,
    ) -> None:
        """Takes the news at `step`; a value stays on display until the next of its name. Cheap: call it every step."""
        self._step = step
        self._stale = True
        # Rich draws from its own thread: dictionaries are replaced, never changed under its eyes.
        if training_return is not None:
            self._values = {**self._values, "training return": training_return}
        if evaluation_return is not None:
            self._values = {**self._values, "evaluation": evaluation_return}
        if metrics:
            self._metrics = {**self._metrics, **metrics}
        now = time.monotonic()
        if now >= self._next_sample:
            self._measure(now)
        if now >= self._next_line and self._live is None and not self._quiet:
            self._print_line()
            self._next_line = now + min(max(SHORTEST_PAUSE, (now - self._started) / 100), LONGEST_PAUSE)

    def say(self, text: str) -> None:
        """Prints `text` above the live display if there is one, without what a terminal would obey."""
        if self._quiet:
            return
        try:
            self._console.print(printable(text, self._console.encoding), markup=False, highlight=False, soft_wrap=True)
        except OSError:  # the disk that it goes to is full
            self._quiet = True
            if self._console.file is sys.stdout:
                _discard_output()

    def _start_clock(self) -> None:
        self._started = time.monotonic()
        self._samples: deque[tuple[float, int]] = deque([(self._started, self._step)])
        self._next_sample = self._started + SAMPLE_EVERY
        self._next_line = self._started + SHORTEST_PAUSE

    def _measure(self, now: float) -> None:
        self._samples.append((now, self._step))
        # The oldest sample kept is the last one outside the window, so that rare updates still span a whole window.
        while len(self._samples) > 2 and now - self._samples[1][0] >= WINDOW:
            self._samples.popleft()
        then, old_step = self._samples[0]
        if now > then and self._step > old_step:
            self._rate = (self._step - old_step) / (now - then)
        self._next_sample = now + SAMPLE_EVERY

    def _pace(self) -> list[str]:
        if self._rate is None:
            return ["- steps/s", "-:--:-- left"]
        left = max(self._total - self._step, 0) / self._rate
        return [f"{_number(self._rate)} steps/s", f"{_duration(left)} left"]

    def _print_line(self) -> None:
        values = [f"{name} {_number(value)}" for name, value in (self._values | self._metrics).items()]
        self.say(" | ".join([f"step {self._step:,}/{self._total:,}", *self._pace(), *values]))
        self._stale = False

    def _render(self) -> RenderableType:
        head = Table.grid(padding=(0, 2), expand=True)
        head.add_column(ratio=1)
        bar = ProgressBar(total=max(self._total, 1), completed=self._step)
        facts = [f"{self._step:,}/{self._total:,} steps", *self._pace()]
        for _ in facts:
            head.add_column(no_wrap=True, justify="right")
        head.add_row(bar, *facts)
        rows: list[RenderableType] = [head]
        for values, style in ((self._values, "bold"), (self._metrics, "")):
            if values:
                rows.append(_row(values, style))
        return Group(*rows)


def _row(values: Mapping[str, float], style: str) -> Columns:
    cells = [Text.assemble((name, "dim"), " ", (_number(value), style)) for name, value in values.items()]
    return Columns(cells, padding=(0, 3))


def _number(value: float) -> str:
    """Four digits that can be read at a glance: 1.234, -512.3, 12,346."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _duration(seconds: float) -> str:
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}"
