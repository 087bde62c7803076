"""Readers of the run folder. They need neither torch nor the environment, only its text files."""

import contextlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from footlight.errors import UserError
from footlight.storage import schemas
from footlight.storage.files import opened, read_file, read_json
from footlight.storage.migration import upgrade_run_config

MAX_LOG_BYTES = 1 << 33
_LOOP_LOGS = ("episodes.jsonl", "evaluations.jsonl")  # which a loop may write before an agent

Log = Literal["metrics", "episodes", "evaluations", "diagnostics"]
_SCHEMAS: dict[Log, Any] = {
    "metrics": schemas.MetricsRow,
    "episodes": schemas.EpisodeRow,
    "evaluations": schemas.EvaluationRow,
    "diagnostics": schemas.MetricsRow,
}


@dataclass(frozen=True)
class RunData:
    """The text files of a run folder: its configuration and everything measured so far.

    The lists hold one dict per row of the file of that name, in file order. `result` is None until
    the run has ended.
    """

    folder: Path
    config: dict[str, Any]
    evaluations: list[dict[str, Any]]
    episodes: list[dict[str, Any]]
    metrics: list[dict[str, Any]]
    result: dict[str, Any] | None
    diagnostics: list[dict[str, Any]] = field(default_factory=list)


def read_run(folder: Path, max_log_bytes: int = MAX_LOG_BYTES) -> RunData:
    """Read the text files in `folder`, also while the run is in progress.

    max_log_bytes: of a larger log, its beginning and its end are read.

    Raises `UserError` if `folder` is not a run folder, or if one of its files is invalid.
    """
    config_path = _require_config(folder)
    config = upgrade_run_config(read_json(config_path))
    schemas.require_keys(config, schemas.Experiment, str(config_path))
    result_path = folder / "result.json"
    return RunData(
        folder=folder,
        config=config,
        evaluations=_read_table(folder, "evaluations", max_log_bytes),
        episodes=_read_table(folder, "episodes", max_log_bytes),
        metrics=_read_table(folder, "metrics", max_log_bytes),
        result=read_json(result_path) if result_path.exists() else None,
        diagnostics=_read_table(folder, "diagnostics", max_log_bytes),
    )


def read_log(folder: Path, log: Log) -> list[dict[str, Any]]:
    """The rows of one log in `folder`. Raises what `read_run` raises."""
    _require_config(folder)
    return _read_table(folder, log)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSON-lines file, one per line; a missing file is an empty list.

    A last line without its newline that does not parse was cut off by a kill, and is ignored. NaN
    and Infinity are accepted: the rows of a run that diverged are still worth reading.
    Raises `UserError` naming file and line if any other line is not a JSON object, or if the file
    cannot be read.
    """
    if not path.exists():
        return []
    data = read_file(path, MAX_LOG_BYTES)
    # Bytes, not text, are split: a kill can cut a character in two, and str.splitlines also splits
    # inside JSON strings.
    *lines, tail = data.split(b"\n")
    rows = [
        parse_line(line, path, number) for number, line in enumerate(lines, start=1) if line.strip()
    ]
    if tail.strip():
        with contextlib.suppress(UserError):
            rows.append(parse_line(tail, path, len(lines) + 1))
    return rows


def _read_ends(path: Path, max_bytes: int) -> tuple[list[dict[str, Any]], int]:
    """The rows in the first and in the last half of so many bytes of a log, and how many of them
    are in the first one."""
    with opened(path) as file:
        beginning = file.read(max_bytes // 2)
        file.seek(-(max_bytes // 2), os.SEEK_END)
        end = file.read()
    first, last = beginning.split(b"\n")[:-1], end.split(b"\n")[1:-1]
    lines = [*first, *last]
    rows = [
        parse_line(line, path, _place(index, len(first), len(lines)))
        for index, line in enumerate(lines)
        if line.strip()
    ]
    return rows, sum(bool(line.strip()) for line in first)


def _place(index: int, num_first: int, count: int) -> str:
    """The number of a line; of one behind the gap, counted from the end."""
    return f"{index + 1}" if index < num_first else f"{count - index} from the end"


def last_returns(folder: Path, count: int) -> list[float]:
    """Returns of the last `count` training episodes of a run; empty if its log cannot be read."""
    with contextlib.suppress(UserError, KeyError, TypeError, ValueError):
        return [float(row["return"]) for row in read_lines(folder / "episodes.jsonl")[-count:]]
    return []


def is_of_own_loop(folder: Path) -> bool:
    """Whether a folder has a saved agent or the log of a hand-written loop."""
    has_any = any((folder / name).is_file() for name in ("manifest.json", *_LOOP_LOGS))
    return has_any and folder.absolute().parent.name != "checkpoints"


def _require_config(folder: Path) -> Path:
    """The path of a run's `config.json`. Raises `UserError` for any other folder."""
    path = folder / "config.json"
    if not path.is_file() and is_of_own_loop(folder):
        raise UserError(
            f"{folder} does not say which environment it is for - no agent has been saved there "
            "with one - agent.save(folder, environment=...) records it"
        )
    if not path.is_file():
        from footlight.storage.checkpoint import run_inside  # which imports safetensors

        if (inside := run_inside(folder)) is not None:
            raise UserError(
                f"{folder} is not a run folder - it contains runs - give one of them, such as "
                f"{inside}"
            )
        raise UserError(
            f"{folder} is not a run folder - it has no config.json - "
            "give the folder that `footlight train` printed"
        )
    return path


def _read_table(folder: Path, log: Log, max_bytes: int = MAX_LOG_BYTES) -> list[dict[str, Any]]:
    path = folder / f"{log}.jsonl"
    is_large = path.exists() and path.stat().st_size > max_bytes
    if is_large:
        rows, num_first = _read_ends(path, max_bytes)
    else:
        rows = read_lines(path)
        num_first = len(rows)
    names = [name for name in _SCHEMAS[log].__annotations__ if name != "step"]
    for index, row in enumerate(rows):
        step = row.get("step")
        # Of the rows that footlight writes: the validator takes twenty times as long.
        if type(step) is int and step >= 0 and all(type(row.get(name)) is float for name in names):
            continue
        place = _place(index, num_first, len(rows))
        schemas.require_keys(row, _SCHEMAS[log], f"{path}, row {place},")
    return rows


def parse_line(line: bytes, path: Path, place: int | str) -> dict[str, Any]:
    """Parse the object in a line of a JSON-lines file. Raises `UserError` naming file and line.

    place: the number of the line, or words that follow "line".
    """
    try:
        value = json.loads(line.decode())
    except (ValueError, RecursionError) as error:
        reason = str(error)
    else:
        if isinstance(value, dict):
            return value
        reason = "it is not a JSON object"
    raise UserError(f"{path}, line {place}, is invalid: {reason} - fix or remove that line")
