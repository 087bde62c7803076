"""benchmarks/doctor.py: its report of run folders."""

import importlib
import json
from pathlib import Path
from typing import Any

import doctor_tables as tables
import pytest
from doctor_faults import FAULTS, changed
from doctor_healthy import HEALTHY
from doctor_tables import Examined
from doctor_training import MARK, folder_of, outcome_of, train

from footlight.doctor.findings import finding


def test_report(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of runs that are there: no process is started."""
    program: Any = importlib.import_module("doctor")
    monkeypatch.setattr(program, "run_json", lambda command: {})
    for name in ("dead ReLUs: A2C", "a2c without a mistake"):
        folder = folder_of(tmp_path, name, 1)
        folder.parent.mkdir(parents=True)
        training = FAULTS[name].training if name in FAULTS else HEALTHY[name]
        outcome = train(changed(training, steps=200, compile="off"), 1, folder)
        (folder.parent / f"{folder.name}.{MARK}").write_text(json.dumps(outcome))
        assert outcome_of(folder)["end"] == "ended"
        assert 8 <= outcome["return"] <= 500
    words = [
        "--examine-only",
        "--faults",
        "dead",
        "stale",
        "--healthy",
        "a2c without",
        "--seeds=1",
        "--work",
        str(tmp_path),
    ]
    monkeypatch.setattr("sys.argv", ["doctor.py", *words])
    assert program.main() in (0, 1)
    printed = capsys.readouterr().out
    assert "of 1 runs" in printed
    assert [line for line in printed.splitlines() if line.startswith("dead ReLUs: A2C")]
    assert "1 healthy runs" in printed
    assert "stale" not in "".join(printed.splitlines()[:-1])  # not trained


def found(check: str, severity: str = "warning") -> Any:
    return finding(check, severity, "")  # type: ignore[arg-type]


def test_ranks_harm_and_alarms() -> None:
    name, base = "stale rollouts: A2C", "a2c without a mistake"
    first = Examined(Path(), (found("does-not-learn"), found("rollouts-stale")), 480.0)
    second = Examined(Path(), (found("diverged"), found("forgets"), found("rollouts-stale")), 400.0)
    third = Examined(Path(), (), None)
    healthy = {base: [Examined(Path(), (found("forgets", "note"),), 500.0), second]}
    faulty = {name: [first, second, third]}
    assert [run.rank(FAULTS[name].causes) for run in faulty[name]] == [2, 3, None]
    assert tables.share_of_first(faulty) == 1 / 3
    assert tables.alarms_of(healthy) == {"diverged": 1, "forgets": 1, "rollouts-stale": 1}
    assert not tables.is_good({}, healthy)
    assert tables.is_good({name: [first]}, {base: healthy[base][:1]})
    assert tables.is_harmless(name, [first], {base: healthy[base][:1]})
    assert not tables.is_harmless(name, [second], {base: healthy[base][:1]})
    row = next(line for line in tables.fault_lines(faulty, healthy) if line.startswith(name))
    assert row.split()[3:6] == ["2", "3", "-"]
    assert row.split()[6:8] == ["440", "450"]
