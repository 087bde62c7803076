"""Folders of the runs of several seeds: `seed-1`, `seed-2`, ..., and `seeds.json`.

The file says which seeds there are to be, and with what arguments those that a kill has prevented
from beginning can still begin.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from footlight.errors import UserError, quoted
from footlight.runs.folder import new_folder
from footlight.storage import schemas
from footlight.storage.files import replace_text, user_path

NAME = "seeds.json"


@dataclass(frozen=True)
class SeedsFolder:
    """A folder with the runs of several seeds."""

    path: Path
    seeds: tuple[int, ...]
    arguments: dict[str, Any] | None
    """Those of `train`; None if they cannot be written down."""

    def run(self, seed: int) -> Path:
        """The folder of one seed's run."""
        return self.path / f"seed-{seed}"

    def has_begun(self, seed: int) -> bool:
        """Whether the run of a seed can be resumed."""
        checkpoints = self.run(seed) / "checkpoints"
        return checkpoints.is_dir() and any(
            path.name[0] != "." for path in checkpoints.iterdir() if path.is_dir()
        )

    def result(self, seed: int) -> dict[str, Any] | None:
        """The content of a run's `result.json`; None before the run has stopped."""
        path = self.run(seed) / "result.json"
        return schemas.read(path, schemas.Result) if path.exists() else None

    def has_ended(self, seed: int, steps: int | None = None) -> bool:
        """Whether a run has come to its end, so that it needs no resume.

        steps: the number that it is to have; None: as recorded.
        """
        result = self.result(seed) if self.has_begun(seed) else None
        if result is None or result["steps"] < (steps or 0):
            return False
        reason = result.get("stop_reason", "max_time")  # which is no end of its own
        return result["status"] == "finished" or "max_time" not in reason

    def remove(self) -> None:
        """Remove a folder in which no run has begun."""
        shutil.rmtree(self.path, ignore_errors=True)

    def write(self) -> None:
        """Write `seeds.json`. Raises `StorageFault`."""
        content = {"format_version": 1, "seeds": self.seeds, "arguments": self.arguments}
        replace_text(self.path / NAME, json.dumps(content, indent=2, allow_nan=False) + "\n")


def is_seeds_folder(path: Path) -> bool:
    """Whether a folder holds the runs of several seeds."""
    return (path / NAME).is_file()


def read_seeds(path: Path) -> SeedsFolder:
    """Read `seeds.json`. Raises `UserError`."""
    content = schemas.read(path / NAME, schemas.Seeds)
    return SeedsFolder(path, tuple(content["seeds"]), content["arguments"])


def make_seeds_folder(
    run_dir: str | Path | None,
    names: tuple[str, str],
    start: Path,
    seeds: Sequence[int],
    arguments: Mapping[str, Any] | None,
) -> SeedsFolder:
    """Create the folder for new runs, or add seeds to one with the same arguments.

    names: of the environment and of the algorithm. start: what a relative path begins at.
    Raises `UserError` if it is in use otherwise.
    """
    given = None if run_dir is None else Path(start, user_path(run_dir))
    made = SeedsFolder(Path(), tuple(seeds), None if arguments is None else dict(arguments))
    if given is None or not is_seeds_folder(given):
        made = SeedsFolder(new_folder(given, *names, start), made.seeds, made.arguments)
        made.write()
        return made
    before = read_seeds(given)
    if twice := [seed for seed in made.seeds if before.has_begun(seed)]:
        raise UserError(
            f"{before.run(twice[0])} exists - a run is never overwritten - choose other seeds or "
            f"another --run-dir, or `footlight resume {quoted(given)}`"
        )
    if made.arguments != before.arguments:
        raise UserError(
            f"{given} has the seeds of another configuration - a mean over both would mean "
            "nothing - choose another --run-dir"
        )
    every = tuple(dict.fromkeys((*before.seeds, *made.seeds)))
    made = SeedsFolder(given, every, before.arguments)
    made.write()
    return SeedsFolder(given, tuple(seeds), before.arguments)
