"""The content of `config.json`: repaired from the checkpoint, and changed on resume."""

import json
from pathlib import Path

import pytest
from small_runs import DDPG, SMALL, step_of

import footlight
from footlight.cli.main import main
from footlight.errors import UserError


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("damage", ["", "{", '{"seed": 1}', None])
def test_damaged_config_file_is_repaired_from_the_checkpoint(
    damage: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    small = {**SMALL, "quiet": False}
    footlight.train(
        "ppo", "CartPole-v1", preset=False, n_steps=64, steps=70, run_dir="run", **small
    )
    path = Path("run/config.json")
    before = path.read_text()
    if damage is None:
        path.unlink()
    else:
        path.write_text(damage)
    footlight.resume("run", steps=99)
    assert "config.json is rewritten" in capsys.readouterr().out
    assert json.loads(path.read_text()) == json.loads(before) | {"steps": 99}


def test_options_changed_on_resume_are_kept() -> None:
    footlight.train("ddpg", "Pendulum-v1", run_dir="run", max_time=1e-3, **DDPG)
    for wrong in (
        ["--max-time", "never"],
        ["--steps", "some"],
        ["--on-worker-death", "weep"],
        ["--env-timeout", "-1"],
    ):
        assert main(["resume", "run", *wrong]) == 2
    assert (
        main(
            [
                "resume",
                "run",
                "--env-timeout",
                "7.5",
                "--on-worker-death",
                "restart",
                "--steps",
                "3e2",
                "--quiet",
            ]
        )
        == 0
    )
    config = footlight.Run(Path("run")).config
    assert (config["env_timeout"], config["on_worker_death"], config["max_time"]) == (
        7.5,
        "restart",
        1e-3,
    )
    assert step_of("run") < 300
    assert main(["resume", "run", "--max-time", "none", "--quiet"]) == 0
    config = footlight.Run(Path("run")).config
    assert config["max_time"] is None
    assert config == json.loads(Path("run/config.json").read_text())
    assert step_of("run") == 300
    with pytest.raises(
        UserError, match=r"seed cannot be changed in a run that has begun - steps, threads, .* can"
    ):
        footlight.resume("run", seed=3)
