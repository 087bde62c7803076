"""Comparisons of configurations."""

from collections.abc import Sequence

from reported_runs import Page, reported

from footlight.reports.charts import Charts
from footlight.reports.comparing import comparison
from footlight.reports.folders import ReportRun
from footlight.reports.grouping import make_groups


def runs_of(algorithm: str, ends: Sequence[float], env: str = "Pendulum-v1") -> list[ReportRun]:
    return [
        reported(f"{env}-{algorithm}-{seed}", [0.0, end], algorithm=algorithm, seed=seed,
                 environment=env)
        for seed, end in enumerate(ends)
    ]  # fmt: skip


def compared(*runs: ReportRun) -> tuple[Page, Charts]:
    charts = Charts()
    return Page(comparison(make_groups(runs), charts) or ""), charts


def test_algorithms_are_compared_by_profiles_and_probabilities() -> None:
    page, charts = compared(*runs_of("sac", [9.0, 10.0, 8.0]), *runs_of("td3", [0.0, 1.0, 2.0]))
    profile = charts.data[0]
    assert [line["label"] for line in profile["series"]] == ["SAC", "TD3"]
    assert profile["series"][0]["y"][0] == 1
    assert profile["series"][1]["y"][-1] == 0
    assert "100% (100% to 100%)" in page.text
    assert "at step 2" in page.text


def test_runs_are_compared_at_the_step_that_all_have_reached() -> None:
    long = runs_of("sac", [0.5, 0.5, 0.5])
    for run in long:
        run.curves = reported("x", [0.0, 0.5, 99.0]).curves
    page, _ = compared(*long, *runs_of("td3", [1.0, 1.0, 1.0]))
    assert "100% (100% to 100%)" in page.text
    row = page.text.index("TD3", page.text.index("Probability"))
    assert "at step 2" in page.text
    assert page.text.index("0% (0% to 0%)", row) < page.text.index("100% (100% to 100%)", row)


def test_too_few_runs_are_not_compared() -> None:
    page, charts = compared(*runs_of("sac", [1.0, 2.0]), *runs_of("td3", [1.0, 2.0, 3.0]))
    assert charts.data == []
    assert "at least 3 evaluated runs each" in page.text


def test_a_configuration_without_enough_runs_is_left_out() -> None:
    three = [1.0, 2.0, 3.0]
    page, charts = compared(*runs_of("sac", three), *runs_of("td3", three), *runs_of("ppo", [1.0]))
    assert len(charts.data[0]["series"]) == 2
    assert "1 with fewer than 3 runs left out" in page.text


def test_algorithms_of_different_environments_are_not_compared() -> None:
    three = [1.0, 2.0, 3.0]
    page, charts = compared(*runs_of("sac", three), *runs_of("td3", three, "CartPole-v1"))
    assert charts.data == []
    assert "in one environment" in page.text


def test_a_single_configuration_has_no_comparison() -> None:
    assert comparison(make_groups(runs_of("sac", [1.0, 2.0, 3.0])), Charts()) is None
