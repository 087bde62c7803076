"""The run folders below a folder, with a summary of each. Reads their text files and runs nothing.

One folder that is damaged, unreadable or of another version never prevents the others from being
listed: its summary says what is wrong.
"""

import json
import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from footlight.errors import UserError
from footlight.runs.folder import FORMAT_VERSION
from footlight.runs.lock import is_running
from footlight.runs.read import MAX_LOG_BYTES, parse_line, read_lines
from footlight.runs.states import DEFAULT, State
from footlight.storage import checkpoint, schemas
from footlight.storage.files import opened, read_file, read_json, user_path

TAIL_BYTES = 1 << 16  # of a log in which its last row is looked for
# A row as `RunFolder` writes it. Parsing each of them as JSON would take ten times as long.
_EVALUATION = re.compile(
    rb'\{"step": \d+, "mean_return": (-?\d[\d.e+-]*|null|NaN|-?Infinity), [^\n]*\}\n'
)


@dataclass(frozen=True)
class RunInfo:
    """What is known of a run from its folder. None: the folder does not say."""

    path: Path
    """The run folder."""
    algorithm: str | None = None
    """Name of the algorithm."""
    environment: str | None = None
    """Name of the environment."""
    seed: int | None = None
    """Seed of the run."""
    step: int = 0
    """Environment steps taken. Of an interrupted run those of its newest checkpoint, from which it
    can be resumed; of a running one those in its logs."""
    steps: int | None = None
    """Environment steps that the run is to have in all."""
    state: State = "damaged"
    """`running`: a process trains in the folder now. `finished`, `stopped`, `fault`, `diverged` or
    `failed`: how the run has ended, as in `result.json`. `interrupted`: it was killed. `agent`: an
    agent of a hand-written loop, saved by itself. `damaged`: `note` says what is wrong."""
    last_return: float | None = None
    """Mean return of the last evaluation; None if it was not finite."""
    best_return: float | None = None
    """Highest mean return of an evaluation."""
    changed: float = 0.0
    """Time of the last change of one of its files, in seconds since 1970."""
    bytes: int = 0
    """Size of its files. Those that several checkpoints share count once."""
    note: str = ""
    """What is wrong with the folder, in a few words; empty if nothing is."""


def list_runs(folder: str | Path = DEFAULT) -> list[RunInfo]:
    """All runs below a folder, at any depth, as `footlight runs` shows them; sorted by path.

    Symbolic links and hidden folders below `folder` are ignored, and so are folders inside a run
    folder. Raises `UserError` if `folder` does not exist or cannot be read.
    """
    return [*_summaries(user_path(folder))]


def _summaries(top: Path) -> Iterator[RunInfo]:
    waiting = [top]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(folder) as entries:
                inside = {each.name: _is_folder(each) for each in entries}
        except OSError as error:
            if folder == top:
                raise UserError(_why_unreadable(top, error)) from error
            if not isinstance(error, FileNotFoundError):  # it has just been removed
                yield RunInfo(folder, note=_reason(error))
            continue
        if (info := summarize(folder, {*inside})) is not None:
            yield info
            continue
        below = [name for name, is_folder in inside.items() if is_folder and name[0] != "."]
        waiting += (folder / name for name in sorted(below, key=_numbers_first, reverse=True))


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False


def _why_unreadable(folder: Path, error: OSError) -> str:
    remedy = "give the folder that your runs are in: DIR"
    if isinstance(error, FileNotFoundError):
        return f"there is no folder {folder} - `footlight train` makes its runs in runs/ - {remedy}"
    return f"cannot read {folder} - {error.strerror} - {remedy}"


def _numbers_first(name: str) -> list[tuple[int, str]]:
    """Sort key of a name: 2 comes before 10, and seed-2 before seed-10."""
    return [
        (int(part[:18]), part) if part.isdecimal() else (-1, part)
        for part in re.split(r"(\d+)", name)
        if part
    ]


def _reason(error: OSError) -> str:
    return f"cannot be read: {(error.strerror or 'unknown error').lower()}"


def summarize(folder: Path, inside: set[str], is_free: bool = False) -> RunInfo | None:
    """The summary of a run folder; None for any other folder.

    inside: the names in it. is_free: no training can be running in it, as its lock is held here.
    """
    found: dict[str, Any] = {}
    notes: list[str] = []
    try:
        config_path = folder / "config.json"
        config = _read(config_path, schemas.Experiment, notes) if config_path.name in inside else {}
        if not config and not _has_signs_of_a_run(folder, inside):
            return None
        found["changed"], found["bytes"] = _last_change_and_size(folder)
        is_damaged = config is None
        if config:
            found |= {name: config[name] for name in ("algorithm", "environment", "seed")}
            steps, version = config.get("steps"), config.get("format_version")
            found["steps"] = steps if type(steps) is int and steps >= 0 else None
            if type(version) is int and version > FORMAT_VERSION:
                notes.append(f"written by a later footlight (format {version})")
        elif checkpoint.newest_first(folder) and not is_damaged:
            is_damaged = True
            notes.append("config.json is missing")
        last, best = _last_and_best(folder / "evaluations.jsonl", notes)
        found |= {"last_return": last, "best_return": best}
        if not is_free and is_running(folder):
            step = max(_checkpoint_step(folder) or 0, _logged_step(folder))
            found |= {"step": step, "state": "running"}
        else:
            found["step"], state = _ending(folder, inside, found.get("steps"), notes)
            found["state"] = "damaged" if is_damaged else state
    except OSError as error:
        notes.append(_reason(error))
        found["state"] = "damaged"
    return RunInfo(folder, **found, note="; ".join(notes))


