"""What a run needs to be resumed, and why the resumed one may get other numbers."""

import contextlib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from footlight.config.options import Options
from footlight.environments.make import EnvironmentSource
from footlight.errors import UserError
from footlight.machine import describe_machine, differences
from footlight.storage import checkpoint, schemas


def require_run_folder(path: Path) -> None:
    """Raise `UserError` for anything but a run folder."""
    if not (path / "checkpoints").is_dir():
        checkpoint.find(path, groups=[])  # raises, and says what it is instead
        raise UserError(
            f"{path} is not a run folder - it is a checkpoint or a saved agent - "
            "give the folder that `train` printed"
        )


def require_steps_left(path: Path, known_as: str | Path, step: int, steps: int) -> None:
    """Raise `UserError` for a run that has all its steps and its result, which is written last."""
    has_ended = False
    if step == steps and (path / "result.json").exists():
        with contextlib.suppress(UserError):
            result = schemas.read(path / "result.json", schemas.Result)
            has_ended = result["status"] == "finished" and result["steps"] == step
    if step > steps or has_ended:
        raise UserError(
            f"{known_as} has reached step {step:,} of {steps:,} - give a larger --steps to continue"
        )


def changes_since(
    machine: Mapping[str, Any], run_config: Mapping[str, Any], source: EnvironmentSource
) -> Iterator[str]:
    """Why a resumed run may get other numbers: differences in machine and code."""
    if new := differences(machine, describe_machine()):
        yield f"resumed with {', '.join(new)}"
    if run_config.get("environment_code") not in (None, source.code_digest):
        yield "resumed with another function for the environment"


def tracker_notices(options: Options, changes: Collection[str]) -> list[str]:
    """Name the trackers of the run, unless they have just been given."""
    if not options.track or "track" in changes:
        return []
    names = ", ".join(options.track)
    return [f"sending to {names}, as recorded; `--track none` ends that"]
