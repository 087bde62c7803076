"""Agents and policies as plain data, for copies and for the user's own processes.

footlight never pickles and never unpickles. Where the user does (`multiprocessing`, `copy.deepcopy`, joblib), an agent or a
policy is passed as the content of a checkpoint: names, numbers and arrays.
"""

import copy
import importlib
import os
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from footlight.algorithms import Algorithm
from footlight.errors import warn
from footlight.trees import tree_items, tree_rebuilt
from footlight.types import Array

_threads_at_fork: int | None = (
    None  # of torch, in a forked process that has not rebuilt anything yet
)


def _note_fork() -> None:
    global _threads_at_fork
    _threads_at_fork = torch.get_num_threads()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)


def by_name(algorithm: Algorithm) -> Any:
    """The name of an algorithm that is a module, since modules cannot be pickled; any other object unchanged."""
    return algorithm.__name__ if isinstance(algorithm, ModuleType) else algorithm


def from_name(algorithm: Any) -> Algorithm:
    """The inverse of `by_name`, and the first step of every rebuilding.

    A forked process has inherited torch's threads in name only, and would wait for them forever: it continues with one, unless
    it has set another number than it inherited. Whatever it sets later holds.
    """
    global _threads_at_fork
    if _threads_at_fork is not None:
        if torch.get_num_threads() == _threads_at_fork > 1:
            torch.set_num_threads(1)
        _threads_at_fork = None
    method: Algorithm = (
        importlib.import_module(algorithm) if isinstance(algorithm, str) else algorithm
    )
    return method


def reduce_agent(agent: Any) -> tuple[Any, ...]:
    """What `Agent.__reduce__` returns."""
    parts = (
        by_name(agent.algorithm),
        agent.config,
        agent.spaces,
        agent.policy.network,
        str(agent.device),
    )
    rest = {"_total_steps": agent._total_steps, "acted": agent.acted}
    return _rebuild_agent, (
        type(agent),
        agent.manifest(),
        agent.groups(),
        *parts,
        agent.policy.stream,
        rest,
    )


def _rebuild_agent(
    kind: Any, manifest: dict[str, Any], groups: dict[str, Any], algorithm: Any, config: Any, spaces: Any, network: Any,
    device: str, stream: np.random.Generator, rest: dict[str, Any],
) -> Any:  # fmt: skip
    """The inverse of `reduce_agent`. Messages go to standard error."""
    agent = kind.__new__(kind)
    agent._set_up(
        manifest["algorithm"], from_name(algorithm), config, spaces, manifest["seed"], manifest["num_envs"], device, network,
        manifest["keep_gradients"], warn,
    )  # fmt: skip
    agent.compiled, agent._compile_later = manifest["compiled"], manifest["compile_later"]
    agent.restore_from(manifest, lambda group, max_bytes: groups[group], Path("a copied agent"))
    agent.policy.stream = copy.deepcopy(stream)  # `copy.copy` passes that of the original
    vars(agent).update(copy.deepcopy(rest))
    return agent


def as_array(leaf: Any) -> Array:
    """A leaf of a state as an array: on the CPU the same memory, otherwise a copy."""
    return leaf.detach().cpu().numpy() if isinstance(leaf, Tensor) else leaf


def to_device(tree: Any, device: torch.device) -> Any:
    """Move the tensors of a state to `device`; those already there are not copied."""
    leaves = tree_items(tree)
    return tree_rebuilt(
        tree, {n: leaf.to(device) for n, leaf in leaves.items() if isinstance(leaf, Tensor)}
    )
