"""Numbers and durations in the display of a training, and its single line in notebooks."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.columns import Columns

_BAR_WIDTH = 20
_EIGHTHS = " ▏▎▍▌▋▊▉"


def number_text(value: float) -> str:
    """Format a number with four significant digits: 1.234, -512.3, 12,346."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def duration_text(seconds: float) -> str:
    """Format a duration as hours, minutes and seconds: 1:02:03."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}"


def bar_line(
    step: int, total: int, times: tuple[str, str], rate: str, values: Mapping[str, float],
    activity: str = "",
) -> str:  # fmt: skip
    """The progress in one line: ` 42%|████▏   | 4,200/10,000 [0:00:12<0:00:17, 350 steps/s] ...`.

    times: elapsed and left; the latter is empty as long as it is unknown.
    """
    share = min(step / max(total, 1), 1.0)
    eighths = round(8 * _BAR_WIDTH * share)
    bar = "█" * (eighths // 8) + (_EIGHTHS[eighths % 8] if eighths % 8 else "")
    elapsed, left = times
    pace = f"{elapsed}<{left or '?'}, {rate or '?'} steps/s"
    shown = activity or ", ".join(f"{name} {number_text(x)}" for name, x in values.items())
    return f"{share:4.0%}|{bar:{_BAR_WIDTH}}| {step:,}/{total:,} [{pace}] {shown}".rstrip()


def labeled_values(values: Mapping[str, float], style: str) -> "Columns":
    """Names with their numbers, side by side, in this style of Rich's."""
    from rich.columns import Columns  # here: commands that draw no progress do without
    from rich.text import Text

    cells = [
        Text.assemble((name, "dim"), " ", (number_text(value), style))
        for name, value in values.items()
    ]
    return Columns(cells, padding=(0, 3))
