"""The content of `config.json`, which every checkpoint repeats under its checksum."""

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from footlight.config.fields import build, fields
from footlight.config.options import CHANGEABLE, FIRST_OPTIONS, Options
from footlight.environments.source import EnvironmentSource
from footlight.errors import UserError
from footlight.learning.agent import Agent
from footlight.runs.folder import FORMAT_VERSION, RunFolder
from footlight.storage import schemas
from footlight.storage.files import parse_json
from footlight.storage.migration import upgrade_run_config


def describe(
    agent: Agent,
    environment: EnvironmentSource,
    name: str,
    preset: str | None,
    options: Options,
    resume: str,
) -> dict[str, Any]:
    """Return the config of a new run, with the values chosen for "automatic".

    name: of the environment. resume: "exact", or why the run cannot be resumed exactly.
    """
    run_config = {
        "format_version": FORMAT_VERSION,
        "algorithm": agent.name,
        "environment": name,
        **environment.settings(),
        "network": agent.blueprint.network_name,
        "preset": preset,
        **dataclasses.asdict(options),
        "checkpoint_every": options.checkpoint_interval,
        "threads": torch.get_num_threads(),
        "device": "cpu" if options.device == "auto" else options.device,
        "config": dataclasses.asdict(agent.config),
        "resume": resume,
    }
    return parse_json(json.dumps(run_config).encode())  # as it will be read: tuples are lists


def repair(run_dir: Path, checked: Mapping[str, Any], notify: Callable[[str], None]) -> None:
    """Rewrite a `config.json` that differs from the checkpoint, which takes precedence."""
    try:
        found = upgrade_run_config(schemas.read(run_dir / "config.json", schemas.Config))
        wrong = [name for name in {**checked, **found} if found.get(name) != checked.get(name)]
        fault = f"config.json differs from the checkpoint in {', '.join(wrong)}" if wrong else None
    except UserError as error:
        fault = str(error)
    if fault is not None:
        notify(f"{fault}\nusing the values of the checkpoint; config.json is rewritten")
        RunFolder(run_dir).write_json("config.json", checked)


def changed(
    run_config: Mapping[str, Any], options: Options, names: Iterable[str]
) -> dict[str, Any]:
    """Return the config with the options of these names replaced."""
    values = {name: getattr(options, name) for name in names}
    return parse_json(json.dumps({**run_config, **values}).encode())


def options_of(path: Path, manifest: Mapping[str, Any], changes: Mapping[str, Any]) -> Options:
    """The options stored in a checkpoint, with `changes` applied.

    Raises `UserError`, also if the checkpoint's manifest is invalid.
    """
    run_config = manifest["run"]
    for name in changes:
        if name not in CHANGEABLE:
            names = ", ".join(CHANGEABLE)
            raise UserError(
                f"{name} cannot be changed in a run that has begun - {names} can - leave it out"
            )
    later = {
        name: field.default for name, field in fields(Options).items() if name not in FIRST_OPTIONS
    }
    values = later | dict(run_config)
    required = (*fields(Options), "algorithm", "environment", "preset", "resume")
    if missing := [name for name in required if name not in values]:
        raise UserError(
            f"{path} is invalid: its run config has no {missing[0]!r} - restore it from a copy"
        )
    for name in ("algorithm", "network", "seed", "num_envs", "config"):
        if run_config.get(name) != manifest.get(name):
            raise UserError(
                f"{path} is invalid: run.{name} and {name} differ - restore it from a copy"
            )
    return build(Options, {name: values[name] for name in fields(Options)} | dict(changes))
