"""The commands other than `train`, on a small run."""

import json
from pathlib import Path
from typing import Any

import pytest
from small_runs import FAST

from footlight.algorithms import ALGORITHMS
from footlight.cli import commands
from footlight.cli.main import main
from footlight.cli.parser import build_parser


def test_train_evaluate_plot_watch_and_resume(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--steps", "60", "sac", "Pendulum-v1", *FAST, "--gamma=0.95", "--eval-every", "20"]
    assert main(["train", *words]) == 0
    folder = Path("runs/Pendulum-v1/sac/001")
    config = json.loads((folder / "config.json").read_text())
    assert (config["steps"], config["preset"], config["config"]["gamma"]) == (
        60,
        "sac/Pendulum-v1",
        0.95,
    )
    assert config["config"]["learning_rate"] == 7e-4  # of the preset
    evaluations = [
        json.loads(line) for line in (folder / "evaluations.jsonl").read_text().splitlines()
    ]
    assert [line["step"] for line in evaluations] == [20, 40, 60]
    assert json.loads((folder / "result.json").read_text())["status"] == "finished"
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert {
        "machine.json",
        "checkpoints/LATEST",
        "checkpoints/step-000000060/manifest.json",
    } <= files
    capsys.readouterr()

    assert main(["evaluate", str(folder), "--episodes", "2", "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert len(first["returns"]) == 2
    assert main(["evaluate", str(folder), "--episodes", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == first
    assert main(["plot", str(folder)]) == 0
    assert (folder / "curve.png").stat().st_size > 5_000
    assert main(["watch", str(folder), "--video", "swing.mp4"]) == 0
    assert Path("swing.mp4").stat().st_size > 5_000
    assert main(["resume", str(folder)]) == 2  # there is nothing left to do
    assert main(["resume", str(folder), "--steps", "80", "--quiet"]) == 0
    assert json.loads((folder / "result.json").read_text())["steps"] == 80
    assert main(["train", "sac", "Pendulum-v1", "--steps", "20", *FAST, "--no-preset"]) == 0
    assert json.loads(Path("runs/Pendulum-v1/sac/002/config.json").read_text())["preset"] is None


def test_list_prints_algorithms_presets_and_environments(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["list"]) == 0
    both = capsys.readouterr().out
    assert main(["list", "algorithms"]) == 0
    algorithms = capsys.readouterr().out
    assert main(["list", "presets"]) == 0
    assert algorithms + capsys.readouterr().out == both
    assert [line.split()[0] for line in algorithms.splitlines()] == list(ALGORITHMS)
    assert main(["list", "environments"]) == 0
    assert "Pendulum-v1" in capsys.readouterr().out.splitlines()


def test_simulate(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert main(["simulate", "CartPole-v1", "--episodes", "2", "--seed", "3"]) == 0
    first, second, name = capsys.readouterr().out.splitlines()
    assert first.startswith("episode   1  return      12.00  length     12")
    assert second.startswith("episode   2")
    assert Path(name).stat().st_size > 1_000
    assert name.startswith("CartPole-v1.")
    words = ["--video", "x.gif", "--env-kwargs", "sutton_barto_reward=true", "CartPole-v1"]
    assert main(["simulate", *words]) == 0
    assert "return      -1.00" in capsys.readouterr().out
    assert Path("x.gif").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "required: ENVIRONMENT"),
        (["CartPol-v1"], "unknown environment 'CartPol-v1' - did you mean 'CartPole-v1'"),
        (["CartPole-v1", "--episodes", "0"], "it must be an integer >= 1"),
        (["CartPole-v1", "--env-kwargs", "size=3"], "env_kwargs has 'size'"),
        (["CartPole-v1", "--video", "x.avi"], "its suffix is .avi"),
        (["CartPole-v1", "--episode", "2"], "did you mean '--episodes'"),
    ],
)
def test_simulate_reports_what_is_wrong(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["simulate", *words]) == 2
    assert message in capsys.readouterr().err
    assert not list(Path().iterdir())


def test_progress_is_printed_every_ten_seconds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter([0.0, 9.0, 10.0, 19.0, 21.0])
    monkeypatch.setattr("footlight.cli.commands.time.monotonic", lambda: next(clock))
    progress = commands._print_progress("evaluating", 3)
    assert all(progress(completed) for completed in (0, 1, 2, 3))
    assert capsys.readouterr().err == "evaluating 2/3\nevaluating 3/3\n"


def test_every_command_has_a_parser() -> None:
    (subparsers,) = (
        action for action in build_parser()._actions if isinstance(action.choices, dict)
    )
    assert set(subparsers.choices) == {"train", *commands.COMMANDS}


def test_tune_machine_writes_what_it_measures_and_forgets_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    content = {"threads": [[1, 2]], "onednn_from": None}
    monkeypatch.setattr("footlight.instruments.tune.measure", lambda notify: content)
    file = tmp_path / "footlight" / "tuning.json"
    assert main(["tune-machine"]) == 0
    assert capsys.readouterr().out == f"{file}: later runs on this machine follow it\n"
    assert json.loads(file.read_text()) == content
    assert main(["tune-machine", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == content
    assert main(["tune-machine", "--forget"]) == 0
    assert not file.exists()


@pytest.mark.parametrize("words", [["tune-machine"], ["tune-machine", "--forget"]])
def test_tune_machine_needs_a_place_before_it_measures(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    words: list[str],
) -> None:  # fmt: skip
    def measured(notify: Any) -> Any:
        raise AssertionError("it has measured")

    monkeypatch.setattr("footlight.instruments.tune.measure", measured)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "footlight" / "tuning.json").mkdir(parents=True)
    if words == ["tune-machine"]:
        (tmp_path / "file").touch()
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert main(words) == 5
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: cannot ")

    def homeless() -> Any:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr("footlight.instruments.tune.path", homeless)
    assert main(words) == 2
    assert "set XDG_CACHE_HOME" in capsys.readouterr().err
