"""Files of the user's on the command line: every command, and what a run may load later."""

import json
from pathlib import Path
from typing import Any

import pytest
from user_files import write

import footlight
from footlight.cli.main import main
from footlight.cli.own_code import own_code
from footlight.storage import checkpoint, manifest
from footlight.user_code import consent

SHORT = ["--compile=off", "--eval-episodes=1", "--probe=off", "--threads=1"]
ALL = [
    "algorithm.py:Mine", "mine.py:MyEnv", "--network", "mine.py:MyNetwork", "--env-kwargs",
    "size=5", "--wrapper", "mine.py:add", "mine.py:double", "--hook", "mine.py:show", "--hook",
    "mine.py:Count", *SHORT,
]  # fmt: skip


@pytest.fixture(autouse=True)
def nothing_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "configuration"))
    forget(monkeypatch)
    write(tmp_path)


def forget(monkeypatch: pytest.MonkeyPatch, *, stored: bool = False) -> None:
    """As in another process; with `stored` as for another user."""
    monkeypatch.setattr(consent, "_this_process", set())
    monkeypatch.setattr("footlight.user_code.loading._loaded", {})
    if stored:
        consent.store().unlink()


def rows(name: str) -> list[dict[str, Any]]:
    lines = map(json.loads, Path(name).read_text().splitlines())
    return [{key: row[key] for key in row if key != "time_s"} for row in lines]


def policy_bits(run: str) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in footlight.load(run).arrays().items()}


def test_all_commands_work_and_a_resumed_run_equals_an_uninterrupted_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for run, steps in (("whole", "80"), ("run", "40")):
        assert main(["train", *ALL, "--steps", steps, "--run-dir", run, "--eval-every=20"]) == 0
        assert "hook at 40" in capsys.readouterr().out
    forget(monkeypatch)
    assert main(["resume", "run", "--steps", "80"]) == 0
    assert "not reproducible" not in capsys.readouterr().out
    assert policy_bits("run") == policy_bits("whole")
    for log in ("episodes", "evaluations"):
        assert rows(f"run/{log}.jsonl") == rows(f"whole/{log}.jsonl")
    assert [row["count"] for row in rows("run/metrics.jsonl") if "count" in row] == [20, 40, 60, 80]
    config = json.loads(Path("run/config.json").read_text())
    assert (config["environment"], config["environment_source"]) == ("MyEnv", "file")
    assert config["env_kwargs"] == {"size": 5}
    assert [(each["use"], each["name"]) for each in config["code"]] == [
        ("environment", "MyEnv"), ("wrapper", "add"), ("wrapper", "double"),
        ("algorithm", "Mine"), ("network", "MyNetwork"), ("hook", "show"), ("hook", "Count"),
    ]  # fmt: skip
    returns = [row["return"] for row in rows("run/episodes.jsonl")]
    assert set(returns) <= set(range(20, 41, 2))  # 10 steps of 2 * (0 or 1, and 1)
    assert main(["evaluate", "run", "--episodes", "2"]) == 0
    assert main(["watch", "run", "--video", "run/video.gif"]) == 0
    assert main(["inspect", "run"]) == 0
    assert f"wrapper: double in {Path.cwd()}/mine.py" in capsys.readouterr().out
    assert main(["verify", "run"]) == 0
    assert main(["plot", "run"]) == 0


def test_export(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnxscript")
    assert main(["train", *ALL, "--steps", "10", "--run-dir", "run"]) == 0
    assert main(["export", "run", "policy.onnx"]) == 0
    assert "0 of 1,000 choices differ" in capsys.readouterr().out


COMMANDS = {
    "resume": ["--steps", "40"], "evaluate": ["--episodes", "1"], "watch": ["--video", "v.gif"],
    "export": ["policy.onnx"],
}  # fmt: skip


def test_nothing_of_a_strangers_run_is_run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["train", *ALL, "--steps", "20", "--run-dir", "run"]) == 0
    forget(monkeypatch, stored=True)
    Path("marker").unlink()
    for command, rest in COMMANDS.items():
        assert main([command, "run", *rest]) == 2
        said = capsys.readouterr().err
        assert "algorithm.py - you have not allowed it" in said
        assert f"--allow-code {Path.cwd()}/algorithm.py" in said
        assert said.count("\n") <= 3
    for command in ("inspect", "verify", "plot"):
        assert main([command, "run"]) == 0
    with pytest.raises(footlight.UserError, match="you have not allowed it"):
        footlight.load("run")
    assert not Path("marker").exists()
    assert main(["resume", "run", "--steps", "40", "--allow-code", "other.py"]) == 2
    assert "the run does not name the file" in capsys.readouterr().err
    allowed = ["--allow-code", "mine.py", "--allow-code", "algorithm.py"]
    assert main(["resume", "run", "--steps", "40", *allowed]) == 0
    assert Path("marker").exists()
    forget(monkeypatch)
    assert main(["evaluate", "run", "--episodes", "1"]) == 0  # remembered


