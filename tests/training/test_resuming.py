"""What can be resumed, with what changes, and what is said about it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import pytest
from gymnasium.wrappers import TransformReward
from small_runs import DDPG

import footlight
from footlight.cli.main import main
from footlight.errors import UserError


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_recorded_trackers_are_named_and_can_be_left_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    footlight.train(
        "ddpg", "Pendulum-v1", run_dir="run", **{**DDPG, "track": ("tensorboard",), "steps": 50}
    )
    shutil.rmtree("run/tensorboard")
    assert main(["resume", "run", "--steps", "60", "--track", "none"]) == 0
    assert "sending to" not in capsys.readouterr().out
    assert not Path("run/tensorboard").exists()
    assert main(["resume", "run", "--steps", "70", "--track", "tensorboard"]) == 0
    assert main(["resume", "run", "--steps", "80"]) == 0
    assert (
        "sending to tensorboard, as recorded; `--track none` stops that" in capsys.readouterr().out
    )
    assert any(Path("run/tensorboard").iterdir())


def slower() -> gymnasium.Env[Any, Any]:
    env: Any = gymnasium.make("Pendulum-v1")
    env.unwrapped.max_speed = 7
    return env


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        (lambda: gymnasium.make("Pendulum-v1"), None),
        (slower, "PendulumEnv.max_speed differs"),
        (
            lambda: gymnasium.make("Pendulum-v1", max_episode_steps=50),
            "TimeLimit._max_episode_steps differs",
        ),
        (
            lambda: TransformReward(gymnasium.make("Pendulum-v1"), float),
            "it consists of TransformReward, TimeLimit, PendulumEnv in place of TimeLimit, "
            "PendulumEnv",
        ),
    ],
)
@pytest.mark.parametrize("is_object", [False, True])
def test_environment_in_place_of_a_recorded_id_is_compared(
    environment: Callable[[], Any], reason: str | None, is_object: bool
) -> None:
    footlight.train("ddpg", "Pendulum-v1", run_dir="run", **DDPG)
    more = DDPG["steps"] + 2
    given = environment() if is_object else environment
    run = footlight.resume("run", environment=given, steps=more, quiet=True)
    what = "resumed in an environment that is not known to be the recorded one"
    assert run.config["resume"].startswith("exact" if reason is None else f"{what}: {reason}")


def heavier() -> gymnasium.Env[Any, Any]:
    env: Any = gymnasium.make("Pendulum-v1")
    env.unwrapped.g = 3.0
    return env


@pytest.mark.parametrize(
    ("trained", "resumed", "reason"),
    [
        ("Pendulum-v1", "Pendulum-v1", None),
        ("Pendulum-v1", heavier, "a copy of the given object differs from it: with the same seed"),
        (heavier, "Pendulum-v1", "from which its copies differed"),
        (heavier, heavier, None),
    ],
)
def test_object_that_is_not_that_of_the_training_is_marked_where_no_step_is_repeated(
    trained: Any, resumed: Any, reason: str | None
) -> None:
    one, other = (each() if callable(each) else gymnasium.make(each) for each in (trained, resumed))
    run = footlight.train("ddpg", one, run_dir="run", **DDPG | {"steps": 200})
    before = run.config["resume"]
    resumed_run = footlight.resume("run", environment=other, steps=202, quiet=True)
    known_as = resumed_run.config["resume"].removeprefix(before)
    if reason is None:
        assert known_as == ""
    else:
        assert "an environment that is not known to be the recorded one" in known_as
        assert reason in known_as


def test_resume_refuses_fewer_steps_than_were_made() -> None:
    footlight.train("ddpg", "Pendulum-v1", run_dir="run", **DDPG)
    Path("run/result.json").unlink()  # as if it had not come to its end
    with pytest.raises(UserError, match="has reached step 300 of 200"):
        footlight.resume("run", steps=200, quiet=True)
    footlight.resume("run", quiet=True)
    assert json.loads(Path("run/result.json").read_text())["status"] == "finished"
