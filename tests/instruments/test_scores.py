"""Scores in the layout of rliable: arrays by hand, the interquartile mean, and what is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from plotted_runs import write_run

import footlight
from footlight.errors import UserError
from footlight.instruments.scores import Scores
from tolerance import assert_close

VALUES = {  # environment -> seed -> returns of the evaluations at 100 and 200
    "Pendulum-v1": {0: (-900, -400), 1: (-800, -300)},
    "Hopper-v5": {0: (10, 300), 1: (20, 500)},
}


def finish(folder: Path, step: int, mean: float | None) -> Path:
    result = {"status": "finished", "steps": step, "seconds": 1.0}
    final = {"step": step, "mean_return": mean, "std_return": 0.0}
    (folder / "result.json").write_text(json.dumps(result | {"final_evaluation": final}))
    return folder


def write(
    root: Path, algorithm: str, environment: str, seed: int, scores: Any, **more: Any
) -> Path:
    folder = root / environment / algorithm / str(seed)
    rows = list(zip((100, 200), scores, strict=True))
    write_run(
        folder, rows, algorithm=algorithm, environment=environment, seed=seed, num_envs=4, **more
    )
    return finish(folder, 200, scores[-1])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for algorithm, shift in (("sac", 0), ("td3", -100)):
        for environment, runs in VALUES.items():
            for seed, scores in runs.items():
                write(tmp_path, algorithm, environment, seed, [x + shift for x in scores])
    return tmp_path


def test_final_scores_are_runs_by_environments(root: Path) -> None:
    found = footlight.scores(root)
    assert found.environments == ("Hopper-v5", "Pendulum-v1")
    assert {name: array.tolist() for name, array in found.items()} == {
        "sac": [[300, -400], [500, -300]],
        "td3": [[200, -500], [400, -400]],
    }
    assert found.seeds == {"sac": (0, 1), "td3": (0, 1)}
    assert found.steps is None
    assert isinstance(found, dict)


def test_checkpoints_are_the_last_axis(root: Path) -> None:
    # 4 environments step over 98, and are evaluated at 100
    found = footlight.scores(root, at=[98, 200])
    assert found.steps == (98, 200)
    assert found["sac"].tolist() == [[[10, 300], [-900, -400]], [[20, 500], [-800, -300]]]
    assert footlight.scores(root, at=100)["sac"].tolist() == [[10, -900], [20, -800]]


def test_scores_are_normalized_by_the_bounds_of_each_environment(root: Path) -> None:
    bounds = {"Pendulum-v1": (-1200.0, -200.0), "Hopper-v5": (0.0, 1000.0)}
    found = footlight.scores(root, normalize=bounds)["sac"]
    assert_close(found, np.array([[0.3, 0.8], [0.5, 0.9]]))


def test_labels_and_different_fields_separate_runs_of_one_algorithm(tmp_path: Path) -> None:
    runs = [
        write(tmp_path / str(index), "sac", "Pendulum-v1", 0, (0, index), fields={"tau": index})
        for index in (1, 2)
    ]
    assert footlight.scores(runs, label=["old", "new"])["new"].tolist() == [[2]]
    assert len(footlight.scores(runs)) == 2  # by the field that differs


def write_grid(tmp_path: Path, values: Any) -> Path:
    for (seed, task), score in np.ndenumerate(np.array(values)):
        write(tmp_path, "sac", f"Task-v{task}", seed, (0.0, float(score)))
    return tmp_path


def test_interquartile_mean_by_hand(tmp_path: Path) -> None:
    # 1 to 8 in four seeds and two environments: the mean of 3, 4, 5 and 6
    root = write_grid(tmp_path, [[1, 8], [2, 7], [3, 6], [4, 5]])
    mean, low, high = footlight.scores(root).interquartile_mean()["sac"]
    assert mean == 4.5
    # Environments are drawn separately: 1 to 4 stay in the first, so no draw is below (1+5)/2 = 3
    assert 3 <= low < 4.5 < high <= 6


@pytest.mark.parametrize(
    ("values", "published"),
    [
        # The tests of rliable (tests/rliable/metrics_test.py)
        ([[1, 2], [2, 2], [1, 1], [2, 1]], 1.5),
        ([[1, 1], [2, 2], [3, 3]], 2),
        # Wikipedia, "Interquartile mean"
        ([[5], [8], [4], [38], [8], [6], [9], [7], [7], [3], [1], [6]], 6.5),
        # scipy.stats.trim_mean: what is left out at either end is rounded down
        ([[1], [2], [3], [5]], 2.5),
        ([[0], [1], [2], [3], [100]], 2),
    ],
)
def test_interquartile_mean_of_published_examples(values: Any, published: float) -> None:
    array = np.array(values, np.float64)
    names, seeds = tuple(map(str, range(array.shape[1]))), tuple(range(len(array)))
    scores = Scores({"sac": array}, names, {"sac": seeds}, None)
    assert scores.interquartile_mean()["sac"].mean == published


def test_interval_agrees_with_a_slow_loop_over_checkpoints(tmp_path: Path) -> None:
    root = write_grid(tmp_path, np.random.default_rng(0).normal(size=(5, 3)).round(3))
    found = footlight.scores(root, at=[100, 200])
    mean, low, high = found.interquartile_mean(repetitions=200, seed=3)["sac"]
    index = np.random.default_rng(3).integers(5, size=(200, 5, 3))
    for c in range(2):
        drawn = []
        for pick in index:
            flat = sorted(found["sac"][pick[r, t], t, c] for r in range(5) for t in range(3))
            drawn.append(np.mean(flat[3:-3]))
        assert_close(np.array([low[c], high[c]]), np.percentile(drawn, [2.5, 97.5]))
    assert mean.shape == (2,)


def test_what_is_missing_is_named(root: Path) -> None:
    with pytest.raises(UserError, match=r"no evaluation at step 150 .* some at: 100, 200"):
        footlight.scores(root, at=150)
    with pytest.raises(UserError, match=r"no bounds for Pendulum-v1 - did you mean 'pendulum-v1'"):
        footlight.scores(root, normalize={"Hopper-v5": (0, 1), "pendulum-v1": (0, 1)})
    with pytest.raises(UserError, match=r"the bounds of Hopper-v5 are 1 and 1"):
        footlight.scores(root, normalize={"Hopper-v5": (1, 1), "Pendulum-v1": (0, 1)})
    with pytest.raises(UserError, match="3 labels were given"):
        footlight.scores([root], label=["a", "b", "c"])
    write(root, "td3", "Hopper-v5", 2, (0, 1))
    with pytest.raises(UserError, match=r"td3 has no run with seed 2 in Pendulum-v1"):
        footlight.scores(root)


def test_runs_that_cannot_be_compared_are_refused(tmp_path: Path) -> None:
    run = write(tmp_path, "sac", "Pendulum-v1", 0, (0, 1))
    with pytest.raises(UserError, match="sac has one run"):
        footlight.scores(run).interquartile_mean()
    other = write(tmp_path / "again", "sac", "Pendulum-v1", 0, (0, 1))
    with pytest.raises(UserError, match="repeats seed 0"):
        footlight.scores([run, other])
    other = finish(write(tmp_path / "long", "sac", "Pendulum-v1", 1, (0, 1)), 300, 1)
    with pytest.raises(UserError, match="ended after 200, 300 steps"):
        footlight.scores([run, other])
    finish(run, 200, None)
    with pytest.raises(UserError, match="without a finite mean return"):
        footlight.scores(run)
    (run / "result.json").unlink()
    with pytest.raises(UserError, match="has no final evaluation"):
        footlight.scores(run)
