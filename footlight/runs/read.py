"""Readers of the run folder. They need neither torch nor the environment, only the folder's text files."""

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from footlight.errors import UserError
from footlight.storage.files import read_file, read_json
from footlight.storage.migration import upgrade_run_config

MOST_LOG_BYTES = 1 << 33
NUMBER = int | float | None  # None: what was not finite


@dataclass(frozen=True)
class RunRecord:
    """What a run folder says in text: the run's configuration and everything that was measured so far.

    The lists hold one dict per line of the file of that name, in file order. `result` is None until the run has ended.
    """

    folder: Path
    config: dict[str, Any]
    evaluations: list[dict[str, Any]]
    episodes: list[dict[str, Any]]
    metrics: list[dict[str, Any]]
    result: dict[str, Any] | None


def read_run(folder: Path) -> RunRecord:
    """Everything in `folder`, also while the run is still going on.

    Raises UserError when `folder` is no run folder, or when one of its files is broken or lacks a field.
    """
    config_path = folder / "config.json"
    if not config_path.is_file():
        raise UserError(
            f"{folder} is not a run folder - it has no config.json - give the folder that `footlight train` printed"
        )
    config = upgrade_run_config(read_json(config_path))
    _require(config, {"algorithm": str, "environment": str, "seed": int}, str(config_path))
    result_path = folder / "result.json"
    return RunRecord(
        folder=folder,
        config=config,
        evaluations=_read_table(
            folder / "evaluations.jsonl", {"step": int, "mean_return": NUMBER, "std_return": NUMBER}
        ),
        episodes=_read_table(folder / "episodes.jsonl", {"step": int, "return": NUMBER}),
        metrics=_read_table(folder / "metrics.jsonl", {"step": int}),
        result=read_json(result_path) if result_path.exists() else None,
    )


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSON-lines file, one per line; a missing file is an empty list.

    A last line without its newline that does not parse was cut off by a kill, and is left out. NaN and Infinity are
    accepted here: the lines of a run that diverged are still worth reading.
    Raises UserError naming file and line when any other line is not a JSON object, or the file cannot be read.
    """
    if not path.exists():
        return []
    data = read_file(path, MOST_LOG_BYTES)
    # Split bytes, not text: a kill can cut a character in two, and str.splitlines also splits inside JSON strings.
    *lines, tail = data.split(b"\n")
    records = [
        parse_line(line, path, number) for number, line in enumerate(lines, start=1) if line.strip()
    ]
    if tail.strip():
        with contextlib.suppress(UserError):
            records.append(parse_line(tail, path, len(lines) + 1))
    return records


def last_returns(folder: Path, count: int) -> list[float]:
    """Returns of the last `count` training episodes of a run; empty if its log cannot be read."""
    with contextlib.suppress(UserError, KeyError, TypeError, ValueError):
        return [float(line["return"]) for line in read_lines(folder / "episodes.jsonl")[-count:]]
    return []


def _read_table(path: Path, fields: Mapping[str, Any]) -> list[dict[str, Any]]:
    records = read_lines(path)
    for number, record in enumerate(records, start=1):
        _require(record, fields, f"{path}, record {number},")
    return records


def _require(record: dict[str, Any], fields: Mapping[str, Any], where: str) -> None:
    missing = [field for field in fields if field not in record]
    if missing:
        raise UserError(
            f"{where} is broken - it lacks {', '.join(missing)} - restore the file, or run again"
        )
    for field, kind in fields.items():
        if not isinstance(record[field], kind) or isinstance(record[field], bool):
            raise UserError(
                f"{where} is broken - {field} is {record[field]!r:.40} - restore the file, or run again"
            )


def parse_line(line: bytes, path: Path, number: int) -> dict[str, Any]:
    """The object in a line of a JSON-lines file. Raises UserError naming file and line where there is none."""
    try:
        value = json.loads(line.decode())
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{path}, line {number}, is broken - {error} - mend or remove that line"
        ) from None
    if not isinstance(value, dict):
        raise UserError(
            f"{path}, line {number}, is broken - it is not a JSON object - mend or remove that line"
        )
    return value
