"""What a run is, in its own words: the content of `config.json`, which every checkpoint repeats under its checksum."""

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from footlight.config.fields import build, fields
from footlight.config.options import CHANGEABLE, FIRST_OPTIONS, Options
from footlight.environments.atari import AtariGame
from footlight.environments.make import EnvironmentSource
from footlight.environments.naming import Registered, code_digest
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
    """The record of a new run, with the values chosen for "automatic".

    name: of the environment.
    resume: "exact", or why an interrupted run could not be resumed exactly.
    """
    record = {
        "format_version": FORMAT_VERSION,
        "algorithm": agent.name,
        "environment": name,
        "environment_source": "id"
        if isinstance(environment, str | Registered | AtariGame)
        else "object",
        **({"env_kwargs": dict(environment.kwargs)} if isinstance(environment, Registered) else {}),
        **(
            {"environment_config": dataclasses.asdict(environment.config)}
            if isinstance(environment, AtariGame)
            else {}
        ),
        **(
            {"environment_code": digest} if (digest := code_digest(environment)) is not None else {}
        ),
        "network": agent.blueprint.network_name,
        "preset": preset,
        **dataclasses.asdict(options),
        "checkpoint_every": options.checkpoint_interval,
        "threads": torch.get_num_threads(),
        "device": "cpu" if options.device == "auto" else options.device,
        "config": dataclasses.asdict(agent.config),
        "resume": resume,
    }
    return parse_json(json.dumps(record).encode())  # as it will be read: tuples are lists


def mend(run_dir: Path, checked: Mapping[str, Any], say: Callable[[str], None]) -> None:
    """Write `config.json` anew, and say so, where it is not the record in the checkpoint: that is the one that counts."""
    try:
        found = upgrade_run_config(schemas.read(run_dir / "config.json", schemas.Config))
        wrong = [name for name in {**checked, **found} if found.get(name) != checked.get(name)]
        fault = f"config.json differs from the checkpoint in {', '.join(wrong)}" if wrong else None
    except UserError as error:
        fault = str(error)
    if fault is not None:
        say(f"{fault}\ngoing on with what the checkpoint says; config.json is written anew")
        RunFolder(run_dir).write_json("config.json", checked)


def changed(record: Mapping[str, Any], options: Options, names: Iterable[str]) -> dict[str, Any]:
    """The record with these options."""
    return parse_json(
        json.dumps({**record, **{name: getattr(options, name) for name in names}}).encode()
    )


def options_of(path: Path, manifest: Mapping[str, Any], changes: Mapping[str, Any]) -> Options:
    """How the run of a checkpoint is run, as recorded, but for what is to be changed.

    Raises `UserError`, also where the checkpoint's manifest is broken.
    """
    record = manifest["run"]
    for name in changes:
        if name not in CHANGEABLE:
            raise UserError(
                f"{name} cannot be changed of a run that has begun - {', '.join(CHANGEABLE)} can - leave it out"
            )
    recorded = {
        name: field.default for name, field in fields(Options).items() if name not in FIRST_OPTIONS
    } | dict(record)
    missing = [
        name
        for name in (*fields(Options), "algorithm", "environment", "preset", "resume")
        if name not in recorded
    ]
    if missing:
        raise UserError(
            f"{path} has no {missing[0]!r} in what it says of its run - it is broken - restore it from a copy"
        )
    wrong = [
        name
        for name in ("algorithm", "network", "seed", "num_envs", "config")
        if record.get(name) != manifest.get(name)
    ]
    if wrong:
        raise UserError(
            f"{path} says two things of its {wrong[0]} - it is broken - restore it from a copy"
        )
    return build(Options, {name: recorded[name] for name in fields(Options)} | dict(changes))
