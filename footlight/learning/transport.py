"""Agents and policies as plain data, for copies and for the user's own processes.

footlight never pickles and never unpickles. Where the user does (`multiprocessing`,
`copy.deepcopy`, joblib), an agent or a policy is passed as the content of a checkpoint: names,
numbers and arrays.
"""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from footlight.errors import warn
from footlight.trees import tree_items, tree_rebuilt
from footlight.types import Array


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
