"""Run folders for reports, and what is on a page."""

import json
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np

from footlight.doctor import Checkup, Finding
from footlight.reports.decimation import Points
from footlight.reports.folders import ReportRun

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\u2028\u202e\"'`&"


def write_run(
    folder: Path,
    evaluations: Sequence[tuple[int, float]] = ((500, 1.0), (1000, 2.0)),
    episodes: Sequence[tuple[int, float]] = ((300, 1.0), (600, 2.0), (900, 4.0)),
    metrics: Sequence[dict[str, Any]] = ({"step": 500, "time_s": 1.0, "critic_loss": 0.5},),
    diagnostics: Sequence[dict[str, Any]] = (),
    result: dict[str, Any] | None = None,
    fields: dict[str, Any] | None = None,
    **options: Any,
) -> Path:
    folder.mkdir(parents=True)
    config = {"algorithm": "sac", "environment": "Pendulum-v1", "seed": 0, "steps": 1000,
              "resume": "exact", "config": fields or {}}  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config | options))
    machine = {"versions": {"footlight": "0.1.0"}, "commit": "abc123", "threads": 1,
               "command": ["train", "sac", "Pendulum-v1"]}  # fmt: skip
    (folder / "machine.json").write_text(json.dumps(machine))
    if result is not None:
        (folder / "result.json").write_text(json.dumps(result))
    rows: dict[str, Sequence[dict[str, Any]]] = {
        "evaluations": [{"step": step, "mean_return": mean, "std_return": 0.5}
                        for step, mean in evaluations],
        "episodes": [{"step": step, "return": value, "length": 10, "terminated": True}
                     for step, value in episodes],
        "metrics": metrics,
        "diagnostics": diagnostics,
    }  # fmt: skip
    for name, own in rows.items():
        write_log(folder, name, own)
    return folder


def write_log(folder: Path, name: str, rows: Sequence[dict[str, Any]]) -> Path:
    path = folder / f"{name}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def reported(name: str, mean: Sequence[float] = (), **config: Any) -> ReportRun:
    """A run that was read, with a mean return at steps 1, 2, ..."""
    run = ReportRun(Path("/runs") / name, name)
    run.config = {"algorithm": "sac", "environment": "Pendulum-v1", "seed": 0} | config
    if mean:
        run.curves["evaluations"] = {"mean_return": points(mean)}
    return run


def points(y: Sequence[float], start: int = 1) -> Points:
    return Points(np.arange(start, start + len(y), dtype=np.float64), np.array(y, np.float64))


def finding(check: str = "critic-wrong", step: int | None = 500, **values: Any) -> Finding:
    given: dict[str, Any] = {
        "severity": "critical", "title": "The critic is wrong", "evidence": "0.9, level 0.5",
        "meaning": "It misleads the policy.", "remedy": "set tau = 0.005", "source": "a paper",
        "confidence": 0.9, "quantity": "critic_bias",
    }  # fmt: skip
    return Finding(check=check, step=step, **(given | values))


def checkup(*findings: Finding) -> Checkup:
    return Checkup(findings, ("The twin gap: there is one critic.",), 7)


class Page(HTMLParser):
    """The elements, attributes and visible text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.texts: list[str] = []
        self.scripts: list[str] = []
        self._inside = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside in ("script", "style"):
            self.scripts.append(data)
        else:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.texts))

    @property
    def charts(self) -> list[dict[str, Any]]:
        data = next(script for script in self.scripts if script.startswith("["))
        found: list[dict[str, Any]] = json.loads(data)
        return found
