"""`--profile` measures every part of a training, and changes none of its numbers."""

import json
from pathlib import Path
from typing import Any

import pytest
from proof_of_runs import arrays_of

import footlight
from footlight.cli.main import main

SETTINGS: dict[str, Any] = {
    "steps": 120, "seed": 3, "compile": "off", "eval_every": 50, "eval_episodes": 1,
    "hidden_sizes": (8,), "threads": 1, "probe": "off",
}  # fmt: skip
OFF_POLICY: dict[str, Any] = {"batch_size": 4, "learning_starts": 20, "buffer_size": 90}


@pytest.mark.parametrize(
    ("algorithm", "environment", "fields"),
    [
        ("sac", "Pendulum-v1", OFF_POLICY),
        ("td7", "Pendulum-v1", OFF_POLICY | {"embedding_size": 8}),
        ("a2c", "CartPole-v1", {"num_envs": 2}),
    ],
)
def test_numbers_are_those_of_a_run_without_it(
    algorithm: str, environment: str, fields: dict[str, Any], tmp_path: Path
) -> None:
    for name in ("measured", "plain"):
        profile, folder = name == "measured", tmp_path / name
        footlight.train(
            algorithm, environment, run_dir=folder, profile=profile, quiet=True,
            **SETTINGS | fields,
        )  # fmt: skip
    assert arrays_of(tmp_path / "measured") == arrays_of(tmp_path / "plain")
    one, other = ((tmp_path / name / "evaluations.jsonl") for name in ("measured", "plain"))
    assert one.read_text() == other.read_text()
    assert not (tmp_path / "plain" / "profile.json").exists()


def test_every_part_is_counted_and_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = "train sac Pendulum-v1 --steps 120 --profile --eval-every 50 --eval-episodes 1"
    fields = "--hidden-sizes 8 --batch-size 4 --learning-starts 20 --compile off --threads 1"
    assert main([*words.split(), *fields.split(), "--run-dir", "run"]) == 0
    output = capsys.readouterr().out
    assert "where the time went" in output
    assert "single calls: profile.json in the run folder" in output
    trace = json.loads(Path("run/profile.json").read_text())
    calls = {name: part["calls"] for name, part in trace["otherData"]["parts"].items()}
    result = json.loads(Path("run/result.json").read_text())
    assert calls["acting"] == calls["stepping"] == calls["storing"] == 120
    # finish() makes no further update here, but is counted where it would
    assert calls["updating"] == result["updates"] + 1
    assert calls["evaluating"] == 3
    assert calls["saving"] >= 2
    assert calls["logging"] > 120
    assert {each["name"] for each in trace["traceEvents"]} >= {"acting", "sampling", "updating"}
    for name in ("acting", "stepping", "storing", "sampling", "updating", "evaluating", "saving"):
        assert f"\n{name} " in output


def test_hooks_of_the_user_are_a_part_of_their_own(tmp_path: Path) -> None:
    seen: list[int] = []

    def note(training: Any) -> None:
        seen.append(training.step)

    footlight.train(
        "a2c", "CartPole-v1", run_dir=tmp_path / "run", profile=True, quiet=True,
        hooks=[footlight.every(40, note)], num_envs=1, **SETTINGS,
    )  # fmt: skip
    trace = json.loads((tmp_path / "run" / "profile.json").read_text())
    assert len(seen) == 3
    assert trace["otherData"]["parts"]["hooks"]["calls"] == 120


def test_resumed_run_is_measured_only_if_that_is_asked_for(tmp_path: Path) -> None:
    footlight.train(
        "a2c", "CartPole-v1", run_dir=tmp_path / "run", profile=True, quiet=True, num_envs=1,
        **SETTINGS,
    )  # fmt: skip
    before = (tmp_path / "run" / "profile.json").read_bytes()
    footlight.resume(tmp_path / "run", steps=160, profile=False, quiet=True)
    assert (tmp_path / "run" / "profile.json").read_bytes() == before
    footlight.resume(tmp_path / "run", steps=200, profile=True, quiet=True)
    trace = json.loads((tmp_path / "run" / "profile.json").read_text())
    assert trace["otherData"]["parts"]["acting"]["calls"] == 40
