"""Rows of a run's logs, as lists and as data frames."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import footlight
from footlight.errors import UserError
from footlight.runs.rows import Rows, rows_of


def test_rows_are_those_of_the_files(run_folder: Path) -> None:
    run = footlight.Run(run_folder)
    for log, found in (
        ("metrics", run.metrics()),
        ("episodes", run.episodes()),
        ("evaluations", run.evaluations()),
    ):
        lines = (run_folder / f"{log}.jsonl").read_text().splitlines()
        assert found
        assert found == [json.loads(line) for line in lines]
        assert isinstance(found, list)


def test_invalid_row_is_named(tmp_path: Path, finished_run: Path) -> None:
    (tmp_path / "config.json").write_text((finished_run / "config.json").read_text())
    assert rows_of(tmp_path, "metrics") == []
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n{"update": 3}\n{"step": 2')
    with pytest.raises(UserError, match=r"metrics.jsonl, row 2, is invalid: step is missing"):
        rows_of(tmp_path, "metrics")


def test_only_run_folders_have_rows(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a run folder"):
        footlight.Run(tmp_path).episodes()


def test_frame_is_that_of_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []
    monkeypatch.setitem(sys.modules, "pandas", SimpleNamespace(DataFrame=given.append))
    Rows([{"step": 1}, {"step": 2, "x": 0.5}]).frame()
    assert given == [[{"step": 1}, {"step": 2, "x": 0.5}]]
    assert type(given[0]) is list


def test_frame_without_pandas_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UserError, match=r"needs pandas - .* - `pip install pandas`, or use the"):
        Rows().frame()


def test_real_frame_has_a_column_for_each_key() -> None:
    pytest.importorskip("pandas")
    frame = Rows([{"step": 1}, {"step": 2, "x": 0.5}]).frame()
    assert [*frame.columns] == ["step", "x"]
    assert frame["x"].isna().tolist() == [True, False]
