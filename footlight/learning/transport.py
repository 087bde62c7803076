"""States between devices, arrays and processes."""

import os
from typing import Any

import torch
from torch import Tensor

from footlight.trees import tree_items, tree_rebuilt
from footlight.types import Array

# Of torch, in a forked process that has not rebuilt anything yet
_threads_at_fork: int | None = None


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


def as_array(leaf: Any) -> Array:
    """A leaf of a state as an array: on the CPU the same memory, otherwise a copy."""
    return leaf.detach().cpu().numpy() if isinstance(leaf, Tensor) else leaf


def to_device(tree: Any, device: torch.device) -> Any:
    """Move the tensors of a state to `device`; those already there are not copied."""
    leaves = tree_items(tree)
    return tree_rebuilt(
        tree, {n: leaf.to(device) for n, leaf in leaves.items() if isinstance(leaf, Tensor)}
    )
