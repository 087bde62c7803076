"""Which kind of environments a run uses: measured where there is a choice, said, recorded, and kept on resume."""

import json
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import SyncVectorEnv

import footlight
from footlight.environments import vectorization
from footlight.environments.make import make
from footlight.environments.serial import SerialEnvironments
from footlight.environments.vectorization import Vectorization, choose, measure
from footlight.environments.workers import AsyncEnvironments
from footlight.errors import UserError

Counting = type[gymnasium.Env[Any, Any]]


def must_not_measure(*given: Any) -> Any:
    raise AssertionError("measured")


@pytest.fixture
def rates(monkeypatch: pytest.MonkeyPatch) -> dict[Vectorization, float]:
    """What a measurement gives, to be filled in by the test: no test looks at the clock."""
    given: dict[Vectorization, float] = {}
    monkeypatch.setattr(vectorization, "measure", lambda source, num_envs: given)
    return given


@pytest.mark.parametrize("asked", ["auto", "sync", "async", "native"])
@pytest.mark.parametrize("num_envs", [None, 1])
def test_one_is_always_sync(monkeypatch: pytest.MonkeyPatch, asked: Any, num_envs: int | None) -> None:
    monkeypatch.setattr(vectorization, "measure", must_not_measure)
    assert choose("CartPole-v1", num_envs, asked, must_not_measure) == "sync"
    assert type(make("CartPole-v1", 0, num_envs, vectorization=asked)) is SerialEnvironments


@pytest.mark.parametrize("asked", ["sync", "async", "native"])
def test_what_is_asked_for_is_not_measured(monkeypatch: pytest.MonkeyPatch, asked: Any) -> None:
    monkeypatch.setattr(vectorization, "measure", must_not_measure)
    assert choose("CartPole-v1", 4, asked, must_not_measure) == asked


def test_what_was_given_stays_as_it_is(monkeypatch: pytest.MonkeyPatch, counting_env: Counting) -> None:
    monkeypatch.setattr(vectorization, "measure", must_not_measure)
    together = SyncVectorEnv([counting_env] * 2)
    assert choose(together, None, "auto", must_not_measure) == "auto"
    with pytest.raises(UserError, match="vectorization is 'async' - the given vector environment is used as it is"):
        choose(together, None, "async", must_not_measure)
    assert choose(counting_env(), None, "auto", must_not_measure) == "sync"


@pytest.mark.parametrize(
    ("measured", "chosen", "line"),
    [
        ({"sync": 61_234.0, "native": 412_345.6}, "native", "8 environments: native (412,000 steps/s; sync 61,200)"),
        ({"sync": 61_000.0, "native": 40_000.0}, "sync", "8 environments: sync (61,000 steps/s; native 40,000)"),
        ({"sync": 1_000.0, "native": 1_050.0}, "sync", "8 environments: sync (1,000 steps/s; native 1,050)"),  # within the noise
        ({"sync": 21_000.0}, "sync", "8 environments: sync (21,000 steps/s)"),
        ({"sync": 0.0}, "sync", "8 environments: sync (0 steps/s)"),  # it fails, and the run will say how
        ({"sync": 30.0, "async": 111.0}, "async", "8 environments: async (111 steps/s; sync 30)"),
        ({"sync": 30.0, "native": 500.0, "async": 111.0}, "native", "8 environments: native (500 steps/s; sync 30; async 111)"),
    ],
)
def test_the_fastest_is_chosen_and_said(
    rates: dict[Vectorization, float], measured: dict[Vectorization, float], chosen: str, line: str
) -> None:
    rates.update(measured)
    said: list[str] = []
    assert choose("CartPole-v1", 8, "auto", said.append) == chosen
    assert said == [line]


@pytest.mark.parametrize(
    ("sync", "cores", "kinds"),
    [(3_000.0, 8, ["sync", "native"]), (1_500.0, 8, ["sync", "native", "async"]), (1_500.0, 1, ["sync", "native"])],
)
def test_processes_are_tried_where_they_can_pay(
    monkeypatch: pytest.MonkeyPatch, sync: float, cores: int, kinds: list[str]
) -> None:
    def rate(environments: Any) -> float:
        environments.close()
        return sync

    monkeypatch.setattr(vectorization, "_rate", rate)
    monkeypatch.setattr(vectorization, "cores", lambda: cores)
    assert list(measure("CartPole-v1", 64)) == kinds
    assert list(measure(lambda: gymnasium.make("CartPole-v1"), 3)) == [kind for kind in kinds if kind != "native"]


