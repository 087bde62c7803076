"""Readers of the run folder: lines cut off by a kill are skipped, invalid files are rejected."""

import json
from pathlib import Path

import pytest

from footlight.errors import UserError
from footlight.runs.read import read_lines, read_run
from footlight.storage.files import read_json

CONFIG = {
    "format_version": 1,
    "algorithm": "sac",
    "environment": "Pendulum-v1",
    "seed": 1,
    "steps": 100,
    "config": {},
}


def write_run(folder: Path) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "evaluations.jsonl").write_text(
        '{"step": 50, "mean_return": -3.5, "std_return": 0.5}\n'
    )
    (folder / "episodes.jsonl").write_text(
        '{"step": 20, "return": -9.0}\n{"step": 40, "return": -4.0}\n'
    )
    return folder


def test_missing_file_has_no_lines(tmp_path: Path) -> None:
    assert read_lines(tmp_path / "metrics.jsonl") == []


@pytest.mark.parametrize(
    "tail", [b'{"step": 3, "los', b'{"step": 3, "name": "\xc3', b"\x00\x00\x00", b"{"]
)
def test_half_written_last_line_is_left_out(tmp_path: Path, tail: bytes) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 1}\n{"step": 2}\n' + tail)
    assert read_lines(path) == [{"step": 1}, {"step": 2}]


def test_complete_last_line_without_newline_is_read(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 1}\n{"step": 2}')
    assert read_lines(path) == [{"step": 1}, {"step": 2}]


@pytest.mark.parametrize("line", ['{"step": 2', "[2]", "2"])
def test_broken_line_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(f'{{"step": 1}}\n{line}\n{{"step": 3}}\n')
    with pytest.raises(UserError, match=r"metrics\.jsonl, line 2, is invalid"):
        read_lines(path)


def test_line_separators_inside_a_string_do_not_split_it(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"name": "a\u2028b"}\n', encoding="utf-8")
    assert read_lines(path) == [{"name": "a\u2028b"}]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("config.json", json.dumps({**CONFIG, "algorithm": [1]}), r"algorithm is \[1\]"),
        ("config.json", json.dumps({**CONFIG, "seed": True}), "seed is True"),
        (
            "evaluations.jsonl",
            '{"step": 1, "mean_return": "high", "std_return": 0}\n',
            "row 1, is invalid: mean_return is 'high' - it must be a number or none",
        ),
        (
            "episodes.jsonl",
            '{"step": 1, "return": 1}\n{"step": null, "return": 1}\n',
            "row 2, is invalid: step is None",
        ),
    ],
)
def test_value_of_wrong_type_is_named(tmp_path: Path, name: str, text: str, words: str) -> None:
    folder = write_run(tmp_path / "run")
    (folder / name).write_text(text)
    with pytest.raises(UserError, match=words):
        read_run(folder)


@pytest.mark.parametrize(
    "text", ["", "{", "[1]", '{"a": NaN}', '{"a": -Infinity}', '{"a": 1} {"b": 2}']
)
def test_invalid_json_is_rejected(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(UserError, match=r"config\.json is invalid"):
        read_json(path)


def test_missing_json_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is missing"):
        read_json(tmp_path / "config.json")


def test_read_run(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    record = read_run(folder)
    assert record.folder == folder
    assert record.config == CONFIG
    assert record.evaluations == [{"step": 50, "mean_return": -3.5, "std_return": 0.5}]
    assert [line["return"] for line in record.episodes] == [-9.0, -4.0]
    assert record.metrics == []
    assert record.result is None
    (folder / "result.json").write_text('{"status": "finished"}')
    assert read_run(folder).result == {"status": "finished"}


@pytest.mark.parametrize("name", ["empty", "absent"])
def test_folder_that_is_not_a_run_is_rejected(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        UserError, match=r"is not a run folder - it has no config\.json - "
    ) as caught:
        read_run(tmp_path / name)
    assert caught.value.exit_code == 2


def test_run_in_a_folder_of_runs_is_named(tmp_path: Path) -> None:
    (tmp_path / "seeds").mkdir()
    inside = write_run(tmp_path / "seeds" / "seed-1")
    (inside / "checkpoints").mkdir(exist_ok=True)
    with pytest.raises(UserError, match=f"contains runs - give one of them, such as {inside}"):
        read_run(tmp_path / "seeds")


def test_missing_fields_are_named(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    (folder / "evaluations.jsonl").write_text('{"step": 50, "mean_return": -3.5}\n')
    with pytest.raises(
        UserError, match=r"evaluations\.jsonl, row 1, is invalid: std_return is missing"
    ):
        read_run(folder)
    (folder / "config.json").write_text("{}")
    with pytest.raises(UserError, match="algorithm is missing"):
        read_run(folder)


def test_of_a_large_log_both_ends_are_read(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    lines = [json.dumps({"step": step, "return": 1.0}) + "\n" for step in range(1000, 2000)]
    (folder / "episodes.jsonl").write_text("".join(lines))
    room = 10 * len(lines[0])
    steps = [row["step"] for row in read_run(folder, room).episodes]
    assert steps == [*range(1000, 1005), *range(1996, 2000)]  # the fifth last one is cut in two
    assert len(read_run(folder).episodes) == 1000
    lines[1] = lines[-2] = "\n"  # lines without a row are skipped, as in a small log
    (folder / "episodes.jsonl").write_text("".join(lines))
    steps = [row["step"] for row in read_run(folder, room).episodes]
    assert steps == [1000, *range(1002, 1005), *range(1995, 1998), 1999]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("broken", r"line {}, is invalid: .* - fix or remove that line"),
        ('{"step": 1}', r"row {}, is invalid: return is missing"),
    ],
)
def test_places_behind_the_gap_of_a_large_log_are_counted_from_the_end(
    tmp_path: Path, text: str, words: str
) -> None:
    folder = write_run(tmp_path / "run")
    line = json.dumps({"step": 1000, "return": 1.0})
    for index, place in ((2, "3"), (-3, "3 from the end")):
        lines = [line] * 1000
        lines[index] = text.ljust(len(line))
        (folder / "episodes.jsonl").write_text("".join(f"{each}\n" for each in lines))
        with pytest.raises(UserError, match=rf"episodes\.jsonl, {words.format(place)}"):
            read_run(folder, 20 * len(line))
