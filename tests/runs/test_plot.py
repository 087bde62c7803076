"""Learning curves: the statistics against numbers worked out by hand, and the drawings as far as a program can see."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from footlight.errors import UserError
from footlight.runs import plot
from footlight.runs.plot import (
    Curve,
    common_grid,
    evaluation_curve,
    mean_interval,
    plot_runs,
    step_label,
    t_quantile,
    training_curve,
)
from footlight.runs.read import read_run


def write_run(
    folder: Path,
    evaluations: Sequence[tuple[int, float | None]] = (),
    episodes: Sequence[tuple[int, float]] = (),
    algorithm: str = "sac",
    environment: str = "Pendulum-v1",
    seed: int = 1,
) -> Path:
    folder.mkdir()
    config = {"format_version": 1, "algorithm": algorithm, "environment": environment, "seed": seed}
    (folder / "config.json").write_text(json.dumps(config))
    lines = [
        {"step": step, "mean_return": mean, "std_return": 2.0, "returns": [mean, mean], "lengths": [9, 9]}
        for step, mean in evaluations
    ]
    (folder / "evaluations.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    ends = [{"step": step, "env": 0, "return": value, "length": 9} for step, value in episodes]
    (folder / "episodes.jsonl").write_text("".join(json.dumps(line) + "\n" for line in ends))
    return folder


def draw(folders: Sequence[Path]) -> Figure:
    return plot._draw_figure([read_run(folder) for folder in folders])


def legend(figure: Figure, panel: int = 0) -> list[str]:
    drawn = figure.axes[panel].get_legend()
    assert drawn is not None
    return [text.get_text() for text in drawn.get_texts()]


@pytest.mark.parametrize("degrees", [1, 2, 5, 10, 11, 19, 30, 99])
def test_t_quantile_leaves_a_fortieth_above(degrees: int) -> None:
    # The slow witness: with t = sqrt(v) tan(a) the density becomes cos(a) ** (v - 1), integrated up to the quantile.
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
    with pytest.raises(UserError, match="one ends at step 15, another starts at step 30"):
        common_grid([one, two, far])


def test_evaluation_curve_sorts_and_takes_the_later_of_two(tmp_path: Path) -> None:
    points = [(20, 2.0), (10, 1.0), (20, 5.0), (30, None), (40, math.nan)]
    curve = evaluation_curve(read_run(write_run(tmp_path / "run", points)))
    assert curve is not None
    assert curve.std is not None
    assert (curve.steps.tolist(), curve.returns.tolist(), curve.std.tolist()) == ([10, 20], [1, 5], [2, 2])
    assert curve.label == "evaluation (mean of 2 episodes)"


def test_training_curve_is_a_running_mean(tmp_path: Path) -> None:
    # Forty episodes: a twentieth is 2; two environments finish at each step, so each step shows its pair's mean.
    episodes = [(10 * (index // 2 + 1), float(index)) for index in range(40)]
    curve = training_curve(read_run(write_run(tmp_path / "run", episodes=episodes)))
    assert curve is not None
    assert curve.steps.tolist() == [10.0 * step for step in range(1, 21)]
    assert curve.returns.tolist() == [2 * pair + 0.5 for pair in range(20)]
    assert curve.label == "training episodes (running mean of 2)"


def test_long_training_curve_is_thinned(tmp_path: Path) -> None:
    episodes = [(step, 1.0) for step in range(1, 3001)]
    curve = training_curve(read_run(write_run(tmp_path / "run", episodes=episodes)))
    assert curve is not None
    assert len(curve.steps) == plot.MAX_POINTS
    assert (curve.steps[0], curve.steps[-1]) == (1, 3000)


@pytest.mark.parametrize(("steps", "label"), [(0, "0"), (500, "500"), (10_000, "10k"), (2_500_000, "2.5M"), (1e9, "1G")])
def test_step_label(steps: float, label: str) -> None:
    assert step_label(steps) == label


def test_one_run(tmp_path: Path) -> None:
    figure = draw([write_run(tmp_path / "run", [(10, 1.0), (20, 2.0)], [(9, 0.0), (18, 1.0)])])
    (axes,) = figure.axes
    assert axes.get_title(loc="left") == "SAC on Pendulum-v1 (1 seed)"
    assert axes.get_xlabel() == "environment steps"
    assert axes.get_ylabel() == "return (sum of raw rewards per episode)"
    assert legend(figure) == [
        "evaluation (mean of 2 episodes)",
        "± 1 standard deviation over them",
        "training episodes",
    ]
    (band,) = axes.collections
    heights = band.get_paths()[0].vertices
    assert (np.min(np.asarray(heights)[:, 1]), np.max(np.asarray(heights)[:, 1])) == (-1.0, 4.0)


def test_several_runs_and_environments(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / f"sac{seed}", [(10, seed), (20, seed)], seed=seed) for seed in (1, 2, 3)]
    runs += [write_run(tmp_path / f"td3{seed}", [(10, 5.0), (20, 6.0)], algorithm="td3", seed=1) for seed in (1, 2)]
    runs += [write_run(tmp_path / "ppo", [(10, 1.0)], algorithm="ppo", environment="CartPole-v1")]
    figure = draw(runs)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["SAC, TD3 on Pendulum-v1 (3 seeds, 2 runs)", "PPO on CartPole-v1 (1 seed)"]
    assert legend(figure) == ["SAC, 3 seeds", "TD3, 2 runs", "95 % interval of the mean", "single runs"]
    means = [line for line in figure.axes[0].lines if line.get_linewidth() == 2]
    assert [np.asarray(line.get_ydata()).tolist() for line in means] == [[2.0, 2.0], [5.0, 6.0]]


def test_a_mean_never_mixes_evaluations_and_training(tmp_path: Path) -> None:
    one = write_run(tmp_path / "one", [(10, 100.0)], [(10, 1.0), (20, 1.0)], seed=1)
    two = write_run(tmp_path / "two", [], [(10, 3.0), (20, 3.0)], seed=2)
    figure = draw([one, two])
    assert legend(figure)[0] == "SAC, 2 seeds (training episodes)"
    mean = next(line for line in figure.axes[0].lines if line.get_linewidth() == 2)
    assert np.asarray(mean.get_ydata()).tolist() == [2.0, 2.0]


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_formats(tmp_path: Path, suffix: str) -> None:
    run = write_run(tmp_path / "run", [(10, 1.0)])
    output = tmp_path / f"curve{suffix}"
    assert plot_runs([run, tmp_path / "run" / ".." / "run"], output) == output
    data = output.read_bytes()
    assert {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}[suffix] == data[: 5 if suffix == ".svg" else 4]
    if suffix == ".png":
        with Image.open(output) as image:
            assert image.size == (1080, 675)
            assert np.asarray(image.convert("L")).min() < 50
    if suffix == ".pdf":
        assert b"/Type3" not in data


def test_refusals(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", [(10, 1.0)])
    empty = write_run(tmp_path / "new")
    with pytest.raises(UserError, match=r"\.png, \.svg, \.pdf"):
        plot_runs([run], tmp_path / "curve.jpg")
    with pytest.raises(UserError, match="does not exist"):
        plot_runs([run], tmp_path / "missing" / "curve.png")
    with pytest.raises(UserError, match="no run folder was given"):
        plot_runs([], tmp_path / "curve.png")
    with pytest.raises(UserError, match="new has nothing to plot"):
        plot_runs([empty], tmp_path / "curve.png")
    with pytest.raises(UserError, match="new has nothing to plot"):
        plot_runs([run, empty], tmp_path / "curve.png")
    untested = write_run(tmp_path / "untested", [], [(5, 1.0)])
    with pytest.raises(UserError, match="some have only evaluations, some only training episodes"):
        plot_runs([run, untested], tmp_path / "curve.png")
    with pytest.raises(UserError, match="is not a run folder"):
        plot_runs([tmp_path], tmp_path / "curve.png")
    assert not (tmp_path / "curve.png").exists()
