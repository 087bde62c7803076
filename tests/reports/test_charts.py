"""The numbers and the figure of a chart."""

import json

from reported_runs import HOSTILE, Page, points

from footlight.reports.aggregates import Band
from footlight.reports.charts import Chart, Charts, Line, Mark, band_line


def test_a_figure_says_what_it_shows_and_how_to_draw_it_again() -> None:
    charts = Charts()
    line = Line("SAC", 2, points([1.0, 2.0]), "dashed")
    mark = Mark(2, "It diverged", "critical")
    chart = Chart("critic loss", [line], "mean of a batch.", "footlight plot runs", marks=[mark])
    page = Page(charts.figure(chart))
    assert "Critic loss" in page.text
    assert "Mean of a batch." in page.text
    assert "footlight plot runs" in page.text
    assert ("div", "data-chart", "0") in page.attributes
    assert charts.data == [
        {
            "x": [1.0, 2.0],
            "series": [{"label": "SAC", "color": 2, "style": "dashed", "y": [1, 2]}],
            "xlabel": "environment steps",
            "large": False,
            "marks": [{"step": 2, "text": "It diverged", "severity": "critical"}],
        }
    ]


def test_a_band_has_both_its_edges() -> None:
    charts = Charts()
    x, mean = points([1.0, 2.0])
    charts.figure(Chart("returns", [band_line("SAC", 0, Band(x, mean, mean - 1, mean + 1))]))
    (series,) = charts.data[0]["series"]
    assert (series["y"], series["low"], series["high"]) == ([1, 2], [0, 1], [2, 3])


def test_a_chart_of_many_points_is_thinned_out_and_says_so() -> None:
    charts = Charts(max_numbers=400)
    lines = [Line(f"run {n}", n, points([0.0] * 5_000)) for n in range(4)]
    shown = charts.figure(Chart("loss", lines))
    assert len(charts.data[0]["x"]) == 100
    assert "in each of 50 intervals" in Page(shown).text


def test_hostile_names_stay_text() -> None:
    charts = Charts()
    chart = Chart(HOSTILE, [Line(HOSTILE, 0, points([1.0]))], HOSTILE, HOSTILE,
                  marks=[Mark(1, HOSTILE, "note")])  # fmt: skip
    page = Page(charts.figure(chart))
    assert "script" not in page.tags
    assert "\u202e" not in json.dumps(charts.data, ensure_ascii=False)
