"""Learning curves: groups, labels, axes and formats of the figure."""

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from plotted_runs import legend, lines, write_run

from footlight.errors import UserError
from footlight.instruments.plot import plot_runs


def test_single_run_shows_training_behind_evaluations(tmp_path: Path) -> None:
    figure = plot_runs(write_run(tmp_path / "run", [(10, 1.0), (20, 2.0)], [(9, 0.0), (18, 1.0)]))
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


def test_runs_with_different_hyperparameters_are_never_averaged(tmp_path: Path) -> None:
    for gamma in (0.5, 0.98):
        for seed in (1, 2):
            fields = {"gamma": gamma, "hidden_sizes": [8, 8]}
            write_run(
                tmp_path / f"{gamma}-{seed}",
                [(10, gamma), (20, 1.0)],
                seed=seed,
                fields=fields,
                threads=seed,
                steps=20 * seed,
            )
    figure = plot_runs(tmp_path)
    assert legend(figure) == [
        "gamma 0.5 (mean of 2 seeds)",
        "gamma 0.98 (mean of 2 seeds)",
        "single runs",
    ]
    assert lines(figure.axes[0]) == [[0.5, 1.0], [0.98, 1.0]]


@pytest.mark.parametrize(
    ("one", "two", "labels"),
    [
        ({"num_envs": 1}, {"num_envs": 8}, ["num_envs 1", "num_envs 8"]),
        ({"network": None}, {"network": "mine"}, ["network none", "network mine"]),
        (
            {"environment_config": {"frame_skip": 1}},
            {"environment_config": {"frame_skip": 4}},
            ["frame_skip 1", "frame_skip 4"],
        ),
        (
            {"option_of_a_later_version": 1},
            {"option_of_a_later_version": 2},
            [f"option_of_a_later_version {n}" for n in (1, 2)],
        ),
        (
            {"fields": {"hidden_sizes": [8, 8]}},
            {"fields": {"hidden_sizes": []}},
            ["hidden_sizes 8 8", "hidden_sizes none"],
        ),
        (
            {"fields": {"learning_rate_schedule": "linear"}, "steps": 20},
            {"fields": {"learning_rate_schedule": "linear"}, "steps": 40},
            ["steps 20", "steps 40"],
        ),
        ({"algorithm": "td3"}, {"algorithm": "ddpg"}, ["TD3", "DDPG"]),
        (
            {"fields": {"gamma": 0.5}},
            {"fields": {"gamma": 0.5, "added_later": 1}},
            ["SAC (mean of 2 seeds)", "single runs"],
        ),
        (
            {"steps": 20, "device": "cpu"},
            {"steps": 40, "device": "cuda"},
            ["SAC (mean of 2 seeds)", "single runs"],
        ),
    ],
)
def test_runs_are_grouped_by_what_differs(
    tmp_path: Path, one: dict[str, Any], two: dict[str, Any], labels: list[str]
) -> None:
    runs = [
        write_run(tmp_path / str(seed), [(10, 1.0), (20, 2.0)], seed=seed, **given)
        for seed, given in enumerate((one, two))
    ]
    assert legend(plot_runs(runs)) == labels


def test_one_panel_per_environment(tmp_path: Path) -> None:
    runs = [
        write_run(tmp_path / f"sac{seed}", [(10, seed), (20, seed)], seed=seed)
        for seed in (1, 2, 3)
    ]
    runs += [
        write_run(tmp_path / f"td3{seed}", [(10, 5.0), (20, 6.0)], algorithm="td3", seed=1)
        for seed in (1, 2)
    ]
    runs += [write_run(tmp_path / "ppo", [(10, 1.0)], algorithm="ppo", environment="CartPole-v1")]
    figure = plot_runs(runs)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["SAC, TD3 on Pendulum-v1", "PPO on CartPole-v1 (1 seed)"]
    assert legend(figure) == ["SAC (mean of 3 seeds)", "TD3 (mean of 2 runs)", "PPO", "single runs"]
    assert lines(figure.axes[0]) == [[2.0, 2.0], [5.0, 6.0]]


def test_comparison_never_mixes_evaluations_and_training(tmp_path: Path) -> None:
    one = write_run(tmp_path / "one", [(10, 100.0)], [(10, 1.0), (20, 1.0)], seed=1)
    two = write_run(tmp_path / "two", [], [(10, 3.0), (20, 3.0)], seed=2)
    figure = plot_runs([one, two])
    assert figure.axes[0].get_ylabel() == "return of training episodes (running mean)"
    assert lines(figure.axes[0]) == [[2.0, 2.0]]


def test_labels_of_inputs_and_of_groups(tmp_path: Path) -> None:
    runs = [
        write_run(
            tmp_path / f"{n}", [(10, n), (20, n)], seed=n, fields={"gamma": 0.9 + n // 2 / 100}
        )
        for n in range(4)
    ]
    assert legend(plot_runs(runs, label=["a", "a", "b", "b"]))[:2] == [
        "a (mean of 2 seeds)",
        "b (mean of 2 seeds)",
    ]
    assert legend(plot_runs(tmp_path, label=["low", "high"]))[:2] == [
        "low (mean of 2 seeds)",
        "high (mean of 2 seeds)",
    ]
    assert legend(plot_runs(runs[0], label=["mine"])) == ["mine"]
    with pytest.raises(UserError, match=r"3 labels for 2 groups \(gamma 0.9; gamma 0.91\)"):
        plot_runs(runs, label=["a", "b", "c"])


def test_metrics_of_any_log(tmp_path: Path) -> None:
    metrics = [
        {"step": step, "update": step, "time_s": 1.0, "critic_loss": 1.0 / step}
        for step in (1, 2, 4)
    ]
    run = write_run(tmp_path / "run", [(10, 1.0)], [(9, 0.0), (18, 0.0)], metrics)
    (axes,) = plot_runs(run, metric="critic_loss").axes
    assert (axes.get_ylabel(), lines(axes)) == ("critic loss", [[1.0, 0.5, 0.25]])
    assert lines(plot_runs(run, metric="length").axes[0]) == [[9, 9]]
    with pytest.raises(
        UserError,
        match=r"'critic_los' - did you mean 'critic_loss'. - these runs have critic_loss, length, ",
    ):
        plot_runs(run, metric="critic_los")


def test_style_of_the_caller_is_restored(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", [(10, 1.0), (20, 2.0)])
    with matplotlib.rc_context({"font.size": 30.0, "figure.facecolor": "black"}):
        before, backend = dict(matplotlib.rcParams), matplotlib.get_backend()
        figure = plot_runs(run)
        assert dict(matplotlib.rcParams) == before
        assert matplotlib.get_backend() == backend
    assert figure.get_facecolor() == (1.0, 1.0, 1.0, 1.0)
    assert figure._repr_png_().startswith(b"\x89PNG")  # type: ignore[attr-defined]


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_formats(tmp_path: Path, suffix: str) -> None:
    run = write_run(tmp_path / "run", [(10, 1.0)])
    output = tmp_path / f"curve{suffix}"
    assert isinstance(plot_runs([run, tmp_path / "run" / ".." / "run"], output), Figure)
    data = output.read_bytes()
    assert {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}[suffix] == data[
        : 5 if suffix == ".svg" else 4
    ]
    if suffix == ".png":
        with Image.open(output) as image:
            assert image.size[0] == 1080
            assert np.asarray(image.convert("L")).min() < 50
    if suffix == ".pdf":
        assert b"/Type3" not in data
