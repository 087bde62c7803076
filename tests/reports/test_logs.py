"""Logs as columns, whatever is in them."""

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest

from footlight.reports import logs
from footlight.reports.logs import MAX_COLUMNS, Log


def read(path: Path, text: str | bytes, **limits: int) -> Log:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    log = Log()
    log.update(path, **limits)
    return log


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "metrics.jsonl"


def column(log: Log, name: str) -> list[tuple[float, float]]:
    steps, values = log.column(name)
    return list(zip(steps.tolist(), values.tolist(), strict=True))


def test_columns_have_the_steps_of_the_rows_that_have_them(path: Path) -> None:
    log = read(path, '{"step": 1, "a": 1.5}\n{"step": 2, "b": true}\n\n{"step": 3, "a": 2}\n')
    assert column(log, "a") == [(1, 1.5), (3, 2)]
    assert column(log, "b") == [(2, 1)]
    assert column(log, "c") == []
    assert (log.rows, log.last_step, log.notes("x")) == (3, 3, [])


def test_invalid_rows_are_skipped_and_counted(path: Path) -> None:
    lines = ['{"step": 1, "a": 1}', "no JSON", "[1]", '{"a": 1}', '{"step": -1, "a": 1}',
             '{"step": true, "a": 1}', '{"step": "1", "a": 1}', "[" * 100_000, b"\xff".hex(),
             '{"step": NaN, "a": 2}', '{"step": 9, "a": 1' + "0" * 5_000 + "}",
             '{"step": 2, "a": 5}', '{"step": 3}, {"step": 4}']  # fmt: skip
    log = read(path, "\n".join(lines) + "\n")
    assert column(log, "a") == [(1, 1), (2, 5)]
    assert log.notes("m.jsonl") == ["m.jsonl: 11 invalid rows skipped."]


def test_values_that_are_no_numbers_are_left_out_and_those_not_finite_said(path: Path) -> None:
    rows = '{"step": 1, "a": "x", "b": [1], "c": null, "d": NaN, "e": 1e999}\n'
    log = read(path, rows + '{"step": 2, "a": 1, "c": 3, "big": ' + "9" * 400 + "}\n")
    assert column(log, "a") == [(2, 1)]
    assert math.isnan(column(log, "c")[0][1])
    assert column(log, "c")[1] == (2, 3)
    assert math.isnan(column(log, "big")[0][1])
    assert "m: 1 value of c not finite." in log.notes("m")


def test_an_unfinished_last_line_is_read_when_it_is_complete(path: Path) -> None:
    log = read(path, '{"step": 1, "a": 1}\n{"step": 2, "a"')
    assert column(log, "a") == [(1, 1)]
    with path.open("a") as file:
        file.write(': 2}\n{"step": 3, "a": 3}\n')
    log.update(path)
    assert column(log, "a") == [(1, 1), (2, 2), (3, 3)]
    assert log.notes("x") == []


def test_only_what_was_added_is_read_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = read(path, "".join(json.dumps({"step": n, "a": n}) + "\n" for n in range(1000)))
    parsed: list[bytes] = []
    whole = logs._parse
    monkeypatch.setattr(logs, "_parse", lambda text: parsed.append(text) or whole(text))
    with path.open("a") as file:
        file.write('{"step": 1000, "a": 7}\n')
    log.update(path)
    assert parsed == [b'[{"step": 1000, "a": 7}]']
    assert log.rows == 1001


@pytest.mark.parametrize("later", ['{"step": 5, "a": 5}\n', '{"step": 1, "a": 9}\n' * 10])
def test_a_rewritten_log_is_read_from_its_beginning(path: Path, later: str) -> None:
    log = read(path, '{"step": 1, "a": 1}\n{"step": 2, "a": 2}\n')
    path.write_text(later)
    log.update(path)
    assert log.rows == later.count("\n")
    path.unlink()
    log.update(path)
    assert (log.rows, column(log, "a")) == (0, [])


def test_giant_lines_are_skipped(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "MAX_LINE", 1000)
    monkeypatch.setattr(logs, "_CHUNK", 300)
    log = read(path, '{"step": 1, "a": 1}\n' + "z" * 100_000 + '\n{"step": 2, "a": 2}\n')
    assert column(log, "a") == [(1, 1), (2, 2)]
    assert log.notes("m")[0].startswith("m: 1 line of more than 1 MiB skipped.")


def test_of_a_log_that_is_too_large_parts_from_end_to_end_are_read(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "MAX_LINE", 16_000)
    monkeypatch.setattr(logs, "PARTS", 10)
    text = "".join(json.dumps({"step": n, "a": n}) + "\n" for n in range(20_000))
    log = read(path, text, max_bytes=20_000)
    steps, values = log.column("a")
    assert 500 < len(steps) < 1_500
    assert (np.diff(steps) > 0).all()
    assert (steps == values).all()
    assert steps[0] == 0
    assert steps[-1] == 19_999
    assert "were not read" in log.notes("m")[0]
    assert "invalid" not in " ".join(log.notes("m"))


def test_numbers_in_memory_are_bounded_and_extremes_kept(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "MAX_NUMBERS", 1_000)
    monkeypatch.setattr(logs, "_CHUNK", 2_000)
    rows = [{"step": n, "a": 100.0 if n == 7 else -100.0 if n == 4_999 else 0.0}
            for n in range(5_000)]  # fmt: skip
    log = read(path, "".join(json.dumps(row) + "\n" for row in rows))
    values = log.column("a")[1]
    assert len(values) < 1_200
    assert (values.max(), values.min()) == (100.0, -100.0)
    assert log.rows == 5_000
    assert "were kept" in log.notes("m")[0]


def test_a_log_of_ever_new_names_has_a_bounded_number_of_columns(path: Path) -> None:
    rows = [{"step": n, f"name{n}": 1.0, "a": n} for n in range(3_000)]
    log = read(path, "".join(json.dumps(row) + "\n" for row in rows))
    assert len(log.columns) == MAX_COLUMNS
    assert log.rows == 3_000


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_only_regular_files_are_read(path: Path, kind: str) -> None:
    if kind == "link":
        path.symlink_to("/etc/passwd")
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    log = Log()
    log.update(path)
    assert log.rows == 0
    assert log.notes("m.jsonl")[0].startswith("m.jsonl was skipped: ")
