"""How a machine computes: by rule, and as a file says."""

import json
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from footlight.config import tuning as module
from footlight.config.tuning import Tuning, of_file, path, rule, tuning, using
from footlight.machine import all_cores, cpu_name


@pytest.mark.parametrize(
    ("processor", "is_slow"),
    [
        ("vendor_id : GenuineIntel\nflags : avx2 avx512f", False),
        ("vendor_id : GenuineIntel\nflags : avx2", False),
        ("vendor_id : AuthenticAMD\nflags : avx2 avx512f", True),
        ("vendor_id : AuthenticAMD\nflags : avx2", False),
    ],
)
def test_onednn_multiplies_where_mkl_leaves_avx512_unused(
    monkeypatch: pytest.MonkeyPatch, processor: str, is_slow: bool
) -> None:
    monkeypatch.setattr(Path, "read_text", lambda path: processor)
    assert rule().onednn_from == (4_000_000 if is_slow else None)


def test_threads_rise_with_the_size_of_the_update() -> None:
    how = Tuning(((1_000, 2), (5_000, 8)), None)
    assert [how.threads_for(size) for size in (1, 999, 1_000, 4_999, 5_000, 10**9)] == [
        1, 1, 2, 2, 8, 8,
    ]  # fmt: skip
    assert rule().threads_for(20_000_000) == all_cores()
    assert rule().threads_for(19_999_999) == 1


def content(**changes: Any) -> dict[str, Any]:
    return {
        "format_version": 1, "date": "2026-11-28", "cpu": cpu_name(), "cores": all_cores(),
        "torch": metadata.version("torch"), "threads": [[50, 1], [10, all_cores()]],
        "onednn_from": None, "measured": [],
        **changes,
    }  # fmt: skip


def test_file_of_this_machine_is_followed() -> None:
    assert of_file(content()) == Tuning(((10, all_cores()), (50, 1)), None, "2026-11-28")


@pytest.mark.parametrize(
    "changes",
    [
        {"cpu": "another"},
        {"cores": all_cores() + 1},
        {"torch": "1.0"},
        {"threads": [["many", 2]]},
        {"threads": [[10, 1], [50]]},
        {"threads": [[10, 0]]},
        {"threads": [[10, all_cores() + 1]]},
        {"format_version": 2},
        {"threads": None},
        {"onednn_from": -1},
        {"unknown": 1},
    ],
)
def test_other_file_is_ignored(changes: dict[str, Any]) -> None:
    assert of_file(content(**changes)) is None
    assert of_file([]) is None


@pytest.mark.parametrize("text", ["", "not JSON", "[]", json.dumps(content(cpu="another"))])
def test_without_a_valid_file_the_rule_holds(
    text: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    module._found.cache_clear()
    assert tuning() == rule()
    assert capsys.readouterr().err == ""
    module._found.cache_clear()
    path().parent.mkdir()
    path().write_text(text)
    assert tuning() == tuning() == rule()
    (line,) = capsys.readouterr().err.splitlines()
    assert "tuning.json is not of this machine" in line
    assert line.endswith("(footlight tune-machine measures again)")
    module._found.cache_clear()
    path().write_text(json.dumps(content()))
    assert tuning().source == "2026-11-28"
    module._found.cache_clear()


def test_another_tuning_can_be_used_for_a_while() -> None:
    how = Tuning((), 7)
    with using(how):
        assert tuning() is how
    assert tuning() == rule()