def _has_signs_of_a_run(folder: Path, inside: set[str]) -> bool:
    """Whether a folder without a valid `config.json` is that of a run all the same."""
    if "seeds.json" in inside:
        return False
    if "checkpoints" in inside and checkpoint.newest_first(folder):
        return True
    return ".lock" in inside and is_lock_of_run(folder / ".lock")


def is_lock_of_run(path: Path) -> bool:
    """Whether a file is a lock that a training has once held, and not another program's."""
    try:
        return read_json(path, max_bytes=1000).keys() == {"pid", "host"}
    except UserError:
        return False


def _read(path: Path, schema: Any, notes: list[str]) -> dict[str, Any] | None:
    """A JSON file with at least the keys of a schema; None without one, with a note why."""
    try:
        content = read_json(path)
        schemas.require_keys(content, schema, str(path))
    except UserError as error:
        if path.exists() or path.is_symlink():
            notes.append(_brief(error, path))
        return None
    return content


def _brief(error: UserError, path: Path) -> str:
    """The message of an error about a file of a run, without its path and what to do."""
    what, _, rest = str(error).replace(f"{path.parent}{os.sep}", "").partition(" - ")
    return f"{what}: {rest.partition(' - ')[0]}" if what.endswith("cannot be read") else what


def _last_and_best(path: Path, notes: list[str]) -> tuple[float | None, float | None]:
    """The mean returns of the last and of the best evaluation, as far as the log is intact."""
    try:
        data = read_file(path, MAX_LOG_BYTES)
    except UserError as error:
        if path.exists() or path.is_symlink():
            notes.append(_brief(error, path))
        return None, None
    data = data[: data.rfind(b"\n") + 1]  # a kill can cut the last row off
    means: list[Any] = _EVALUATION.findall(data)
    if len(means) != data.count(b"\n"):  # damaged, or not written by footlight
        try:
            rows = read_lines(path)
            for number, row in enumerate(rows, start=1):
                schemas.require_keys(row, schemas.EvaluationRow, f"{path.name}, row {number},")
            means = [row["mean_return"] for row in rows]
        except UserError as error:
            notes.append(_brief(error, path))
    try:
        values = [*map(float, means)]
    except (TypeError, ValueError):  # null: it was not finite
        values = [float(mean) if mean not in (None, b"null") else math.nan for mean in means]
    last = values[-1] if values and math.isfinite(values[-1]) else None
    return last, max(filter(math.isfinite, values), default=None)


def _last_step(path: Path) -> int:
    """The step of the last complete row of a log; 0 if there is none."""
    try:
        with opened(path) as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(0, size - TAIL_BYTES))
            lines = file.read(TAIL_BYTES).split(b"\n")
        step = parse_line(lines[-2], path, 0)["step"] if len(lines) > 1 else 0
    except (UserError, KeyError):
        return 0
    return step if type(step) is int else 0


def _logged_step(folder: Path) -> int:
    """The newest step of which a run folder has a row of metrics or an evaluation."""
    return max(_last_step(folder / f"{log}.jsonl") for log in ("metrics", "evaluations"))


def _checkpoint_step(folder: Path) -> int | None:
    """The step of the newest checkpoint; None without one."""
    newest = checkpoint.newest_first(folder)[:1]
    return int(newest[0].name.split("-")[1]) if newest else None


def _ending(
    folder: Path, inside: set[str], steps: int | None, notes: list[str]
) -> tuple[int, State]:
    """The steps that a run has taken in which nothing trains now, and its state."""
    if checkpoint.MANIFEST in inside:
        return _saved_step(folder), "agent"
    result = _read(folder / "result.json", schemas.Ending, notes) if "result.json" in inside else {}
    if (saved := _checkpoint_step(folder)) is None:
        notes.append("no checkpoint")
    if not result:
        return saved or 0, "interrupted"
    step, status = result["steps"], result["status"]
    newest = max(saved or 0, _logged_step(folder))
    # Of an earlier session: a later one was killed
    if newest > step or (status == "finished" and (steps or 0) > step):
        return saved or 0, "interrupted"
    return step, status


def _saved_step(folder: Path) -> int:
    """The steps of a saved agent; 0 if its manifest cannot be read."""
    try:
        step = json.loads(read_file(folder / checkpoint.MANIFEST, 1 << 24))["step"]
    except (UserError, ValueError, LookupError, TypeError, RecursionError):
        return 0
    return step if type(step) is int else 0


def _last_change_and_size(folder: Path) -> tuple[float, int]:
    """When a file in a folder was last changed, and the size of all of them.

    The lock does not count as a change. What cannot be read, and symbolic links, are left out.
    """
    changed, size, shared, waiting = 0.0, 0, set[int](), [folder]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(Path(entry.path))
                    elif entry.is_file(follow_symlinks=False):
                        status = entry.stat(follow_symlinks=False)
                        if entry.name != ".lock":
                            changed = max(changed, status.st_mtime)
                        if status.st_nlink < 2 or status.st_ino not in shared:
                            size += status.st_size
                        shared.add(status.st_ino)
        except OSError:  # removed by the training meanwhile, or not ours to read
            continue
    return changed or folder.lstat().st_mtime, size
