"""Charts of metrics and diagnostics."""

import pytest
from reported_runs import Page, points, reported

from footlight.reports import measures
from footlight.reports.charts import Charts, Mark
from footlight.reports.folders import ReportRun
from footlight.reports.grouping import make_groups
from footlight.reports.measures import diagnostics, metrics


def run_with(log: str, *names: str) -> ReportRun:
    run = reported("run")
    run.curves[log] = {name: points([1.0, 2.0]) for name in names}
    return run


def test_metrics_have_a_chart_each_and_losses_come_first() -> None:
    run, charts = run_with("metrics", "alpha", "critic_loss", "time_s", "update"), Charts()
    text = Page(metrics(make_groups([run]), charts, [], "runs")).text
    assert len(charts.data) == 2
    assert text.index("Critic loss") < text.index("Alpha")
    assert "footlight plot runs --metric critic_loss" in text


def test_diagnostics_have_the_labels_of_their_quantities() -> None:
    run = run_with("diagnostics", "critic_bias", "entropy", "critic.dormant", "reward_mean", "new")
    charts = Charts()
    text = Page(diagnostics(make_groups([run]), charts, [], "runs")).text
    assert len(charts.data) == 5
    for part in ("Critic's bias", "Critic: dormant units", "Policy and actions", "Optimization",
                 "Other diagnostics", "New"):  # fmt: skip
        assert part in text


def test_value_and_return_are_in_one_chart() -> None:
    run, charts = run_with("diagnostics", "critic_value", "critic_return"), Charts()
    diagnostics(make_groups([run]), charts, [], "runs")
    (chart,) = charts.data
    assert [(line["label"], line["style"]) for line in chart["series"]] == [
        ("SAC: value", "line"), ("SAC: return", "dashed"),
    ]  # fmt: skip


def test_findings_are_marked_in_the_chart_that_shows_them() -> None:
    run, charts = run_with("diagnostics", "critic.dormant", "critic.rank", "entropy"), Charts()
    marks = [
        ("critic.dormant", Mark(1, "dead", "note")), ("entropy", Mark(2, "low", "note")),
        ("critic_loss", Mark(3, "elsewhere", "note")), (None, Mark(4, "nowhere", "note")),
    ]  # fmt: skip
    diagnostics(make_groups([run]), charts, marks, "runs")
    # In the order of the page: policy, then optimization
    assert [[mark["text"] for mark in chart["marks"]] for chart in charts.data] == [
        ["low"], ["dead"], [],
    ]  # fmt: skip


def test_a_bias_is_marked_beside_the_returns_that_followed() -> None:
    run, charts = run_with("diagnostics", "critic_value", "critic_return"), Charts()
    diagnostics(make_groups([run]), charts, [("critic_bias", Mark(1, "high", "note"))], "runs")
    assert [mark["text"] for mark in charts.data[0]["marks"]] == ["high"]


def test_runs_without_any_say_so() -> None:
    groups = make_groups([reported("run")])
    assert "no diagnostics.jsonl" in diagnostics(groups, Charts(), [], "runs")
    assert "No metrics" in metrics(groups, Charts(), [], "runs")


def test_there_are_not_more_charts_than_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measures, "MAX_CHARTS", 2)
    run, charts = run_with("metrics", "a", "b", "c; rm -rf"), Charts()
    shown = metrics(make_groups([run]), charts, [], "runs")
    assert len(charts.data) == 2
    assert "1 more columns are not drawn" in shown
