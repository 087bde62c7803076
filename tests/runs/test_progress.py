"""The display of a training, with a clock that the test moves."""

import io
import re
from collections.abc import Callable

import pytest
from rich.console import Console

from footlight.runs import progress
from footlight.runs.progress import Display


class Clock:
    """A monotonic clock that stands still until it is told."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def plain() -> Console:
    return Console(file=io.StringIO(), force_terminal=False, width=80)


def terminal(width: int = 100) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, force_interactive=True, width=width, height=30)


def printed(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def visible(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def test_plain_line(clock: Clock) -> None:
    console = plain()
    with Display(10_000, console=console) as display:
        display.update(100, training_return=-512.34, metrics={"critic_loss": 1.234567})
        clock.now += 4
        display.update(4_000, evaluation_return=-230.11, metrics={"alpha": 0.0001234})
    assert printed(console) == (
        "step 4,000/10,000 | 1,000 steps/s | 0:00:06 left | training return -512.3 | evaluation -230.1 | "
        "critic_loss 1.235 | alpha 0.0001234\n"
    )


def test_plain_lines_come_at_most_every_two_seconds_and_at_the_end(clock: Clock) -> None:
    console = plain()
    with Display(1_000, console=console) as display:
        for step in range(1, 101):
            clock.now += 0.1
            display.update(step)
    lines = printed(console).splitlines()
    assert 4 <= len(lines) <= 6
    assert lines[-1].startswith("step 100/1,000 | 10 steps/s | 0:01:30 left")


def test_a_long_run_prints_less_often(clock: Clock) -> None:
    console = plain()
    with Display(100_000, console=console) as display:
        for step in range(36_000):
            clock.now += 1
            display.update(step)
    assert 500 < len(printed(console).splitlines()) < 1_500


def test_steps_per_second_come_from_a_recent_window(clock: Clock) -> None:
    console = plain()
    with Display(100_000, start_step=5_000, console=console) as display:
        step = 5_000
        for _ in range(100):
            clock.now += 1
            display.update(step := step + 100)
        for _ in range(11):
            clock.now += 1
            display.update(step := step + 10)
    assert "step 5,100/100,000 | - steps/s" not in printed(console)
    assert "| 100 steps/s |" in printed(console).splitlines()[0]
    assert "| 10 steps/s |" in printed(console).splitlines()[-1]


def test_a_run_without_progress_has_no_rate(clock: Clock) -> None:
    console = plain()
    with Display(10, console=console) as display:
        display.update(0, training_return=float("nan"))
    assert printed(console) == "step 0/10 | - steps/s | -:--:-- left | training return nan\n"


def test_say_prints_as_is() -> None:
    console = plain()
    with Display(10, console=console) as display:
        display.say("[bold]no markup[/bold] " + "x" * 200)
    assert printed(console) == "[bold]no markup[/bold] " + "x" * 200 + "\n"


def test_quiet_prints_nothing() -> None:
    for console in (plain(), terminal()):
        with Display(10, quiet=True, console=console) as display:
            display.update(5, training_return=1.0)
            display.say("hello")
        assert printed(console) == ""


def test_live_display(clock: Clock) -> None:
    console = terminal()
    with Display(10_000, console=console) as display:
        clock.now += 2
        display.update(4_000, training_return=-512.3, evaluation_return=-230.1, metrics={"critic_loss": 1.23})
        display.say("checkpoint saved")
    text = visible(printed(console))
    assert "checkpoint saved" in text
    last = text[text.rindex("steps/s") - 80 :]
    for part in ("4,000/10,000 steps", "2,000 steps/s", "0:00:03 left", "training return -512.3", "evaluation -230.1"):
        assert part in last
    assert "critic_loss 1.23" in last
    assert "━" in last


def test_live_display_fits_a_narrow_terminal(clock: Clock) -> None:
    console = terminal(width=60)
    with Display(10_000, console=console) as display:
        clock.now += 2
        display.update(4_000, metrics={f"metric_{index}": 1.0 for index in range(9)})
    text = visible(printed(console))
    assert "metric_8 1" in text
    assert all(len(line) <= 60 for line in re.split(r"[\r\n]+", text))


def broken() -> None:
    raise RuntimeError("the environment broke")


def interrupted() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("fault", [broken, interrupted])
def test_the_terminal_is_left_sane(fault: Callable[[], None]) -> None:
    console = terminal()

    def train() -> None:
        with Display(10, console=console) as display:
            display.update(3)
            fault()

    with pytest.raises((RuntimeError, KeyboardInterrupt)):
        train()
    text = printed(console)
    hide, show = "\x1b[?25l", "\x1b[?25h"
    assert hide in text
    assert text.rindex(show) > text.rindex(hide)
    assert text.endswith("\n") or text.endswith(show)
    assert "3/10 steps" in visible(text)


def test_durations() -> None:
    assert [progress._duration(seconds) for seconds in (0, 59.6, 3_661, 360_000)] == [
        "0:00:00",
        "0:01:00",
        "1:01:01",
        "100:00:00",
    ]
