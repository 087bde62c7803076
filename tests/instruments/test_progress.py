"""The display of a training, with a clock that the test moves."""

import io
import re
from collections.abc import Callable

import pytest
from rich.console import Console

from footlight.instruments import progress
from footlight.instruments.progress import Display
from footlight.instruments.progress_text import duration_text


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
    return Console(
        file=io.StringIO(), force_terminal=True, force_interactive=True, width=width, height=30
    )


def printed(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def visible(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


HEADER = "  step    steps/s  time left     return  mean of 100  evaluation"


def test_plain_lines_are_a_table(clock: Clock) -> None:
    console = plain()
    with Display(10_000, console=console) as display:
        display.update(0)
        display.update(100, returns=[-600.0, -512.34], metrics={"critic_loss": 1.234567})
        clock.now += 4
        display.update(4_100, evaluation_return=-230.11, metrics={"alpha": 0.0001234})
    assert printed(console).splitlines() == [
        HEADER,
        " 4,100      1,000    0:00:06     -512.3       -556.2      -230.1  "
        "critic_loss 1.235  alpha 0.0001234",
    ]


def test_plain_lines_have_at_most_100_columns(clock: Clock) -> None:
    console = plain()
    with Display(10**10, console=console) as display:
        for step in (0, 1, 10**10 - 1):
            display.update(
                step,
                returns=[-123456.0],
                evaluation_return=-1e7,
                metrics={f"metric_{n}": 1.0 for n in range(30)},
            )
            clock.now += 9
    lines = printed(console).splitlines()
    assert max(map(len, lines)) <= 100
    assert "metric_0 1" in lines[-1]


def test_plain_lines_come_at_most_every_two_seconds_and_at_the_end(clock: Clock) -> None:
    console = plain()
    with Display(1_000, console=console) as display:
        for step in range(101):
            display.update(step)
            clock.now += 0.1
    header, *lines = printed(console).splitlines()
    assert header.startswith(" step")
    assert 4 <= len(lines) <= 6
    assert lines[-1].split()[:3] == ["100", "10", "0:01:30"]


def test_long_run_prints_less_often(clock: Clock) -> None:
    console = plain()
    with Display(100_000, console=console) as display:
        for step in range(3_600):
            clock.now += 1
            display.update(step)
    assert 60 < len(printed(console).splitlines()) < 120


def test_mean_is_over_the_last_100_episodes(clock: Clock) -> None:
    console = plain()
    with Display(1_000, console=console) as display:
        display.update(1, returns=[1e6] * 50)
        for value in range(1, 101):
            display.update(value, returns=[float(value)])
    assert printed(console).splitlines()[-1].split()[3:5] == ["100", "50.5"]


def test_returns_of_an_earlier_session_are_shown(clock: Clock) -> None:
    console = plain()
    with Display(1_000, console=console) as display:
        display.show_returns([1.0] * 99 + [3.0])
        display.update(5, returns=[3.0])
    assert printed(console).splitlines()[-1].split()[3:5] == ["3", "1.04"]


def test_steps_per_second_come_from_a_recent_window(clock: Clock) -> None:
    console = plain()
    with Display(100_000, start_step=5_000, console=console) as display:
        display.update(step := 5_000)
        for pace in [100] * 100 + [10] * 31:
            clock.now += 1
            display.update(step := step + pace)
    lines = printed(console).splitlines()
    assert lines[1].split()[1] == "100"
    assert lines[-1].split()[1] == "10"


def test_time_left_is_shown_once_it_is_known(clock: Clock) -> None:
    # A warm-up of 1,000 fast steps, a first update of a minute, then 10 steps/s
    console = plain()
    with Display(2_000, console=console) as display:
        for step in range(0, 1_001, 100):
            display.update(step, updates=0)
            clock.now += 0.5
        clock.now += 60
        for number in range(100):
            display.update(1_001 + number, updates=1 + number)
            clock.now += 0.1
    lines = [line.split() for line in printed(console).splitlines()[1:]]
    assert all(line[2] == "-" for line in lines if int(line[0].replace(",", "")) < 1_030)
    assert lines[-1][:3] == ["1,100", "10", "0:01:30"]


def test_rates_span_complete_cycles_of_collecting_and_updating(clock: Clock) -> None:
    # 100 steps in a second, then nine seconds of updates: 10 steps/s at any moment
    console = plain()
    with Display(1_000, console=console) as display:
        for cycle in range(5):
            for step in range(1, 101):
                clock.now += 0.01
                display.update(100 * cycle + step - (step == 100), updates=10 * cycle)
            clock.now += 9
            display.update(100 * (cycle + 1), updates=10 * (cycle + 1))
    lines = [line.split() for line in printed(console).splitlines()[1:]]
    assert {line[1] for line in lines[-3:]} == {"10"}
    assert lines[-1][2] == "0:00:50"


def test_activities_show_their_count_and_do_not_slow_the_rate(clock: Clock) -> None:
    console = plain()
    with Display(1_000, console=console) as display:
        for step in range(0, 101, 10):
            display.update(step)
            clock.now += 1
        with display.activity("evaluating", 3, lambda: False) as progress:
            for completed in range(3):
                clock.now += 10
                assert progress(completed)
        display.update(110)
    text = printed(console)
    assert "evaluating 2/3" in text
    assert "evaluating" not in text.splitlines()[-1]
    assert text.splitlines()[-1].split()[1] == "10"


def test_activity_returns_whether_to_continue(clock: Clock) -> None:
    with (
        Display(10, quiet=True, console=plain()) as display,
        display.activity("evaluating", 2, lambda: True) as progress,
    ):
        assert not progress(0)


def test_run_without_progress_has_no_rate(clock: Clock) -> None:
    console = plain()
    with Display(10, console=console) as display:
        display.update(0, returns=[float("nan")])
    assert printed(console).splitlines()[-1].split() == ["0", "-", "-", "nan", "nan", "-"]


def test_say_prints_as_is() -> None:
    console = plain()
    with Display(10, console=console) as display:
        display.notify("[bold]no markup[/bold] " + "x" * 200)
    assert printed(console) == "[bold]no markup[/bold] " + "x" * 200 + "\n"


def test_quiet_prints_nothing() -> None:
    for console in (plain(), terminal()):
        with Display(10, quiet=True, console=console) as display:
            display.update(5, returns=[1.0])
            display.notify("hello")
        assert printed(console) == ""


def test_live_display(clock: Clock) -> None:
    console = terminal()
    with Display(10_000, console=console) as display:
        display.update(0)
        display.update(10)
        clock.now += 4
        display.update(
            4_010, returns=[-512.3], evaluation_return=-230.1, metrics={"critic_loss": 1.23}
        )
        with display.activity("evaluating", 5, lambda: False) as progress:
            progress(2)
            assert display._live is not None
            display._live.refresh()
        display.notify("checkpoint saved")
    text = visible(printed(console))
    assert "checkpoint saved" in text
    assert "4,010/10,000 steps  evaluating 3/5" in text
    assert "mean over 1 episode -512.3" in text
    last = text[text.rindex("steps/s") - 80 :]
    for part in (
        "4,010/10,000 steps",
        "1,000 steps/s",
        "0:00:06 left",
        "training return -512.3",
        "evaluation -230.1",
    ):
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
def test_terminal_is_restored(fault: Callable[[], None]) -> None:
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
    assert [duration_text(seconds) for seconds in (0, 59.6, 3_661, 360_000)] == [
        "0:00:00",
        "0:01:00",
        "1:01:01",
        "100:00:00",
    ]


def test_notebook_has_one_line_that_is_replaced(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown: list[list[str]] = []

    class Line:
        def __init__(self, text: str) -> None:
            shown.append([text])

        def replace(self, text: str) -> None:
            shown[-1].append(text)

    monkeypatch.setattr(progress, "in_notebook", lambda: True)
    monkeypatch.setattr(progress, "LiveText", Line)
    with Display(1_000, quiet=True) as quiet:
        quiet.update(10)
    assert not shown
    with Display(1_000) as display:
        for step in range(1, 101):
            clock.now += 0.1
            display.update(step, updates=step, returns=[-5.0])
        display.notify("a line of its own")
    ((first, *later),) = shown
    assert first.startswith("  0%|")
    assert later[-1] == (
        " 10%|██                  | 100/1,000 [0:00:10<0:01:30, 10 steps/s] "
        "return -5, mean of 100 -5"
    )
    assert 15 <= len(later) <= 22  # two a second
    assert capsys.readouterr().out == "a line of its own\n"
