"""Faults of environments from the run to `footlight reproduce`: messages, saved episodes."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import faulty
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import footlight
from footlight.cli.main import main
from footlight.environments import reproduce
from footlight.environments.episodes import FailedEpisode
from footlight.environments.make import make
from footlight.errors import EnvironmentFault, UserError
from footlight.streams import derived_seed

SMALL: dict[str, Any] = {
    "preset": False, "hidden_sizes": (8, 8), "compile": "off", "quiet": True, "eval_episodes": 0,
    "n_steps": 8, "steps": 400, "seed": 1,
}  # fmt: skip
# With seed 1 the first episode of environment 0 fails at step 4, and none of environment 1 before
SEED = derived_seed(1, "episode", 0, 0)
CRASH = Path("run/crash/env-0-episode-0")


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("footlight.environments.remote.CLOSING_SECONDS", 0.5)


def train(name: str, **fields: Any) -> EnvironmentFault:
    with pytest.raises(EnvironmentFault) as raised:
        footlight.train("a2c", name, run_dir="run", **SMALL, **fields)
    assert "; the state is saved\n" in str(raised.value)
    return raised.value


WORKERS: dict[str, Any] = {"num_envs": 2, "vectorization": "async", "env_timeout": 1.0}
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "Raises": ("step raised RuntimeError: the joint broke", {}),
    "NaN": ("observation[1] is nan", {}),
    "Infinity": ("observation[0] is inf", {}),
    "WrongShape": ("the observation has shape (3,), its space says (2,)", {}),
    "WrongDtype": ("the observation has dtype <U4, its space says float32", {}),
    "NaNReward": ("reward is nan", {}),
    "TextReward": ("the reward is '1.5', which is not a number", {}),
    "FourValues": ("step returned 4 values (observation, reward, done, info), as in Gym", {}),
    "Leaves": ("its process exited by itself (exit code 7)", WORKERS),
    "IsKilled": ("its process was killed by signal 9 (SIGKILL), perhaps out of memory", WORKERS),
    "Hangs": ("its process did not answer for 1 s and was ended", WORKERS),
}


def test_every_kind_of_fault_is_tested() -> None:
    assert KINDS.keys() == faulty.FAULTS.keys()


@pytest.mark.parametrize(
    ("kind", "how"),
    [(kind, {}) for kind in KINDS if not KINDS[kind][1]] + [(kind, WORKERS) for kind in KINDS],
)
def test_every_fault_is_fully_described_and_reproduced(
    kind: str, how: dict[str, Any], capsys: Any
) -> None:
    message = str(train(f"{kind}-v0", **how))
    actions = load_file(CRASH / "actions.safetensors")["actions"]
    assert message.startswith(
        f"environment 0 failed at step 4 of the episode with seed {SEED}, action ["
    )
    assert np.array2string(actions[-1], precision=6) in message
    assert KINDS[kind][0] in message
    assert message.splitlines()[1] == f"reproduce it: footlight reproduce {CRASH}"
    assert (
        message.splitlines()[2]
        == "continue without this episode: footlight resume run --on-env-fault new-episode"
    )
    assert len(message.splitlines()) <= 3
    record = json.loads((CRASH / "fault.json").read_text())
    place = {
        "environment": f"{kind}-v0",
        "env": 0,
        "index": 0,
        "seed": SEED,
        "step": 4,
        "action": actions[-1].tolist(),
    }
    assert record.items() >= place.items()
    assert json.loads(Path("run/result.json").read_text())["status"] == "fault"
    capsys.readouterr()
    assert main(["reproduce", str(CRASH), "--env-timeout", "1"]) == 3
    assert capsys.readouterr().out.startswith(
        f"the fault happened again at step 4: {KINDS[kind][0]}"
    )


def test_saved_actions_are_exact() -> None:
    train("Raises-v0")
    actions, taken = load_file(CRASH / "actions.safetensors")["actions"], list[Any]()

    class Noting(faulty.Walk):
        def step(self, action: Any) -> Any:
            taken.append(action)
            return super().step(action)

    played = footlight.reproduce(CRASH, Noting())
    assert (played.steps, played.fault) == (4, None)
    assert str(played) == "played 4 steps, and nothing happened"
    assert (np.array(taken).tobytes(), taken[0].dtype) == (actions.tobytes(), actions.dtype)
    environments = make(faulty.Walk(), 1)
    environments.reset()
    for action in actions[:3]:
        environments.step(action[None])
    run = footlight.Run(Path("run"))
    saved = footlight.storage.checkpoint.read_arrays(
        footlight.storage.checkpoint.find(run.folder), "environments"
    )
    assert np.array_equal(
        saved["observation"], environments.observation
    )  # the state before the fault


def test_fault_of_a_reset_has_no_actions(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(
        EnvironmentFault,
        match=f"environment 0 failed at step 0 of the episode with seed {SEED}: reset raised",
    ):
        footlight.train("a2c", "ResetRaises-v0", run_dir="run", **SMALL)
    assert not Path("run").exists()  # at the very first reset
    seed = next(
        s
        for s in range(99)
        if [derived_seed(s, "episode", 0, k) % 3 == 0 for k in (0, 1)] == [False, True]
    )
    with pytest.raises(EnvironmentFault, match="step 0"):
        footlight.train("a2c", "ResetRaises-v0", run_dir="run", **(SMALL | {"seed": seed}))
    assert main(["reproduce", "run/crash/env-0-episode-1"]) == 3
    assert (
        capsys.readouterr().out
        == "the fault happened again at step 0: reset raised RuntimeError: the joint broke\n"
    )


def test_fault_in_an_evaluation_has_its_own_folder(capsys: pytest.CaptureFixture[str]) -> None:
    seed = next(
        seed
        for seed in range(99)
        if all(derived_seed(seed, "episode", 0, episode) % 3 for episode in range(4))
        and derived_seed(seed, "evaluation at step 20", 0, 0) % 3 == 0
    )
    with pytest.raises(
        EnvironmentFault, match=r"evaluation at step 20: environment 0 failed at step 4"
    ):
        footlight.train(
            "a2c",
            "NaN-v0",
            run_dir="run",
            **(SMALL | {"seed": seed, "eval_episodes": 1, "eval_every": 20}),
        )
    assert main(["reproduce", "run/crash/evaluation-at-step-20-env-0-episode-0"]) == 3


def broken_evaluation() -> faulty.Faulty:
    return faulty.Faulty(faulty.raises)


@pytest.mark.parametrize(
    ("trained_in", "evaluated_in", "reproduced_by", "resumed_by"),
    [
        (
            "Walk-v0",
            "Raises-v0",
            "reproduce it: footlight reproduce run/crash/evaluation",
            "footlight resume run --on-env-fault new-episode",
        ),
        (
            faulty.Walk,
            "Raises-v0",
            "reproduce it: footlight reproduce run/crash/evaluation",
            "footlight.resume('run', environment=..., on_env_fault=\"new-episode\")",
        ),
        (
            "Walk-v0",
            broken_evaluation,
            "reproduce it: footlight.reproduce('run/crash/evaluation",
            "footlight.resume('run', eval_environment=..., on_env_fault=\"new-episode\")",
        ),
        (
            "Walk-v0",
            "mine.py:broken",
            "reproduce it: footlight reproduce run/crash/evaluation",
            "footlight resume run --on-env-fault new-episode",
        ),
    ],
)
def test_fault_in_the_environment_of_the_evaluations_is_reproduced_in_that_one(
    trained_in: Any,
    evaluated_in: Any,
    reproduced_by: str,
    resumed_by: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "configuration"))
    Path("mine.py").write_text("import faulty\n\n\nbroken = lambda: faulty.Faulty(faulty.raises)\n")
    more = {"eval_episodes": 9, "eval_every": 0, "steps": 20, "run_dir": "run"}
    with pytest.raises(EnvironmentFault) as raised:
        footlight.train("a2c", trained_in, eval_environment=evaluated_in, **SMALL | more)
    assert reproduced_by in str(raised.value)
    assert resumed_by in str(raised.value)
    (folder,) = Path("run/crash").iterdir()
    if callable(evaluated_in):
        played = footlight.reproduce(folder, evaluated_in)
        assert "the fault happened again" in str(played)
    else:
        assert main(["reproduce", str(folder)]) == 3


def test_python_object_must_be_passed_again(capsys: pytest.CaptureFixture[str]) -> None:
    def broken() -> faulty.Faulty:
        return faulty.Faulty(faulty.raises)

    with pytest.raises(EnvironmentFault):
        footlight.train("a2c", broken, run_dir="run", **SMALL)
    assert main(["reproduce", str(CRASH)]) == 2
    assert "use footlight.reproduce(path, environment=...)" in capsys.readouterr().err
    for environment in (broken, broken()):
        played = footlight.reproduce(CRASH, environment)
        assert (played.steps, played.actions) == (4, 4)
        assert "the joint broke" in str(played)


def test_early_end_and_another_fault_are_reported() -> None:
    train("Raises-v0")

    class Short(faulty.Walk):
        def step(self, action: Any) -> Any:
            observation, reward, *_ = super().step(action)
            return observation, reward, self.steps == 2, False, {}

    assert str(footlight.reproduce(CRASH, Short())) == (
        "played 2 steps, where the episode ended (4 were recorded), and nothing happened"
    )
    words = (
        "a fault happened (it was at step 4) at step 3: step raised RuntimeError: the joint broke"
    )
    assert str(footlight.reproduce(CRASH, faulty.Faulty(faulty.raises, 3))) == words


def test_fault_is_unchanged_if_nothing_can_be_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*given: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(reproduce, "save_file", full)
    message = str(train("Raises-v0"))
    assert "the joint broke" in message
    assert "footlight reproduce" not in message


def test_vector_environment_saves_what_is_known() -> None:
    import gymnasium

    envs = gymnasium.vector.SyncVectorEnv([lambda: faulty.Faulty(faulty.raises)] * 2)
    with pytest.raises(
        EnvironmentFault,
        match=r"the vector environment failed at steps 4, 4 of its episodes, action \[\[",
    ):
        footlight.train("a2c", envs, run_dir="run", **SMALL)
    assert json.loads(Path("run/crash/all-episode-0/fault.json").read_text())["actions"] is None
    with pytest.raises(
        UserError, match="episodes of a vector environment do not begin with seeds of their own"
    ):
        footlight.reproduce("run/crash/all-episode-0", faulty.Walk)


def test_episode_is_saved_without_config_json(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def losing(given: Any) -> Any:
        Path("run/config.json").unlink()
        return faulty.raises(given)

    monkeypatch.setattr("footlight.api.check_determinism", lambda *given: None)
    with pytest.raises(
        EnvironmentFault,
        match=r"footlight\.reproduce\('run/crash/env-0-episode-0', environment=\.\.\.\)",
    ):
        footlight.train("a2c", lambda: faulty.Faulty(losing), run_dir="run", **SMALL)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format_version": 2}, "has format 2"),
        ({"format_version": None}, "format_version is None"),
        ({"seed": "1"}, "seed is '1'"),
        ({"environment": 3}, "environment is 3"),
        ({"environment_config": []}, r"environment_config is \[\]"),
        ({"evil": 1}, "evil is not a known key"),
        ({"environment": "os:Walk-v0"}, "--allow-env-import os"),
        (
            {"environment": "Pendulum-v1", "environment_source": "object"},
            "the Python object 'Pendulum-v1'",
        ),
        ({"environment": "CartPole-v1"}, "has actions of shape"),
    ],
)
def test_unusable_folder_is_refused(change: dict[str, Any], words: str) -> None:
    train("Raises-v0")
    record = json.loads((CRASH / "fault.json").read_text())
    (CRASH / "fault.json").write_text(json.dumps(record | change))
    with pytest.raises(UserError, match=words):
        footlight.reproduce(CRASH)


def test_invalid_actions_are_refused() -> None:
    train("Raises-v0")
    for content in (b"", b"\x80\x04N."):
        (CRASH / "actions.safetensors").write_bytes(content)
        with pytest.raises(UserError, match="cannot be read"):
            footlight.reproduce(CRASH)
    save_file({"other": np.zeros(3)}, CRASH / "actions.safetensors")
    with pytest.raises(UserError, match="cannot be read"):
        footlight.reproduce(CRASH)
    with pytest.raises(UserError, match="missing"):
        footlight.reproduce("elsewhere")


def test_folder_is_named_after_its_episode() -> None:
    assert reproduce._name(FailedEpisode("", "episode", 3, 17, 1, 2)) == "env-3-episode-17"
    assert (
        reproduce._name(FailedEpisode("", "../../etc: x", 3, 17, 1, 2)) == "-etc-x-env-3-episode-17"
    )


def test_reproduce_from_the_shell_after_a_restart() -> None:
    path = os.pathsep.join([str(Path(faulty.__file__).parent), *sys.path])

    def footlight_command(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "footlight", *words]
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            env=os.environ | {"PYTHONPATH": path},
            timeout=120,
        )

    options = (
        "--seed 1 --steps 60 --num-envs 2 --vectorization async --on-worker-death restart "
        "--compile off --eval-episodes 0"
    )
    ran = footlight_command(
        "train", "a2c", "faulty:IsKilled-v0", "--run-dir", "run", *options.split()
    )
    assert ran.returncode == 3
    assert ran.stdout.count("restarted") == 2
    assert "that was the 3rd time in a row" in ran.stderr
    assert "resumes inexactly: an episode on trial failed at step 4" in ran.stdout
    refused = footlight_command("reproduce", str(CRASH))
    assert refused.returncode == 2
    assert "--allow-env-import faulty" in refused.stderr
    again = footlight_command("reproduce", str(CRASH), "--allow-env-import", "faulty")
    assert (again.returncode, again.stderr) == (3, "")
    assert "the fault happened again at step 4" in again.stdout


def test_run_with_restarted_workers_equals_run_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        "footlight.api.check_determinism", lambda *given: None
    )  # whose instances live through more
    fields = (
        SMALL
        | WORKERS
        | {
            "env_timeout": 60.0,
            "eval_episodes": 2,
            "steps": 60,
            "on_worker_death": "restart",
            "quiet": False,
        }
    )
    for name, call in (("run", 1000), ("killed", 17)):

        def walk(name: str = name, call: int = call) -> faulty.Once:
            return faulty.Once(tmp_path / f"{name}.marker", call)

        footlight.train("a2c", walk, run_dir=name, **fields)
        assert ("restarted" in capsys.readouterr().out) == (name == "killed")
    arrays = [
        footlight.storage.checkpoint.read_arrays(
            footlight.storage.checkpoint.find(Path(name)), group
        )
        for group in ("agent", "environments")
        for name in ("run", "killed")
    ]
    for one, other in (arrays[:2], arrays[2:]):
        assert all(np.array_equal(one[name], other[name]) for name in one | other)
    for log in ("episodes.jsonl", "evaluations.jsonl"):
        assert Path("run", log).read_text() == Path("killed", log).read_text()


def test_verdict_is_recorded() -> None:
    for name, source, verdict in (
        ("exact", faulty.Walk, "exact"),
        ("inexact", faulty.Historic, "history-dependent"),
    ):
        footlight.train("a2c", source, run_dir=name, **(SMALL | {"steps": 8}))
        assert json.loads(Path(name, "config.json").read_text())["resume"].startswith(verdict)


# Faults that a run survives


class Sticks(faulty.Walk):
    """Fails wherever it is pushed further than a bound: a function of seed and actions."""

    def step(self, action: Any) -> Any:
        given = super().step(action)
        if self.position > 2.5:
            raise RuntimeError("solver did not converge")
        return given


SURVIVING: dict[str, Any] = {
    **SMALL,
    "eval_episodes": 1,
    "keep_checkpoints": 9,
    "on_env_fault": "new-episode",
    "checkpoint_every": 100,
    "eval_every": 0,
}


def rows(run_dir: str, log: str = "episodes") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (Path(run_dir) / f"{log}.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    "how", [{}, {"num_envs": 2, "vectorization": "sync"}, {"num_envs": 2, "vectorization": "async"}]
)
def test_run_that_survives_faults_is_marked_and_resumes_exactly(how: dict[str, Any]) -> None:
    whole = footlight.train("a2c", Sticks, run_dir="whole", **SURVIVING, **how)
    assert whole.result is not None
    assert whole.result["status"] == "finished"
    assert whole.result["steps"] == 400
    faults = [row for row in rows("whole") if row.get("fault")]
    assert 0 < len(faults) <= whole.result["env_faults"]
    assert all(row["truncated"] and 0 < row["length"] < 10 for row in faults)
    assert (
        len(list(Path("whole/crash").iterdir())) == whole.result["env_faults"] <= reproduce.MAX_KEPT
    )
    assert (
        reproduce.reproduce(next(iter(sorted(Path("whole/crash").glob("env-*")))), Sticks).fault
        is not None
    )

    shutil.copytree("whole", "parts")  # as a kill would leave it
    for place in sorted(Path("parts/checkpoints").glob("step-*"))[2:]:
        shutil.rmtree(place)
    Path("parts/result.json").unlink()
    footlight.resume("parts", environment=Sticks, quiet=True)
    assert rows("parts") == rows("whole")
    result: Any = footlight.Run(Path("parts")).result
    assert result["env_faults"] == whole.result["env_faults"]  # type: ignore[index]
    mine, theirs = (
        load_file(next(Path(run).glob("checkpoints/step-000000400*/policy*")))
        for run in ("whole", "parts")
    )
    assert all(np.array_equal(mine[name], theirs[name]) for name in mine)


@pytest.mark.parametrize(
    ("method", "fields"),
    [
        ("sac", {"learning_starts": 20, "n_steps": 3, "batch_size": 8, "updates_per_step": 0.1}),
        ("ppo", {"n_steps": 16, "minibatch_size": 16}),
        ("reinforce", {}),
        ("stream-ac", {}),
    ],
)
def test_every_kind_of_buffer_survives_a_fault(method: str, fields: dict[str, Any]) -> None:
    settings = {**SURVIVING, "n_steps": None, **fields}
    if not fields:
        del settings["n_steps"]
    run = footlight.train(method, Sticks, run_dir="run", **settings)
    assert run.result is not None
    assert run.result["steps"] == 400
    assert run.result["env_faults"] > 0


def test_stopped_run_continues_without_the_failing_episode() -> None:
    with pytest.raises(
        EnvironmentFault,
        match=r"footlight\.resume\('run', environment=\.\.\., on_env_fault=\"new-episode\"\)",
    ):
        footlight.train("a2c", Sticks, run_dir="run", **{**SURVIVING, "on_env_fault": "stop"})
    with pytest.raises(EnvironmentFault):  # the same step again
        footlight.resume("run", environment=Sticks, quiet=True)
    run = footlight.resume("run", environment=Sticks, quiet=True, on_env_fault="new-episode")
    assert run.result is not None
    assert run.result["steps"] == 400
    assert run.config["on_env_fault"] == "new-episode"


class Broken(faulty.Walk):
    """Works once."""

    def reset(self, **how: Any) -> Any:
        given = super().reset(**how)
        self.resets = getattr(self, "resets", 0) + 1
        return given

    def step(self, action: Any) -> Any:
        if self.resets > 1:
            raise RuntimeError("the joint broke")
        return super().step(action)


class NeverAgain(Broken):
    """Cannot even be reset."""

    def reset(self, **how: Any) -> Any:
        if getattr(self, "resets", 0):
            raise RuntimeError("the joint broke")
        return super().reset(**how)


@pytest.mark.parametrize("source", [Broken, NeverAgain])
def test_a_hundred_faults_in_a_row_end_the_run(
    source: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("footlight.api.check_determinism", lambda *given: None)
    monkeypatch.setattr(reproduce, "MAX_KEPT", 5)
    said: list[str] = []
    monkeypatch.setattr(
        "footlight.instruments.progress.Display.notify", lambda self, text: said.append(text)
    )
    with pytest.raises(EnvironmentFault, match="that was the 100th fault in a row") as raised:
        footlight.train("a2c", source, run_dir="run", **SURVIVING)
    assert "continue without" not in str(raised.value)
    assert len(list(Path("run/crash").iterdir())) <= 6  # and the one that ended it
    assert sum("a new episode begins" in text for text in said) == 5
    assert json.loads(Path("run/result.json").read_text())["status"] == "fault"


def test_dead_worker_is_replaced_if_faults_are_survived() -> None:
    run = footlight.train(
        "a2c", "faulty:Leaves-v0", run_dir="run", **{**SURVIVING, "eval_episodes": 0}, **WORKERS
    )
    assert run.result is not None
    assert run.result["env_faults"] > 0
    assert run.result["steps"] == 400


def test_failed_evaluation_is_skipped_if_faults_are_survived() -> None:
    run = footlight.train(
        "a2c",
        "faulty:Raises-v0",
        run_dir="run",
        **{**SURVIVING, "eval_episodes": 12, "eval_every": 100},
    )
    assert run.result is not None
    assert run.result["status"] == "finished"
    kept = [path.name for path in Path("run/crash").iterdir()]
    assert any(name.startswith("evaluation-at-step") for name in kept)


def test_run_folder_in_place_of_an_episode_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match=r"is a run folder - the episodes .* are in .*crash"):
        reproduce.read(tmp_path)
