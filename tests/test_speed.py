"""Speed beside the peers: works, rounds that are kept, limits, tables and the figure."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import growth
import pytest
import report
import speed
import speed_figure
import speed_limits
import speed_rounds
import speed_tables
import torch
from speed_rounds import Journal, Round
from speed_tables import Comparison
from speed_works import LIMITS, WORKS

import footlight
from footlight.algorithms import config_class, find
from footlight.config.fields import build
from footlight.environments.atari import AtariConfig

GAMES: dict[str, Any] = {"num_envs": 2, "n_steps": 2, "hidden_sizes": (8,), "torso": "small"}


def arguments(monkeypatch: pytest.MonkeyPatch, *words: str) -> argparse.Namespace:
    monkeypatch.setattr("sys.argv", ["speed.py", *words])
    return speed.read_arguments()


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the minutes that `compile="on"` takes."""
    agent = footlight.Agent

    def make(*given: Any, **named: Any) -> Any:
        return agent(*given, **named | {"compile": "off"})

    monkeypatch.setattr(footlight, "Agent", make)


@pytest.mark.parametrize("name", WORKS)
def test_fields_of_work_are_valid(name: str) -> None:
    work = WORKS[name]
    game = speed_limits.game_settings(work.fields)
    own = {key: value for key, value in work.fields.items() if key not in (*game, "num_envs")}
    assert build(config_class(find(work.algorithm)), own)
    assert build(AtariConfig, game)


def test_which_libraries_a_work_has() -> None:
    libraries = ("footlight", "agent", "sb3", "sbx", "rltools", "limits")
    has = {name: speed_rounds.names_of(libraries, WORKS[name]) for name in WORKS}
    assert has["sac-64"] == ["footlight", "agent", "sb3", "sbx", "rltools", *LIMITS]
    assert has["td3-cheetah-2"] == ["footlight", "agent", "sb3", "sbx", *LIMITS]
    assert has["a2c-breakout"] == ["footlight", "sb3", *LIMITS]
    assert has["sac-preset"] == ["footlight", *LIMITS]


def test_bf16_is_measured_where_the_processor_has_it() -> None:
    work = WORKS["a2c-breakout-bf16"]
    assert [work.suits(flags) for flags in ("avx2", "avx2 avx512_bf16", "amx_bf16")] == [
        False, True, True,
    ]  # fmt: skip
    assert WORKS["a2c-breakout"].suits("")


