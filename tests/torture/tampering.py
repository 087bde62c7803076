"""A short run, changes of its files, and the commands and calls that read them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import footlight
from footlight.learning.agent import Agent
from footlight.storage import checkpoint
from footlight.storage.manifest import checksum

TRAINED: dict[str, Any] = {
    "hidden_sizes": (8,), "learning_starts": 20, "steps": 200, "eval_every": 100,
    "eval_episodes": 1, "checkpoint_every": 100, "updates_per_step": 0.25,
    "preset": False, "compile": "off", "quiet": True, "env_kwargs": {"max_episode_steps": 40},
}  # fmt: skip
COMMANDS: list[list[str]] = [
    ["resume", "run", "--quiet"], ["evaluate", "run", "--episodes", "1"], ["inspect", "run"],
    ["verify", "run"],
    ["plot", "run", "--output", "curve.png"], ["track", "run", "--track", "tensorboard"],
    ["export", "run", "policy.onnx"],
    ["watch", "run", "--video", "film.mp4"],
]  # fmt: skip


def load(folder: Path, damaged: Path) -> Any:
    """What reads this file."""
    if damaged.name == "environments.safetensors":
        return checkpoint.read_arrays(folder, "environments")
    return footlight.load(folder) if damaged.name == "policy.safetensors" else Agent.load(folder)


def swapped(run: Path, name: str, make: Callable[[Path], Any]) -> Path:
    path = run / name
    path.unlink()
    make(path)
    return path


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
