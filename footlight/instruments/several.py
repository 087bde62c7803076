"""The display of several runs that train beside each other: one line for all, and a row for each.

Each run reports from its own process to the one that shows them.
"""

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table

from footlight.instruments.progress import MEAN, Display
from footlight.instruments.progress_text import duration_text, number_text

MAX_ROWS = 12  # of a terminal; of more runs only those in progress are shown
Message = Mapping[str, Any]
Send = Callable[[Message], None]
_send: Send | None = None  # of a process that trains one of several runs


def report_to(send: Send) -> None:
    """Let the displays of this process report with `send` instead of printing."""
    global _send
    _send = send


def display_of(total_steps: int, quiet: bool, start_step: int = 0) -> Display:
    """The display of a run: `Display`, or one that reports if this process was told to."""
    if _send is None:
        return Display(total_steps, start_step, quiet)
    return Reporting(_send, total_steps, start_step)


class Reporting(Display):
    """The display of one of several runs: it reports to the process that shows them all."""

    def __init__(self, send: Send, total_steps: int, start_step: int) -> None:
        super().__init__(total_steps, start_step, quiet=True)
        self._send = send

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._report()

    def notify(self, text: str) -> None:
        """Report `text`."""
        self._send({"text": text})

    def conclude(self, text: str) -> None:
        """Ignore the summary: there is one for all runs."""

    def _refresh(self, now: float) -> None:
        if now >= self._next_sample:
            super()._refresh(now)
            self._report()

    def _report(self) -> None:
        self._send(
            {
                "step": self._step,
                "rate": self._rate,
                "left": self._time_left(),
                "values": self._values,
                "activity": self._activity,
            }
        )


@dataclasses.dataclass(frozen=True)
class _Row:
    """What is known of one run."""

    state: str = "waiting"
    step: int = 0
    rate: float | None = None
    left: str = ""
    values: Mapping[str, float] = dataclasses.field(default_factory=dict)
    activity: str = ""

    @property
    def is_running(self) -> bool:
        return self.state == "training"


class SeveralRuns(Display):
    """Progress of the runs of several seeds, each of `steps` steps; use it as a context manager.

    On a terminal each run has a row. The plain lines have the steps of all, and means over them.
    """

    def __init__(
        self, seeds: Sequence[int], steps: int, quiet: bool = False, console: Console | None = None
    ) -> None:
        super().__init__(len(seeds) * steps, quiet=quiet, console=console)
        self._steps = steps
        # Rich renders in a thread of its own: the dictionary is replaced, never modified.
        self._rows = {seed: _Row() for seed in seeds}
        self._printed: set[str] = set()  # of what runs have reported
        self._own: set[str] = set()  # of what no run needs to say again

    def update_run(self, seed: int, message: Message) -> None:
        """Show what the run of a seed has reported: a text, or its progress."""
        if "text" in message:
            self._notify_of(seed, str(message["text"]))
            return
        self._replace(seed, **{"state": "training", **message})
        self.refresh()

    def end_run(self, seed: int, state: str) -> None:
        """Show how the run of a seed has ended."""
        self._replace(seed, state=state, rate=None, left="", activity="")
        self.refresh()

    def notify(self, text: str) -> None:
        """Print `text`, which no run needs to say again."""
        self._own.update(text.splitlines())
        super().notify(text)

    def refresh(self) -> None:
        """Redraw the display if it is time to. Call it now and then.

        Lines are printed only once there is something new, which may take as long as compiling.
        """
        if self._live is not None or self._stale:
            self._refresh(time.monotonic())

    def _replace(self, seed: int, **values: Any) -> None:
        row = dataclasses.replace(self._rows[seed], **values)
        self._rows = {**self._rows, seed: row}
        rows, self._stale = self._rows.values(), True
        self._step = sum(row.step for row in rows)
        self._values = {
            name: fmean(known)
            for name in (MEAN, "evaluation")
            if (known := [row.values[name] for row in rows if name in row.values])
        }
        waiting = sum(row.state == "waiting" for row in rows)
        running = sum(row.is_running for row in rows)
        self._metrics = {"running": running, "ended": len(rows) - running - waiting}

    def _notify_of(self, seed: int, text: str) -> None:
        """Print what a run reports. What all of them say before they begin is printed once."""
        is_header, is_first = f"| seed {seed} |" in text, self._rows[seed].state == "waiting"
        for line in text.splitlines():
            general = line.replace(f"seed {seed} ", "seed N ")
            if (is_first and general in self._printed) or line in self._own:
                continue
            self._printed.add(general)
            seeds = ", ".join(map(str, self._rows))
            own = line.replace(f"| seed {seed} |", f"| seeds {seeds} |")
            super().notify(own if is_header else f"seed {seed}: {line}")

    def _measure(self) -> None:
        rates = [row.rate for row in self._rows.values() if row.is_running and row.rate]
        self._rate = sum(rates) if rates else None

    def _time_left(self) -> str:
        running = [row for row in self._rows.values() if row.is_running]
        if self._rate is None or not all(row.left for row in running):
            return ""
        return duration_text((self._total - self._step) / self._rate)

    def _render(self) -> RenderableType:
        shown = Table.grid(padding=(0, 2))
        shown.add_column(no_wrap=True)
        shown.add_column(width=20)
        for _ in range(5):
            shown.add_column(no_wrap=True, justify="right")
        for seed, row in self._rows.items():
            if len(self._rows) <= MAX_ROWS or row.is_running:
                bar = ProgressBar(total=max(self._steps, 1), completed=row.step)
                shown.add_row(f"seed {seed}", bar, *self._cells(row))
        return Group(super()._render(), shown)

    def _cells(self, row: _Row) -> list[str]:
        rate = "" if row.rate is None else f"{number_text(row.rate)} steps/s"
        now = row.activity or (f"{row.left} left" if row.left else row.state)
        values = [
            f"{name} {number_text(row.values[name])}" if name in row.values else ""
            for name in (MEAN, "evaluation")
        ]
        return [f"{row.step:,}", rate, now, *values]
