"""The user's own network: a function of the spaces that returns a module, called and checked."""

import contextlib
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium
import numpy as np
from torch import nn

from footlight.errors import (
    FootlightError,
    UserError,
    first_line,
    place_of,
    summarize_error,
)
from footlight.machine import device_fault
from footlight.signals import is_interruption
from footlight.trees import Leaf, rebuilt
from footlight.types import BoxAction, DiscreteAction, Spaces

NetworkSource = Callable[[gymnasium.Space[Any], gymnasium.Space[Any]], nn.Module]
"""Called with observation space and action space; returns a module with the parts `actor` and
`critic`, or only one of them (the other is the default). For SAC `actor(observation)` returns mean
and raw log standard deviation [B, A]; for TD3 and DDPG actions [B, A] in [-1, 1].
`critic(observation, action)` returns values [B]; the source is called once per critic, for weights
of its own.

For a Dict or Tuple space the observation space is a Dict of all leaves by dotted name, and an
observation a dict of tensors."""


def call_source(network: NetworkSource, spaces: Spaces) -> nn.Module:
    """Create the user's module for these spaces.

    Raises `UserError` if `network` is a module, fails, or does not return one.
    """
    if isinstance(network, nn.Module):
        raise UserError(
            "network is a module - a new one is needed for each run and part - pass its class, "
            "or a function that creates it: lambda observation_space, action_space: ..."
        )
    if not callable(network):
        raise UserError(
            f"network is {network!r:.80} - it cannot be called - pass the class of a "
            "torch.nn.Module, or a function of observation space and action space that creates one"
        )
    observation_space = rebuilt(
        {name: _observation_space(leaf) for name, leaf in spaces.observation.items()}
    )
    if spaces.has_leaves:
        observation_space = gymnasium.spaces.Dict(observation_space)
    given = observation_space, _action_space(spaces.action)
    _require_two_parameters(network, given)
    with _naming_failure(network):
        module = network(*given)
    if not isinstance(module, nn.Module):
        raise UserError(
            f"network returned {type(module).__name__} - it must return a torch.nn.Module when "
            "called with the observation space and the action space"
        )
    return module


def own_parts(
    network: NetworkSource | None, spaces: Spaces, num_critics: int
) -> tuple[Any, list[Any]]:
    """The actor and the critics of a user's modules, one for each critic; None and [] for what they
    lack. Raises `UserError` for a module with neither."""
    modules: list[Any] = []
    if network is not None:
        modules = [call_source(network, spaces) for _ in range(num_critics)]
    for module in modules:
        if not (hasattr(module, "actor") or hasattr(module, "critic")):
            raise UserError(
                f"network returned {type(module).__name__} - it must return a torch.nn.Module "
                "with the parts `actor` and `critic` (or one of them) when called with the "
                "observation space and the action space"
            )
    actor = getattr(modules[0], "actor", None) if modules else None
    return actor, [module.critic for module in modules if hasattr(module, "critic")]


def _require_two_parameters(network: NetworkSource, given: tuple[Any, Any]) -> None:
    """Raise `UserError` if the source of networks cannot be called with two spaces."""
    try:
        inspect.signature(network).bind(*given)
    except TypeError as error:
        raise UserError(
            f"the network {_name_of(network)} cannot be called - {first_line(error)} - it is "
            "called with the observation space and the action space"
        ) from error
    except ValueError:  # something built in, which has no signature
        pass


def _name_of(network: NetworkSource) -> str:
    return str(getattr(network, "__name__", type(network).__name__))


@contextlib.contextmanager
def _naming_failure(network: NetworkSource) -> Iterator[None]:
    """Turn an exception of the source of networks into `UserError`.

    A lack of memory, and signals, are left unchanged.
    """
    try:
        yield
    except FootlightError:
        raise
    except BaseException as error:  # the user's own code may raise anything, even SystemExit
        if is_interruption(error) or device_fault(error) is not None:
            raise
        what = f"the network {_name_of(network)} failed - {summarize_error(error)}{place_of(error)}"
        raise UserError(f"{what} - fix it") from error


def _observation_space(leaf: Leaf) -> gymnasium.Space[Any]:
    dtype = np.dtype(leaf.dtype)
    if leaf.choices:
        starts, sizes = (np.array([of(each) for each in leaf.choices]) for of in (min, len))
        if leaf.shape == ():
            return gymnasium.spaces.Discrete(int(sizes[0]), start=int(starts[0]))
        return gymnasium.spaces.MultiDiscrete(
            sizes.reshape(leaf.shape), start=starts.reshape(leaf.shape)
        )
    low, high = (
        (-np.inf, np.inf) if dtype.kind == "f" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    )
    return gymnasium.spaces.Box(low, high, leaf.shape, dtype.type)


def _action_space(action: BoxAction | DiscreteAction) -> gymnasium.Space[Any]:
    if isinstance(action, BoxAction):
        return gymnasium.spaces.Box(action.low, action.high, dtype=action.low.dtype.type)
    if action.shape == ():
        return gymnasium.spaces.Discrete(action.sizes[0], start=action.starts[0])
    sizes, starts = (np.reshape(numbers, action.shape) for numbers in (action.sizes, action.starts))
    return gymnasium.spaces.MultiDiscrete(sizes, start=starts)


@contextlib.contextmanager
def naming_part(part: str, called_so: str) -> Iterator[None]:
    """Turn the exception of a part of the user's module into `UserError`.

    called_so: what it is called with, and what it must return.
    """
    try:
        yield
    except FootlightError:
        raise
    except Exception as error:
        if device_fault(error) is not None:
            raise
        what = f"the {part} of the network cannot be called - {summarize_error(error)}"
        raise UserError(f"{what} - {called_so}") from error
