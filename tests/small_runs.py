"""Short runs for tests: their settings, and an environment that acts at one of its steps."""

from pathlib import Path
from typing import Any

import gymnasium
import pytest

from footlight.storage import checkpoint

SMALL: dict[str, Any] = {
    "hidden_sizes": (8, 8),
    "compile": "off",
    "quiet": True,
    "eval_episodes": 1,
    "eval_every": 0,
}
# The same on the command line, for SAC and DDPG.
FAST = [
    "--compile=off", "--hidden-sizes", "8", "8", "--batch-size=8", "--learning-starts=10",
    "--eval-episodes=1", "--quiet",
]  # fmt: skip

# An update takes as long as fifty steps: a few of them show what these runs are to show
DDPG: dict[str, Any] = {
    "preset": False, "learning_starts": 20, "steps": 300, "updates_per_step": 0.1, **SMALL
}  # fmt: skip


def step_of(run_dir: str) -> int:
    return int(checkpoint.read_manifest(checkpoint.find(Path(run_dir)))["step"])


class Acting(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Does something in the process at one step, once."""

    at, what, count = 0, staticmethod(lambda: None), 0

    def step(self, action: Any) -> Any:
        type(self).count += 1
        if type(self).count == type(self).at:
            type(self).what()
        return super().step(action)


def acting(monkeypatch: pytest.MonkeyPatch, at: int, what: Any) -> Any:
    for name, value in (("at", at), ("what", staticmethod(what)), ("count", 0)):
        monkeypatch.setattr(Acting, name, value)
    monkeypatch.setattr(
        "footlight.api.check_determinism", lambda *given: None
    )  # its instances would count their steps, too
    return lambda: Acting(gymnasium.make("Pendulum-v1"))
