"""Save and reproduce episodes in which an environment failed: `footlight reproduce CRASH_DIR`.

A folder holds `fault.json` (the environment, the seed of the episode, the step, the message) and
`actions.safetensors` (all actions of the episode, the failing one included). Both are data: reading
them runs nothing but the environment that they name.
"""

import contextlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save_file

from footlight.contexts import closing
from footlight.environments.episodes import EpisodeTracker, FailedEpisode
from footlight.environments.make import option_to_allow
from footlight.environments.serial import SerialEnvironments
from footlight.environments.source import EnvironmentLike, EnvironmentSource
from footlight.environments.user_files import recorded_source, recorded_wrappers, wrapped
from footlight.environments.watchdog import warn_if_hanging
from footlight.environments.workers import AsyncEnvironments, Supervision
from footlight.errors import (
    EnvironmentFault,
    StorageFault,
    UserError,
    counted,
    missing_objects,
    quoted,
)
from footlight.storage.files import (
    MAX_BYTES,
    make_own_folder,
    read_file,
    read_json,
    replace_text,
    user_path,
)
from footlight.storage.schemas import ACTIONS, FAULT, Fault, require
from footlight.types import Array
from footlight.user_code import consent

FORMAT_VERSION = 1
MAX_KEPT = 100  # episodes kept of the faults that a run survives; each of these faults is reported
NOTIFY_EVERY = 100  # later faults are reported once per this many
SETTINGS = "environment", "environment_source", "environment_config", "env_kwargs", "code"
"""Keys that config.json and fault.json share."""


@contextlib.contextmanager
def save_on_fault(run_dir: Path, config: Mapping[str, Any], known_as: Path) -> Iterator[None]:
    """Save the episode of an environment that fails in the block to a folder in `run_dir`/crash.

    config: the content of the run's `config.json`. known_as: the folder as messages name it.
    The fault's message then says that the run is saved, and names the command that reproduces the
    episode, if its folder could be written, and the one that resumes the run.
    """
    try:
        yield
    except EnvironmentFault as fault:
        folder = save_episode(fault, run_dir, config)
        fault.args = (f"{fault}; the state is saved",)  # which is so within a run only
        if folder is not None and fault.episode is not None and fault.episode.actions is not None:
            failed = _environment_of(fault.episode, config)
            command = _reproduce_command(known_as / "crash" / folder.name, failed)
            fault.args = (f"{fault}\nreproduce it: {command}",)
        if config.get("on_env_fault") != "new-episode" and fault.episode is not None:
            fault.args = (f"{fault}\ncontinue without this episode: {_resume(known_as, config)}",)
        raise


def _reproduce_command(path: Path, config: Mapping[str, Any]) -> str:
    if config.get("environment_source") == "object":
        return f"footlight.reproduce({str(path)!r}, environment=...)"
    return f"footlight reproduce {quoted(path)}{option_to_allow(config)}"


def _resume(path: Path, config: Mapping[str, Any]) -> str:
    if objects := missing_objects(config):
        return f'footlight.resume({str(path)!r}{objects}, on_env_fault="new-episode")'
    return f"footlight resume {quoted(path)} --on-env-fault new-episode{option_to_allow(config)}"


def save_episode(fault: EnvironmentFault, run_dir: Path, config: Mapping[str, Any]) -> Path | None:
    """Write the episode of a fault to a folder in `run_dir`/crash; return it, None on failure."""
    if fault.episode is None:
        return None
    folder = run_dir / "crash" / _name(fault.episode)
    try:
        make_own_folder(folder.parent)
        _write(folder, fault.episode, str(fault), config)
    except (OSError, SafetensorError, StorageFault):
        return None
    return folder


class SurvivedFaults:
    """Counts and reports the environment faults that a run survives, and saves the first ones."""

    def __init__(
        self, run_dir: Path, config: Mapping[str, Any], notify: Callable[[str], None]
    ) -> None:
        self.count = 0
        self._run_dir, self._config, self._notify = run_dir, config, notify

    def __call__(self, fault: EnvironmentFault, instead: str = "a new episode begins") -> None:
        """Record a fault. `instead`: what happens in place of what failed."""
        self.count += 1
        where = None
        if self.count <= MAX_KEPT:
            where = save_episode(fault, self._run_dir, self._config)
        if self.count <= MAX_KEPT or self.count % NOTIFY_EVERY == 0:
            what = str(fault).rpartition(" - ")[0]
            kept_in = f"crash/{where.name}" if where else "not kept"
            self._notify(f"{what} - {instead} (fault {self.count}; {kept_in})")


def _name(episode: FailedEpisode) -> str:
    """Name of its folder: `env-3-episode-17`, after the stream of seeds if not the training's."""
    stream = "" if episode.stream == "episode" else re.sub(r"\W+", "-", episode.stream) + "-"
    which = "all" if episode.env is None else f"env-{episode.env}"
    return f"{stream}{which}-episode-{episode.index}"