def test_measured_job_is_json(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `speed.py` sends to the other process, and what it makes of the answer."""
    jobs: list[Any] = []
    answers: list[dict[str, float]] = [
        {"steps": 1_000, "updates": 1_000, "seconds": 2.0},
        {"steps": 1_000, "updates": 500, "seconds": 2.0},
        {"stepping": 3.0, "update": 4.0, "products": 5.0},
    ]

    def answer(command: list[Any]) -> dict[str, float]:
        jobs.append(json.loads(command[-1]))
        return answers.pop(0)

    monkeypatch.setattr(speed_rounds, "run_json", answer)
    given = arguments(monkeypatch, "sac-64", "--window=1000")
    assert speed_rounds.measure("sb3", WORKS["sac-64"], 1, given) == {"sb3": 500}
    assert jobs[0]["fields"]["batch_size"] == 100
    with pytest.raises(report.Failure, match="500 updates in 1000 steps, not 1000"):
        speed_rounds.measure("sbx", WORKS["sac-64"], 1, given)
    found = speed_rounds.measure("limits", WORKS["a2c-8"], 1, given)
    assert found == {"stepping": 3, "update": 160, "products": 200}  # an update for 40 steps


def test_rounds_are_measured_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A stopped benchmark goes on with the round that it was in, and repeats failed ones."""
    measured: list[tuple[str, str]] = []
    stop_at: list[int] = [7]
    failing = {("sbx", "sac")}

    def measure(library: str, work: Any, threads: int, given: Any) -> dict[str, float]:
        if len(measured) == stop_at[0]:
            raise KeyboardInterrupt
        measured.append((library, work.algorithm))
        if measured[-1] in failing:
            raise report.Failure("it did not start")
        return {library: float(len(measured))}

    monkeypatch.setattr(speed_rounds, "measure", measure)
    given = arguments(monkeypatch)
    rounds = [Round(work, 2, number) for number in (1, 2) for work in ("td3-256", "sac-256")]
    kept = tmp_path / "kept" / "rounds.jsonl"

    def run(setting: str = "one") -> tuple[Any, Any, int]:
        libraries = "footlight", "sb3", "sbx"
        return speed_rounds.measure_all(rounds, libraries, Journal(kept, setting), given)

    rates, failed, missing = run()  # stops after footlight in the third round
    assert (failed, missing) == ({"sbx on sac-256, threads 2": "it did not start"}, 2)
    assert rates["td3-256", 2] == [{"footlight": 1, "sb3": 2, "sbx": 3}]
    assert "sbx" not in rates["sac-256", 2][0]
    assert len(kept.read_text().splitlines()) == 1
    assert "the same command continues" in capsys.readouterr().err

    kept.write_text(kept.read_text() + '{"setting": "one", "wo')  # killed while writing
    failing.clear()
    stop_at[0] = 100
    before = len(measured)
    rates, failed, missing = run()
    assert (failed, missing, len(measured) - before) == ({}, 0, 9)
    assert {key: len(found) for key, found in rates.items()} == {
        ("td3-256", 2): 2, ("sac-256", 2): 2,
    }  # fmt: skip
    assert run()[0] == rates
    assert len(measured) - before == 9
    run("another machine")
    assert len(measured) - before == 9 + 12


def test_kept_round_is_that_of_the_same_job(tmp_path: Path) -> None:
    journal, one = Journal(tmp_path / "rounds.jsonl", "one"), Round("sac-64", 1, 1)
    journal.add(one, {"window": 5}, {"sb3": 2.0, "sbx": 3.0}, 7.0)
    again = Journal(tmp_path / "rounds.jsonl", "one")
    assert again.find(one, {"window": 5}, ["sbx"]) == {"sbx": 3}
    assert again.find(one, {"window": 6}, ["sbx"]) == {}
    assert again.find(one, {"window": 5}, ["sbx", "footlight"]) == {}
    assert again.find(Round("sac-64", 1, 2), {"window": 5}, ["sbx"]) == {}
    assert again.seconds() == {"sac-64": 7}


def test_remaining_time() -> None:
    nominal = speed_rounds.NOMINAL_SECONDS
    todo = [Round("sac-64", 1, 2), Round("sac-256", 2, 1)]
    assert speed_rounds.seconds_left(todo, {}, 1) == nominal["sac-64"] + nominal["sac-256"]
    measured = {"sac-64": 2.0 * nominal["sac-64"]}
    expected = 2 * (nominal["sac-64"] + nominal["sac-256"])
    assert speed_rounds.seconds_left(todo, measured, 1) == pytest.approx(expected)
    assert [speed_rounds.in_words(seconds) for seconds in (5, 3_540, 7_500)] == [
        "1 min", "59 min", "2 h 5 min",
    ]  # fmt: skip


def test_tables() -> None:
    rounds = [
        {"footlight": 300.0, "sb3": 100.0, "stepping": 600.0, "update": 600.0, "products": 1200.0},
        {"footlight": 240.0, "sb3": 60.0, "sbx": 9.0, "stepping": 600.0, "update": 600.0,
         "products": 1200.0},
    ]  # fmt: skip
    work = WORKS["sac-256"]
    rows: Any = [(work, "2", 6_000, rounds)]
    assert speed_tables.speed_table(rows, ["footlight", "sbx"])[2].split()[-3:] == [
        "270", "(240..300)", "-",
    ]  # fmt: skip
    (one,) = speed_tables.compare(work, "2", rounds, judge=True)
    assert (one.ratios, one.must, one.aim) == ([3, 4], 2.5, 4)
    assert speed_tables.ratio_table([one])[2].endswith("3.50 (3.00..4.00)  2.5 met  4 not met")
    limits = speed_tables.limit_table(rows)
    assert limits[2].split()[-2:] == ["90%", "50%"]  # 270 of 300
    assert speed_tables.limit_table([(work, "2", 6_000, [{"footlight": 1.0}])]) == []
    best = speed_tables.best_of([[{"footlight": 1.0, "sb3": 5.0}], [{"footlight": 2.0}]])
    assert best == [{"footlight": 2, "sb3": 5}]


def test_figure(tmp_path: Path) -> None:
    comparisons = [
        Comparison("sac", "1", "sb3", [9.0, 9.5], 6.0, 10.0),
        Comparison("sac", "1", "rltools", [1.2], None, 1.0),
        Comparison("ppo", "2", "sbx", [3.0], None, None),
    ]
    assert speed_figure.labels_of(comparisons) == ["sac, 1 thread", "", "ppo, 2 threads"]
    speed_figure.draw(comparisons, tmp_path / "speed.png")
    assert (tmp_path / "speed.png").stat().st_size > 10_000


def test_report(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The whole program, with made-up answers."""

    def answer(command: list[Any]) -> Any:
        if command[-1] == "versions":
            own = {"footlight": "1"}
            return own if "ours.py" in str(command[1]) else {"sb3": {"torch": "2"}}
        job = json.loads(command[-1])
        steps = job["window"]
        if "speed_limits.py" in str(command[1]):
            return dict.fromkeys(LIMITS, 100.0)
        seconds = 1.0 if "ours.py" in str(command[1]) else 7.0
        return {"steps": steps, "updates": steps, "seconds": seconds}

    for module in (speed, speed_rounds):
        monkeypatch.setattr(module, "run_json", answer)
    output = tmp_path / "speed.txt"
    words = ["sac-64", f"--output={output}", f"--kept={tmp_path / 'rounds.jsonl'}"]
    words += ["--libraries", "footlight", "sb3", "limits"]
    monkeypatch.setattr("sys.argv", ["speed.py", *words])
    assert speed.main() == 0
    assert "7.00 (7.00..7.00)  6 met" in output.read_text()
    assert output.with_suffix(".png").exists()
    monkeypatch.setattr("sys.argv", ["speed.py", *words, "sbx"])
    assert speed.main() == 1  # it is not installed


@pytest.mark.usefixtures("eager")
def test_limits_of_games(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed_limits, "BLOCK", 4)
    monkeypatch.setattr(speed_limits, "WARMUP", 2)
    fields = GAMES | {"life_loss_ends": True}
    assert speed_limits.stepping("ALE/Breakout-v5", fields, seconds=0) > 0
    agent, observe = speed_limits.make_agent("a2c", "ALE/Breakout-v5", 1, fields)
    rate, names = speed_limits.update(agent, observe, seconds=0.01)
    assert rate > 0
    assert names.keys() <= agent.algorithm.updates.keys()
    kinds = {
        func.overloadpacket
        for func, _, _ in speed_limits.products_of(agent.learner, next(iter(names)))
    }
    assert {torch.ops.aten.convolution, torch.ops.aten.convolution_backward} <= kinds


@pytest.mark.usefixtures("eager")
def test_products_of_an_update(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forward and backward of two critics and an actor, each layer's product once."""
    fields = {"hidden_sizes": (8, 8), "batch_size": 4, "learning_starts": 4, "buffer_size": 100}
    agent, observe = speed_limits.make_agent("td3", "Pendulum-v1", 1, fields)
    _, names = speed_limits.update(agent, observe, seconds=0.01)
    assert names.keys() <= {"critic", "critic_and_actor"}
    calls = speed_limits.products_of(agent.learner, "critic")
    # Target actor and target critics forward; critics forward, and backward by weights and inputs
    assert len(calls) == 3 + 3 + 3 + 3 + 2

    def unavailable(*given: Any) -> Any:
        raise compilation.CompilerMissing("none")

    from footlight.learning import compilation

    monkeypatch.setattr(compilation, "compile_in_place", unavailable)
    assert speed_limits.products(agent.learner, "critic", seconds=0) > 0


def test_stepping_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed_limits, "BLOCK", 40)
    for num_envs in (1, 2):
        assert speed_limits.stepping("CartPole-v1", {"num_envs": num_envs}, seconds=0) > 0


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize(
    ("job", "change"),
    [
        (growth.small_sac(buffer_size=20_000, learning_starts=20_000), {"fill": 20_000}),
        (growth.a2c(2), {"part": 20, "parts": 2}),
    ],
)
def test_growth(
    job: dict[str, Any], change: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growth, "SETTLED", 2)
    answer = growth.train(**job, **change, seconds=0)
    assert len(answer["rates"]) == len(answer["memory"]) == change.get("parts", 1)
    assert min(answer["rates"]) > 0


def test_table_of_growth(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[Callable[[], Any]] = [
        lambda: {"rates": [200.0], "memory": [300.0]},
        lambda: {"rates": [50.0], "memory": [400.0]},
        lambda: {"rates": [9.0, 6.0], "memory": [1.0, 2.0]},
    ]
    monkeypatch.setattr(growth, "run_json", lambda command: answers.pop(0)())
    rows = growth.lines_of({"32": {}, "256": {}, "run": {"part": 5}}, 1, [])
    assert rows[1:] == [
        ["32", "200", "1.00", "300"],
        ["256", "50", "0.25", "400"],
        ["run: 0 to 5", "9", "1.00", "1"],
        ["run: 5 to 10", "6", "0.67", "2"],
    ]
