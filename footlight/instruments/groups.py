"""Runs of a plot: found in folders, and grouped by what differs in their configuration."""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from footlight.config.fields import describe_value
from footlight.errors import UserError, counted
from footlight.runs.read import RunData, is_of_own_loop, read_run
from footlight.storage.files import user_path

# Keys of config.json that may vary within a group of seeds. All others, such as those of later
# versions, make a different experiment, so that runs that differ are never averaged unnoticed.
_IRRELEVANT = {
    "format_version", "algorithm", "environment", "environment_source", "seed", "steps", "preset",
    "resume", "config", "eval_every", "eval_episodes", "checkpoint_every", "keep_checkpoints",
    "max_time", "video_every", "video_every_episodes", "overlay", "vectorization", "env_timeout",
    "probe", "on_worker_death", "on_env_fault", "no_evaluations", "device", "compile", "threads",
    "profile", "track", "episodes", "stop_at_return", "stop_on", "stop_window", "stop_patience",
    "log_info", "track_histograms", "wandb_project", "wandb_group", "wandb_tags", "wandb_mode",
}  # fmt: skip


@runtime_checkable
class HasFolder(Protocol):
    """An object with a run folder, such as `footlight.Run`."""

    folder: Path


@dataclass(frozen=True)
class Member:
    """A run in a plot, with the user's label for it."""

    run: RunData
    label: str | None = None

    @property
    def algorithm(self) -> str:
        """The algorithm's name as in titles."""
        name = str(self.run.config["algorithm"])
        return name.upper() if len(name) <= 4 else name

    @property
    def settings(self) -> dict[str, Any]:
        """The configuration that distinguishes experiments."""
        config = self.run.config
        settings = {key: value for key, value in config.items() if key not in _IRRELEVANT}
        if config.get("collectors") is None:  # as in runs from before there were any
            settings.pop("collectors", None)
        fields = config.get("config")
        fields = fields if isinstance(fields, Mapping) else {}
        ends = {key: fields[key] for key in fields if key.startswith("final_")}
        ends.pop("final_learning_rate", None)  # where there is a schedule, which says so itself
        schedule = fields.get("learning_rate_schedule", "constant")
        if schedule != "constant" or any(value is not None for value in ends.values()):
            settings["steps"] = config.get("steps")  # a schedule depends on them
        if isinstance(origin := settings.get("init_from"), Mapping):  # of each seed its own
            settings["init_from"] = origin.get("environment") or "agent"
        settings["wrapper"], settings["code"] = _own_code(settings.get("code"))
        environment = (
            settings.pop("environment_config", None) or {},
            settings.pop("env_kwargs", None) or {},
        )
        for nested in (*environment, fields):
            settings |= nested
        return settings


def _own_code(recorded: Any) -> tuple[str, str]:
    """The wrappers of a run, and the files that it was made with: "none" where there are none."""
    entries = recorded if isinstance(recorded, list) else []
    entries = [entry for entry in entries if isinstance(entry, Mapping)]
    wrappers = [str(entry.get("name")) for entry in entries if entry.get("use") == "wrapper"]
    files = {
        f"{Path(str(entry.get('path'))).name} {entry.get('sha256', '')!s:.6}" for entry in entries
    }
    return ", ".join(wrappers) or "none", ", ".join(sorted(files)) or "none"


def find_members(
    runs: Any, labels: Sequence[str] | None, notify: Callable[[str], None]
) -> tuple[list[Member], list[str] | None]:  # fmt: skip
    """Return the runs to plot, each once, and the labels that are left for groups.

    runs: run folders, folders of runs, `Run` objects and sequences of returns, or one of these.
    Unreadable runs below a folder are skipped, with a message to `notify`. Raises `UserError`.
    """
    inputs = (
        [runs]
        if isinstance(runs, str | os.PathLike | HasFolder) or _is_returns(runs)
        else list(runs)
    )
    if not inputs:
        raise UserError(
            "there is nothing to plot - no run was given - give at least one run folder"
        )
    per_input = labels if labels is not None and len(labels) == len(inputs) else None
    members: dict[Any, Member] = {}
    for index, item in enumerate(inputs):
        label = None if per_input is None else per_input[index]
        for key, run in _runs_of(item, index, notify):
            members.setdefault(key, Member(run, label))
    return list(members.values()), None if labels is None or per_input is not None else list(labels)


