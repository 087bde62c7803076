"""Files that were damaged, or made to do harm: what is refused, what falls back, and that nothing of it runs."""

import hashlib
import json
import os
import pickle
import random
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

import footlight
from footlight.cli.main import main
from footlight.errors import UserError
from footlight.learning.agent import Agent
from footlight.storage import checkpoint
from footlight.storage.manifest import checksum
from footlight.trees import tree_items

TRAINED: dict[str, Any] = {
    "hidden_sizes": (8,), "learning_starts": 20, "steps": 200, "eval_every": 100, "eval_episodes": 1, "checkpoint_every": 100,
    "preset": False, "compile": "off", "quiet": True,
}  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "run"
    footlight.train("ddpg", "Pendulum-v1", run_dir=folder, **TRAINED)
    return folder


@pytest.fixture
def run(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(trained, tmp_path / "run")
    return Path("run")


def state(folder: Path) -> dict[str, bytes]:
    agent = Agent.load(folder)
    leaves = {
        **tree_items(agent.state),
        **{f"buffer.{name}": array for name, array in agent.buffer.arrays().items()},
    }
    return {name: np.asarray(leaf).tobytes() for name, leaf in leaves.items()}


def load(folder: Path, damaged: Path) -> Any:
    """What reads this file."""
    if damaged.name == "environments.safetensors":
        return checkpoint.read_arrays(folder, "environments")
    return footlight.load(folder) if damaged.name == "policy.safetensors" else Agent.load(folder)


def test_a_thousand_flipped_bits_and_none_loads_silently(run: Path) -> None:
    """One bit at a time, in any file of a checkpoint: it is refused, or, in the blanks of a manifest, means the same."""
    folder = checkpoint.find(run)
    whole, manifest = state(folder), checkpoint.read_manifest(folder)
    files = sorted(folder.iterdir())
    draws = random.Random(0)
    survived = 0
    for _ in range(1000):
        path = draws.choice(files)
        before = path.read_bytes()
        data = bytearray(before)
        data[draws.randrange(len(data))] ^= 1 << draws.randrange(8)
        path.write_bytes(data)
        if checkpoint.damage(folder) is None:
            survived += 1
            assert path.name == "manifest.json"
            assert checkpoint.read_manifest(folder) == manifest
            assert state(folder) == whole
        else:
            with pytest.raises(UserError):
                load(folder, path)
        path.write_bytes(before)
    assert survived < 100
    assert state(folder) == whole


def test_files_cut_off_anywhere(run: Path) -> None:
    folder = checkpoint.find(run)
    for path in sorted(folder.iterdir()):
        before = path.read_bytes()
        for length in {*range(0, len(before), max(1, len(before) // 25)), len(before) - 1}:
            path.write_bytes(before[:length])
            assert checkpoint.damage(folder) is not None
            with pytest.raises(UserError):
                load(folder, path)
        path.write_bytes(before + b"\0")
        assert checkpoint.damage(folder) is not None
        path.write_bytes(before)


@pytest.mark.parametrize(
    "name", ["policy.safetensors", "agent.safetensors", "buffer.safetensors", "manifest.json"]
)
def test_a_damaged_checkpoint_is_never_a_new_start(
    run: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    newest = checkpoint.find(run)
    data = bytearray((newest / name).read_bytes())
    data[len(data) // 2] ^= 4
    (newest / name).write_bytes(data)
    assert main(["resume", "run"]) == 0
    assert "using step-000000100, the newest intact checkpoint" in capsys.readouterr().out
    assert (
        checkpoint.damage(next(run.glob("checkpoints/damaged-*"))) is not None
    )  # put aside, not lost
    assert main(["verify", "run"]) == 0
    straight = footlight.train("ddpg", "Pendulum-v1", run_dir="straight", **TRAINED)
    assert state(run) == state(straight.folder)


def test_where_none_is_whole_there_is_no_new_start_either(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in checkpoint.newest_first(run):
        (folder / "agent.safetensors").write_bytes(b"")
    before = sorted(str(path) for path in run.rglob("*"))
    assert main(["resume", "run"]) == 2
    assert f"no other checkpoint of {run.absolute()} is intact" in capsys.readouterr().err
    assert sorted(str(path) for path in run.rglob("*") if path.name != ".lock") == [
        path for path in before if ".lock" not in path
    ]


class Bomb:
    """Unpickling this makes a file."""

    def __reduce__(self) -> Any:
        return os.system, ("touch exploded",)


COMMANDS: list[list[str]] = [
    ["resume", "run", "--quiet"], ["evaluate", "run", "--episodes", "1"], ["inspect", "run"], ["verify", "run"],
    ["plot", "run", "--output", "curve.png"], ["track", "run", "--track", "tensorboard"], ["export", "run", "policy.onnx"],
    ["watch", "run", "--video", "film.mp4"],
]  # fmt: skip


def plant(run: Path, content: bytes) -> list[Path]:
    """`content` in the place of every file that is there."""
    files = [path for path in run.rglob("*") if path.is_file()]
    for path in files:
        path.write_bytes(content)
    return files


def test_pickles_in_every_file_and_none_goes_off(
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
def test_a_pickle_in_one_file(run: Path, name: str) -> None:
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
def test_what_is_no_checkpoint_is_named_for_what_it_is(
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


def swapped(run: Path, name: str, make: Callable[[Path], Any]) -> Path:
    path = run / name
    path.unlink()
    make(path)
    return path


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
@pytest.mark.parametrize(
    "name",
    ["checkpoints/step-000000200/agent.safetensors", "checkpoints/step-000000200/manifest.json"],
)
def test_nothing_leads_out_of_the_folder_or_waits(run: Path, kind: str, name: str) -> None:
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
def test_a_linked_log_is_not_cut(run: Path, name: str) -> None:
    precious = Path("precious").absolute()
    precious.write_text("mine\n" * 1000)
    swapped(run, name, lambda path: path.symlink_to(precious))
    assert main(["resume", "run", "--steps", "300", "--quiet"]) in (2, 5)
    assert main(["verify", "run"]) == 2
    assert precious.read_text() == "mine\n" * 1000


@pytest.mark.parametrize("words", COMMANDS[3:6], ids=lambda words: str(words[0]))
def test_a_pipe_in_the_place_of_a_log_is_not_waited_for(run: Path, words: list[str]) -> None:
    swapped(run, "episodes.jsonl", os.mkfifo)
    # In a process of its own: a tracker that stumbles leaves its writer's thread to the end of the process
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
def test_what_is_written_is_written_into_the_folder(
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


def test_checkpoints_that_are_gone_are_not_begun_again(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(run / "checkpoints")
    (run / "checkpoints").mkdir()
    for words in (["resume", "run"], ["verify", "run"], ["evaluate", "run"]):
        assert main(words) == 2
        assert "its checkpoints are gone - restore them from a copy" in capsys.readouterr().err


def test_a_newer_format_is_no_damage(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    forged(run / "checkpoints" / "step-000000200", setting("format_version", to=99))
    assert main(["resume", "run", "--steps", "300"]) == 2
    assert "has format 99" in capsys.readouterr().err
    assert (run / "checkpoints" / "step-000000200").is_dir()
    assert main(["verify", "run"]) == 2


@pytest.mark.parametrize("content", [b"\xff\xfe", b"step-000000999", b"../x", b""])
def test_a_broken_pointer_to_the_best_costs_nothing(run: Path, content: bytes) -> None:
    best = checkpoint.read_manifest(checkpoint.find(run))["best"]["step"]
    (run / "checkpoints" / "BEST").write_bytes(content)
    assert main(["verify", "run"]) == 2
    assert main(["resume", "run", "--steps", "260", "--quiet"]) == 0
    now = checkpoint.read_manifest(checkpoint.find(run))["best"]["step"]
    assert any(int(path.name[5:14]) == now for path in checkpoint.newest_first(run))
    assert best <= now


def forged(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """A manifest with another content and the checksum that it should have."""
    manifest = checkpoint.read_manifest(folder)
    change(manifest)
    (folder / "manifest.json").write_text(json.dumps({**manifest, "checksum": checksum(manifest)}))


def setting(*path: str, to: Any) -> Callable[[dict[str, Any]], Any]:
    def change(manifest: dict[str, Any]) -> None:
        inner = manifest
        for name in path[:-1]:
            inner = inner[name]
        inner[path[-1]] = to

    return change


FORGERIES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "algorithm": setting("algorithm", to="os:system"),
    "algorithm-kind": setting("algorithm", to=["sac"]),
    "config-key": setting("config", "evil", to=1),
    "config-value": setting("config", "gamma", to="__import__('os')"),
    "config-sizes": setting("config", "hidden_sizes", to=[7]),
    "config-huge": setting("config", "hidden_sizes", to=[10**9, 10**9]),
    "shape": setting("spaces", "observation", "shape", to=[4]),
    "shape-negative": setting("spaces", "observation", "shape", to=[-3]),
    "shape-huge": setting("spaces", "observation", "shape", to=[10**12]),
    "dtype": setting("spaces", "observation", "dtype", to="object"),
    "envs": setting("num_envs", to=-1),
    "updates": setting("num_updates", to=None),
    "rows": setting("buffer", "num_rows", to=10**9),
    "rows-fewer": setting("buffer", "num_rows", to=5),
    "streams": setting("streams", "minibatch", "bit_generator", to="MT19937"),
    "streams-gone": setting("streams", to={}),
    "outside": lambda manifest: manifest["groups"].update(agent="../../../agent.safetensors"),
    "outside-file": lambda manifest: manifest["files"].update(
        {"../x.safetensors": {"bytes": 1, "sha256": ""}}
    ),
    "size": lambda manifest: manifest["files"]["agent.safetensors"].update(bytes=10**15),
    "size-kind": lambda manifest: manifest["files"]["agent.safetensors"].update(bytes="many"),
    "swapped": lambda manifest: manifest["groups"].update(agent="policy.safetensors"),
    "newer": setting("format_version", to=99),
    "older": setting("format_version", to=0),
}


MISFITS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "unknown": setting("evil", to=1),
    "run-none": setting("run", to=None),
    "run-list": setting("run", to=[1]),
    "run-unknown": setting("run", "evil", to=1),
    "run-steps": setting("run", "steps", to="many"),
    "run-steps-gone": lambda manifest: manifest["run"].pop("steps"),
    "run-environment": setting("run", "environment", to=["Pendulum-v1"]),
    "run-track": setting("run", "track", to=["../evil"]),
    "run-vectorization": setting("run", "vectorization", to="evil"),
    "best": setting("best", to="high"),
    "best-step": setting("best", "step", to="first"),
    "logs": setting("logs", to=5),
    "logs-mark": setting("logs", "episodes", to={"bytes": "all", "sha256": ""}),
    "step": setting("step", to=None),
    "seconds": setting("seconds", to="x"),
    "machine": setting("machine", to="fast"),
    "versions": setting("machine", "versions", to=[]),
    "evaluation": setting("evaluation", to={"returns": 3}),
    "spaces": setting("spaces", to=[]),
    "groups": setting("groups", to=[]),
    "segments": setting("segments", to={"buffer": {"rows": 1}}),
    "flag": setting("compiled", to="no"),
    "logs-negative": setting("logs", "episodes", "bytes", to=-5),
    "step-negative": setting("step", to=-1),
    "huge": setting("recent_return", to=10**400),
    "threads": setting("run", "threads", to=10**10),
    "file": lambda manifest: manifest["files"].update(
        {"\x1b[31mEVIL.safetensors": {"bytes": 1, "sha256": ""}}
    ),
}


@pytest.mark.parametrize("name", MISFITS)
def test_a_manifest_of_another_form_is_refused_by_all(
    run: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in checkpoint.newest_first(run):
        forged(folder, MISFITS[name])
    for words in (COMMANDS[0] + ["--steps", "300"], *COMMANDS[1:4], *COMMANDS[6:]):
        assert main(words) == 2, words
        error = capsys.readouterr().err
        assert "manifest.json is invalid: " in error
        assert len(error.splitlines()) <= 3


EPISODES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "index-gone": lambda arrays: arrays.pop("episode.index"),
    "index-more": lambda arrays: arrays.update({"episode.index": np.zeros(3, np.int64)}),
    "index-negative": lambda arrays: arrays.update({"episode.index": np.array([-7])}),
    "observation-gone": lambda arrays: arrays.pop("observation"),
    "observation-none": lambda arrays: arrays.update(observation=np.zeros((0, 3), np.float32)),
    "actions-one": lambda arrays: arrays.update({"actions.0": np.array(1.0)}),
    "actions-wide": lambda arrays: arrays.update({"actions.0": np.zeros((5, 7), np.float32)}),
    "actions-nan": lambda arrays: arrays.update({"actions.0": np.full((5, 1), np.nan, np.float32)}),
    "pending": lambda arrays: arrays.update(
        {"pending.action": np.zeros((4, 4)), "pending.drawn": np.zeros((4, 4), np.float32)}
    ),
}


@pytest.mark.parametrize("name", EPISODES)
def test_episodes_of_other_environments_are_refused(
    run: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = run / "checkpoints" / "step-000000200"
    arrays = checkpoint.read_arrays(folder, "environments")
    EPISODES[name](arrays)
    data = safetensors.numpy.save(
        {key: np.asarray(array, order="C") for key, array in arrays.items()}
    )
    (folder / "environments.safetensors").write_bytes(data)
    record = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    forged(folder, lambda manifest: manifest["files"].update({"environments.safetensors": record}))
    assert main(["resume", "run", "--steps", "300", "--quiet"]) == 2
    assert "is inconsistent" in capsys.readouterr().err


CONTRADICTIONS = {"algorithm": "sac", "seed": 9, "num_envs": 2, "network": "Mine", "config": {}}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_a_run_that_contradicts_its_agent_is_refused(
    run: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    forged(run / "checkpoints" / "step-000000200", setting("run", name, to=CONTRADICTIONS[name]))
    assert main(["resume", "run", "--steps", "300", "--quiet"]) == 2
    assert f"inconsistent manifest: run.{name} and {name} differ" in capsys.readouterr().err


@pytest.mark.parametrize("number", [None, -1, 10**15])
def test_an_overlay_of_a_strangers_agent(run: Path, number: Any) -> None:
    for folder in checkpoint.newest_first(run):
        forged(
            folder,
            setting("num_envs", to=number) if number else lambda manifest: manifest.pop("num_envs"),
        )
    assert main(["watch", "run", "--video", "film.gif", "--overlay"]) == 2


def test_what_a_run_says_of_itself_comes_from_its_checkpoint(run: Path) -> None:
    config = footlight.Run(run).config
    (run / "config.json").write_text(json.dumps(config | {"environment": "evil:Env-v0", "seed": 9}))
    assert footlight.Run(run).config == config
    assert main(COMMANDS[1]) == 0


def test_a_checkpoint_can_be_evaluated_by_its_name(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for place in ("checkpoints/BEST", "checkpoints/step-000000100"):
        assert main(["evaluate", str(run / place), "--episodes", "1"]) == 0
    Agent.load(run).save("agent")
    capsys.readouterr()
    assert main(["evaluate", "agent"]) == 2
    assert "it is an agent that was saved by itself" in capsys.readouterr().err


def test_a_policy_does_not_need_the_buffer(run: Path) -> None:
    for folder in checkpoint.newest_first(run):
        (folder / "buffer.safetensors").write_bytes(b"")
    assert footlight.load(run).act(np.zeros(3)).shape == (1,)
    assert main(COMMANDS[1]) == 0
    with pytest.raises(UserError, match=r"buffer.safetensors is damaged"):
        Agent.load(run)


def test_terminal_codes_of_files_do_not_reach_the_terminal(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("\x1b[31mred").mkdir()
    assert main(["resume", "\x1b[31mred"]) == 2
    for folder in checkpoint.newest_first(run):
        forged(folder, setting("run", "environment", to="\x1b[2JPendulum-v1"))
    assert main(["evaluate", "run"]) == 2
    assert main(["resume", "run", "--steps", "300"]) == 2
    assert "\x1b" not in "".join(capsys.readouterr())


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_manifest_is_refused_in_words(run: Path, name: str) -> None:
    folder = run / "checkpoints" / "step-000000200"
    forged(folder, FORGERIES[name])
    with pytest.raises(UserError) as caught:
        Agent.load(folder)
    assert len(str(caught.value).splitlines()) <= 3
    assert main(["inspect", str(folder)]) in (0, 2)
