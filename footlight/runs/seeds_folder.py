"""Folders of the runs of several seeds: `seed-1`, `seed-2`, ..., and `seeds.json`.

The file says which seeds there are to be, and with what arguments those that a kill has prevented
from beginning can still begin.
"""

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from footlight.config.options import CHANGEABLE
from footlight.errors import UserError, quoted
from footlight.runs.folder import new_folder
from footlight.storage import checkpoint, schemas
from footlight.storage.files import replace_text, user_path

NAME = "seeds.json"


@dataclass(frozen=True)
class SeedsFolder:
    """A folder with the runs of several seeds."""

    path: Path
    seeds: tuple[int, ...]
    arguments: dict[str, Any]
    """Those of `train`, as in `schemas.Arguments`."""

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

    def state(self, seed: int) -> tuple[str, int]:
        """The status of a run, and its steps: also "not begun", and "interrupted" by a kill."""
        if not self.has_begun(seed):
            return "not begun", 0
        step, result = self._newest(seed)[0], self.result(seed)
        if result is None or result["steps"] != step:  # which is of an earlier session
            return "interrupted", step
        return str(result["status"]), step

    def has_ended(self, seed: int, steps: int | None = None) -> bool:
        """Whether a run has come to its end, so that it needs no resume.

        steps: the number that it is to have; None: as recorded.
        """
        status, step = self.state(seed)
        if status == "stopped" and steps is None:  # for a reason of its own, or it can continue
            return "max_time" not in (self.result(seed) or {}).get("stop_reason", "max_time")
        return status == "finished" and step >= (steps or self._newest(seed)[1])

    def is_extended(self) -> bool:
        """Whether a run has finished with fewer steps than a later command was to give it."""
        states = [self.state(seed) for seed in self.seeds]
        wanted = self.arguments["values"].get("steps") or 0
        return any(status == "finished" and step < wanted for status, step in states)

    def _newest(self, seed: int) -> tuple[int, int]:
        """The step of the newest checkpoint, and the steps that its run is to have.

        Of one that cannot be read: 0 steps, of which resuming will say more.
        """
        with contextlib.suppress(UserError):
            manifest = checkpoint.read_manifest(checkpoint.find(self.run(seed), groups=[]))
            return int(manifest["step"]), int(manifest["run"]["steps"])
        return 0, 1

    def remove(self) -> None:
        """Remove a folder in which no run has begun, and nothing else."""
        for name in (NAME, ".lock"):
            (self.path / name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # there is something else in it
            self.path.rmdir()

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
    arguments: Mapping[str, Any],
) -> SeedsFolder:
    """Create the folder for new runs, or add seeds to one with the same arguments.

    names: of the environment and of the algorithm. start: what a relative path begins at.
    Raises `UserError` if it is in use otherwise.
    """
    given = None if run_dir is None else Path(start, user_path(run_dir))
    if given is None or not is_seeds_folder(given):
        made = SeedsFolder(new_folder(given, *names, start), tuple(seeds), dict(arguments))
        made.write()
        return made
    before = read_seeds(given)
    if twice := [seed for seed in seeds if before.has_begun(seed)]:
        raise UserError(
            f"{before.run(twice[0])} exists - a run is never overwritten - choose other seeds or "
            f"another --run-dir, or `footlight resume {quoted(given)}`"
        )
    if different := _differences(arguments, before.arguments):
        raise UserError(
            f"{given} has the seeds of another configuration ({', '.join(different)}) - a mean "
            "over both would mean nothing - choose another --run-dir"
        )
    every = tuple(dict.fromkeys((*before.seeds, *seeds)))
    SeedsFolder(given, every, before.arguments).write()
    return SeedsFolder(given, tuple(seeds), before.arguments)


def _differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """The names of what differs, but for options that may change during a run."""
    flat = [{**each, **each["values"], "values": None} for each in (one, other)]
    names = dict.fromkeys(name for each in flat for name in each)
    free = {*CHANGEABLE} - {"steps"}
    return [name for name in names if name not in free and flat[0].get(name) != flat[1].get(name)]
