"""Fine-tuning: an agent before its first step takes over what another, saved agent has learned.

That is its parameters, target networks among them, whatever else its state holds besides the
memories of optimizers and what belongs to a run, the statistics of its normalizer, and, if asked
for, the content of its replay buffer. The saved agent is read as any checkpoint is: nothing is
unpickled, and no code of it runs.
"""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from footlight.algorithms import ALGORITHMS, find
from footlight.algorithms.ordinary_parts import StateHolder
from footlight.algorithms.protocol import Scheduled, SummingRewards
from footlight.environments.running_statistics import statistics_wrappers, take_over_statistics
from footlight.environments.wrappers import first_instance
from footlight.equations.optimizers import SGD, Adam, RMSprop
from footlight.errors import UserError
from footlight.learning.blueprint import AnyAlgorithm, networks_of, read_blueprint
from footlight.learning.fitting import Shapes, differences, require_fit
from footlight.learning.saved_agent import OWN
from footlight.storage import checkpoint
from footlight.storage.files import hash_file
from footlight.trees import tree_items
from footlight.types import BoxAction

if TYPE_CHECKING:
    from footlight.learning.agent import Agent

_EPISODES = "normalizer.discounted_return"  # of the environments' current episodes
_IN_ROWS = ("gamma", "clip_reward")  # fields that stored transitions depend on


@runtime_checkable
class Transient(Protocol):
    """An algorithm whose state has fields that belong to one run, besides optimizers."""

    @property
    def transient(self) -> tuple[str, ...]:
        """Their names; fine-tuning does not take them over."""


@runtime_checkable
class Inheriting(Protocol):
    """A buffer that can hold the transitions of another one."""

    def take_over(self, arrays: Mapping[str, Any], counters: Mapping[str, Any]) -> int:
        """Hold the newest transitions of another buffer's `arrays()` and `counters()`; return their
        number."""


@dataclass(frozen=True)
class Origin:
    """What an agent was initialized from."""

    step: int
    """Environment steps that the saved agent had observed."""
    sha256: str
    """Of its manifest, which has the hash of every file."""
    environment: str | None
    """Its environment; None for an agent that was saved without one."""
    has_statistics: bool
    """Whether the statistics of its normalizer were taken over."""
    of_wrappers: tuple[str, ...]
    """The wrappers of the environment whose running statistics were taken over."""
    num_transitions: int | None
    """How many were taken over from its buffer; None: none were asked for."""
    notices: tuple[str, ...] = ()
    """What does not fit, and can."""


def initialize(
    agent: "Agent", path: Path, with_buffer: bool = False, known_as: str | None = None,
    environments: Any = None,
) -> Origin:  # fmt: skip
    """Let a new agent begin with what the agent saved at `path` has learned.

    path: a run folder (its newest intact checkpoint), a checkpoint, or a saved agent's folder.
    with_buffer: also take over the content of its replay buffer. known_as: the path in messages.
    environments: what the agent will be trained in; their wrappers take running statistics over.
    Raises `UserError` for another algorithm, for shapes that do not fit, and for files that are not
    intact.
    """
    known_as = known_as or str(path)
    groups = ("agent", "buffer") if with_buffer else ("agent",)
    folder = checkpoint.find(path, agent.execution.notice, groups)
    digest = hash_file(folder / checkpoint.MANIFEST)[1]
    saved = checkpoint.read_manifest(folder)
    with checkpoint.as_user_error(folder):
        _require_fit(agent, saved, known_as)
        size = saved["files"][saved["groups"]["agent"]]["bytes"]
        arrays = checkpoint.read_arrays(folder, "agent", size)
        _copy_learned(agent, arrays, known_as)
        has_statistics = _copy_statistics(agent, arrays)
        number = _copy_buffer(agent, saved, folder, known_as) if with_buffer else None
        step = int(saved.get("step", saved["buffer"].get("num_steps", 0)))
        environment = saved.get("run", {}).get("environment")
        wrappers, more = _copy_statistics_of_wrappers(environments, saved, folder, known_as)
    if hash_file(folder / checkpoint.MANIFEST)[1] != digest:
        raise UserError(f"{folder} has changed while it was read - start the run again")
    notices = (*_statistics_notices(agent, arrays), *more)
    return Origin(step, digest, environment, has_statistics, wrappers, number, notices)


