"""Checks and notices before a run is resumed."""

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium

from footlight.algorithms import ALGORITHMS, config_class
from footlight.config.fields import build, fields
from footlight.config.options import Options
from footlight.environments.atari import AtariConfig
from footlight.environments.identity import why_not_known
from footlight.environments.source import EnvironmentSource
from footlight.environments.user_files import recorded_source
from footlight.errors import UserError, quoted
from footlight.machine import describe_machine, differences
from footlight.runs.seeds_folder import SeedsFolder, read_seeds
from footlight.runs.trackers.track import require_trackers
from footlight.storage import checkpoint, schemas
from footlight.training.objects import Objects
from footlight.training.run_config import options_of, repair
from footlight.user_code.reference import is_reference


def require_run_folder(path: Path) -> None:
    """Raise `UserError` for anything but a run folder."""
    if not (path / "checkpoints").is_dir():
        checkpoint.find(path, groups=[])  # raises an error that says what it is instead
        raise UserError(
            f"{path} is not a run folder - it is a checkpoint or a saved agent - "
            "give the folder that `train` printed"
        )


def _require_steps_left(path: Path, known_as: str | Path, step: int, steps: int) -> None:
    """Raise `UserError` for a run that has reached `steps` and has ended."""
    has_ended = False
    if step == steps and (path / "result.json").exists():
        with contextlib.suppress(UserError):
            result = schemas.read(path / "result.json", schemas.Result)
            has_ended = result["status"] == "finished" and result["steps"] == step
    if step > steps or has_ended:
        raise UserError(
            f"{known_as} has reached step {step:,} of {steps:,} - give a larger --steps to continue"
        )


class SavedRun(NamedTuple):
    """A run as it was saved: the newest intact checkpoint, and the options to continue with."""

    checkpoint: Path
    manifest: dict[str, Any]
    options: Options


def read_run(
    path: Path, known_as: str | Path, changes: Mapping[str, Any], notify: Callable[[str], None]
) -> SavedRun:
    """Read the newest intact checkpoint of a run, and repair its `config.json`.

    known_as: the run folder as messages name it. changes: new values of options.
    Raises `UserError` if the run cannot be continued with them.
    """
    saved = checkpoint.find(path, notify)
    manifest = checkpoint.read_manifest(saved)
    with checkpoint.as_user_error(saved):
        run_config, step, _ = manifest["run"], manifest["step"], manifest["machine"]
        options = options_of(saved, manifest, changes)
    require_trackers(options.track if "track" in changes else ())
    repair(path, run_config, notify)
    _require_steps_left(path, known_as, step, options.steps)
    return SavedRun(saved, manifest, options)


def changes_since(
    manifest: Mapping[str, Any],
    source: EnvironmentSource,
    hooks: Sequence[str],
    files: Mapping[str, Any],
    changed: str | None = None,
) -> Iterator[str]:
    """Yield the reasons why a resumed run may not be reproducible: other machine, other code.

    hooks: the names of the hooks that were given. files: what is recorded of files from now on.
    changed: what a trial showed of a given environment object.
    """
    if new := differences(manifest["machine"], describe_machine()):
        yield f"resumed with {', '.join(new)}"
    yield from _other_files(manifest["run"], files)
    if manifest["run"].get("environment_code") not in (None, source.code_digest):
        yield "resumed with another function for the environment"
    before = [entry["name"] for entry in manifest.get("hooks", [])]
    if before != list(hooks):
        given, saved = (", ".join(names) or "no hooks" for names in (hooks, before))
        yield f"resumed with {given} instead of {saved}"
    if (what := _why_not_recorded(manifest["run"], source)) is not None:
        yield f"resumed in an environment that is not known to be the recorded one: {what}"
    elif changed is not None:
        yield changed


def _other_files(run_config: Mapping[str, Any], files: Mapping[str, Any]) -> Iterator[str]:
    before, now = (
        {(each["use"], each["name"]): each for each in config.get("code", ())}
        for config in (run_config, files)
    )
    both = [(before[key], now[key]) for key in now if key in before]
    changed = [new["path"] for old, new in both if old["sha256"] != new["sha256"]]
    for path in dict.fromkeys(changed):
        yield f"resumed with another version of {Path(path).name}"
    for use, name in before.keys() ^ now.keys():
        if use == "wrapper":
            yield f"resumed with other wrappers ({name})"


def evaluation_source(
    objects: Objects,
    training: EnvironmentSource,
    run_config: Mapping[str, Any],
    folder: Path,
    allowed: str | None,
) -> EnvironmentSource | None:
    """The given or recorded environment of the evaluations; None if it is that of the training.

    training: the latter. allowed: the module that its id may import. Raises `UserError` if it
    cannot be made from the record.
    """
    recorded = run_config.get("eval_environment")
    if objects.eval_environment is not None or recorded is None:
        return objects.evaluation_source(training)
    name = recorded["environment"]
    if recorded["environment_source"] not in ("id", "file"):
        raise UserError(
            f"the run is evaluated in the Python object {name!r}, which no file holds - pass it as "
            "eval_environment"
        )
    found = objects.wrapped(recorded_source(folder, run_config, allowed, "eval_environment"))
    return found.configured(kwargs=objects.eval_env_kwargs) if objects.eval_env_kwargs else found


