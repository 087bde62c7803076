"""The display of a training: live on a terminal, plain lines elsewhere, nothing when quiet."""

import contextlib
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from footlight.errors import counted, printable
from footlight.instruments.notebook import LiveText, in_notebook
from footlight.instruments.progress_text import bar_line, duration_text, labeled_values, number_text

WINDOW = 30.0  # seconds over which steps/s is measured
SAMPLE_EVERY = 0.25  # seconds between measurements of it
KNOWN_AFTER = 3.0  # seconds after the first update before the time left is shown
# Seconds between plain lines: a tenth of the time so far, within these limits.
SHORTEST_PAUSE, LONGEST_PAUSE = 2.0, 60.0
NOTEBOOK_PAUSE = 0.5  # seconds between updates of the line in a notebook
LINE_WIDTH = 100
MEAN_OF = 100  # episodes
MEAN = f"mean of {MEAN_OF}"
# Of plain lines, with their widths.
COLUMNS = {"steps/s": 9, "time left": 9, "return": 9, MEAN: 11, "evaluation": 10}


class _Console(Console):
    """A console that prints nothing more once its reader, such as `head`, has exited."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        _discard_output()


def _discard_output() -> None:
    """Discard everything written from here on, and what is still buffered."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Display:
    """Progress of a training run; use it as a context manager.

    total_steps, start_step: environment steps; a resumed run starts at the latter.
    quiet: print nothing. console: None is standard output.

    On a terminal, Rich redraws the display four times a second. In a notebook it is one line, which
    replaces itself. Elsewhere it prints a table: a header, then a line every two seconds, less
    often in long runs, and one at the end.
    """

    _started: float
    _next_sample: float
    _next_line: float

    def __init__(
        self,
        total_steps: int,
        start_step: int = 0,
        quiet: bool = False,
        console: Console | None = None,
    ) -> None:
        self._total = total_steps
        self._step = start_step
        self._quiet = quiet
        self._in_notebook = console is None and in_notebook()
        # Rich would display each text of a notebook in an output of its own
        self._console = console or _Console(force_jupyter=False)
        self._returns: deque[float] = deque(maxlen=MEAN_OF)
        self._values: dict[str, float] = {}
        self._metrics: dict[str, float] = {}
        self._rate: float | None = None
        self._updates: int | None = None
        self._learning = False
        self._activity = ""
        self._live: Live | None = None
        self._line: LiveText | None = None
        self._stale = self._has_header = False
        self._start_clock()

    def __enter__(self) -> Self:
        self._start_clock()
        if not self._quiet and self._in_notebook:
            self._line = LiveText(self._one_line())
        elif not self._quiet and self._console.is_interactive:
            self._live = Live(
                console=self._console, refresh_per_second=4, get_renderable=self._render
            )
            self._live.start(refresh=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        live, self._live = self._live, None
        try:
            self._measure()
        finally:
            if live is not None:
                live.stop()
            elif self._line is not None:
                self._line.replace(self._one_line())
            elif self._stale and not self._quiet:
                self._print_line()

    def update(
        self,
        step: int,
        *,
        updates: int | None = None,
        returns: Iterable[float] = (),
        evaluation_return: float | None = None,
        metrics: Mapping[str, float] | None = None,
    ) -> None:
        """Update the display; values stay until they are replaced. Cheap enough for every step.

        updates: gradient updates so far; None: one per step.
        returns: those of the episodes that have just ended.
        """
        self._step = step
        self._stale = True
        now = time.monotonic()
        self._follow_updates(now, step if updates is None else updates)
        if new := list(returns):
            self.show_returns([*self._returns, *new])
        # Rich renders in a thread of its own: dictionaries are replaced, never modified.
        if evaluation_return is not None:
            self._values = {**self._values, "evaluation": evaluation_return}
        if metrics:
            self._metrics = {**self._metrics, **metrics}
        self._refresh(now)

    def show_returns(self, returns: Sequence[float]) -> None:
        """Show the last of these returns, and the mean of the last 100."""
        self._returns = deque(returns, maxlen=MEAN_OF)
        if self._returns:
            mean = sum(self._returns) / len(self._returns)
            self._values = {**self._values, "return": self._returns[-1], MEAN: mean}

    @contextlib.contextmanager
    def activity(
        self, text: str, total: int, should_stop: Callable[[], bool]
    ) -> Iterator[Callable[[int], bool]]:
        """Show `text` during an activity such as an evaluation, with a count if `total` > 1.

        Yields a function to call often with the number of completed parts, which returns whether to
        continue. This time is excluded from steps/s.
        """
        began = time.monotonic()

        def progress(completed: int) -> bool:
            self._activity = text if total == 1 else f"{text} {min(completed + 1, total)}/{total}"
            self._refresh(time.monotonic())
            return not should_stop()

        try:
            yield progress
        finally:
            self._activity = ""
            self._paused += time.monotonic() - began

    def notify(self, text: str) -> None:
        """Print `text` above the live display if there is one, without control characters."""
        if self._quiet:
            return
        try:
            self._console.print(
                printable(text, self._console.encoding),
                markup=False,
                highlight=False,
                soft_wrap=True,
            )
        except OSError:  # the disk that it goes to is full
            self._quiet = True
            if self._console.file is sys.stdout:
                _discard_output()

    def conclude(self, text: str) -> None:
        """Print the summary of a run that has ended."""
        self.notify(text)

    def _start_clock(self) -> None:
        self._started = time.monotonic()
        self._paused = 0.0  # seconds of activities, which are not training
        # Seconds of training, and the step, at which the next sample is taken.
        self._latest = (0.0, self._step)
        self._samples = deque([self._latest])
        self._next_sample = self._started + SAMPLE_EVERY
        self._next_line = self._started + SHORTEST_PAUSE

    def _follow_updates(self, now: float, updates: int) -> None:
        """Measure from the first update on, and only right after an update.

        Steps before the first update are far faster than later ones, and the first update is far
        slower. Algorithms that collect many steps for an update alternate between fast steps and
        slow updates: only complete cycles have a meaningful rate.
        """
        is_new = self._updates is not None and updates != self._updates
        if is_new or not self._learning:
            self._latest = now - self._started - self._paused, self._step
        if is_new and not self._learning:
            self._learning = True
            self._samples = deque([self._latest])
        self._updates = updates

    def _refresh(self, now: float) -> None:
        if now >= self._next_sample:
            self._measure()
            self._next_sample = now + SAMPLE_EVERY
        if self._line is not None and now >= self._next_line:
            self._line.replace(self._one_line())
            self._next_line = now + NOTEBOOK_PAUSE
        elif now >= self._next_line and self._live is None and not self._quiet:
            self._print_line()
            self._next_line = now + min(
                max(SHORTEST_PAUSE, (now - self._started) / 10), LONGEST_PAUSE
            )

    def _measure(self) -> None:
        trained_for, step = self._latest
        if trained_for <= self._samples[-1][0]:
            return
        self._samples.append(self._latest)
        # Keep the last sample outside the window, so that rare updates still span a whole window.
        while len(self._samples) > 2 and trained_for - self._samples[1][0] >= WINDOW:
            self._samples.popleft()
        then, old_step = self._samples[0]
        if step > old_step:
            self._rate = (step - old_step) / (trained_for - then)

    def _time_left(self) -> str:
        """Time for the remaining steps and activities; empty until it can be estimated."""
        trained_for = self._samples[-1][0]
        is_known = self._learning and trained_for - self._samples[0][0] >= KNOWN_AFTER
        if self._rate is None or not is_known:
            return ""
        left = max(self._total - self._step, 0) / self._rate
        return duration_text(left * (1 + self._paused / trained_for))

    def _print_line(self) -> None:
        width = max(len(f"{self._total:,}"), len("step"))
        if not self._has_header:
            self._has_header = True
            names = [f"{name:>{size}}" for name, size in COLUMNS.items()]
            self.notify("  ".join([f"{'step':>{width}}", *names]))
        rate = "" if self._rate is None else number_text(self._rate)
        cells = {"steps/s": rate, "time left": self._time_left()}
        cells |= {name: number_text(value) for name, value in self._values.items()}
        row = [
            f"{self._step:>{width},}",
            *(f"{cells.get(name) or '-':>{size}}" for name, size in COLUMNS.items()),
        ]
        metrics = [f"{name} {number_text(value)}" for name, value in self._metrics.items()]
        for more in [self._activity] if self._activity else metrics:
            if len("  ".join([*row, more])) <= LINE_WIDTH:
                row.append(more)
        self.notify("  ".join(row))
        self._stale = False

    def _one_line(self) -> str:
        rate = "" if self._rate is None else number_text(self._rate)
        times = duration_text(time.monotonic() - self._started), self._time_left()
        return bar_line(self._step, self._total, times, rate, self._values, self._activity)

    def _render(self) -> RenderableType:
        head = Table.grid(padding=(0, 2), expand=True)
        head.add_column(ratio=1)
        bar = ProgressBar(total=max(self._total, 1), completed=self._step)
        facts = [f"{self._step:,}/{self._total:,} steps"]
        if self._rate is not None:
            facts.append(f"{number_text(self._rate)} steps/s")
        if left := self._time_left():
            facts.append(f"{left} left")
        if activity := self._activity:
            facts = [facts[0], activity]
        for _ in facts:
            head.add_column(no_wrap=True, justify="right")
        head.add_row(bar, *facts)
        rows: list[RenderableType] = [head]
        over = counted(len(self._returns), "episode") if self._returns else f"{MEAN_OF} episodes"
        names = {"return": "training return", MEAN: f"mean over {over}"}
        values = {names.get(name, name): value for name, value in self._values.items()}
        for cells, style in ((values, "bold"), (self._metrics, "")):
            if cells:
                rows.append(labeled_values(cells, style))
        return Group(*rows)
