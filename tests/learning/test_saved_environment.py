"""The environment of a saved agent: recorded, given again, or asked for."""

import copy
import json
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

import footlight
from footlight.cli.main import main
from footlight.errors import UserError
from footlight.learning.saved_environment import record_environment

PENDULUM = {"environment": "Pendulum-v1", "environment_source": "id"}


def new_agent(**values: Any) -> footlight.Agent:
    env = gymnasium.make("Pendulum-v1")
    small = {"hidden_sizes": (4,), "batch_size": 4, "learning_starts": 4, "buffer_size": 100}
    options = {"compile": "off", "seed": 2, **small, **values}
    return footlight.Agent("td3", env.observation_space, env.action_space, **options)


def test_ids_and_objects_that_their_id_makes_are_recorded_by_id() -> None:
    make, make_vec = gymnasium.make, gymnasium.make_vec
    heavier = PENDULUM | {"env_kwargs": {"g": 9.0}}
    assert record_environment("Pendulum-v1", None, 0) == PENDULUM
    assert record_environment("Pendulum-v1", {"g": 9.0}, 0) == heavier
    assert record_environment(make("Pendulum-v1"), None, 0) == PENDULUM
    assert record_environment(make("Pendulum-v1", g=9.0, render_mode="rgb_array"), None, 0) == (
        heavier
    )
    watched = gymnasium.wrappers.RecordEpisodeStatistics(make("Pendulum-v1"))
    assert record_environment(watched, None, 0) == PENDULUM
    assert record_environment(make_vec("Pendulum-v1", num_envs=2, g=9.0), None, 0) == heavier
    native = make_vec("CartPole-v1", num_envs=2)
    assert record_environment(native, None, 0)["environment"] == "CartPole-v1"
    assert record_environment(native, None, 0)["environment_source"] == "id"


def test_other_objects_are_recorded_by_name() -> None:
    changed = gymnasium.make("Pendulum-v1")
    vars(changed.unwrapped)["g"] = 3.0
    clipped = gymnasium.wrappers.ClipAction(gymnasium.make("Pendulum-v1"))
    shorter = gymnasium.make("Pendulum-v1", max_episode_steps=20)
    for each in (changed, clipped, shorter, lambda: gymnasium.make("Pendulum-v1")):
        assert record_environment(each, None, 0)["environment_source"] == "object"


def test_recording_does_not_step_the_object() -> None:
    env = gymnasium.make("Pendulum-v1")
    env.reset(seed=1)
    record_environment(env, None, 0)
    after, *_ = env.step(np.zeros(1, np.float32))
    twin = gymnasium.make("Pendulum-v1")
    twin.reset(seed=1)
    assert np.array_equal(after, twin.step(np.zeros(1, np.float32))[0])


def test_saved_folder_is_one_for_the_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    agent = new_agent()
    log = footlight.EpisodeLog("agent", agent)
    log.add(-1.0, False, True)
    agent.save("agent", environment="Pendulum-v1", env_kwargs={"g": 9.0})
    assert main(["evaluate", "agent", "--episodes", "1", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    heavier = gymnasium.make("Pendulum-v1", g=9.0)
    assert shown["returns"] == [*agent.evaluate(heavier, 1).returns]
    assert main(["plot", "agent"]) == main(["inspect", "agent"]) == main(["verify", "agent"]) == 0
    assert "td3 on Pendulum-v1" in capsys.readouterr().out
    assert Path("agent/curve.png").is_file()
    assert repr(footlight.Run(Path("agent"))) == (
        "<Run 'agent': td3 on Pendulum-v1, a saved agent>"
    )
    assert [row["return"] for row in footlight.Run(Path("agent")).episodes()] == [-1.0]
    Path("agent/config.json").write_text("{}", encoding="utf-8")
    assert main(["verify", "agent"]) == 2
    assert main(["resume", "agent"]) == 2


@pytest.mark.parametrize("command", ["evaluate", "watch --video video.gif", "plot"])
def test_what_is_missing_is_said_in_three_lines_at_most(
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    new_agent().save("agent")
    name, *options = command.split()
    assert main([name, "agent", *options]) == 2
    error = capsys.readouterr().err
    assert "does not say which environment it is for" in error
    assert "environment=..." in error
    assert len(error.splitlines()) <= 3


def test_environment_can_be_given_to_the_commands_and_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    agent = new_agent()
    agent.save("agent")
    assert main(["evaluate", "agent", "--episodes=1", "--environment", "Pendulum-v1"]) == 0
    assert main(["evaluate", "agent", "--episodes=1", "--environment", "CartPole-v1"]) == 2
    assert "other spaces" in capsys.readouterr().err
    run = footlight.Run(tmp_path / "agent", environment=lambda: gymnasium.make("Pendulum-v1"))
    assert run.evaluate(1, seed=3) == agent.evaluate("Pendulum-v1", 1, seed=3)


def test_environment_stays_recorded_until_another_one_is_given(tmp_path: Path) -> None:
    agent = new_agent()
    agent.save(tmp_path / "agent", environment="Pendulum-v1")
    loaded = footlight.Agent.load(tmp_path / "agent")
    loaded.save(tmp_path / "again")
    assert footlight.Run(tmp_path / "again").config["environment"] == "Pendulum-v1"
    assert copy.deepcopy(loaded).environment == loaded.environment
    new_agent().save(tmp_path / "again")
    assert not (tmp_path / "again" / "config.json").exists()
    run = footlight.train("a2c", "CartPole-v1", steps=20, eval_episodes=0, quiet=True,
                          run_dir=tmp_path / "run", compile="off")  # fmt: skip
    of_run = footlight.Agent.load(run.folder)
    of_run.save(tmp_path / "of-run")
    assert footlight.Run(tmp_path / "of-run").config["environment"] == "CartPole-v1"


def test_environment_from_a_file_is_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    text = "import gymnasium\n\ndef make(g=10.0):\n    return gymnasium.make('Pendulum-v1', g=g)\n"
    Path("mine.py").write_text(text, encoding="utf-8")
    agent = new_agent()
    agent.save("agent", environment="mine.py:make", env_kwargs={"g": 5.0})
    lighter = gymnasium.make("Pendulum-v1", g=5.0)
    assert footlight.Run(Path("agent")).evaluate(1) == agent.evaluate(lighter, 1)


def test_environment_that_cannot_be_one_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    agent = new_agent()
    with pytest.raises(UserError, match="is not an environment"):
        agent.save(tmp_path / "agent", environment=3)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="env_kwargs are for an environment"):
        agent.save(tmp_path / "agent", env_kwargs={"g": 1.0})
    assert not (tmp_path / "agent").exists()


def test_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    (tmp_path / "episodes.jsonl").write_text("", encoding="utf-8")
    with pytest.raises(UserError, match="is not a saved agent"):
        new_agent().save(tmp_path)
