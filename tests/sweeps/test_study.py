"""Optuna's part: the same suggestions after a kill, pruning, and a study in memory."""

import dataclasses
import sys
from pathlib import Path
from typing import Any

import pytest
from sweep_specs import GRID

from footlight.errors import UserError
from footlight.sweeps.spec import read_spec
from footlight.sweeps.study import Study, in_memory, require_optuna
from footlight.sweeps.trials import Held, State, SweepFolder

optuna = pytest.importorskip("optuna")
SEARCH: dict[str, Any] = {
    "gamma": {"low": 0.5, "high": 0.9},
    "batch_size": {"low": 4, "high": 64, "log": True},
    "hidden_sizes": [[4], [8]],
}


def opened(path: Path, **changes: Any) -> SweepFolder:
    values = {key: x for key, x in GRID["values"].items() if key != "hidden_sizes"}
    given = {**GRID, "method": "tpe", "values": values, "search": SEARCH, **changes}
    folder = SweepFolder(path, read_spec(given, "FILE"))
    folder.open()
    return folder


def claimed(folder: SweepFolder, study: Study) -> Held:
    held = folder.claim(study.suggest)
    assert held is not None
    return held


def end(held: Held, value: float | None, state: State = "finished") -> None:
    with held as trial:
        dataclasses.replace(trial, state=state, value=value).write()


def test_suggestions_follow_from_the_results_alone(tmp_path: Path) -> None:
    """Also where the process was killed: at any of the marked moments."""
    chosen: dict[str, list[Any]] = {}
    for name in ("undisturbed", "killed"):
        folder = opened(tmp_path / name)
        study = Study(folder)
        for number in range(13):
            held = claimed(folder, study)
            if name == "killed" and number in (4, 12):  # after it began
                study = Study(folder)
                with held:
                    pass
                held = claimed(folder, study)
            assert held.trial.number == number
            end(held, -((held.trial.chosen["gamma"] - 0.8) ** 2))
            if name == "killed" and number == 8:  # before Optuna was told
                study = Study(folder)
        chosen[name] = [trial.chosen for trial in folder.trials()]
    assert chosen["killed"] == chosen["undisturbed"]
    assert all(4 <= each["batch_size"] <= 64 for each in chosen["killed"])
    assert {each["hidden_sizes"] for each in chosen["killed"]} == {(4,), (8,)}


def test_trial_that_never_had_a_folder_is_none(tmp_path: Path) -> None:
    folder = opened(tmp_path / "sweep", trials=3)
    study = Study(folder)
    study.suggest(0)  # and the process is killed
    numbers = []
    study = Study(folder)
    while (held := folder.claim(study.suggest)) is not None:
        numbers.append(held.trial.number)
        end(held, 1.0)
    assert numbers == [1, 2, 3]


def test_trial_below_the_median_is_pruned(tmp_path: Path) -> None:
    folder = opened(tmp_path / "sweep")
    study = Study(folder)
    for value in range(6):
        held = claimed(folder, study)
        assert study.judge(held.trial.number, 10, float(value)) is None
        end(held, float(value))
    held = claimed(folder, study)
    reason = study.judge(held.trial.number, 10, 0.5)
    assert reason is not None
    assert reason.startswith("pruned: at step 10 ")
    assert Study(folder).judge(held.trial.number, 10, 0.5) == reason  # again, on resume
    end(held, None, "pruned")
    assert study.judge(claimed(folder, study).trial.number, 10, 4.5) is None


def test_failed_trials_are_told_and_several_algorithms_are_chosen(tmp_path: Path) -> None:
    folder = opened(tmp_path / "sweep", algorithm=["ddpg", "td3"])
    study = Study(folder)
    for number in range(12):
        held = claimed(folder, study)
        end(held, None if number % 3 == 0 else 1.0, "failed" if number % 3 == 0 else "finished")
    assert {trial.chosen["algorithm"] for trial in folder.trials()} == {"ddpg", "td3"}
    found = in_memory(folder, folder.trials())
    assert len(found.trials) == 8
    assert {*found.trials[0].params} == {"algorithm", *SEARCH}


def test_torn_journal_is_mended_and_a_removed_one_is_said(tmp_path: Path) -> None:
    folder = opened(tmp_path / "sweep")
    study = Study(folder)
    for value in range(2):
        end(claimed(folder, study), float(value))
    journal = folder.path / "study.log"
    journal.write_bytes(journal.read_bytes()[:-20])
    held = claimed(folder, Study(folder))
    assert held.trial.number == 2
    end(held, 2.0)
    journal.write_bytes(b"no journal\n")
    with pytest.raises(UserError, match="cannot be read"):
        Study(folder)
    journal.unlink()
    with pytest.raises(UserError, match="its study does not know"):
        folder.claim(Study(folder).suggest)


def test_missing_optuna_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(UserError, match=r"footlight\[optuna\]"):
        require_optuna()