def _environment_of(episode: FailedEpisode, config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of the environment that failed: the training's, or that of the evaluations."""
    own, other = config, "eval_environment"
    if other in config and episode.stream.startswith("evaluation"):
        own, other = config[other], "environment"
    code = [entry for entry in config.get("code", ()) if entry["use"] != other]
    settings = {name: own[name] for name in SETTINGS if name in own}
    return settings | ({"code": code} if code else {})


def _write(folder: Path, episode: FailedEpisode, message: str, config: Mapping[str, Any]) -> None:
    actions = episode.actions
    action = None if episode.action is None else np.asarray(episode.action).tolist()
    content = {
        "format_version": FORMAT_VERSION,
        **_environment_of(episode, config),
        **asdict(episode),
        "action": action,
        "actions": None if actions is None else ACTIONS,
        "message": message,
    }
    make_own_folder(folder)
    if actions is not None:
        save_file({"actions": np.array(actions, order="C")}, folder / ACTIONS)
    replace_text(folder / FAULT, json.dumps(content, indent=2, allow_nan=False) + "\n")


@dataclass(frozen=True)
class Reproduction:
    """What happened when the episode of a fault was reproduced."""

    steps: int
    """Taken before it failed or ended, or before the actions ran out."""
    actions: int
    """Recorded, including the one at which it failed before."""
    fault: EnvironmentFault | None
    """What went wrong this time; None: nothing did."""

    def __str__(self) -> str:
        if self.fault is not None and self.fault.episode is not None:
            what = f"a fault happened (it was at step {self.actions})"
            if self.steps == self.actions:
                what = "the fault happened again"
            return f"{what} at step {self.steps}: {self.fault.episode.what}"
        end = ""
        if self.steps < self.actions:
            end = f", where the episode ended ({self.actions} were recorded)"
        return f"played {counted(self.steps, 'step')}{end}, and nothing happened"


def reproduce(
    path: str | Path,
    environment: EnvironmentLike | EnvironmentSource | None = None,
    *,
    timeout: float = Supervision.timeout,
    allow_env_import: str | None = None,
    allow_code: str | Path | Sequence[str | Path] = (),
) -> Reproduction:
    """Reproduce the episode that a fault left in the folder `path`: same seed, same actions.

    environment: needed if the recorded one was a Python object. An object is stepped in this
        process, anything else in a process of its own, which may die.
    timeout: seconds after which the environment counts as hanging; 0: never.
    allow_env_import: the module that an id of the form `module:Name-v0` may import.
    allow_code: files that the folder names and that may be loaded.
    Raises `UserError` for a folder that cannot be used.
    """
    folder = user_path(path)
    content = read(folder)
    consent.allow(allow_code, content.get("code", []))
    if environment is None:
        source = _source(folder, content, allow_env_import)
    else:
        source = EnvironmentSource.of(environment)
    actions, seed = _episode(folder, content)
    with closing(_environments(source, timeout)) as environments:
        wanted = environments.spaces.action.shape
        if actions.shape[1:] != wanted:
            raise UserError(
                f"{folder / ACTIONS} has actions of shape {actions.shape[1:]} - this environment's "
                f"have {wanted} - give the environment that failed"
            )
        environments.tracker = _SingleEpisodeTracker(seed)
        fault = None
        with warn_if_hanging([environments], timeout):
            try:
                environments.rerun(0, actions)
            except EnvironmentFault as error:
                fault = error
        return Reproduction(int(environments.tracker.length[0]), len(actions), fault)


class _SingleEpisodeTracker(EpisodeTracker):
    """An episode tracker whose single episode has a fixed seed."""

    def __init__(self, seed: int) -> None:
        super().__init__(1, seed, "episode")

    def episode_seed(self, env: int) -> int:
        return self.seed


def _environments(source: EnvironmentSource, timeout: float) -> SerialEnvironments:
    if source.is_vector:
        raise UserError(
            "a vector environment cannot play a single episode - give a function that makes one "
            "environment"
        )
    if source.is_object:
        return SerialEnvironments([source.instance], 0, "episode", owned=False)
    return AsyncEnvironments(source.make_one, 1, 0, "episode", Supervision(timeout))


def read(folder: Path) -> dict[str, Any]:
    """The content of `fault.json` in `folder`. Raises `UserError`."""
    if not (folder / FAULT).exists() and (folder / "config.json").exists():
        raise UserError(
            f"{folder} is a run folder - the episodes in which its environment failed are in "
            f"{folder / 'crash'} - give one of these"
        )
    content = read_json(folder / FAULT)
    version = content.get("format_version")
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise UserError(
            f"{folder} has format {version} - this footlight knows up to {FORMAT_VERSION} - "
            "upgrade footlight"
        )
    require(content, Fault, folder / FAULT)
    return content


def _source(
    folder: Path, content: Mapping[str, Any], allow_env_import: str | None
) -> EnvironmentSource:
    """The environment that the folder names. Raises `UserError`."""
    name = content.get("environment", "?")
    if content.get("environment_source") not in ("id", "file"):
        raise UserError(
            f"{folder} is of the Python object {name!r}, which no file holds - use "
            "footlight.reproduce(path, environment=...)"
        )
    uses = {entry["use"] for entry in content.get("code", ())}
    # That of the evaluations has failed if the folder does not name the training's
    use = "eval_environment" if "eval_environment" in uses else "environment"
    config = {**content, "eval_environment": content}
    source = recorded_source(folder, config, allow_env_import, use)
    return wrapped(source, recorded_wrappers(folder, content))


def _episode(folder: Path, content: Mapping[str, Any]) -> tuple[Array, int]:
    """Actions and seed. Raises `UserError`."""
    if content["actions"] is None or content["seed"] is None:
        raise UserError(
            f"{folder} cannot be reproduced - episodes of a vector environment do not begin with "
            "seeds of their own - reproduce it in a single environment"
        )
    try:
        actions = load(read_file(folder / ACTIONS, MAX_BYTES))["actions"]
    except (LookupError, ValueError, TypeError, SafetensorError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(
            f"{folder / ACTIONS} cannot be read - {type(error).__name__}: {error} - restore it "
            "from a copy"
        ) from error
    if actions.dtype.kind not in "biuf":
        raise UserError(
            f"{folder / ACTIONS} is invalid - its actions are {actions.dtype}, not numbers - "
            "restore it from a copy"
        )
    return actions, content["seed"]
