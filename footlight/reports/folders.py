"""What a report needs of a run folder, which may be damaged, unfinished or hostile."""

import contextlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from footlight.doctor import Checkup, examine
from footlight.errors import FootlightError, UserError
from footlight.instruments.curves import running_mean
from footlight.instruments.groups import run_folders
from footlight.reports.decimation import Points, evenly, extremes, ordered
from footlight.reports.json_values import plain, word
from footlight.reports.logs import MAX_BYTES, Log
from footlight.runs.lock import is_running
from footlight.runs.read import is_of_own_loop
from footlight.storage.files import read_json

LOGS = ("evaluations", "episodes", "metrics", "diagnostics")
MAX_RUNS = 200
MAX_JSON = 4 << 20
MAX_PROFILE = 16 << 20
MAX_POINTS = 2_000  # of a curve in memory
_MAX_TOTAL = 512 << 20  # bytes of all runs' logs of one kind, for up to 32 runs
_MAX_CACHED = 24_000_000  # numbers in memory between two renderings
_MAX_WINDOW = 100  # episodes of a running mean, unless there are very many
_SUFFIXES = (".mp4", ".gif")


class Cache:
    """Logs as far as they have been read, for pages that are rendered again and again."""

    def __init__(self) -> None:
        self.logs: dict[Path, Log] = {}
        self.checkups: dict[Path, tuple[Any, Checkup | None, list[str]]] = {}

    def log(self, path: Path) -> Log:
        """The log of a file; a new one if it has not been read yet."""
        return self.logs.setdefault(path, Log())

    def trim(self) -> None:
        """Forget logs, the oldest first, if there are too many numbers in them."""
        total = sum(log.size for log in self.logs.values())
        for path in [*self.logs]:
            if total <= _MAX_CACHED:
                break
            total -= self.logs.pop(path).size


@dataclass
class ReportRun:
    """A run as a report shows it. Values of `config` and the like may be of any type."""

    folder: Path
    name: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=dict)
    result: dict[str, Any] = field(default_factory=dict)
    profile: dict[str, Any] = field(default_factory=dict)
    state: str = "unknown"
    step: int = 0
    """The newest step in a log or in `result.json`."""
    curves: dict[str, dict[str, Points]] = field(default_factory=dict)
    """Columns by log. Of episodes: also `mean_return`, `mean_length` and `time_limit`, means over
    `window` episodes."""
    episodes: int = 0
    is_partial: bool = False
    """Whether some of the episodes were not read, as there are too many."""
    window: int = 1
    checkup: Checkup | None = None
    videos: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    color: int = 0
    label: str = ""

    @property
    def environment(self) -> str:
        """The environment's name, or "unknown environment"."""
        return word(self.config.get("environment"), "unknown environment")

    @property
    def algorithm(self) -> str:
        """The algorithm's name, or "unknown algorithm"."""
        return word(self.config.get("algorithm"), "unknown algorithm")

    def curve(self, log: str, name: str) -> Points | None:
        """A column of a log; None if it has no finite number."""
        found = self.curves.get(log, {}).get(name)
        return found if found is not None and len(found.x) else None

    @property
    def last_return(self) -> float | None:
        """The mean return of the last evaluation, or of the last episodes without one."""
        for log in ("evaluations", "episodes"):
            if (curve := self.curve(log, "mean_return")) is not None:
                return float(curve.y[-1])
        return None


def find_runs(folders: Iterable[Any]) -> tuple[list[Path], list[str]]:
    """The run folders among and below some folders, each once, and sentences on what is left out.

    Raises `UserError` without any, and for a folder that neither is a run nor contains one.
    """
    found: dict[Path, Path] = {}
    for folder in folders:
        path = Path(folder)
        inside = [path] if _is_run(path) else [*run_folders(path)] if path.is_dir() else []
        if not inside:
            what = "contains none" if path.is_dir() else "is not a folder"
            raise UserError(
                f"{path} is not a run folder and {what} - a report is about runs - "
                "give the folder that `footlight train` printed"
            )
        for each in inside:
            found.setdefault(each.resolve(), each)
    if not found:
        raise UserError(
            "there is nothing to report - no run was given - give at least one run folder"
        )
    notes = []
    if len(found) > MAX_RUNS:
        notes.append(f"Only the first {MAX_RUNS} of {len(found)} runs are shown.")
    return [*found.values()][:MAX_RUNS], notes


def _is_run(folder: Path) -> bool:
    return folder.is_dir() and (
        (folder / "config.json").exists()
        or is_of_own_loop(folder)
        or any((folder / f"{log}.jsonl").is_file() for log in LOGS)
    )


