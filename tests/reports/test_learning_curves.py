"""Learning curves and episodes."""

from collections.abc import Sequence

import pytest
from reported_runs import Page, points, reported

from footlight.reports.charts import Charts, Mark
from footlight.reports.folders import ReportRun
from footlight.reports.grouping import make_groups
from footlight.reports.learning_curves import episodes, learning_curves


def drawn(runs: Sequence[ReportRun], charts: Charts) -> Page:
    marks = [Mark(2, "It diverged", "critical")]
    return Page(learning_curves(make_groups(runs), charts, marks, "runs"))


def test_a_single_run_has_its_evaluations_and_training_episodes() -> None:
    run, charts = reported("run", [1.0, 2.0]), Charts()
    run.curves["evaluations"]["std_return"] = points([0.5, 0.25])
    run.curves["episodes"] = {"mean_return": points([0.0, 1.0])}
    page = drawn([run], charts)
    training, evaluations = charts.data[0]["series"]
    assert (training["color"], evaluations["y"]) == (-1, [1, 2])
    assert (evaluations["low"], evaluations["high"]) == ([0.5, 1.75], [1.5, 2.25])
    assert charts.data[0]["marks"][0]["text"] == "It diverged"
    assert "one standard deviation over the episodes of an evaluation" in page.text
    assert "footlight plot runs" in page.text


def test_several_runs_have_an_interquartile_mean_and_its_interval() -> None:
    runs = [reported(f"{n}", [float(n), 2.0 * n], seed=n) for n in range(4)]
    charts = Charts()
    page = drawn(runs, charts)
    *single, mean = charts.data[0]["series"]
    assert [line["style"] for line in single] == ["thin"] * 4
    assert mean["label"] == "SAC, interquartile mean of 4 runs"
    assert mean["y"] == [1.5, 3]
    assert mean["low"][0] < 1.5 < mean["high"][0]
    assert "stratified bootstrap" in page.text


def test_each_environment_has_a_chart() -> None:
    charts = Charts()
    page = drawn([reported("a", [1.0]), reported("b", [2.0], environment="CartPole-v1")], charts)
    assert len(charts.data) == 2
    assert "Pendulum-v1" in page.text
    assert "CartPole-v1" in page.text


def test_evaluations_and_training_are_not_mixed() -> None:
    with_none = reported("b", seed=1)
    with_none.curves["episodes"] = {"mean_return": points([5.0])}
    charts = Charts()
    page = drawn([reported("a", [1.0]), with_none], charts)
    assert [line["y"] for line in charts.data[0]["series"]] == [[1]]
    assert "1 of 2 runs have none yet and are left out" in page.text
    page = drawn([with_none], charts)
    assert "the runs have no evaluations" in page.text


def test_a_run_that_has_just_begun_has_no_chart() -> None:
    charts = Charts()
    page = drawn([reported("run")], charts)
    assert charts.data == []
    assert "no evaluation or episode has ended yet" in page.text


@pytest.mark.parametrize("window", [1, 25])
def test_episodes_have_returns_lengths_and_ends(window: int) -> None:
    run, charts = reported("run"), Charts()
    run.episodes, run.window = 1234, window
    run.curves["episodes"] = {
        "return": points([-5.0, 9.0]), "mean_return": points([-5.0, 2.0]),
        "length": points([10.0, 20.0]), "mean_length": points([10.0, 15.0]),
        "time_limit": points([0.0, 0.5]),
    }  # fmt: skip
    page = Page(episodes(make_groups([run]), charts, [], "runs", "'run'"))
    assert len(charts.data) == 3
    for text in ("1,234", "-5", "9", "15", "50%", "footlight plot runs --metric length"):
        assert text in page.text
    assert ("mean over 25 episodes" in page.text) == (window == 25)


def test_episodes_that_were_read_in_part_are_called_so() -> None:
    run = reported("run")
    run.episodes, run.is_partial = 500, True
    run.curves["episodes"] = {"return": points([1.0])}
    assert "500 read" in episodes(make_groups([run]), Charts(), [], "runs", "'run'")


def test_runs_without_episodes_say_so() -> None:
    groups = make_groups([reported("run")])
    assert "No training episode" in episodes(groups, Charts(), [], "runs", "'run'")
