"""Where the time of runs went: totals, speed over steps, and the parts of a profile."""

from collections.abc import Sequence

import numpy as np

from footlight.reports.charts import Chart, Charts
from footlight.reports.decimation import Points
from footlight.reports.folders import ReportRun
from footlight.reports.grouping import Group, lines_of
from footlight.reports.json_values import as_number, mapping
from footlight.reports.markup import Html, element, join, number, table

INTERVALS = 60


def timing(groups: Sequence[Group], charts: Charts, folder: str) -> Html:
    """Totals of each run, the speed over steps, and profiles."""
    runs = [run for each in groups for run in each.runs]
    head = ["run", "seconds", "compiling, s", "steps/s", "updates", "updates/s", "device",
            "threads"]  # fmt: skip
    table_of_runs = table(list(head), [_totals(run) for run in runs])
    lines = lines_of(groups, _speed)
    figure = None
    if lines:
        chart = Chart(
            "Speed",
            lines,
            meaning=f"Environment steps per second, in up to {INTERVALS} parts of the run, with "
            "evaluations and checkpoints.",
            how=f'[(row["step"], row["time_s"]) for row in footlight.Run({folder}).metrics()]',
            y="steps/s",
        )
        figure = element("div", charts.figure(chart), class_="charts")
    profiles = [_profile(run) for run in runs if run.profile]
    return join(element("div", table_of_runs, class_="tall"), figure, *profiles)


def _totals(run: ReportRun) -> list[object]:
    seconds, updates = as_number(run.result.get("seconds")), as_number(run.result.get("updates"))
    clock, count = run.curve("metrics", "time_s"), run.curve("metrics", "update")
    seconds = seconds if seconds is not None else (clock.y[-1] if clock else None)
    updates = updates if updates is not None else (count.y[-1] if count else None)
    speed = as_number(run.result.get("steps_per_second"))
    rate = updates / seconds if updates is not None and seconds else None
    return [
        run.name, number(seconds), number(as_number(run.result.get("compile_seconds"))),
        number(speed if speed is not None else run.step / seconds if seconds else None),
        number(updates), number(rate), run.machine.get("device", "–"),
        run.machine.get("threads", "–"),
    ]  # fmt: skip


def _speed(run: ReportRun) -> Points | None:
    """Steps per second between points of the log; None without any."""
    clock = run.curve("metrics", "time_s")
    if clock is None or len(clock.x) < 3:
        return None
    kept = np.unique(np.linspace(0, len(clock.x) - 1, INTERVALS + 1).round().astype(int))
    x, seconds = clock.x[kept], clock.y[kept]
    passed = np.diff(seconds)
    good = (passed > 0) & (np.diff(x) > 0)
    if not good.any():
        return None
    return Points(x[1:][good], np.diff(x)[good] / passed[good])


def _profile(run: ReportRun) -> Html | None:
    """The table of `--profile`, the largest part first."""
    parts = mapping(mapping(run.profile.get("otherData")).get("parts"))
    found = []
    for name, part in parts.items():
        wall = as_number(mapping(part).get("wall_ns"))
        if wall is not None and wall > 0:
            found.append((wall, name, as_number(mapping(part).get("calls")),
                          as_number(mapping(part).get("cpu_ns"))))  # fmt: skip
    if not found:
        return None
    whole = sum(each[0] for each in found)
    rows: list[list[object]] = [
        [name, number(wall / 1e9), f"{wall / whole:.1%}", number(calls),
         "–" if cpu is None else f"{max(0.0, 1 - cpu / wall):.0%}"]
        for wall, name, calls, cpu in sorted(found, key=lambda each: -each[0])[:30]
    ]  # fmt: skip
    return join(
        element("h3", f"Profile of {run.name}"),
        table(["part", "seconds", "share", "calls", "waiting"], rows),
    )