def test_a_measurement_touches_nothing(monkeypatch: pytest.MonkeyPatch, counting_env: Counting) -> None:
    monkeypatch.setattr(vectorization, "SECONDS", 1e-3)
    made: list[Any] = []

    def make_it() -> Any:
        made.append(counting_env())
        return made[-1]

    before = np.random.get_state()[1].tolist()  # type: ignore[index, union-attr]
    assert measure(make_it, 3)["sync"] > 0
    assert np.random.get_state()[1].tolist() == before  # type: ignore[index, union-attr]
    environments = make(make_it, 5, 3)
    environments.reset()
    measured, used = made[:-3], made[-3:]
    assert not {seed for env in measured for seed in env.seeds} & {seed for env in used for seed in env.seeds}


def test_one_that_fails_is_left_to_the_run(monkeypatch: pytest.MonkeyPatch, counting_env: Counting) -> None:
    class Failing(counting_env):  # type: ignore[misc, valid-type]
        def step(self, action: Any) -> Any:
            raise RuntimeError("the joint broke")

    monkeypatch.setattr(vectorization, "cores", lambda: 1)
    assert measure(Failing, 2) == {"sync": 0.0}


def test_a_wrong_id_is_named() -> None:
    with pytest.raises(UserError, match="did you mean 'Pendulum-v1'"):
        choose("Pendulm-v1", 4, "auto", must_not_measure)


def config_of(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "config.json").read_text()))


SHORT: dict[str, Any] = {"steps": 64, "eval_episodes": 0, "num_envs": 4, "compile": "off"}


@pytest.mark.parametrize("kind", ["native", "async", "sync"])
def test_the_choice_is_recorded_and_kept(
    monkeypatch: pytest.MonkeyPatch,
    rates: dict[Vectorization, float],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    kind: Any,
) -> None:
    rates.update({"sync": 1.0, kind: 5.0})
    run = footlight.train("a2c", "CartPole-v1", run_dir=tmp_path / "run", **SHORT)
    assert f"4 environments: {kind} (5 steps/s" in capsys.readouterr().out
    assert config_of(run.folder)["vectorization"] == kind
    monkeypatch.setattr(vectorization, "measure", must_not_measure)
    kinds = []
    monkeypatch.setattr(
        "footlight.api.make", lambda *given, **named: kinds.append(named.get("vectorization")) or make(*given, **named)
    )
    footlight.resume(run.folder, steps=96, quiet=True)
    assert kinds == [kind]
    assert config_of(run.folder)["vectorization"] == kind


def test_a_run_from_before_there_was_a_choice_goes_on(tmp_path: Path) -> None:
    run = footlight.train("a2c", "CartPole-v1", run_dir=tmp_path / "run", quiet=True, vectorization="sync", **SHORT)
    record = config_of(run.folder)
    del record["vectorization"]
    (run.folder / "config.json").write_text(json.dumps(record))
    assert footlight.resume(run.folder, steps=96, quiet=True).result["steps"] == 96  # type: ignore[index]


def test_async_trains_to_the_same_bits_as_sync_and_leaves_no_process(tmp_path: Path) -> None:
    runs = [
        footlight.train("a2c", "CartPole-v1", run_dir=tmp_path / kind, quiet=True, vectorization=kind, **SHORT)
        for kind in ("sync", "async")
    ]
    one, other = ((run.folder / "checkpoints" / "step-000000064" / "agent.safetensors").read_bytes() for run in runs)
    assert one == other


def test_processes_end_where_training_cannot_begin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made: list[AsyncEnvironments] = []

    def remember(*given: Any, **named: Any) -> Any:
        made.append(make(*given, **named))  # type: ignore[arg-type]
        return made[-1]

    monkeypatch.setattr("footlight.api.make", remember)
    wrong = [{"run_dir": tmp_path}, {"network": lambda *given: 1 / 0}]  # a folder that exists, and a bug of the user's
    for one in wrong:
        with pytest.raises(Exception, match=r".+"):
            footlight.train("a2c", "CartPole-v1", quiet=True, vectorization="async", **{**SHORT, **one})
    assert len(made) == len(wrong)
    assert not [env for environments in made for env in environments.remote if env._process.is_alive()]
