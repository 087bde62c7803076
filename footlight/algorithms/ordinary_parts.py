"""What an algorithm in ordinary PyTorch is made of, besides its author's class."""

from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from footlight.algorithms.object_state import Saved
from footlight.networks.heads import Head
from footlight.networks.live import LiveNetwork
from footlight.types import Array


@runtime_checkable
class StateHolder(Protocol):
    """An algorithm whose state lies in objects of its own."""

    @property
    def num_parameters(self) -> int:
        """Parameters that learn."""

    def saved(self) -> Saved:
        """The state as data. Raises `UserError` for objects that cannot be written."""

    def learned(self, skip: Collection[str]) -> dict[str, Tensor]:
        """Its tensors by the names in `saved`, without those of optimizers and of the attributes to
        skip."""

    def restore(self, given: Saved) -> None:
        """Restore what `saved` returned."""

    def move(self, device: torch.device) -> None:
        """Move the state to a device."""

    def module_arrays(self) -> dict[str, Array]:
        """What the modules hold, by name: numbers that have to be finite."""

    def tried_out(self) -> AbstractContextManager[Any]:
        """A copy that may be called before the training, or itself where there can be none."""


@runtime_checkable
class Acting(Protocol):
    """A user's class with an `act` of its own."""

    def act(self, observation: Any, deterministic: bool) -> Tensor:
        """Actions [E, A] of observations [E, ...], as tensors."""


@runtime_checkable
class Valuing(Protocol):
    """A class of the user's that estimates how good a state is."""

    def value(self, observation: Any) -> Tensor:
        """Values [E] or [E, 1] of observations [E, ...], as tensors."""


@runtime_checkable
class HasTransient(Protocol):
    """A class of the user's with attributes that belong to one run."""

    transient: tuple[str, ...]
    """Their names."""


class User(Protocol):
    """An object of the user's class."""

    policy: nn.Module
    config: Any

    def buffer(self, num_envs: int) -> Any:
        """Where steps wait until they are due."""

    def update(self, batch: Any) -> Any:
        """Learn from a batch; returns metrics by name."""


@dataclass(frozen=True)
class LiveNetworks:
    """What acts, and all modules of the author's."""

    policy: LiveNetwork
    head: Head
    modules: Mapping[str, nn.Module] = field(default_factory=dict)


@dataclass
class NoState:
    """An empty state: everything lies in the author's objects."""


@dataclass(frozen=True)
class Seed:
    """A seed for torch's random numbers."""

    def empty(self) -> Array:
        """One integer."""
        return np.zeros(1, np.int64)

    def fill(self, out: Array, stream: np.random.Generator) -> None:
        """Draw it."""
        out[:] = stream.integers(2**63)
