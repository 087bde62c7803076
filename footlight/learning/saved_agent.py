"""Agents as data: what a checkpoint holds of one, and the way back.

footlight never pickles and never unpickles. Where the user does (`multiprocessing`,
`copy.deepcopy`, joblib), an agent is passed as the content of a checkpoint: names, numbers and
arrays.
"""

import contextlib
import copy
import dataclasses
import json
import shutil
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from footlight import __version__
from footlight.algorithms.object_state import Saved
from footlight.algorithms.ordinary_parts import StateHolder
from footlight.errors import StorageFault, UserError
from footlight.learning.blueprint import Blueprint, read_blueprint
from footlight.learning.decisions import Pending
from footlight.learning.execution import Execution
from footlight.learning.saved_environment import (
    environment_of,
    record_environment,
    run_config_of,
    statistics_of_given,
)
from footlight.learning.transport import as_array
from footlight.storage import checkpoint
from footlight.storage.files import MAX_BYTES, make_folder, replace_text, user_path
from footlight.storage.system import flush_folder
from footlight.trees import tree_items
from footlight.types import Array

if TYPE_CHECKING:
    from footlight.learning.agent import Agent

_PENDING, OWN = "pending.", "own."
LOGS = ("episodes.jsonl", "evaluations.jsonl")  # files beside an agent that it was not saved with


def save(agent: "Agent", path: str | Path, environment: Any = None, kwargs: Any = None) -> None:
    """Write an agent into the folder `path`, with its environment if that is known.

    Raises `UserError` for a folder that holds anything but a saved agent and its logs, and
    `StorageFault`.
    """
    folder, arrays = user_path(path).absolute(), groups(agent)
    if environment is not None:
        agent.environment = record_environment(environment, kwargs, agent.seed)
        if statistics := statistics_of_given(environment):
            arrays["environments"] = statistics
    elif kwargs is not None:
        raise UserError("env_kwargs are for an environment - none is given - add environment=ID")
    content = {**manifest(agent), "step": agent.num_steps}
    if agent.environment:
        total_steps = agent.learner.total_steps
        content["run"] = run_config_of(content, agent.environment, total_steps)
    if folder.exists() and not (folder / checkpoint.MANIFEST).is_file():
        _save_beside_logs(arrays, folder, content, path)
    else:
        make_folder(folder.parent)
        checkpoint.write(folder, arrays, content)
    # For readers of logs, which do without the manifest
    if agent.environment:
        config = json.dumps(content["run"], indent=2, allow_nan=False)
        replace_text(folder / "config.json", config + "\n")
    else:
        with contextlib.suppress(OSError):
            (folder / "config.json").unlink(missing_ok=True)


def _save_beside_logs(
    arrays: Mapping[str, Mapping[str, Array]], folder: Path, content: dict[str, Any],
    known_as: str | Path,
) -> None:  # fmt: skip
    """Write an agent into a folder that has logs of a loop and nothing else."""
    if not folder.is_dir() or {file.name for file in folder.iterdir()} - {*LOGS}:
        raise UserError(
            f"{known_as} exists and is not a saved agent - nothing was written - choose another "
            "name"
        )
    place = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(place, ignore_errors=True)  # left by a process that was killed
    checkpoint.write(place, arrays, content)
    try:
        # The manifest last: without it, the folder does not count as a saved agent
        for file in sorted(place.iterdir(), key=lambda file: file.name == checkpoint.MANIFEST):
            file.replace(folder / file.name)
        flush_folder(folder)
        place.rmdir()
    except OSError as error:
        raise StorageFault(f"cannot write {folder} - {error.strerror} - free some space") from error


def groups(agent: "Agent") -> dict[str, dict[str, Array]]:
    """All arrays of an agent, by the file that they go into; those of the agent itself share its
    memory."""
    arrays = {name: as_array(leaf) for name, leaf in _leaves(agent).items()}
    if agent.pending is not None:
        arrays |= {_PENDING + name: array for name, array in agent.pending.arrays().items()}
    if isinstance(agent.algorithm, StateHolder):
        arrays |= {OWN + name: array for name, array in agent.algorithm.saved().arrays.items()}
    return {"policy": agent.policy.arrays(), "agent": arrays, "buffer": agent.buffer.arrays()}


def manifest(agent: "Agent") -> dict[str, Any]:
    """Everything else that an agent is made of, as strict JSON."""
    own: dict[str, Any] = {}
    if agent.learner.reported.are_derived:
        own["metrics"] = agent.learner.reported.names
    if isinstance(agent.algorithm, StateHolder):
        own["own_state"] = agent.algorithm.saved().record
    return {
        **own,
        "footlight": __version__,
        "algorithm": agent.name,
        "config": dataclasses.asdict(agent.config),
        "spaces": agent.spaces.to_json(),
        "network": agent.blueprint.network_name,
        "seed": agent.seed,
        "num_envs": agent.num_envs,
        "num_updates": agent.num_updates,
        "learned_at": agent.learner.learned_at,
        "compiled": agent.compiled,
        "compile_later": agent.learner.compilation.later,
        "keep_gradients": agent.execution.keep_gradients,
        "streams": agent.streams.positions(),
        "buffer": agent.buffer.counters(),
        "scheduled": agent.scheduled,
    }