def _require_fit(agent: "Agent", saved: dict[str, Any], known_as: str) -> None:
    """Raise `UserError` for another algorithm, and for networks of other shapes.

    Names of one class, such as sac and tqc, differ in values of fields alone.
    """
    blueprint, other = agent.blueprint, saved.get("algorithm")
    is_variant = {other, agent.name} <= ALGORITHMS.keys() and find(str(other)) is find(agent.name)
    if other != agent.name and not is_variant:
        raise UserError(
            f"{known_as} is an agent of {other or 'no algorithm'} - its parameters mean something "
            f"else to {agent.name} - train {other or 'another agent'}, or start without it"
        )
    own = None if agent.name in ALGORITHMS else blueprint.algorithm
    network = blueprint.network if saved.get("network") else None
    if saved.get("network") and network is None:  # a file that the run names is not loaded here
        raise UserError(
            f"{known_as} was trained with the network {saved['network']!r}, and this run has none "
            "of its own - give it that network: --network FILE.py:NAME, or network=..."
        )
    require_fit(known_as, read_blueprint(saved, own, network), blueprint)


def _copy_learned(agent: "Agent", arrays: Mapping[str, Any], known_as: str) -> None:
    """Copy what was learned into the agent's state. Raises `UserError` before anything changes."""
    if isinstance(agent.algorithm, StateHolder):
        arrays = {name.removeprefix(OWN): array for name, array in arrays.items()}
    leaves = learned(agent.algorithm, agent.state)
    sources = {name: _source(name, arrays, agent.algorithm) for name in leaves}
    found = {name: arrays[source] for name, source in sources.items() if source in arrays}
    more = _more_in_modules(leaves, arrays) if isinstance(agent.algorithm, StateHolder) else {}
    if wrong := differences(_shapes({**found, **more}), _shapes(leaves)):
        raise UserError(
            f"{known_as} does not fit this run - {wrong} - "
            "give the network and the config that it was trained with"
        )
    for name, leaf in leaves.items():
        if isinstance(leaf, Tensor):
            leaf.copy_(torch.from_numpy(np.asarray(found[name], order="C")))
        else:
            leaf[...] = found[name]


def learned(algorithm: AnyAlgorithm, state: object) -> dict[str, Any]:
    """The leaves of a state that fine-tuning takes over, by name: all but those of optimizers, the
    progress of the run, and what the algorithm declares as `transient`."""
    skipped = {*algorithm.transient} if isinstance(algorithm, Transient) else set()
    if isinstance(algorithm, StateHolder):
        return dict(algorithm.learned(skipped))
    if isinstance(state, Scheduled):
        skipped.add("progress")
    parts = state.items() if isinstance(state, Mapping) else vars(state).items()
    kept = {
        name: value
        for name, value in parts
        if name not in skipped
        and "optimizer" not in name
        and not isinstance(value, Adam | RMSprop | SGD)
    }
    return tree_items(kept)


def _more_in_modules(leaves: Mapping[str, Any], arrays: Mapping[str, Any]) -> dict[str, Any]:
    """The arrays of a module of the same name that has more of them."""
    modules = tuple({f"{name.partition('.state.')[0]}.state." for name in leaves})
    return {n: each for n, each in arrays.items() if n.startswith(modules) and n not in leaves}


def _source(name: str, arrays: Mapping[str, Any], algorithm: AnyAlgorithm) -> str:
    """The name of the array that a leaf is taken from: a target network that the saved agent had
    none of begins as a copy of its network."""
    if name in arrays or not name.startswith("target"):
        return name
    networks = [network for network, _ in networks_of(algorithm)]
    online = name.removeprefix("target_")
    return online if online in networks or len(networks) != 1 else networks[0]


