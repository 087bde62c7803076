"""Conventions of vector environments: when they reset, and which seeds they take."""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv

from footlight.errors import UserError


@runtime_checkable
class SeedForEach(Protocol):
    """A vector environment whose `reset` takes a seed for each environment."""

    takes_seed_for_each: bool


@runtime_checkable
class _Declaring(Protocol):
    metadata: Mapping[str, Any] | None


@runtime_checkable
class OnDevice(Protocol):
    """A vector environment of tensors on a device."""

    num_envs: int
    device: Any

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        """Return observations and info."""

    def step(self, action: Any, /) -> Any:
        """Return observations, rewards, terminated, truncated and info."""


@runtime_checkable
class HasSingleSpaces(Protocol):
    """A vector environment of Gymnasium 1.0 or newer."""

    single_observation_space: Any
    single_action_space: Any


def has_rows(env: VectorEnv[Any, Any, Any]) -> bool:
    """Whether it is one of Gymnasium's vector environments made of single environments."""
    return isinstance(env.unwrapped, SyncVectorEnv | AsyncVectorEnv)


def autoreset_mode(env: Any) -> AutoresetMode:
    """The autoreset mode that a vector environment declares.

    Raises `UserError` if there is none.
    """
    if not isinstance(env, HasSingleSpaces):
        raise UserError(
            f"{type(env).__name__} has no single_observation_space - it follows an older interface "
            "than Gymnasium 1.0, as SuperSuit's do - train in it as it is, without wrappers: "
            "docs/interoperability.md#pettingzoo-through-supersuit"
        )
    metadata = env.metadata if isinstance(env, _Declaring) else None
    given = (metadata or {}).get("autoreset_mode")
    for mode in AutoresetMode:
        if given in (mode, mode.value, mode.name):
            return mode
    raise UserError(
        f"the vector environment's metadata['autoreset_mode'] is {given!r} - without it the last "
        "transition of an episode cannot be told from the first of the next - set it to the "
        "environment's gymnasium.vector.AutoresetMode: docs/environments.md#vector-environments"
    )
