"""Malicious files: pickles, links, pipes and foreign files are rejected, and no code runs."""

import os
import pickle
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tampering import COMMANDS, forged, setting, swapped

from footlight.cli.main import main
from footlight.errors import UserError
from footlight.learning.agent import Agent
from footlight.storage import checkpoint


class Bomb:
    """Unpickling this makes a file."""

    def __reduce__(self) -> Any:
        return os.system, ("touch exploded",)


def plant(run: Path, content: bytes) -> list[Path]:
    """`content` in the place of every file that is there."""
    files = [path for path in run.rglob("*") if path.is_file()]
    for path in files:
        path.write_bytes(content)
    return files


def test_pickles_in_any_file_are_not_executed(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(plant(run, pickle.dumps(Bomb()))) > 12
    for words in COMMANDS:
        assert main(words) == 2, words
        assert 1 <= len(capsys.readouterr().err.splitlines()) <= 3
    assert not Path("exploded").exists()


@pytest.mark.parametrize(
    "name",
    [
        "config.json",
        "result.json",
        "machine.json",
        "episodes.jsonl",
        "metrics.jsonl",
        "evaluations.jsonl",
    ],
)
def test_pickle_in_one_file_is_rejected(run: Path, name: str) -> None:
    (run / name).write_bytes(pickle.dumps(Bomb()))
    for words in COMMANDS[1:6]:
        assert main(words) in (0, 2), words
    assert main(["verify", "run"]) == (
        0 if name == "metrics.jsonl" else 2
    )  # behind the checkpoint: a line that was cut off
    assert not Path("exploded").exists()


def zipped(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data", "{}")
        archive.writestr("policy.pth", pickle.dumps(Bomb()))


FOREIGN: list[tuple[str, Callable[[Path], Any], str]] = [
    ("model.zip", zipped, "a zip archive, as PyTorch and Stable-Baselines3 write"),
    ("model.pt", zipped, "a zip archive"),
    (
        "model.pkl",
        lambda path: path.write_bytes(pickle.dumps(Bomb())),
        "a pickle, which may hold code",
    ),
    (
        "old.pkl",
        lambda path: path.write_bytes(pickle.dumps(Bomb(), protocol=0)),
        "a pickle, which may hold code",
    ),
    (
        "lfs",
        lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
        "git lfs pull",
    ),
    ("page", lambda path: path.write_text("\n<!DOCTYPE html><html>404"), "an HTML or XML page"),
    (
        "run.tar",
        lambda path: path.write_bytes(b"\0" * 257 + b"ustar" + b"\0" * 250),
        "a tar archive",
    ),
    ("run.tar.gz", lambda path: path.write_bytes(b"\x1f\x8b\x08"), "a gzip archive"),
    ("pipe", os.mkfifo, "a pipe"),
    ("/dev/zero", lambda path: None, "a device"),
    ("weights.safetensors", lambda path: path.write_bytes(b"\0" * 20), "a file, not a folder"),
    ("empty", Path.mkdir, "has nothing to load"),
    ("gone", lambda path: path.symlink_to("nowhere"), "there is no folder"),
]


@pytest.mark.parametrize(("name", "make", "words"), FOREIGN, ids=[name for name, *_ in FOREIGN])
def test_foreign_file_is_described(
    run: Path,
    name: str,
    make: Callable[[Path], Any],
    words: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    make(Path(name))
    for command in (["inspect", name], ["verify", name], ["export", name, "x.onnx"]):
        assert main(command) == 2
        error = capsys.readouterr().err
        assert words in error, error
    assert main(["resume", name]) == 2
    assert not Path("exploded").exists()


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
@pytest.mark.parametrize(
    "name",
    ["checkpoints/step-000000200/agent.safetensors", "checkpoints/step-000000200/manifest.json"],
)
def test_links_are_not_followed_and_pipes_do_not_block(run: Path, kind: str, name: str) -> None:
    elsewhere = Path("elsewhere").absolute()
    shutil.copy(run / name, elsewhere)  # even if it is the very same content
    swapped(
        run,
        name,
        {"link": lambda path: path.symlink_to(elsewhere), "pipe": os.mkfifo, "folder": Path.mkdir}[
            kind
        ],
    )
    with pytest.raises(UserError, match=r"a symbolic link|a pipe|a folder"):
        Agent.load(run / "checkpoints" / "step-000000200")
    assert checkpoint.find(run).name == "step-000000100"


@pytest.mark.parametrize("name", ["episodes.jsonl", "evaluations.jsonl", "metrics.jsonl"])
def test_linked_log_is_not_truncated(run: Path, name: str) -> None:
    precious = Path("precious").absolute()
    precious.write_text("mine\n" * 1000)
    swapped(run, name, lambda path: path.symlink_to(precious))
    assert main(["resume", "run", "--steps", "300", "--quiet"]) in (2, 5)
    assert main(["verify", "run"]) == 2
    assert precious.read_text() == "mine\n" * 1000


@pytest.mark.parametrize("words", COMMANDS[3:6], ids=lambda words: str(words[0]))
def test_pipe_in_place_of_a_log_does_not_block(run: Path, words: list[str]) -> None:
    swapped(run, "episodes.jsonl", os.mkfifo)
    # In a separate process, since the thread of a failed tracker's writer lives as long as it.
    assert (
        subprocess.run(
            [sys.executable, "-m", "footlight", *words], capture_output=True, timeout=60
        ).returncode
        == 2
    )


def test_linked_checkpoints_are_not_followed(run: Path) -> None:
    (run / "checkpoints").rename("elsewhere")
    (run / "checkpoints").symlink_to(Path("elsewhere").absolute())
    before = sorted(str(path) for path in Path("elsewhere").rglob("*"))
    for words in (
        ["resume", "run", "--steps", "300", "--quiet"],
        ["verify", "run"],
        ["inspect", "run"],
    ):
        assert main(words) == 2
    assert sorted(str(path) for path in Path("elsewhere").rglob("*")) == before


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("tensorboard.log", ["resume", "run", "--steps", "300", "--track", "tensorboard"]),
        ("curve.png", ["plot", "run"]),
        ("videos", ["resume", "run", "--steps", "300"]),
        ("crash", ["resume", "run", "--steps", "300"]),
    ],
)
def test_run_writes_only_into_its_folder(
    run: Path, name: str, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = Path("elsewhere")
    elsewhere.mkdir()
    precious = elsewhere / "precious"
    precious.write_text("mine")
    (run / name).symlink_to((elsewhere if name in ("videos", "crash") else precious).absolute())
    if name == "crash":
        monkeypatch.setattr(
            "gymnasium.envs.classic_control.pendulum.PendulumEnv.step", lambda env, action: 1 / 0
        )
    if name == "videos":
        for folder in checkpoint.newest_first(run):
            forged(folder, setting("run", "video_every", to=100))
    assert main(words) == (3 if name == "crash" else 0)
    assert [path.name for path in elsewhere.iterdir()] == ["precious"]
    assert precious.read_text() == "mine"


def test_terminal_codes_in_files_are_not_printed(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("\x1b[31mred").mkdir()
    assert main(["resume", "\x1b[31mred"]) == 2
    for folder in checkpoint.newest_first(run):
        forged(folder, setting("run", "environment", to="\x1b[2JPendulum-v1"))
    assert main(["evaluate", "run"]) == 2
    assert main(["resume", "run", "--steps", "300"]) == 2
    assert "\x1b" not in "".join(capsys.readouterr())
