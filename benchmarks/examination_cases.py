"""Cases and outcomes of `examination.py`, and the commands that it runs on a run folder."""

import json
from collections import Counter
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any

from footlight.cli.main import main as footlight
from footlight.errors import UserError
from footlight.storage import checkpoint


@dataclass(frozen=True, kw_only=True)
class Case:
    """A training to be killed."""

    algorithm: str
    environment: str
    steps: int
    options: dict[str, Any]
    controls: tuple[str, ...] = ()
    """Keys of `killable.TAMPERINGS` that it is to notice."""
    every_operation: bool = False
    """Whether it is also killed at every file operation of a resume."""
    checkpoints: int = 60
    """How many it writes: progress is made only by them."""

    @property
    def checkpoint_every(self) -> int:
        """Environment steps between two checkpoints."""
        return max(1, self.steps // self.checkpoints)

    @property
    def eval_every(self) -> int:
        """Environment steps between evaluations, of which some coincide with checkpoints."""
        return self.checkpoint_every * 7 // 2

    def train(self, run_dir: Path, seed: int) -> list[str]:
        """The words of the command that begins it."""
        options = {
            "steps": self.steps,
            "seed": seed,
            "run_dir": run_dir,
            "compile": "off",
            "threads": 1,
            "eval_episodes": 1,
        }
        options |= {
            "checkpoint_every": self.checkpoint_every,
            "eval_every": self.eval_every,
            **self.options,
        }
        words = ["train", self.algorithm, self.environment]
        for name, value in options.items():
            values = value if isinstance(value, tuple) else (value,)
            words += [
                f"--{name.replace('_', '-')}",
                *(str(part).lower() if part in (True, False) else str(part) for part in values),
            ]
        return words

    def __str__(self) -> str:
        return f"{self.algorithm} {self.environment}"


@dataclass
class Outcome:
    """What one case came to."""

    case: Case
    failures: list[str] = field(default_factory=list)
    digest: str = ""
    starts: int = 0
    fruitless: int = 0
    """The most starts in a row that came to no newer checkpoint."""
    targets: Counter[str] = field(default_factory=Counter)
    phases: Counter[str] = field(default_factory=Counter)
    operations: Counter[str] = field(default_factory=Counter)
    """What was not lived to be done, in the kills at file operations."""
    controls: dict[str, str] = field(default_factory=dict)
    """Control -> the first difference that it made."""


@dataclass(frozen=True)
class Measure:
    """What is known of an uninterrupted run before one is killed."""

    run_dir: Path
    startup: float
    """Seconds before the loop begins."""
    operations: int
    """File operations in the run folder."""
    saves: int
    """Checkpoints, the first of which is at step 0."""


def step_of(run_dir: Path) -> int | None:
    """The step of the newest checkpoint; None where there is none."""
    try:
        return int(checkpoint.read_manifest(checkpoint.find(run_dir))["step"])
    except UserError:
        return None


def call(*words: str) -> tuple[int, str]:
    """A command of footlight in this process: its exit code, and what it said."""
    said = StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        try:
            code = footlight(words)
        except SystemExit as leaving:
            code = int(leaving.code or 0)
    return code, said.getvalue()


@cache
def has_verify() -> bool:
    """Whether this footlight has the command `verify`."""
    return call("verify", "--help")[0] == 0


def last_logged(run_dir: Path) -> int:
    """The greatest step in the logs of a run."""
    texts = [path.read_text().splitlines() for path in run_dir.glob("*.jsonl")]
    return max((int(json.loads(lines[-1])["step"]) for lines in texts if lines), default=-1)
