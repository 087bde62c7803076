"""A session of a run: compilation, and what makes a run no longer reproducible."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_runs import DDPG, SMALL

import footlight
from footlight.learning.compilation import CompilerMissing
from footlight.storage import checkpoint


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_run_can_be_resumed_from_before_its_first_step(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(
            "footlight.training.session.Session.compile",
            lambda session: (_ for _ in ()).throw(KeyboardInterrupt),
        )
        with pytest.raises(KeyboardInterrupt):
            footlight.train(
                "ppo", "CartPole-v1", preset=False, steps=70, n_steps=64, run_dir="run", **SMALL
            )
    footlight.resume("run", quiet=True)
    footlight.train(
        "ppo", "CartPole-v1", preset=False, steps=70, n_steps=64, run_dir="straight", **SMALL
    )
    resumed, straight = (
        checkpoint.read_arrays(checkpoint.find(Path(name)), "agent") for name in ("run", "straight")
    )
    assert all(np.array_equal(resumed[name], array) for name, array in straight.items())


def test_header_of_a_resumed_run_says_why_it_is_not_reproducible(
    capsys: pytest.CaptureFixture[str],
) -> None:
    footlight.train("ddpg", "Pendulum-v1", run_dir="run", **DDPG)
    capsys.readouterr()
    footlight.resume("run", steps=320)
    printed = capsys.readouterr().out
    assert "| resumes exactly\n" in printed
    assert "not reproducible" not in printed
    footlight.resume("run", steps=340, threads=2)
    why, lines = "resumed with threads 2 instead of 1", capsys.readouterr().out.splitlines()
    assert lines[1].endswith(f"| resumes inexactly: {why}")
    assert [line.partition(" - ")[0] for line in lines if why in line][1:] == [
        f"not reproducible: {why}"
    ]


def test_run_that_loses_its_compiler_is_not_reproducible(monkeypatch: pytest.MonkeyPatch) -> None:
    # So that nothing has to be compiled for this
    def plainly(function: Any, tensors: Any, announce: Any) -> Any:
        return torch.no_grad()(lambda: function(*tensors))

    monkeypatch.setattr("footlight.learning.compiled_updates.can_compile_ahead", lambda: False)
    monkeypatch.setattr("footlight.learning.compiled_updates.compile_in_place", plainly)
    settings = DDPG | {"compile": "on"}
    footlight.train("ddpg", "Pendulum-v1", run_dir="run", **settings)
    assert json.loads(Path("run/config.json").read_text())["resume"] == "exact"
    monkeypatch.setattr("footlight.learning.compiled_updates.compile_in_place", without_compiler)
    footlight.resume("run", steps=320, quiet=True)
    reason = json.loads(Path("run/config.json").read_text())["resume"]
    assert reason == checkpoint.read_manifest(checkpoint.find(Path("run")))["run"]["resume"]
    assert reason == "resumed without the compiler that it began with"
    footlight.resume("run", steps=340, threads=2, quiet=True)
    reason = footlight.Run(Path("run")).config["resume"]
    assert (
        reason
        == "resumed without the compiler that it began with; resumed with threads 2 instead of 1"
    )


def without_compiler(function: Any, tensors: Any, announce: Any) -> Any:
    raise CompilerMissing("there is none")
