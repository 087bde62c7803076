"""States between devices, arrays and processes."""

from typing import Any

import torch
from torch import Tensor

from footlight.trees import tree_items, tree_rebuilt
from footlight.types import Array


def as_array(leaf: Any) -> Array:
    """A leaf of a state as an array: on the CPU the same memory, otherwise a copy."""
    return leaf.detach().cpu().numpy() if isinstance(leaf, Tensor) else leaf


def to_device(tree: Any, device: torch.device) -> Any:
    """Move the tensors of a state to `device`; those already there are not copied."""
    leaves = tree_items(tree)
    return tree_rebuilt(
        tree, {n: leaf.to(device) for n, leaf in leaves.items() if isinstance(leaf, Tensor)}
    )
