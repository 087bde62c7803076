"""Returns of episodes as a figure."""

from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import footlight
from footlight.errors import UserError
from footlight.instruments.curves import mean_interval, running_mean
from tolerance import close


def lines(figure: Any) -> list[list[float]]:
    return [np.asarray(line.get_ydata(), float).tolist() for line in figure.axes[0].lines]


def legend(figure: Any) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_list_is_drawn_with_its_running_mean() -> None:
    returns = [0.0, 2.0, 4.0, 6.0]
    figure = footlight.plot_returns(returns, window=2)
    assert lines(figure) == [returns, [0.0, 1.0, 3.0, 5.0]]
    assert legend(figure) == ["episodes", "returns, running mean of 2 episodes"]
    for same in (np.array(returns), tuple(returns), deque(returns)):
        assert lines(footlight.plot_returns(same, 2)) == lines(figure)


def test_window_larger_than_the_data_averages_all_of_it() -> None:
    figure = footlight.plot_returns([1.0, 3.0], solved_at=0)
    assert lines(figure)[1] == [1.0, 2.0]
    assert legend(figure)[1] == "returns, running mean of 100 episodes, not solved"
    assert lines(footlight.plot_returns([5.0]))[1] == [5.0]


def test_line_at_the_target_and_the_episode_that_reaches_it() -> None:
    returns = {"slow": [0.0] * 5 + [10.0] * 5, "never": [0.0] * 10}
    figure = footlight.plot_returns(returns, window=4, solved_at=5.0)
    assert legend(figure) == [
        "slow, running mean of 4 episodes, solved in episode 7",  # 0 0 10 10
        "never, running mean of 4 episodes, not solved",
        "solved at 5",
    ]
    assert lines(figure)[-1] == [5.0, 5.0]
    # A mean over fewer episodes than the window does not count
    early = footlight.plot_returns([9.0, 0.0, 0.0, 0.0], window=4, solved_at=5.0)
    assert "not solved" in legend(early)[1]


@pytest.mark.parametrize("seeds", [2, 5])
def test_seeds_are_drawn_as_mean_and_band(seeds: int) -> None:
    values = np.random.default_rng(1).normal(size=(seeds, 30))
    given = [list(row) + [99.0] * number for number, row in enumerate(values)]
    figure = footlight.plot_returns({"a": given}, window=3)
    smooth = np.stack([running_mean(row, 3) for row in values])
    assert lines(figure) == [close(smooth.mean(axis=0).tolist(), depth=4)]
    low = smooth.min(axis=0)
    if seeds == 5:
        mean, half = mean_interval(smooth)
        low = mean - half
    (band,) = figure.axes[0].collections
    bottom = band.get_paths()[0].vertices[:, 1].min()
    assert bottom == close(low.min(), depth=4)
    words = "95 % interval" if seeds == 5 else "lowest and highest"
    assert words in legend(figure)[0]
    assert lines(footlight.plot_returns(values, window=3)) == lines(figure)


def test_figure_is_written_and_shown(tmp_path: Path) -> None:
    figure: Any = footlight.plot_returns([1.0, 2.0], output=tmp_path / "returns.png")
    assert (tmp_path / "returns.png").read_bytes()[:4] == b"\x89PNG"
    assert figure._repr_png_()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("returns", "given", "message"),
    [
        ([], {}, "returns: the list is empty - no episode has ended"),
        ({}, {}, "returns is empty"),
        ({"a": []}, {}, "a: the list is empty"),
        ({"a": [[1.0], []]}, {}, "a, seed 1: the list is empty"),
        (3.0, {}, "is not a list of returns"),
        (["a"], {}, "is not a list of returns"),
        ([1.0, float("nan")], {}, "the return of episode 2 is nan"),
        ([1.0], {"window": 0}, "window"),
        ([1.0], {"solved_at": float("inf")}, "solved_at is inf"),
        ([1.0], {"output": "returns.jpg"}, "its suffix is not one of"),
    ],
)
def test_what_cannot_be_plotted_is_refused(returns: Any, given: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        footlight.plot_returns(returns, **given)
