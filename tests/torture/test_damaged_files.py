"""Damaged files: a run falls back to an intact checkpoint, or is rejected."""

import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
from tampering import COMMANDS, TRAINED, forged, load, setting

import footlight
from footlight.cli.main import main
from footlight.errors import UserError
from footlight.learning.agent import Agent
from footlight.storage import checkpoint
from footlight.trees import tree_items


def state(folder: Path) -> dict[str, bytes]:
    agent = Agent.load(folder)
    leaves = {
        **tree_items(agent.state),
        **{f"buffer.{name}": array for name, array in agent.buffer.arrays().items()},
    }
    return {name: np.asarray(leaf).tobytes() for name, leaf in leaves.items()}


def test_flipped_bits_are_never_loaded_silently(run: Path) -> None:
    """One bit at a time, in any file of a checkpoint.

    It is rejected, or, in the white space of a manifest, has no effect.
    """
    folder = checkpoint.find(run)
    whole, manifest = state(folder), checkpoint.read_manifest(folder)
    files = sorted(folder.iterdir())
    draws = random.Random(0)
    survived = 0
    for _ in range(400):
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
    assert survived < 40
    assert state(folder) == whole


def test_truncated_files_are_rejected(run: Path) -> None:
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
def test_damaged_checkpoint_is_never_replaced_by_a_new_run(
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


def test_run_without_intact_checkpoint_is_not_started_again(
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


def test_run_without_checkpoints_is_not_started_again(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(run / "checkpoints")
    (run / "checkpoints").mkdir()
    for words in (["resume", "run"], ["verify", "run"], ["evaluate", "run"]):
        assert main(words) == 2
        assert "its checkpoints are gone - restore them from a copy" in capsys.readouterr().err


def test_newer_format_is_not_damage(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    forged(run / "checkpoints" / "step-000000200", setting("format_version", to=99))
    assert main(["resume", "run", "--steps", "300"]) == 2
    assert "has format 99" in capsys.readouterr().err
    assert (run / "checkpoints" / "step-000000200").is_dir()
    assert main(["verify", "run"]) == 2


@pytest.mark.parametrize("content", [b"\xff\xfe", b"step-000000999", b"../x", b""])
def test_invalid_pointer_to_the_best_is_replaced(run: Path, content: bytes) -> None:
    best = checkpoint.read_manifest(checkpoint.find(run))["best"]["step"]
    (run / "checkpoints" / "BEST").write_bytes(content)
    assert main(["verify", "run"]) == 2
    assert main(["resume", "run", "--steps", "260", "--quiet"]) == 0
    now = checkpoint.read_manifest(checkpoint.find(run))["best"]["step"]
    assert any(int(path.name[5:14]) == now for path in checkpoint.newest_first(run))
    assert best <= now


def test_run_config_is_read_from_the_checkpoint(run: Path) -> None:
    config = footlight.Run(run).config
    (run / "config.json").write_text(json.dumps(config | {"environment": "evil:Env-v0", "seed": 9}))
    assert footlight.Run(run).config == config
    assert main(COMMANDS[1]) == 0


def test_checkpoint_can_be_evaluated_by_its_name(run: Path) -> None:
    for place in ("checkpoints/BEST", "checkpoints/step-000000100"):
        assert main(["evaluate", str(run / place), "--episodes", "1"]) == 0
    Agent.load(run).save("agent")
    assert main(["evaluate", "agent", "--episodes", "1"]) == 0


def test_policy_loads_without_the_buffer(run: Path) -> None:
    for folder in checkpoint.newest_first(run):
        (folder / "buffer.safetensors").write_bytes(b"")
    assert footlight.load(run).act(np.zeros(3)).shape == (1,)
    assert main(COMMANDS[1]) == 0
    with pytest.raises(UserError, match=r"buffer.safetensors is damaged"):
        Agent.load(run)
