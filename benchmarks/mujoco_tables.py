"""The table of `mujoco_suite.py`, and what is made of it: report and images."""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mujoco_runs import Job, Row, write_atomically

ROWS = ("environment", "method", "seed", "step", "return", "cpu_seconds")
RUNS = ("environment", "method", "seed", "steps", "commit", "machine", "date", "values")


class Key(NamedTuple):
    """Names a run in the table."""

    environment: str
    method: str
    seed: int


class Table:
    """The evaluations of all finished runs, in two CSV files of a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows: dict[Key, list[Row]] = {}
        """The evaluations of each run, by step."""
        self.runs: dict[Key, dict[str, Any]] = {}
        """What made each run: the columns `RUNS`."""
        for line in _read(folder / "mujoco.csv"):
            row = (int(line["step"]), float(line["return"]), float(line["cpu_seconds"]))
            self.rows.setdefault(_key(line), []).append(row)
        for rows in self.rows.values():
            rows.sort()
        for line in _read(folder / "mujoco-runs.csv"):
            self.runs[_key(line)] = dict(line)

    def steps(self, key: Key) -> int:
        """The last step of a run; 0 if the table does not have it."""
        return self.rows[key][-1][0] if self.rows.get(key) else 0

    def has(self, job: Job) -> bool:
        """Whether the table has this run, to these steps or more."""
        return self.steps(Key(job.environment, job.method, job.seed)) >= job.steps

    def final(self, job: Job) -> float:
        """The final return of a run."""
        return self.rows[Key(job.environment, job.method, job.seed)][-1][1]

    def collect(self, work: Path) -> None:
        """Add the finished runs in `work`. A run to more steps replaces a shorter one."""
        for path in work.glob("*/*/*/finished.json"):
            found = json.loads(path.read_text(encoding="utf-8"))
            key = _key(found["run"])
            if found["rows"] and found["run"]["steps"] > self.steps(key):
                self.rows[key] = sorted(tuple(row) for row in found["rows"])
                self.runs[key] = found["run"]

    def write(self) -> None:
        """Write both files, sorted."""
        lines = [
            (*key, step, f"{mean:.3f}", f"{seconds:.1f}")
            for key in sorted(self.rows)
            for step, mean, seconds in self.rows[key]
        ]
        _write(self.folder / "mujoco.csv", ROWS, lines)
        runs = [[self.runs[key].get(name, "") for name in RUNS] for key in sorted(self.runs)]
        _write(self.folder / "mujoco-runs.csv", RUNS, runs)


def _key(line: Mapping[str, Any]) -> Key:
    return Key(line["environment"], line["method"], int(line["seed"]))


def _read(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"), newline="")))


def _write(path: Path, header: Sequence[str], lines: Iterable[Sequence[Any]]) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(lines)
    write_atomically(path, text.getvalue())


def publish_all(table: Table) -> None:
    """Write the report and the images."""