def test_a_changed_file_is_asked_for_again(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["train", "a2c", "mine.py:MyEnv", *SHORT, "--steps=20", "--run-dir=run"]) == 0
    with Path("mine.py").open("a") as file:
        file.write("\nmore = 1\n")
    Path("marker").unlink()
    forget(monkeypatch)
    for command in ("resume", "evaluate", "watch"):
        assert main([command, "run", *COMMANDS[command]]) == 2
        assert "mine.py - it has changed since you allowed it" in capsys.readouterr().err
    assert not Path("marker").exists()
    again = ["resume", "run", "--steps", "40", "--environment", "mine.py:MyEnv"]
    assert main(again) == 0
    assert "resumed with another version of mine.py" in capsys.readouterr().out
    forget(monkeypatch)
    assert main(["evaluate", "run", "--episodes", "1"]) == 0


def forge(run: str, **changes: Any) -> None:
    """Rewrite the checkpoints of a run as whoever made it could."""
    for path in Path(run, "checkpoints").glob("*/manifest.json"):
        content = json.loads(path.read_text())
        content.pop("checksum")
        content["run"] |= changes
        path.write_text(json.dumps({**content, "checksum": manifest.checksum(content)}))
    assert checkpoint.read_manifest(checkpoint.find(Path(run)))["run"]["steps"] == 20


