"""`footlight runs` and `footlight clean` as they are typed."""

import json
import os
import time
from pathlib import Path

import pytest
from run_folders import RESULT, content_of, held_elsewhere, write_run
from small_runs import FAST

from footlight.cli.main import main
from footlight.cli.run_folders import _duration
from footlight.runs.states import KINDS


def write_runs() -> None:
    """Four runs of three algorithms, the last one damaged."""
    write_run(Path("runs/Pendulum-v1/sac/2"), means=(-1234.5, -250.25))
    write_run(Path("runs/Pendulum-v1/sac/10"), means=(-150.0,), seed=11)
    stopped = RESULT | {"status": "stopped"}
    atari = {"algorithm": "ppo", "environment": "ALE/Pong-v5", "steps": 10_000_000}
    write_run(Path("runs/ALE/Pong-v5/ppo/1"), means=(), result=stopped, **atari)
    write_run(Path("runs/td3"), means=(None,), algorithm="td3")
    Path("runs/td3/config.json").write_text("{")


def lines(words: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    assert main(words.split()) == 0
    return capsys.readouterr().out.splitlines()


def paths(words: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line.split()[0] for line in lines(words, capsys)[1:-1]]


def test_table(capsys: pytest.CaptureFixture[str]) -> None:
    write_runs()
    for run in Path("runs").rglob("config.json"):
        for path in run.parent.rglob("*"):
            os.utime(path, (time.time() - 7_300,) * 2)
    sizes = [
        sum(path.stat().st_size for path in Path("runs", run).rglob("*") if path.is_file())
        for run in ("ALE/Pong-v5/ppo/1", "Pendulum-v1/sac/2")
    ]
    head, pong, second, tenth, damaged, total = lines("runs", capsys)
    names = "path algorithm environment seed steps state last best age size note"
    assert head.split() == names.split()
    for line, size, row in (
        (pong, sizes[0], "ALE/Pong-v5/ppo/1 ppo ALE/Pong-v5 3 100/10,000,000 stopped - -"),
        (second, sizes[1], "Pendulum-v1/sac/2 sac Pendulum-v1 3 100/100 finished -250.2 -250.2"),
    ):
        assert line.split() == [*row.split(), "2", "h", f"{size / 1e3:.1f}", "kB"]
    assert tenth.startswith("Pendulum-v1/sac/10 ")
    assert damaged.split()[:6] == ["td3", "-", "-", "-", "100/-", "damaged"]
    assert "  config.json is invalid: Expecting property name" in damaged
    assert total.startswith("4 runs, ")
    assert head.index("seed") + len("seed") == second.index(" 3 ") + 2  # numbers end together
    assert head.index("state") == second.index("finished")


def test_runs_are_sorted(capsys: pytest.CaptureFixture[str]) -> None:
    write_runs()
    two, ten, pong, td3 = "Pendulum-v1/sac/2", "Pendulum-v1/sac/10", "ALE/Pong-v5/ppo/1", "td3"
    for words, expected in (
        ("", [pong, two, ten, td3]),
        ("--reverse", [td3, ten, two, pong]),
        ("--sort last", [two, ten, pong, td3]),
        ("--sort last --reverse", [ten, two, pong, td3]),
        ("--sort best --reverse", [ten, two, pong, td3]),
        ("--sort algorithm", [pong, two, ten, td3]),
        ("--sort seed --reverse", [ten, pong, two, td3]),
        ("--sort state", [td3, two, ten, pong]),
    ):
        assert paths(f"runs {words}", capsys) == expected, words
    os.utime("runs/Pendulum-v1/sac/10/config.json", (2e9, 2e9))
    assert paths("runs --sort age", capsys)[0] == ten
    Path("runs/td3/large").write_bytes(bytes(100_000))
    assert paths("runs --sort size --reverse", capsys)[0] == td3


def test_runs_are_filtered(capsys: pytest.CaptureFixture[str]) -> None:
    write_runs()
    two, ten, pong = "Pendulum-v1/sac/2", "Pendulum-v1/sac/10", "ALE/Pong-v5/ppo/1"
    for words, expected in (
        ("--algorithm sac", [two, ten]),
        ("--algorithm sac --algorithm ppo", [pong, two, ten]),
        ("--environment ALE/*", [pong]),
        ("--environment Pendulum-v1 --state finished", [two, ten]),
        ("--state stopped --state damaged", [pong, "td3"]),
    ):
        assert paths(f"runs runs {words}", capsys) == expected, words
    assert lines("runs --algorithm sac --state stopped", capsys) == ["no runs in runs match"]
    assert paths("runs runs/Pendulum-v1", capsys) == ["sac/2", "sac/10"]


def test_running_runs_are_marked(capsys: pytest.CaptureFixture[str]) -> None:
    write_runs()
    with held_elsewhere(Path("runs/Pendulum-v1/sac/2")):
        assert paths("runs --state running", capsys) == ["Pendulum-v1/sac/2"]
        assert main(["clean"]) == 0
        assert "skipped runs/Pendulum-v1/sac/2: a training is running" in capsys.readouterr().err


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    write_runs()
    (line,) = lines("runs runs/Pendulum-v1/sac --json --sort last", capsys)
    content = json.loads(line)
    assert content["dir"] == "runs/Pendulum-v1/sac"
    first = content["runs"][0]
    assert abs(first.pop("age_s") + first.pop("changed") - time.time()) < 60
    assert first.pop("bytes") > 1_000
    assert first == {
        "path": "2", "algorithm": "sac", "environment": "Pendulum-v1", "seed": 3, "step": 100,
        "steps": 100, "state": "finished", "last_return": -250.25, "best_return": -250.25,
        "note": "",
    }  # fmt: skip
    assert [run["path"] for run in content["runs"]] == ["2", "10"]
    Path("empty").mkdir()
    assert lines("runs empty --json", capsys) == ['{"dir": "empty", "runs": []}']


def test_names_with_control_characters_stay_in_their_row(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_run(Path("runs/a\nb\x1b[1m"), environment="c\td\n")
    assert lines("runs", capsys)[1].startswith("a?b?[1m  sac        c?d? ")


@pytest.mark.parametrize("command", ["runs", "clean", "clean runs --delete videos"])
def test_missing_and_empty_folders(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command.split()) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: there is no folder runs - `footlight train` makes its runs in")
    Path("runs").mkdir()
    nothing = "no runs in runs" if command == "runs" else "nothing to delete in runs"
    assert lines(command, capsys) == [nothing]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("runs --sort returns", "sort is 'returns' - it must be one of path, algorithm"),
        ("runs --state finish", "did you mean 'finished'"),
        ("runs --algorithms sac", "did you mean '--algorithm'"),
        ("clean --delete video", "delete is 'video' - it must be one of temporary, incomplete, ch"),
        ("clean --delete", "expected at least one argument"),
    ],
)
def test_wrong_options_are_rejected(
    words: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_runs()
    assert main(words.split()) == 2
    assert message in capsys.readouterr().err


def test_clean_shows_what_it_would_delete_and_deletes_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = write_run(Path("runs/some/run"))
    (run / "videos").mkdir()
    (run / "videos" / "step-000000100.mp4").write_bytes(bytes(2_500))
    before = content_of(run)
    head, *rows = lines("clean", capsys)
    assert head.split() == ["kind", "size", "run", "what"]
    checkpoints, videos, buffers, *totals, last = rows
    assert checkpoints.endswith("  some/run  checkpoints/step-000000050")
    assert videos == "videos       2.5 kB  some/run  videos"
    assert buffers.endswith("checkpoints/step-000000100/buffer*.safetensors, "
                            "checkpoints/step-000000050/buffer*.safetensors")  # fmt: skip
    assert [line.partition(":")[0] for line in totals] == ["checkpoints", "videos", "buffers"]
    assert totals[2].endswith(KINDS["buffers"])
    command = "footlight clean runs --delete checkpoints videos buffers"
    assert last == f"nothing was deleted; to delete all of it: {command}"
    assert content_of(run) == before
    shown = lines("clean runs --delete videos", capsys)
    assert shown[1:] == ["videos  2.5 kB  some/run  videos", "deleted 2.5 kB"]
    assert set(before) - set(content_of(run)) == {"videos", "videos/step-000000100.mp4"}
    assert lines(" ".join(command.split()[1:]), capsys)[-1].startswith("deleted ")
    assert lines("clean", capsys) == ["nothing to delete in runs"]


def test_what_cannot_be_deleted_is_an_error_after_what_was(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("1", "2"):
        (write_run(Path("runs", name)) / "videos").mkdir()
        Path("runs", name, "videos", "a.mp4").touch()
    rename = Path.rename

    def refuse(self: Path, target: Path) -> Path:
        if self == Path("runs/1/videos"):
            raise PermissionError(13, "Permission denied", str(self))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    assert main(["clean", "--delete", "videos"]) == 5
    said = capsys.readouterr()
    assert said.out.splitlines()[-1] == "deleted 0 B"
    assert "error: cannot clean runs/1 - PermissionError" in said.err


def test_trained_run_works_after_everything_was_deleted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["--steps", "60", "--checkpoint-every", "20", "--eval-every", "30", "--run-dir=runs/a"]
    assert main(["train", "sac", "Pendulum-v1", *words, *FAST]) == 0
    capsys.readouterr()
    row = lines("runs", capsys)[1].split()
    assert row[:6] == ["a", "sac", "Pendulum-v1", "0", "60/60", "finished"]
    assert lines(f"clean --delete {' '.join(KINDS)}", capsys)[-1].startswith("deleted ")
    for words in (["evaluate", "runs/a", "--episodes", "1"], ["plot", "runs/a"],
                  ["verify", "runs/a"], ["inspect", "runs/a"]):  # fmt: skip
        assert main(words) == 0
    capsys.readouterr()
    before = content_of(Path("runs/a"))
    assert main(["resume", "runs/a", "--steps", "80"]) == 2
    assert "has no replay buffer - `footlight clean` has removed it" in capsys.readouterr().err
    assert content_of(Path("runs/a")) == before
    new = ["train", "sac", "Pendulum-v1", "--steps", "20", *FAST, "--init-from", "runs/a"]
    assert main([*new, "--init-buffer", "--run-dir", "runs/b"]) == 2
    assert "has no replay buffer" in capsys.readouterr().err
    assert not Path("runs/b").exists()
    assert main([*new, "--run-dir", "runs/b"]) == 0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "0 s"), (59, "59 s"), (60, "1 min"), (7_200, "2 h"), (86_400, "1 d"), (8.64e6, "100 d")],
)
def test_ages(seconds: float, text: str) -> None:
    assert _duration(seconds) == text
