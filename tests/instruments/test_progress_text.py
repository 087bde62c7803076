"""Numbers, durations and the single line of the display."""

import pytest

from footlight.instruments.progress_text import bar_line, number_text


@pytest.mark.parametrize(
    ("value", "text"), [(1.2345, "1.234"), (-512.34, "-512.3"), (12_345.6, "12,346"), (0, "0")]
)
def test_numbers(value: float, text: str) -> None:
    assert number_text(value) == text


def test_line_of_a_notebook() -> None:
    times = "0:00:12", "0:00:17"
    line = bar_line(4_200, 10_000, times, "350", {"return": -512.34, "evaluation": -420.0})
    assert line == (
        " 42%|████████▍           | 4,200/10,000 [0:00:12<0:00:17, 350 steps/s] "
        "return -512.3, evaluation -420"
    )
    busy = bar_line(4_200, 10_000, times, "350", {"return": 1.0}, "evaluating 2/5")
    assert busy.endswith("] evaluating 2/5")
    assert bar_line(0, 10, ("0:00:00", ""), "", {}) == (
        "  0%|                    | 0/10 [0:00:00<?, ? steps/s]"
    )
    assert bar_line(12, 10, times, "1", {}).startswith("100%|" + "█" * 20 + "|")
