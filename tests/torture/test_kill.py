"""A short form of benchmarks/kill.py: a killed and resumed run equals an uninterrupted one."""

import json
import random
import subprocess
from pathlib import Path

import pytest
import sessions
from examination import Examination
from examination_cases import Case, Measure
from report import Failure
from sameness import differences
from sessions import Forked, Session

SMALL = {"hidden_sizes": (8, 8)}
REACH = Path(__file__).parents[1] / "walls" / "goal_environment.py"
REPLAY = Case(
    algorithm="ddpg", environment="Pendulum-v1", steps=320, checkpoints=8, controls=("streams",
    "buffer"),
    options=SMALL | {"num_envs": 2, "vectorization": "sync", "batch_size": 8,
    "learning_starts": 100, "updates_per_step": 0.25},
)  # fmt: skip
WORKERS = Case(
    algorithm="a2c", environment="CartPole-v1", steps=1200, checkpoints=8, controls=("normalizer",
    "logs"),
    options=SMALL | {"num_envs": 2, "vectorization": "async", "normalize_observations": True},
)  # fmt: skip
BEHAVIOR = Case(
    algorithm="impala", environment="CartPole-v1", steps=800, checkpoints=6,
    controls=("streams",), options=SMALL | {"num_envs": 2, "vectorization": "sync",
    "num_epochs": 2, "num_minibatches": 2},
)  # fmt: skip
TUPLE = Case(
    algorithm="a2c", environment="Blackjack-v1", steps=1200, checkpoints=8,
    controls=("streams",), options=SMALL | {"num_envs": 2, "vectorization": "sync"},
)  # fmt: skip
GOALS = Case(
    algorithm="sac", environment=f"{REACH}:Reach", steps=240, checkpoints=6, controls=("buffer",),
    options=SMALL | {"num_envs": 2, "vectorization": "sync", "batch_size": 8,
    "learning_starts": 100, "updates_per_step": 0.25, "normalize_observations": True,
    "prioritization": "proportional", "env_kwargs": "camera=true"},
)  # fmt: skip


def name(case: Case) -> str:
    """The name of a case in a test's id."""
    return str(case).replace(f"{REACH.parent}/", "")


@pytest.fixture(scope="module", params=[REPLAY, WORKERS, BEHAVIOR, TUPLE, GOALS], ids=name)
def examined(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Examination, Measure]:
    """Two equal runs and an unequal one have been made: what the others are compared with."""
    examination = Examination(request.param, tmp_path_factory.mktemp("examined"), 0, Forked)
    measure = examination.uninterrupted()
    assert not examination.outcome.failures
    return examination, measure


def test_killed_run_ends_like_an_uninterrupted_one(examined: tuple[Examination, Measure]) -> None:
    examination, measure = examined
    workers = ["worker"] if examination.case is WORKERS else []
    targets = [*workers, "parent", "saving"]
    assert examination.killed(measure, targets) == []
    assert examination.outcome.targets == dict.fromkeys(targets, 1)


@pytest.mark.parametrize("examined", [REPLAY, GOALS], ids=name, indirect=True)
def test_run_can_be_killed_at_any_file_operation(examined: tuple[Examination, Measure]) -> None:
    examination, measure = examined
    assert examination.every_operation(measure, stride=13) == []
    assert examination.outcome.operations.total() > 5


def test_tampered_state_is_detected(examined: tuple[Examination, Measure]) -> None:
    examination, measure = examined
    for number, name in enumerate(examination.case.controls):
        assert examination.control(measure, name, is_first=number == 0) == []
    assert tuple(examination.outcome.controls) == examination.case.controls  # each was done


def test_times_are_not_compared(examined: tuple[Examination, Measure], tmp_path: Path) -> None:
    examination, measure = examined
    copy = examination._copy(measure.run_dir, "clocks")
    lines = [json.loads(line) for line in (copy / "metrics.jsonl").read_text().splitlines()]
    (copy / "metrics.jsonl").write_text(
        "".join(json.dumps(line | {"time_s": 9}) + "\n" for line in lines)
    )
    assert differences(copy, measure.run_dir) == []
    (copy / "metrics.jsonl").write_text(
        "".join(json.dumps(line | {"update": 9}) + "\n" for line in lines)
    )
    assert differences(copy, measure.run_dir)[0].startswith(
        "metrics.jsonl: line 1: update is 9, then "
    )


def test_remaining_processes_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def launch(plan: object, words: list[str], log: Path) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(["sh", "-c", "sleep 60 & sleep 60"], start_new_session=True)

    monkeypatch.setattr(sessions, "ORPHANS_END", 0.1)
    session = Session(launch, None, ["train"], tmp_path / "start")
    try:
        while len(session._members()) < 3:
            pass
        assert session.kill("parent", random.Random(0)) == "parent"
        session.expect(-9)
        with pytest.raises(Failure, match="2 processes still run"):
            session.require_no_orphans()
    finally:
        session.end()
    session.require_no_orphans()