def _why_not_recorded(run_config: Mapping[str, Any], source: EnvironmentSource) -> str | None:
    """Why something given in place of a recorded id is not known to be its environment."""
    recorded, kwargs = run_config["environment"], run_config.get("env_kwargs")
    is_id = run_config.get("environment_source", "id") == "id"
    if not is_id or source.settings()["environment_source"] == "id":
        return None
    if recorded not in gymnasium.registry or source.is_atari or run_config["num_envs"] is None:
        return None
    if source.is_vector and run_config["vectorization"] == "native":
        return None  # its state is an array, and is put back
    by_id = EnvironmentSource.of(recorded)
    if by_id.is_atari:
        return None
    return why_not_known(source, by_id.configured(kwargs=kwargs), run_config["seed"])


def tracker_notices(options: Options, changes: Collection[str]) -> list[str]:
    """Name the trackers of the run, unless they have just been given."""
    if not options.track or "track" in changes:
        return []
    names = ", ".join(options.track)
    return [f"sending to {names}, as recorded; `--track none` stops that"]


class Rest(NamedTuple):
    """What is left to do in a folder with the runs of several seeds."""

    folder: SeedsFolder
    seeds: list[int]
    """Those whose runs have not ended."""
    options: Options
    """What they continue with."""
    changes: dict[str, Any]
    """The options among them that change."""


def rest_of(known_as: Path, changes: Mapping[str, Any]) -> Rest:
    """What is left to do in a folder, whose file then has the changed options, too: those of the
    runs that begin later, and of seeds that are added.

    Raises `UserError` if all have ended, or if one that never began cannot begin now.
    """
    folder, changes = read_seeds(known_as.absolute()), dict(changes)
    if "steps" in changes:
        changes["steps"] = build(Options, {"steps": changes["steps"]}).steps
    elif folder.is_extended():  # by a command that has not come to all of them
        changes["steps"] = folder.arguments["values"]["steps"]
    left = [seed for seed in folder.seeds if not folder.has_ended(seed, changes.get("steps"))]
    options = _options_of_left(folder, known_as, left, changes)
    changed = {name: vars(options)[name] for name in changes if name in fields(Options)}
    if changed:
        values = {**folder.arguments["values"], **changed}
        folder = replace(folder, arguments={**folder.arguments, "values": values})
        folder.write()
    return Rest(folder, left, options, changes)


def _options_of_left(
    folder: SeedsFolder, known_as: Path, left: Sequence[int], changes: Mapping[str, Any]
) -> Options:
    if not left:
        raise UserError(f"all runs in {known_as} have ended - give a larger --steps to continue")
    missing = [seed for seed in left if not folder.has_begun(seed)]
    if missing and (own := folder.arguments["own"]):
        raise UserError(
            f"seed {missing[0]} of {known_as} has not begun, and was given {', '.join(own)} of "
            "your own - a file of a run starts no code - give the command again with --seeds "
            f"{' '.join(map(str, missing))} --run-dir {quoted(known_as)}"
        )
    begun = next((seed for seed in left if seed not in missing), None)
    options = {name: value for name, value in changes.items() if name in fields(Options)}
    if begun is None:
        values = {**arguments(folder, changes), **options}
        return build(Options, {k: v for k, v in values.items() if k in fields(Options)})
    saved = checkpoint.find(folder.run(begun))
    return options_of(saved, checkpoint.read_manifest(saved), options)


def code_again(algorithm: Any, environment: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The keywords of `resume` for a run that was just given these arguments of `train`.

    They are what a file of the run may not decide: the user's objects, files and modules.
    """
    given = {name: arguments[name] for name in Objects.names() if name in arguments}
    if not isinstance(algorithm, str) or is_reference(algorithm):
        given["algorithm"] = algorithm
    if not isinstance(environment, str) or is_reference(environment):
        given["environment"] = environment
    elif ":" in environment:
        given["allow_env_import"] = environment.partition(":")[0]
    return given


def arguments(folder: SeedsFolder, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `train` for a run that never began, with options changed.

    They are from a file: it can name algorithms and environments, but no code. Raises `UserError`.
    """
    recorded = folder.arguments
    algorithm, environment = recorded["algorithm"], recorded["environment"]
    if algorithm not in ALGORITHMS or ":" in environment:
        raise UserError(
            f"{folder.path / 'seeds.json'} is invalid: it names {algorithm!r} and {environment!r} "
            "- it may name built-in algorithms and registered environments only"
        )
    known = {*fields(Options), *fields(config_class(algorithm)), *fields(AtariConfig)}
    values = {name: value for name, value in recorded["values"].items() if name in known}
    values |= {name: value for name, value in changes.items() if name in fields(Options)}
    kwargs = recorded["env_kwargs"] or None
    given = {"algorithm": algorithm, "environment": environment, "preset": recorded["preset"]}
    return {**given, "env_kwargs": kwargs, **values}
