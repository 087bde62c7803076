"""The page's own script in a browser: what is drawn, and what a click, a touch and a printer do."""

import json
import os
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from reported_runs import HOSTILE, write_run

from footlight.reports.page import render

NAMES = "chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"
BROWSER = next(filter(None, map(shutil.which, NAMES)), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="Chromium is not installed")

WATCH = """
const seen = {};
const settled = () => new Promise((then) => setTimeout(then, 100));  // uPlot draws a little later
function shade(canvas) {
  const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  return data.filter((value, index) => index % 4 === 3 && value > 0).length;
}
function touches(over, places) {
  const box = over.getBoundingClientRect();
  return places.map((x, identifier) => new Touch(
    {identifier, target: over, clientX: box.left + x * box.width, clientY: box.top + 20}));
}
function fingers(over, kind, places) {
  over.dispatchEvent(new TouchEvent(kind,
    {targetTouches: touches(over, places), bubbles: true, cancelable: true}));
}
function axes() {  // where the cursor is in a chart's steps: its legend says it
  return [...document.querySelectorAll(".plot")].map((place) => {
    const over = place.querySelector(".u-over"), box = over.getBoundingClientRect();
    return [0.02, 0.98].map((share) => {
      over.dispatchEvent(new MouseEvent("mousemove", {
        clientX: box.left + share * box.width, clientY: box.top + 20, bubbles: true}));
      return place.querySelector(".u-series .u-value").textContent;
    });
  });
}
"""
REPORT = """
const output = document.createElement("pre");
output.id = "seen";
output.textContent = JSON.stringify(seen);
document.body.append(output);
"""


def seen(html: str, script: str, folder: Path, *options: str) -> dict[str, Any]:
    """What `script` puts into the object `seen`, run at the end of the page in the browser.

    Fails if the browser's console says anything.
    """
    # The page forbids scripts of others, so of tests, too
    open_html = re.sub(r'<meta[^>]*http-equiv="Content-Security-Policy"[^>]*>', "", html)
    assert open_html != html
    page = folder / "watched.html"
    page.write_text(
        open_html.replace(
            "</body>", f"<script>{WATCH}(async () => {{{script}{REPORT}}})();</script></body>"
        ),
        "utf-8",
    )
    return json.loads(unescape(_dumped(page, folder, *options).split('<pre id="seen">')[1]
                               .split("</pre>")[0]))  # fmt: skip


