"""Curves, means and intervals, by hand."""

import math
from pathlib import Path

import numpy as np
import pytest
from plotted_runs import write_run

from footlight.instruments import curves
from footlight.instruments.curves import (
    Curve,
    common_grid,
    curve_of,
    find_log,
    mean_interval,
    t_quantile,
)
from footlight.instruments.plot import plot_runs
from footlight.runs.read import read_run


@pytest.mark.parametrize("degrees", [1, 2, 5, 10, 11, 19, 30, 99])
def test_t_quantile_leaves_a_fortieth_above(degrees: int) -> None:
    # By numerical integration: with t = sqrt(v) tan(a) the density becomes cos(a) ** (v - 1).
    log_scale = math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2) - 0.5 * math.log(math.pi)
    angles = np.linspace(0.0, math.atan(t_quantile(degrees) / math.sqrt(degrees)), 20_001)
    area = math.exp(log_scale) * np.trapezoid(np.cos(angles) ** (degrees - 1), angles)
    assert 0.5 + area == pytest.approx(0.975, abs=2e-5)


def test_t_quantile_of_the_tables() -> None:
    assert t_quantile(4) == pytest.approx(2.776, abs=5e-4)
    assert t_quantile(11) == pytest.approx(2.201, abs=5e-4)
    assert t_quantile(1_000_000) == pytest.approx(1.96, abs=1e-4)


def test_mean_interval_by_hand() -> None:
    # 1, 2, 3, 4, 5: mean 3, s = sqrt(2.5), s / sqrt(5) = 0.70711, times t(4) = 2.7764 makes 1.9632.
    values_RP = np.array([[1.0, 7.0], [2.0, 7.0], [3.0, 7.0], [4.0, 7.0], [5.0, 7.0]])
    mean, half = mean_interval(values_RP)
    assert mean.tolist() == [3.0, 7.0]
    assert half == pytest.approx([1.9632, 0.0], abs=1e-4)
    assert np.isnan(mean_interval(values_RP[:1])[1]).all()


def test_common_grid_interpolates_within_the_common_range() -> None:
    one = Curve(np.array([0.0, 10.0, 20.0]), np.array([0.0, 1.0, 2.0]), None, "")
    two = Curve(np.array([5.0, 15.0]), np.array([10.0, 20.0]), None, "")
    steps, returns_RP = common_grid([one, two])
    assert steps.tolist() == [5.0, 10.0, 15.0]
    assert returns_RP.tolist() == [[0.5, 1.0, 1.5], [10.0, 15.0, 20.0]]
    far = Curve(np.array([30.0]), np.array([1.0]), None, "")
    assert common_grid([one, two, far])[1].shape == (3, 0)


def test_evaluation_curve_sorts_and_takes_the_later_of_two(tmp_path: Path) -> None:
    points = [(20, 2.0), (10, 1.0), (20, 5.0), (30, None), (40, math.nan)]
    curve = curve_of(
        read_run(write_run(tmp_path / "run", points)), "evaluations", "mean_return", "steps"
    )
    assert curve is not None
    assert curve.std is not None
    assert (curve.x.tolist(), curve.y.tolist(), curve.std.tolist()) == ([10, 20], [1, 5], [2, 2])


def test_training_curve_is_a_running_mean(tmp_path: Path) -> None:
    # A twentieth of forty episodes is 2, and two environments finish at each step: each step shows
    # the mean of its pair.
    episodes = [(10 * (index // 2 + 1), float(index)) for index in range(40)]
    curve = curve_of(
        read_run(write_run(tmp_path / "run", episodes=episodes)), "episodes", "return", "steps"
    )
    assert curve is not None
    assert curve.x.tolist() == [10.0 * step for step in range(1, 21)]
    assert curve.y.tolist() == [2 * pair + 0.5 for pair in range(20)]
    assert curve.label == "training episodes (running mean of 2)"


def test_long_training_curve_is_thinned(tmp_path: Path) -> None:
    episodes = [(step, 1.0) for step in range(1, 3001)]
    curve = curve_of(
        read_run(write_run(tmp_path / "run", episodes=episodes)), "episodes", "return", "steps"
    )
    assert curve is not None
    assert len(curve.x) == curves.MAX_POINTS
    assert (curve.x[0], curve.x[-1]) == (1, 3000)


@pytest.mark.parametrize(
    ("x", "at"),
    [("steps", [10, 20]), ("updates", [5, 15]), ("episodes", [1, 3]), ("seconds", [1.0, 2.5])],
)
def test_horizontal_axes(tmp_path: Path, x: str, at: list[float]) -> None:
    metrics = [
        {"step": 10, "update": 5, "time_s": 1.0, "loss": 1.0},
        {"step": 30, "update": 25, "time_s": 4.0, "loss": 1.0},
    ]
    run = write_run(
        tmp_path / "run", [(10, 1.0), (20, 2.0)], [(9, 0.0), (15, 1.0), (20, 1.0)], metrics
    )
    curve = curve_of(read_run(run), "evaluations", "mean_return", x)
    assert curve is not None
    assert curve.x.tolist() == at
    figure = plot_runs(run, x=x)
    assert figure.axes[0].get_xlabel() == curves.AXES[x]


def test_columns_of_diagnostics_are_metrics(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", [(10, 1.0)], metrics=[{"step": 10, "entropy": 0.5}])
    (folder / "diagnostics.jsonl").write_text(
        '{"step": 10, "critic_bias": 0.25, "entropy": 9}\n{"step": 20, "critic_bias": 0.5}\n'
    )
    run = read_run(folder)
    assert find_log([run], "critic_bias") == "diagnostics"
    assert find_log([run], "entropy") == "metrics"  # the log of more rows comes first
    curve = curve_of(run, "diagnostics", "critic_bias", "steps")
    assert curve is not None
    assert (curve.x.tolist(), curve.y.tolist()) == ([10, 20], [0.25, 0.5])
