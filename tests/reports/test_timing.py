"""Where the time went."""

import numpy as np
from reported_runs import HOSTILE, Page, reported

from footlight.reports.charts import Charts
from footlight.reports.decimation import Points
from footlight.reports.grouping import make_groups
from footlight.reports.timing import timing


def test_totals_speed_and_profile() -> None:
    run, charts = reported("run"), Charts()
    run.result = {"seconds": 50.0, "steps_per_second": 20.0, "updates": 500, "compile_seconds": 3}
    run.curves["metrics"] = {"time_s": Points(np.array([0.0, 100.0, 300.0]), np.array([0.0, 1, 5]))}
    updating = {"wall_ns": 3e9, "cpu_ns": 1.5e9, "calls": 7}
    acting = {"wall_ns": 1e9, "cpu_ns": 1e9}
    run.profile = {"otherData": {"parts": {"updating": updating, "acting": acting}}}
    page = Page(timing(make_groups([run]), charts, "'run'"))
    assert charts.data[0]["series"][0]["y"] == [100, 50]
    for text in ("50", "20", "500", "10", "updating 3 75.0% 7 50%", "acting 1 25.0% – 0%"):
        assert text in page.text


def test_a_run_in_progress_has_what_its_metrics_say() -> None:
    run = reported("run")
    run.step = 300
    run.curves["metrics"] = {"time_s": Points(np.array([100.0, 300.0]), np.array([1.0, 6.0]))}
    page = Page(timing(make_groups([run]), Charts(), "'run'"))
    assert "run 6 – 50 – – – –" in page.text


def test_wrong_types_are_left_out() -> None:
    run = reported("run")
    run.result = {"seconds": "x", "updates": [1], "steps_per_second": 10**400}
    run.machine = {"device": {"a": HOSTILE}, "threads": HOSTILE}
    run.profile = {"otherData": {"parts": {HOSTILE: {"wall_ns": 5}, "b": 3, "c": {"wall_ns": "x"}}}}
    page = Page(timing(make_groups([run]), Charts(), "'run'"))
    assert "script" not in page.tags
