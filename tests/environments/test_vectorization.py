"""The choice of vectorization: made by rule, printed, recorded, and kept on resume."""

import json
import time
from pathlib import Path
from typing import Any

import gymnasium
import pytest
from gymnasium.envs.classic_control import PendulumEnv
from gymnasium.envs.registration import EnvSpec, WrapperSpec
from gymnasium.vector import SyncVectorEnv

import footlight
from footlight.environments import vectorization
from footlight.environments.atari import AtariGame
from footlight.environments.kinds import IdSource
from footlight.environments.make import make
from footlight.environments.serial import SerialEnvironments
from footlight.environments.vectorization import choose
from footlight.environments.workers import AsyncEnvironments
from footlight.errors import UserError

Counting = type[gymnasium.Env[Any, Any]]


def silent(line: str) -> None:
    raise AssertionError(line)


def chosen(source: Any, num_envs: int) -> tuple[str, str]:
    said: list[str] = []
    kind = choose(source, num_envs, "auto", said.append)
    return kind, "\n".join(said)


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vectorization, "cores", lambda: 8)


@pytest.mark.parametrize("asked", ["auto", "sync", "async", "native"])
@pytest.mark.parametrize("num_envs", [None, 1])
def test_one_is_always_sync(asked: Any, num_envs: int | None) -> None:
    assert choose("CartPole-v1", num_envs, asked, silent) == "sync"
    assert type(make("CartPole-v1", 0, num_envs, vectorization=asked)) is SerialEnvironments


@pytest.mark.parametrize("asked", ["sync", "async", "native"])
def test_explicit_vectorization_is_used(asked: Any) -> None:
    assert choose("CartPole-v1", 4, asked, silent) == asked


def test_given_objects_are_not_vectorized(counting_env: Counting) -> None:
    together = SyncVectorEnv([counting_env] * 2)
    assert choose(together, None, "auto", silent) == "auto"
    with pytest.raises(
        UserError, match="vectorization is 'async' - the given vector environment is used as it is"
    ):
        choose(together, None, "async", silent)
    assert choose(counting_env(), None, "auto", silent) == "sync"


@pytest.mark.parametrize(
    ("name", "num_envs", "kind"),
    [
        ("CartPole-v1", 2, "sync"),
        ("CartPole-v1", 5, "sync"),
        ("CartPole-v1", 6, "native"),
        ("CartPole-v0", 64, "native"),
        (
            "phys2d/CartPole-v1",
            64,
            "sync",
        ),  # written in JAX: neither its speed nor its state is known
        ("Acrobot-v1", 16, "sync"),
        ("Pendulum-v1", 4, "sync"),
        ("LunarLander-v3", 16, "sync"),
        ("HalfCheetah-v5", 4, "sync"),
        ("Humanoid-v5", 4, "async"),
        ("HumanoidStandup-v5", 2, "async"),
        ("CarRacing-v3", 2, "async"),
        ("their_package:Env-v0", 8, "sync"),  # of unknown cost
        ("No-such-v0", 8, "sync"),  # which is said when it is made
    ],
)
def test_id_and_number_determine_the_choice(name: str, num_envs: int, kind: str) -> None:
    assert [chosen(name, num_envs)[0] for _ in range(2)] == [kind, kind]


def test_ids_with_arguments_and_specs_have_the_cost_of_the_id_and_are_not_native() -> None:
    assert chosen(IdSource("CartPole-v1", {"sutton_barto_reward": True}), 8)[0] == "sync"
    assert chosen(gymnasium.spec("CartPole-v1"), 8)[0] == "sync"
    assert chosen(IdSource("CarRacing-v3", {"continuous": False}), 2)[0] == "async"
    assert chosen(gymnasium.spec("Humanoid-v5"), 2)[0] == "async"


def test_atari_games_are_native() -> None:
    assert choose(AtariGame("ALE/Breakout-v5"), 4, "auto", silent) == "native"


def test_choice_depends_on_no_clock_and_makes_no_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*given: Any, **named: Any) -> Any:
        raise AssertionError

    for clock in ("perf_counter", "monotonic", "time"):
        monkeypatch.setattr(time, clock, refuse)
    monkeypatch.setattr(gymnasium, "make", refuse)
    monkeypatch.setattr(gymnasium, "make_vec", refuse)
    assert chosen("CartPole-v1", 8)[0] == "native"
    assert chosen(refuse, 8)[0] == "sync"


def test_choice_is_printed_with_its_reason_and_alternative() -> None:
    assert chosen("CartPole-v1", 8) == (
        "native",
        "8 environments: native (Gymnasium steps all in one NumPy expression)",
    )
    line = (
        "4 environments: sync (one after the other; vectorization async if a step takes more than "
        "about 0.5 ms)"
    )
    assert chosen(lambda: gymnasium.make("CartPole-v1"), 4) == ("sync", line)