def load(
    kind: "type[Agent]", path: str | Path, execution: Execution, algorithm: Any, network: Any
) -> "Agent":
    """The agent saved at `path`, as one of the class `kind`. Raises `UserError`."""
    folder = checkpoint.find(Path(path), execution.notice)
    saved = checkpoint.read_manifest(folder)
    with checkpoint.as_user_error(folder):
        agent = _rebuild(kind, read_blueprint(saved, algorithm, network), saved, execution)
    restore(agent, folder)
    agent.environment = environment_of(saved)
    return agent


def _rebuild(
    kind: "type[Agent]", blueprint: Blueprint, saved: Mapping[str, Any], execution: Execution
) -> "Agent":
    """The agent of a manifest as it was before its first step."""
    keep_gradients = bool(saved.get("keep_gradients", False))
    execution = dataclasses.replace(execution, keep_gradients=keep_gradients)
    agent = kind.from_blueprint(blueprint, saved["num_envs"], execution)
    agent.learner.compilation.set_when(bool(saved["compiled"]), bool(saved["compile_later"]))
    return agent


def restore(agent: "Agent", folder: Path) -> None:
    """Set an agent to a state of its own that was saved in `folder`. Raises `UserError`."""
    saved = checkpoint.read_manifest(folder)
    _restore(agent, saved, partial(checkpoint.read_arrays, folder), folder)


def _restore(
    agent: "Agent",
    saved: Mapping[str, Any],
    read: Callable[[str, int], dict[str, Any]],
    folder: Path,
) -> None:
    """Restore from a manifest; `read` returns the arrays of a group, at most that many bytes.
    `folder` is for messages."""
    with checkpoint.as_user_error(folder):
        agent.learner.num_updates = int(saved["num_updates"])
        agent.learner.learned_at = int(saved["learned_at"])
        agent.streams.restore(saved["streams"])
        began = {name: vars(agent.config)[name] for name in agent.scheduled}
        values = {**began, **saved.get("scheduled", {})}
        agent.set(**{name: value for name, value in values.items() if value is not None})
        agent.learner.reported.restore_names(saved.get("metrics", ()))
    agent.memory = agent.policy.new_memory(agent.num_envs)  # arrays that nobody else has
    leaves = _leaves(agent)
    arrays = {name: as_array(leaf) for name, leaf in leaves.items()}
    max_bytes = sum(array.nbytes for array in arrays.values()) + MAX_BYTES
    if isinstance(agent.algorithm, StateHolder):
        max_bytes = sys.maxsize  # what optimizers remember has any size
    given = dict(read("agent", max_bytes))
    pending = _popped(given, _PENDING)
    own = own_state(saved, given)
    checkpoint.copy_into(arrays, given, folder)
    with checkpoint.as_user_error(folder):
        if isinstance(agent.algorithm, StateHolder):
            agent.algorithm.restore(own)
        agent.pending = Pending.from_arrays(pending) if pending else None
        max_bytes = agent.buffer.num_bytes + MAX_BYTES  # and what waits to get into it
        agent.buffer.restore(read("buffer", max_bytes), saved["buffer"])
    for name, leaf in leaves.items():
        # A device's tensors are copies; on the CPU the arrays are the tensors
        if isinstance(leaf, Tensor) and leaf.device.type != "cpu":
            leaf.copy_(torch.from_numpy(arrays[name]))


def own_state(saved: Mapping[str, Any], arrays: dict[str, Any]) -> Saved:
    """The state of an author's objects in a manifest and the arrays of an agent, which are taken
    out."""
    return Saved(saved.get("own_state", {}), _popped(arrays, OWN))


def _popped(arrays: dict[str, Any], prefix: str) -> dict[str, Any]:
    """Take the arrays out whose names begin with `prefix`, and return them without it."""
    names = [name for name in arrays if name.startswith(prefix)]
    return {name.removeprefix(prefix): arrays.pop(name) for name in names}


def _leaves(agent: "Agent") -> dict[str, Any]:
    """What changes and always has the same shape, by name."""
    statistics = agent.normalizer.arrays() if agent.normalizer else {}
    return {**agent.learner.leaves(), **statistics, **tree_items(agent.memory, "memory.")}


def reduce(agent: "Agent") -> tuple[Any, ...]:
    """The value of `Agent.__reduce__`: a function, and the plain data that it makes a copy from."""
    rest = agent.learner.total_steps, agent.policy.stream, agent.environment
    parts = type(agent), agent.blueprint, manifest(agent), groups(agent), str(agent.device)
    return _copied, (*parts, *rest)


def _copied(
    kind: "type[Agent]", blueprint: Blueprint, saved: Mapping[str, Any], arrays: Mapping[str, Any],
    device: str, total_steps: int | None, stream: np.random.Generator,
    environment: Mapping[str, Any],
) -> "Agent":  # fmt: skip
    """The inverse of `reduce`. Notices go to standard error."""
    agent = _rebuild(kind, blueprint, saved, Execution(device=device))
    agent.learner.total_steps, agent.environment = total_steps, dict(environment)
    # `copy.copy` passes what is the original's
    _restore(
        agent, saved, lambda group, max_bytes: copy.deepcopy(arrays[group]), Path("a copied agent")
    )
    agent.policy.stream = copy.deepcopy(stream)
    return agent
