"""The display of several runs, and the reports of each."""

import io
import re
from typing import Any

import pytest
from rich.console import Console

from footlight.instruments import progress, several
from footlight.instruments.progress import Display
from footlight.instruments.several import Reporting, SeveralRuns, display_of


class Clock:
    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    monkeypatch.setattr(several, "time", clock)
    return clock


def console(**given: Any) -> Console:
    return Console(file=io.StringIO(), width=120, **given)


def printed(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", console.file.getvalue())


def progress_of(step: int, **given: Any) -> dict[str, Any]:
    return {"step": step, "rate": None, "left": "", "values": {}, "activity": "", **given}


def test_lines_have_sums_of_steps_and_means_of_returns(clock: Clock) -> None:
    plain = console(force_terminal=False)
    with SeveralRuns([3, 4, 7], 1_000, console=plain) as display:
        display.update_run(3, progress_of(400, rate=100.0, left="0:00:06"))
        values = {"return": 5.0, "mean of 100": -200.0, "evaluation": -100.0}
        display.update_run(4, progress_of(600, rate=50.0, left="0:00:08", values=values))
        clock.now += 4
        display.update_run(3, progress_of(500, rate=100.0, values={"mean of 100": -300.0}))
        display.end_run(4, "finished")
        clock.now += 4
        display.refresh()
    lines = printed(plain).splitlines()
    assert lines[0].split()[:3] == ["step", "steps/s", "time"]
    assert lines[1].split() == [
        "1,100",
        "150",
        "-",
        "-",
        "-250",
        "-100",
        "running",
        "2",
        "ended",
        "0",
    ]
    assert lines[-1].split()[0:2] == ["1,100", "100"]
    assert lines[-1].endswith("running 1  ended 1")


def test_line_is_not_printed_again_without_news(clock: Clock) -> None:
    plain = console(force_terminal=False)
    with SeveralRuns([3], 1_000, console=plain) as display:
        display.update_run(3, progress_of(400))
        for _ in range(10):
            clock.now += 100
            display.refresh()
    assert len(printed(plain).splitlines()) == 2  # with the header


def test_lines_that_all_runs_print_appear_once(clock: Clock) -> None:
    plain = console(force_terminal=False)
    display = SeveralRuns([3, 4], 1_000, console=plain)
    for seed in (3, 4):
        display.update_run(seed, {"text": f"sac | seed {seed} | 1,000 steps\ncpu | 1 thread"})
        display.update_run(seed, {"text": "evaluation cut off"})
    for seed in (3, 4):
        display.update_run(seed, progress_of(10))
        display.update_run(seed, {"text": "a checkpoint could not be written"})
    display.notify("stopping")
    display.update_run(3, {"text": "stopping"})
    assert printed(plain).splitlines() == [
        "sac | seeds 3, 4 | 1,000 steps",
        "cpu | 1 thread",
        "seed 3: evaluation cut off",
        "seed 3: a checkpoint could not be written",
        "seed 4: a checkpoint could not be written",
        "stopping",
    ]


def test_terminal_has_a_row_for_each_run(clock: Clock) -> None:
    terminal = console(force_terminal=True, force_interactive=True, height=30)
    with SeveralRuns([3, 4], 1_000, console=terminal) as display:
        values = {"evaluation": -123.0}
        display.update_run(3, progress_of(250, rate=80.0, left="0:00:09", values=values))
    last = printed(terminal).splitlines()
    assert any(
        re.search(r"seed 3 .* 250 +80 steps/s +0:00:09 left +evaluation -123", line)
        for line in last
    )
    assert any(re.search(r"seed 4 .* 0 +waiting", line) for line in last)


def test_of_many_runs_a_terminal_has_those_in_progress(clock: Clock) -> None:
    terminal = console(force_terminal=True, force_interactive=True, height=30)
    with SeveralRuns(range(40), 1_000, console=terminal) as display:
        display.update_run(17, progress_of(250))
    assert "seed 17" in printed(terminal)
    assert "seed 18" not in printed(terminal)


def test_reports_hold_what_a_display_shows(clock: Clock) -> None:
    sent: list[Any] = []
    with Reporting(sent.append, 1_000, 0) as display:
        display.notify("a line")
        display.update(10, returns=[1.0])
        clock.now += 1
        display.update(20, returns=[3.0], evaluation_return=7.0)
        display.conclude("the summary of one run is not shown")
    assert sent[0] == {"text": "a line"}
    assert [each["step"] for each in sent[1:]] == [20, 20]
    assert sent[-1]["values"] == {"return": 3.0, "mean of 100": 2.0, "evaluation": 7.0}


def test_display_reports_only_in_a_process_that_was_told_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(several, "_send", None)
    assert type(display_of(10, quiet=True)) is Display
    several.report_to(lambda message: None)
    assert type(display_of(10, quiet=False)) is Reporting