def test_sync_is_chosen_if_processes_do_not_pay_or_cannot_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(vectorization, "why_no_processes", lambda: "BlockingIOError: too many")
    line = (
        "2 environments: sync (one after the other: processes cannot be started here, "
        "BlockingIOError: too many)"
    )
    assert chosen("CarRacing-v3", 2) == ("sync", line)
    monkeypatch.setattr(vectorization, "cores", lambda: 3)
    line = "2 environments: sync (one after the other: processes are faster from 4 cores on)"
    assert chosen("CarRacing-v3", 2) == ("sync", line)


def test_native_version_is_not_used_for_an_id_with_wrappers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wrapper = WrapperSpec("Wrapper", "wrappers:Wrapper", {})
    monkeypatch.setitem(gymnasium.registry, "Wrapped-v0", gymnasium.spec("CartPole-v1"))
    monkeypatch.setattr(gymnasium.registry["CartPole-v1"], "additional_wrappers", (wrapper,))
    assert chosen("Wrapped-v0", 8)[0] == "sync"


def test_class_as_entry_point_has_the_cost_of_its_module(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = EnvSpec("Mine-v0", entry_point=PendulumEnv)
    monkeypatch.setitem(gymnasium.registry, "Mine-v0", spec)
    assert chosen("Mine-v0", 2)[1].endswith(
        "(one after the other: a step takes less time than a message to a process)"
    )


def config_of(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "config.json").read_text()))


SHORT: dict[str, Any] = {"steps": 64, "eval_episodes": 0, "num_envs": 4, "compile": "off"}


@pytest.mark.parametrize(("num_envs", "kind"), [(8, "native"), (4, "sync")])
def test_choice_is_recorded_and_kept_on_resume(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    num_envs: int,
    kind: str,
) -> None:
    run = footlight.train(
        "a2c", "CartPole-v1", run_dir=tmp_path / "run", **SHORT | {"num_envs": num_envs}
    )
    lines = capsys.readouterr().out.splitlines()
    assert "resumes exactly" in lines[0]
    assert any(line.startswith(f"{num_envs} environments: {kind} (") for line in lines)
    assert config_of(run.folder)["vectorization"] == kind
    monkeypatch.setattr(
        vectorization, "NATIVE_ENVS", 6 if kind == "sync" else 100
    )  # another version's rule
    kinds = []
    monkeypatch.setattr(
        "footlight.training.parts.make",
        lambda *given, **named: kinds.append(named.get("vectorization")) or make(*given, **named),
    )
    footlight.resume(run.folder, steps=96, quiet=True)
    assert kinds == [kind]
    assert config_of(run.folder)["vectorization"] == kind


def test_run_without_a_recorded_choice_is_resumed(tmp_path: Path) -> None:
    run = footlight.train(
        "a2c", "CartPole-v1", run_dir=tmp_path / "run", quiet=True, vectorization="sync", **SHORT
    )
    record = config_of(run.folder)
    del record["vectorization"]
    (run.folder / "config.json").write_text(json.dumps(record))
    resumed = footlight.resume(run.folder, steps=96, quiet=True)
    assert resumed.result["steps"] == 96  # type: ignore[index]


def test_async_training_equals_sync_bit_for_bit(tmp_path: Path) -> None:
    runs = [
        footlight.train(
            "a2c", "CartPole-v1", run_dir=tmp_path / kind, quiet=True, vectorization=kind, **SHORT
        )
        for kind in ("sync", "async")
    ]
    one, other = (
        (run.folder / "checkpoints" / "step-000000064" / "agent.safetensors").read_bytes()
        for run in runs
    )
    assert one == other


def test_processes_end_if_training_cannot_begin(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made: list[AsyncEnvironments] = []

    def remember(*given: Any, **named: Any) -> Any:
        made.append(make(*given, **named))  # type: ignore[arg-type]
        return made[-1]

    monkeypatch.setattr("footlight.training.parts.make", remember)
    wrong = [
        {"run_dir": tmp_path},
        {"network": lambda *given: 1 / 0},
    ]  # a folder that exists, and a bug of the user's
    for one in wrong:
        with pytest.raises(Exception, match=r".+"):
            footlight.train(
                "a2c", "CartPole-v1", quiet=True, vectorization="async", **{**SHORT, **one}
            )
    assert len(made) == len(wrong)
    assert not [
        env for environments in made for env in environments.remote if env._process.is_alive()
    ]