def test_a_forged_run_gets_no_other_function_of_an_allowed_file(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["train", "a2c", "mine.py:MyEnv", *SHORT, "--steps=20", "--run-dir=run"]) == 0
    (entry,) = json.loads(Path("run/config.json").read_text())["code"]
    forget(monkeypatch)
    Path("marker").unlink()
    forge("run", code=[{**entry, "name": "os"}])
    assert main(["evaluate", "run"]) == 2
    assert "os of" in capsys.readouterr().err
    forge("run", environment=f"{entry['path']}:MyEnv", environment_source="id", code=[])
    for command in ("evaluate", "resume"):
        assert main([command, "run", *COMMANDS[command]]) == 2
        assert "a run cannot name a file in that way" in capsys.readouterr().err
    assert not Path("marker").exists()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("algorithm.py:Mien mine.py:MyEnv", ["no 'Mien'", "did you mean 'Mine'"]),
        ("a2c mine.py:MyEmv", ["no 'MyEmv'", "did you mean 'MyEnv'"]),
        ("a2c mien.py:MyEnv", ["no file mien.py", "did you mean 'mine.py'"]),
        ("a2c mine.py:MyEnv --env-kwargs sise=5", ["'sise'", "did you mean 'size'"]),
        ("a2c broken.py:MyEnv", ["SyntaxError", "(broken.py, line 2)"]),
        ("a2c mine.py:MyEnv --network broken.py:X", ["SyntaxError", "(broken.py, line 2)"]),
        ("a2c mine.py:MyEnv --wrapper mine.py:ad", ["no 'ad'", "did you mean 'add'"]),
        ("a2c mine.py:MyEnv --hook mine.py:shaw", ["no 'shaw'", "did you mean 'show'"]),
        ("mine.py:MyNetwork mine.py:MyEnv", ["MyNetwork has no `config`", "add `config: Config`"]),
        ("a2c mine.py:MyEnv --network fails.py:Net", ["ValueError: no", "(fails.py, line 3)"]),
    ],
)
def test_mistakes_exit_with_2_and_create_nothing(
    line: str, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("broken.py").write_text("x = 1\ndef f(:\n")
    Path("fails.py").write_text(
        "class Net:\n    def __init__(self, *spaces):\n        raise ValueError('no')\n"
    )
    assert main(["train", *line.split(), "--compile=off"]) == 2
    said = capsys.readouterr().err
    assert all(word in said for word in words), said
    assert said.count("\n") <= 3
    assert not Path("runs").exists()


def test_fields_of_an_own_algorithm_are_options(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = Path("algorithm.py").read_text()
    start = text.index("class Config(")
    body = text.index("\n", text.index('"""Hyperparameters', start)) + 1
    Path("algorithm.py").write_text(
        text[:body] + '\n    warmth: float = 1.5\n    """How warm it is."""\n' + text[body:]
    )
    with pytest.raises(SystemExit):
        main(["train", "algorithm.py:Mine", "mine.py:MyEnv", "--help"])
    page = " ".join(capsys.readouterr().out.split())
    assert "--warmth VALUE How warm it is. [a number; default: 1.5]" in page
    line = ["train", "algorithm.py:Mine", "mine.py:MyEnv", *SHORT, "--steps=10", "--run-dir=run"]
    assert main([*line, "--warmth", "2", "--hidden-sizes", "8"]) == 0
    config = json.loads(Path("run/config.json").read_text())["config"]
    assert (config["warmth"], config["hidden_sizes"]) == (2.0, [8])
    assert main([*line, "--warmht", "2"]) == 2
    assert "did you mean '--warmth'" in capsys.readouterr().err


def test_evaluation_environment_and_wrappers_in_processes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    line = (
        "--wrapper mine.py:add --wrapper mine.py:double --hook mine.py:show a2c CartPole-v1 "
        "--eval-environment CartPole-v1 --num-envs 8 --vectorization async --steps 40 --n-steps 5"
    )
    assert main(["train", *line.split(), *SHORT, "--run-dir", "run", "--no-preset"]) == 0
    config = json.loads(Path("run/config.json").read_text())
    assert config["environment_source"] == "id"
    evaluation = rows("run/evaluations.jsonl")[-1]
    assert evaluation["mean_return"] == pytest.approx(4 * evaluation["lengths"][0])
    eval_env = ["--eval-environment", "mine.py:make", "--steps=10", "--run-dir=other"]
    assert main(["train", "a2c", "mine.py:make", *eval_env, *SHORT]) == 0
    assert main(["resume", "other", "--steps", "20"]) == 0
    recorded = json.loads(Path("other/config.json").read_text())
    assert recorded["eval_environment"]["environment_source"] == "file"
    assert [each["use"] for each in recorded["code"]] == ["environment", "eval_environment"]


@pytest.mark.parametrize("own", [["--eval-environment", "mine.py:MyEnv"], []])
def test_arguments_of_the_evaluation_environment_are_recorded(own: list[str]) -> None:
    line = ["--eval-env-kwargs", "size=4", *own, "--steps=10", "--run-dir=run", *SHORT]
    assert main(["train", "a2c", "mine.py:make", *line]) == 0
    assert main(["resume", "run", "--steps", "20"]) == 0
    recorded = json.loads(Path("run/config.json").read_text())
    assert recorded["eval_environment"]["env_kwargs"] == {"size": 4}
    assert "env_kwargs" not in recorded


def test_the_same_words_from_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = footlight.train(
        "algorithm.py:Mine", "mine.py:MyEnv", network="mine.py:MyNetwork", wrapper="mine.py:add",
        hooks=["mine.py:Count"], eval_environment="mine.py:MyEnv", env_kwargs={"size": 3}, steps=20,
        eval_episodes=1, compile="off", probe="off", quiet=True, run_dir=tmp_path / "run",
    )  # fmt: skip
    assert run.evaluate(episodes=1).mean_return >= 10
    forget(monkeypatch)
    monkeypatch.chdir("/")
    footlight.resume(tmp_path / "run", steps=40, quiet=True)
    assert footlight.Run(tmp_path / "run").evaluate(episodes=1).lengths == (10,)
    forget(monkeypatch, stored=True)
    with pytest.raises(footlight.UserError, match="you have not allowed it"):
        footlight.Run(tmp_path / "run").evaluate(episodes=1)
    files = [tmp_path / "mine.py", tmp_path / "algorithm.py"]
    assert footlight.Run(tmp_path / "run", allow_code=files).evaluate(episodes=1).lengths == (10,)


def test_a_crash_of_an_own_environment_is_reproduced(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = Path("mine.py").read_text()
    Path("mine.py").write_text(
        text.replace("self.time += 1", "self.time += 1; 1 / (self.time - 7)")
    )
    assert main(["train", "a2c", "mine.py:MyEnv", *SHORT, "--steps=20", "--run-dir=run"]) == 3
    (crash,) = Path("run/crash").iterdir()
    capsys.readouterr()
    assert main(["reproduce", str(crash)]) == 3
    assert "the fault happened again at step 7" in capsys.readouterr().out
    forget(monkeypatch, stored=True)
    assert main(["reproduce", str(crash)]) == 2
    assert main(["reproduce", str(crash), "--allow-code", "mine.py"]) == 3


def test_errors_of_an_own_algorithm_name_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    text = Path("algorithm.py").read_text()
    name = next(line for line in text.splitlines() if "def buffer(" in line)
    Path("algorithm.py").write_text(text.replace(name, f"{name}\n        1 / 0"))
    assert main(["train", "algorithm.py:Mine", "mine.py:MyEnv", *SHORT, "--steps=20"]) == 2
    said = capsys.readouterr().err
    assert "Mine.buffer failed in line" in said
    assert "algorithm.py: ZeroDivisionError: division by zero" in said


def test_options_that_are_missing_are_no_keywords() -> None:
    assert own_code({"network": None, "hook": ["a"]}) == {"hooks": ["a"]}
