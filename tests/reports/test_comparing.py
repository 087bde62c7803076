"""Comparisons of configurations."""

from collections.abc import Sequence

import numpy as np
import pytest
from reported_runs import Page, reported

from footlight.reports import comparing
from footlight.reports.charts import Charts
from footlight.reports.comparing import comparison
from footlight.reports.decimation import Points
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


def evaluated(run: ReportRun, *steps: int) -> ReportRun:
    """The same run with evaluations at other steps, whose returns are these steps."""
    run.curves["evaluations"]["mean_return"] = Points(
        np.array(steps, float), np.array(steps, float)
    )
    return run


def test_each_environment_is_compared_at_a_step_of_its_own() -> None:
    ends = [1.0, 2.0, 3.0]
    short = [each for name in ("sac", "td3") for each in runs_of(name, ends, "CartPole-v1")]
    long = [evaluated(each, 1, 500, 1000 if each.algorithm == "sac" else 900)
            for name in ("sac", "td3") for each in runs_of(name, ends, "Humanoid-v5")]  # fmt: skip
    page, _ = compared(*short, *long)
    assert "(CartPole-v1: 2, Humanoid-v5: 900)" in page.text
    assert "at=STEP" in page.text


def test_a_run_that_stopped_early_moves_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparing, "MAX_NAMED", 1)
    sac, td3 = runs_of("sac", [1.0] * 4), runs_of("td3", [1.0] * 5)
    long = [evaluated(run, 10, 500, 1000) for run in (*sac[1:], *td3[2:])]
    stopped = [evaluated(run, 10, 499) for run in (sac[0], td3[0], td3[1])]
    page, _ = compared(*stopped, *long)
    assert "at step 1,000 or just before" in page.text
    left_out = "3 runs left out, whose last evaluation is before half of the median last step"
    assert left_out in page.text
    assert ": Pendulum-v1-sac-0, 2 more. " in page.text


def test_the_page_says_which_runs_stopped_early_if_too_few_are_left() -> None:
    sac, td3 = runs_of("sac", [1.0] * 3), runs_of("td3", [1.0] * 3)
    for run in (*sac[1:], *td3):
        evaluated(run, 10, 1000)
    page, charts = compared(*sac, *td3)
    assert charts.data == []
    assert "1 run left out, whose last evaluation" in page.text
    assert "Pendulum-v1-sac-0" in page.text


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
