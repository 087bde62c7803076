"""The panel of one environment."""

from pathlib import Path

import numpy as np
import pytest
from plotted_runs import legend, lines, write_run

from footlight.instruments.curves import mean_interval
from footlight.instruments.panels import step_label
from footlight.instruments.plot import plot_runs


@pytest.mark.parametrize(
    ("steps", "label"), [(0, "0"), (500, "500"), (10_000, "10k"), (2_500_000, "2.5M"), (1e9, "1G")]
)
def test_step_label(steps: float, label: str) -> None:
    assert step_label(steps) == label


def test_vertical_range_covers_the_runs_but_not_the_band(tmp_path: Path) -> None:
    runs = [
        write_run(tmp_path / f"{seed}", [(10, seed), (20, seed)], seed=seed) for seed in range(1, 6)
    ]
    (axes,) = plot_runs(
        [*runs[:4], write_run(tmp_path / "far", [(10, 100.0), (20, 6.0)], seed=9)]
    ).axes
    mean, half = mean_interval(np.array([[1.0], [2.0], [3.0], [4.0], [100.0]]))
    assert mean[0] - half[0] < -30
    assert axes.get_ylim() == pytest.approx((1 - 0.06 * 99, 100 + 0.06 * 99))


def test_below_five_seeds_the_runs_themselves_are_shown(tmp_path: Path) -> None:
    runs = [
        write_run(tmp_path / f"{seed}", [(10, seed), (20, seed)], seed=seed) for seed in range(1, 6)
    ]
    figure = plot_runs(runs[:4])
    assert legend(figure) == ["SAC (mean of 4 seeds)", "single runs"]
    assert lines(figure.axes[0]) == [[2.5, 2.5]]
    assert lines(figure.axes[0], width=0.8) == [[1, 1], [2, 2], [3, 3], [4, 4]]
    assert not figure.axes[0].collections
    figure = plot_runs(runs)
    assert legend(figure) == ["SAC (mean of 5 seeds)", "95 % interval of the mean"]
    assert lines(figure.axes[0]) == [[3, 3]]
    (band,) = figure.axes[0].collections
    assert np.asarray(band.get_paths()[0].vertices)[:, 1].max() == pytest.approx(
        3 + 1.9632, abs=1e-4
    )


def test_runs_without_a_common_range_have_no_mean(tmp_path: Path) -> None:
    runs = [
        write_run(tmp_path / "one", [(10, 1.0), (20, 2.0)]),
        write_run(tmp_path / "two", [(30, 1.0), (40, 2.0)], seed=2),
    ]
    (axes,) = plot_runs(runs).axes
    assert lines(axes) == [[]]
    assert lines(axes, width=0.8) == [[1, 2], [1, 2]]