def _dumped(page: Path, folder: Path, *options: str) -> str:
    given = [
        "--headless=new", "--disable-gpu", "--dump-dom", "--virtual-time-budget=3000",
        "--enable-logging=stderr", f"--user-data-dir={folder / 'browser'}", *options,
    ]  # fmt: skip
    if os.geteuid() == 0:
        given.append("--no-sandbox")  # which Chromium demands of the superuser
    assert BROWSER is not None
    done = subprocess.run(
        [BROWSER, *given, page.as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    assert [line for line in done.stderr.splitlines() if "CONSOLE" in line] == []
    return done.stdout


def page_of(folder: Path, **given: Any) -> str:
    rows = [
        {"step": step, "critic_bias": 1 / step, "entropy": step / 1000}
        for step in range(10, 1001, 10)
    ]
    return render([write_run(folder / "run", diagnostics=rows, **given)])


def test_every_chart_is_drawn(tmp_path: Path) -> None:
    script = """
    await settled();
    seen.charts = charts.length;
    seen.shades = [...document.querySelectorAll(".plot canvas")].map(shade);
    seen.legends = [...document.querySelectorAll(".plot .u-legend")].length;
    """.replace("charts.length", 'JSON.parse(document.getElementById("data").textContent).length')
    found = seen(page_of(tmp_path), script, tmp_path)
    assert found["charts"] == len(found["shades"]) == found["legends"] > 4
    assert min(found["shades"]) > 500  # pixels that are not transparent


def test_the_page_itself_forbids_no_script_that_it_needs(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(page_of(tmp_path), "utf-8")
    assert _dumped(page, tmp_path).count("<canvas") > 4


def test_text_of_a_run_is_shown_and_not_executed(tmp_path: Path) -> None:
    hostile = {
        "fields": {HOSTILE: HOSTILE}, "algorithm": HOSTILE, "environment": HOSTILE,
        "metrics": [{"step": 500, "time_s": 1.0, HOSTILE: 0.5}],
    }  # fmt: skip
    script = """
    seen.images = document.images.length;
    seen.scripts = [...document.scripts].filter((each) => each.textContent === "alert(1)").length;
    seen.canvases = document.querySelectorAll(".plot canvas").length;
    """
    found = seen(page_of(tmp_path, **hostile), script, tmp_path)
    assert (found["images"], found["scripts"]) == (0, 0)
    assert found["canvases"] > 4


def test_a_click_changes_the_theme_and_draws_again(tmp_path: Path) -> None:
    script = """
    const ink = () => getComputedStyle(document.body).backgroundColor;
    const first = document.querySelector(".plot canvas");
    seen.before = ink();
    document.getElementById("theme").click();
    seen.after = ink();
    seen.redrawn = first !== document.querySelector(".plot canvas");
    document.getElementById("theme").click();
    seen.again = ink();
    """
    found = seen(page_of(tmp_path), script, tmp_path)
    assert found["before"] == found["again"] != found["after"]
    assert found["redrawn"]


def test_two_fingers_stretch_the_steps_of_all_charts(tmp_path: Path) -> None:
    script = """
    const over = document.querySelectorAll(".plot .u-over")[0];
    seen.all = axes();
    fingers(over, "touchstart", [0.4, 0.6]);
    fingers(over, "touchmove", [0.1, 0.9]);
    fingers(over, "touchend", []);
    await settled();
    seen.part = axes();
    over.dispatchEvent(new MouseEvent("dblclick", {bubbles: true}));
    await settled();
    seen.again = axes();
    """
    found = seen(page_of(tmp_path), script, tmp_path)
    evaluations, diagnostic = found["part"][0], found["part"][4]
    # A fifth of the steps from 300 to 1,000 fills four fifths of the chart
    assert all(540 <= int(step) <= 760 for step in (*evaluations, *diagnostic))
    assert int(diagnostic[1]) - int(diagnostic[0]) > 100
    assert found["again"] == found["all"] != found["part"]


def test_printing_opens_what_is_folded_and_draws_for_paper(tmp_path: Path) -> None:
    script = """
    const folded = () => [...document.querySelectorAll("details")].filter((x) => !x.open).length;
    const widths = () => [...document.querySelectorAll(".plot .uplot")].map((x) => x.clientWidth);
    seen.folded = [folded()];
    await settled();
    seen.before = widths();
    dispatchEvent(new Event("beforeprint"));
    seen.folded.push(folded());
    await settled();
    seen.printed = widths();
    dispatchEvent(new Event("afterprint"));
    await settled();
    seen.after = widths();
    """
    found = seen(page_of(tmp_path), script, tmp_path)
    assert found["folded"][0] > found["folded"][1] == 0
    assert {*found["printed"]} <= {330, 680}
    assert found["after"] == found["before"]


def test_a_single_level_is_shown_above_zero(tmp_path: Path) -> None:
    rows = [{"step": step, "entropy": 1.0, "critic.dormant": 0.0} for step in (100, 200, 300)]
    script = """
    await settled();
    seen.places = [...document.querySelectorAll("#diagnostics .plot")].map((place) => {
      const canvas = place.querySelector("canvas"), {width, height} = canvas;
      const data = canvas.getContext("2d").getImageData(0, 0, width, height).data, rows = [];
      for (let at = 0; at < data.length; at += 4) {  // what has a color is the curve
        const color = data.slice(at, at + 3);
        if (data[at + 3] > 200 && Math.max(...color) - Math.min(...color) > 80) {
          rows.push(Math.floor(at / 4 / width));
        }
      }
      const over = place.querySelector(".u-over"), box = over.getBoundingClientRect();
      const y = rows[Math.floor(rows.length / 2)] * box.height / over.clientHeight;
      return (box.bottom - canvas.getBoundingClientRect().top - y) / box.height;
    });
    """
    page = render([write_run(tmp_path / "run", diagnostics=rows)])
    entropy, dormant = seen(page, script, tmp_path)["places"]
    assert abs(entropy - 1 / 1.2) < 0.05  # of the chart's height
    assert abs(dormant) < 0.05
