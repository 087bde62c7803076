"""Restoring the environments of a resumed run: its cost, and what its outcome says."""

from collections.abc import Callable, Mapping
from typing import Any

from footlight.environments.history import steps_to_restore
from footlight.errors import UserError
from footlight.types import Array

LONG_RESTORATION = 5_000  # steps that are announced before they are taken
COMPARED_STEPS = 10  # that must lead to the saved state to identify an environment of another name


def announce_restoration(arrays: Mapping[str, Array], notify: Callable[[str], None]) -> int:
    """The number of steps it takes to restore the environments, announced if it is large."""
    if (steps := steps_to_restore(arrays)) > LONG_RESTORATION:
        notify(
            f"repeating {steps:,} steps to restore the environments; "
            "Ctrl-C leaves the run unchanged"
        )
    return steps


def check_restoration(
    name: str | None, config: Mapping[str, Any], not_restored: bool, steps: int
) -> str | None:
    """Why a run is not known to be resumed in its own environment; None if it is.

    name: that of the environment if it is not the recorded one, else None.
    not_restored: whether repeating the last episodes, in so many `steps`, led to a different state.
    Raises `UserError` if that shows that the environment is another one.
    """
    if name is None or not (not_restored or steps < COMPARED_STEPS):
        return None
    if not_restored and config["resume"] == "exact":
        raise UserError(
            f"{name} is not the environment {config['environment']} that the run was trained in - "
            "repeating the last episode leads to a different state - give the same environment, or "
            "begin a new run"
        )
    return f"resumed in {name}, which is not known to be {config['environment']}"