def read_runs(folders: Sequence[Path], cache: Cache | None = None) -> list[ReportRun]:
    """Read run folders. What is invalid or missing in one becomes a sentence in its `notes`."""
    names = _names(folders)
    limit = min(MAX_BYTES, max(_MAX_TOTAL // max(len(folders), 1), 16 << 20))
    runs = [_read(folder, limit, cache) for folder in folders]
    for run, name in zip(runs, names, strict=True):
        run.name = name
    if cache is not None:
        cache.trim()
    return runs


def _names(folders: Sequence[Path]) -> list[str]:
    """Short names of folders: the paths below what all of them have in common."""
    if len(folders) == 1:
        return [str(folders[0])]
    paths = [folder.absolute() for folder in folders]
    with contextlib.suppress(ValueError):  # of several drives
        top = os.path.commonpath(paths)
        return [path.relative_to(top).as_posix() for path in paths]
    return [str(path) for path in paths]


def _read(folder: Path, limit: int, cache: Cache | None) -> ReportRun:
    run = ReportRun(folder)
    run.config = _json(run, "config.json", is_needed=True)
    run.machine = _json(run, "machine.json")
    run.result = _json(run, "result.json")
    run.profile = _json(run, "profile.json", MAX_PROFILE)
    for name in LOGS:
        path = folder / f"{name}.jsonl"
        log = Log() if cache is None else cache.log(path)
        log.update(path, limit)
        run.notes += log.notes(path.name)
        run.step = max(run.step, log.last_step)
        if name == "episodes":
            run.curves[name] = _episode_curves(run, log)
            continue
        run.curves[name] = {
            column: curve
            for column in sorted(log.columns)
            if len((curve := extremes(ordered(*log.column(column)), MAX_POINTS // 2)).x)
        }
    _set_state(run)
    _set_checkup(run, cache)
    run.videos = _videos(folder)
    return run


def _json(
    run: ReportRun, name: str, max_bytes: int = MAX_JSON, is_needed: bool = False
) -> dict[str, Any]:
    path = run.folder / name
    if not path.exists() and not path.is_symlink():
        if is_needed:
            run.notes.append(f"{name} is missing.")
        return {}
    try:
        return plain(read_json(path, max_bytes))
    except UserError as error:
        reason = str(error).replace(f"{run.folder}{os.sep}", "").partition(" - ")
        what = reason[2].partition(" - ")[0] if "cannot be read" in reason[0] else reason[0]
        run.notes.append(f"{name} was skipped: {what}.")
        return {}


def _episode_curves(run: ReportRun, log: Log) -> dict[str, Points]:
    returns = log.column("return")[1]
    run.episodes, run.is_partial = len(returns), log.is_partial
    run.window = window = max(min(len(returns) // 20, _MAX_WINDOW), len(returns) // 500, 1)
    curves: dict[str, Points] = {}
    for name, label in (("return", "mean_return"), ("length", "mean_length")):
        points = ordered(*log.column(name))
        if len(points.x):
            curves[name] = extremes(points, MAX_POINTS // 2)
            smooth = Points(points.x, running_mean(points.y, window))
            curves[label] = evenly(smooth, MAX_POINTS)
    ended = [log.column(name) for name in ("terminated", "truncated")]
    if any(len(each[0]) for each in ended):
        x = np.concatenate([each[0] for each in ended])
        y = np.concatenate([np.zeros(len(ended[0][0])), np.ones(len(ended[1][0]))])
        points = ordered(x, y)
        curves["time_limit"] = evenly(Points(points.x, running_mean(points.y, window)), MAX_POINTS)
    return curves


def _set_state(run: ReportRun) -> None:
    steps, status = run.result.get("steps"), run.result.get("status")
    steps = steps if type(steps) is int and 0 <= steps < 1e18 else 0
    is_live = False
    with contextlib.suppress(OSError):
        is_live = is_running(run.folder)
    if is_live:
        run.state = "running"
    elif not isinstance(status, str) or run.step > steps:  # of an earlier session
        run.state = "interrupted" if run.config else "unknown"
    else:
        run.state = status
    run.step = max(run.step, steps)


def _set_checkup(run: ReportRun, cache: Cache | None) -> None:
    """Ask the doctor, again only where an evaluation or the end of the run is new."""
    sizes = {name: _size(run.folder / f"{name}.jsonl") for name in LOGS}
    key = sizes["evaluations"], sizes["diagnostics"], str(run.result), run.state
    if cache is not None and (known := cache.checkups.get(run.folder)) and known[0] == key:
        run.checkup, notes = known[1], known[2]
        run.notes += notes
        return
    notes = []
    if run.config:
        try:
            run.checkup = examine(run.folder)
        except FootlightError as error:
            notes.append(f"The doctor could not examine the run: {error}")
        except Exception as error:  # of values that no check expects: the page is made without it
            notes.append(f"The doctor could not examine the run: {type(error).__name__}.")
    run.notes += notes
    if cache is not None:
        cache.checkups[run.folder] = key, run.checkup, notes


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0


def _videos(folder: Path) -> list[Path]:
    """The videos of a run, by name. Links, which may lead anywhere, are left out."""
    inside = folder / "videos"
    found: list[Path] = []
    with contextlib.suppress(OSError):
        if not inside.is_symlink():
            with os.scandir(inside) as entries:
                for entry in entries:
                    is_video = Path(entry.name).suffix.lower() in _SUFFIXES
                    if is_video and entry.is_file(follow_symlinks=False):
                        found.append(Path(entry.path))
    return sorted(found)
