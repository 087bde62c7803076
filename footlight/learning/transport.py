"""Agents and policies as plain data, for copies and for the user's own processes.

footlight never pickles and never unpickles. Where the user does (`multiprocessing`,
`copy.deepcopy`, joblib), an agent or a policy is passed as the content of a checkpoint: names,
numbers and arrays.
"""

import copy
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

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


def after_fork() -> None:
    """Prepare torch for use in a forked process; call this before rebuilding anything there.

    A forked process has inherited torch's threads in name only, and would wait for them forever: it
    continues with one, unless it has set another number than it inherited. Whatever it sets later
    holds.
    """
    global _threads_at_fork
    if _threads_at_fork is not None:
        if torch.get_num_threads() == _threads_at_fork > 1:
            torch.set_num_threads(1)
        _threads_at_fork = None


def reduce_agent(agent: Any) -> tuple[Any, ...]:
    """The value of `Agent.__reduce__`."""
    rest = agent.learner.total_steps, agent.policy.stream
    parts = type(agent), agent.blueprint, agent.manifest(), agent.groups(), str(agent.device)
    return _rebuild_agent, (*parts, *rest)


def _rebuild_agent(
    kind: Any, blueprint: Any, manifest: dict[str, Any], groups: dict[str, Any], device: str,
    total_steps: int | None, stream: np.random.Generator,
) -> Any:  # fmt: skip
    """The inverse of `reduce_agent`. Messages go to standard error."""
    after_fork()
    agent = kind.from_blueprint(blueprint, manifest, device, warn)
    agent.learner.total_steps = total_steps
    # `copy.copy` passes what is the original's
    agent.restore_from(
        manifest, lambda group, max_bytes: copy.deepcopy(groups[group]), Path("a copied agent")
    )
    agent.policy.stream = copy.deepcopy(stream)
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