def _shapes(leaves: Mapping[str, Any]) -> Shapes:
    return {name: tuple(leaf.shape) for name, leaf in leaves.items()}


def _copy_statistics(agent: "Agent", arrays: Mapping[str, Any]) -> bool:
    """Copy the normalizer's statistics, if there are any on both sides. Those of the episodes in
    progress begin with the run."""
    found = {} if agent.normalizer is None else agent.normalizer.arrays()
    own = {name: array for name, array in found.items() if name != _EPISODES}
    given = {name: arrays[name] for name in own if name in arrays}
    if given:
        checkpoint.copy_into({name: own[name] for name in given}, given, Path("its normalizer"))
    return bool(given)


def _statistics_notices(agent: "Agent", arrays: Mapping[str, Any]) -> Iterator[str]:
    """Warn where observations are normalized on one side only."""
    before = any(
        name.startswith("normalizer.observation.") and name.endswith("count") and array[0] > 0
        for name, array in arrays.items()
    )
    now = agent.normalizer is not None and agent.normalizer.observations
    if before != now:
        was, does, value = ("", "does not", "true") if before else ("not ", "does", "false")
        yield (
            f"warning: the policy was {was}trained on normalized observations, and this run {does} "
            f"normalize them - set normalize_observations {value}"
        )


def _copy_statistics_of_wrappers(
    environments: Any, saved: Mapping[str, Any], folder: Path, known_as: str
) -> tuple[tuple[str, ...], list[str]]:
    """Copy the running statistics of wrappers, if both sides have the same ones.

    Returns the names of these wrappers, and a warning if the two sides differ.
    """
    if environments is None:
        return (), []
    names = tuple(statistics_wrappers(first_instance(environments)))
    arrays: dict[str, Any] = {}
    # Without such wrappers here, the file is read for a warning alone, and may be damaged
    with contextlib.nullcontext() if names else contextlib.suppress(UserError):
        if "environments" in saved["groups"]:
            arrays = checkpoint.read_arrays(folder, "environments")
    if take_over_statistics(environments, arrays):
        return names, []
    return (), [
        f"warning: {known_as} does not hold running statistics of the same wrappers as this run, "
        "so none are taken over - use the same wrappers, such as NormalizeObservation"
    ]


def _copy_buffer(agent: "Agent", saved: Mapping[str, Any], folder: Path, known_as: str) -> int:
    """Copy the transitions of the saved buffer; return their number. Raises `UserError`."""
    if not isinstance(agent.buffer, Inheriting):
        raise UserError(
            f"{agent.name} has no replay buffer to initialize - it learns from new steps alone - "
            "leave init_buffer out"
        )
    before, now = saved["config"], vars(agent.config)
    sums = isinstance(agent.buffer, SummingRewards)  # over n_steps, which else are a rollout's
    for name in (*_IN_ROWS, "n_steps") if sums else _IN_ROWS:
        if name in now and before.get(name) != now[name]:
            raise UserError(
                f"the buffer of {known_as} does not fit - its transitions are stored for {name} "
                f"{before.get(name)}, and here it is {now[name]} - set {name} as there, or leave "
                "init_buffer out"
            )
    action, bounds = agent.spaces.action, saved["spaces"]["action"]
    if isinstance(action, BoxAction) and (
        action.low.tolist() != bounds["low"] or action.high.tolist() != bounds["high"]
    ):
        raise UserError(
            f"the buffer of {known_as} does not fit - its actions have other bounds than this "
            "environment's - leave init_buffer out"
        )
    file = saved["groups"].get("buffer")  # None if it was removed, which reading it will say
    size = saved["files"][file]["bytes"] if file else 0
    arrays = checkpoint.read_arrays(folder, "buffer", size)
    return agent.buffer.take_over(arrays, saved["buffer"])