def _runs_of(item: Any, index: int, notify: Callable[[str], None]) -> Iterator[tuple[Any, RunData]]:
    if isinstance(item, HasFolder):
        item = item.folder
    if isinstance(item, str | os.PathLike):
        folder = user_path(os.fspath(item))
        is_run = (folder / "config.json").exists() or is_of_own_loop(folder)
        if not folder.is_dir() or is_run:
            yield folder.resolve(), read_run(folder)
            return
        found = list(run_folders(folder))
        if not found:
            raise UserError(
                f"{folder} is not a run folder and contains none - no config.json in it or below - "
                "give the folder that `footlight train` printed"
            )
        for each in found:
            try:
                run = read_run(each)
            except UserError as error:
                notify(f"skipped: {error}")
                continue
            if run.evaluations or run.episodes or run.metrics:
                yield each.resolve(), run
            else:
                notify(f"skipped: {each} has nothing to plot yet")
        return
    try:
        returns = np.asarray(item, dtype=np.float64)
    except (TypeError, ValueError):
        raise UserError(
            f"{item!r:.60} is not a run - give a run folder, a Run, or a sequence of returns"
        ) from None
    if returns.ndim not in (1, 2):
        raise UserError(
            f"returns have shape {returns.shape} - wrong number of axes - "
            "give one per episode [episodes], or several runs [runs, episodes]"
        )
    for number, row in enumerate(np.atleast_2d(returns)):
        rows = [
            {"step": episode, "return": value}
            for episode, value in enumerate(row.tolist(), start=1)
        ]
        config = {"algorithm": f"returns {index + 1}", "environment": "", "seed": number}
        yield (index, number), RunData(Path(f"returns {index + 1}"), config, [], rows, [], None)


def _is_returns(item: Any) -> bool:
    """True for a sequence of numbers, or an array."""
    if isinstance(item, np.ndarray):
        return item.dtype != object
    return (
        isinstance(item, list | tuple)
        and bool(item)
        and all(isinstance(value, int | float | np.number) for value in item)
    )


def run_folders(folder: Path) -> Iterator[Path]:
    """Run folders below `folder`, by number and name. Symbolic links are not followed."""
    for path, names, files in os.walk(folder):
        if "config.json" in files:
            names.clear()
            yield Path(path)
        names[:] = sorted(
            (name for name in names if not name.startswith(".")),
            key=lambda name: (int(name) if name.isdigit() else -1, name),
        )


def group(members: Sequence[Member]) -> dict[str, list[Member]]:
    """Group the runs of one environment by label.

    The label is the user's, or the algorithm with what differs in its configuration between runs.
    """
    names = {member.algorithm for member in members}
    groups: dict[str, list[Member]] = {}
    for name in dict.fromkeys(member.algorithm for member in members):
        own = [member for member in members if member.algorithm == name]
        varied = _varied([member.settings for member in own if member.label is None])
        for member in own:
            values = [
                f"{key} {_shown(member.settings[key])}" for key in varied if key in member.settings
            ]
            if len(names) > 1 or not values:
                values.insert(0, name)
            groups.setdefault(
                ", ".join(values) if member.label is None else member.label, []
            ).append(member)
    return groups


def _varied(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """The keys with several values. Runs that lack a key, such as older ones, do not count."""
    keys = dict.fromkeys(key for each in settings for key in each)
    return [
        key
        for key in keys
        if len({json.dumps(each[key], sort_keys=True) for each in settings if key in each}) > 1
    ]


def _shown(value: Any) -> str:
    return (
        f"{value:g}"
        if isinstance(value, float)
        else describe_value(tuple(value) if isinstance(value, list) else value)
    )


def count(members: Sequence[Member]) -> str:
    """Count runs, as "5 seeds" if their seeds differ: otherwise they are not independent."""
    word = (
        "seed" if len({member.run.config["seed"] for member in members}) == len(members) else "run"
    )
    return counted(len(members), word)
