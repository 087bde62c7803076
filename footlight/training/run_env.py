"""The environment of a finished run, made again: the same one, with its running statistics."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium

from footlight.contexts import closing
from footlight.environments import determinism, running_statistics
from footlight.environments.naming import name_of_instance
from footlight.environments.source import EnvironmentSource, Wanted
from footlight.environments.spaces import describe, spaces_of
from footlight.environments.trial import why_different
from footlight.errors import UserError, warn
from footlight.instruments import videos
from footlight.storage import checkpoint


def make_run_env(
    folder: Path, config: Mapping[str, Any], source: EnvironmentSource, render_mode: str | None
) -> gymnasium.Env[Any, Any]:
    """Another instance of the environment that the run in `folder` was trained on.

    Running statistics of its wrappers are those of the newest checkpoint, frozen. Raises
    `UserError` if it cannot be made.
    """
    _require_same(config, source)
    env = videos.make_env(source, render_mode)
    try:
        _require_spaces(folder, env)
        _use_statistics(folder, env)
    except BaseException:
        env.close()
        raise
    return env


def _require_same(config: Mapping[str, Any], source: EnvironmentSource) -> None:
    """Raise `UserError` unless another instance is known to be the environment `source`."""
    differed = determinism.is_another(config.get("no_evaluations"))
    reason = None
    if source.is_object and config.get("probe") == "off":
        reason = determinism.NOT_COMPARED
    elif source.is_object or differed:
        text = determinism.announcement(source, source.name(), is_resumed=True)
        if text is not None:
            warn(text)
        reason = why_different(source, config["seed"])
    if reason is None and differed:
        with closing(source.make(Wanted(config["seed"]))) as made:
            verdict = determinism.check_determinism(source, made, config["seed"])
        if determinism.is_another(verdict):
            reason = verdict
    if reason is not None:
        raise UserError(
            f"{source.name()}: {reason} - use footlight.Run(folder, environment=function) with a "
            "function that creates the same one on each call"
        )


def _require_spaces(folder: Path, env: gymnasium.Env[Any, Any]) -> None:
    spaces = checkpoint.read_manifest(checkpoint.find(folder, groups=[])).get("spaces")
    if describe(*spaces_of(env)).to_json() != spaces:
        raise UserError(
            f"{name_of_instance(env)} has other spaces than the environment that {folder} was "
            "trained on - give the same environment"
        )


def _use_statistics(folder: Path, env: gymnasium.Env[Any, Any]) -> None:
    """Give the wrappers the statistics of the first training environment.

    Raises `UserError` if none are saved.
    """
    if not (names := running_statistics.statistics_wrappers(env)):
        return
    found = checkpoint.find(folder)
    # An agent that was saved by itself may have been saved without its environment
    has_environments = "environments" in checkpoint.read_manifest(found)["groups"]
    arrays = checkpoint.read_arrays(found, "environments") if has_environments else {}
    saved = running_statistics.statistics_of(arrays, 0)
    if set(saved) != set(running_statistics.read_statistics(env)):
        listed = ", ".join(names)
        instead = f"use {running_statistics.remedy(listed)} in place of the wrapper"
        if not has_environments:
            instead += (
                ", or agent.save(folder, environment=env) with the object that the agent acts in"
            )
        raise UserError(
            f"{folder} does not hold the running statistics of {listed} - without them "
            f"observations or rewards are scaled differently - {instead}"
        )
    running_statistics.write_statistics(env, saved, frozen=True)
