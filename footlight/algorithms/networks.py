"""The two networks of an off-policy actor-critic, ours or the user's own."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
import torch
from torch import nn

from footlight.errors import UserError
from footlight.networks.mlp import Architecture, QCritic
from footlight.networks.parameters import Network
from footlight.types import BoxAction, Spaces

NetworkSource = Callable[[gymnasium.Space[Any], gymnasium.Space[Any]], nn.Module]
"""Called with observation space and action space, gives a module with the parts `actor` and `critic`, or only one of them (the
other is ours). For SAC `actor(observation)` gives mean and raw log standard deviation [B, A]; for TD3 and DDPG actions [B, A] in
[-1, 1]. `critic(observation, action)` gives values [B]; the source is called once per critic, for weights of its own."""


@dataclass(frozen=True)
class Networks:
    """Architectures; their parameters are in the state."""

    actor: Network
    critic: Network


def build_networks(
    spaces: Spaces,
    actor_class: Callable[[tuple[int, ...], int, Architecture], nn.Module],
    num_critics: int,
    architecture: Architecture,
    network: NetworkSource | None,
) -> Networks:
    """An actor and an ensemble of critics. Raises `UserError` for a module of the user's that does not fit."""
    shape, num_actions = spaces.observation_shape, spaces.action.size
    own = [] if network is None else [_call(network, spaces) for _ in range(num_critics)]
    for module in own:
        if not isinstance(module, nn.Module) or not (hasattr(module, "actor") or hasattr(module, "critic")):
            raise UserError(
                f"network gave {type(module).__name__} - it must give a torch.nn.Module with the parts `actor` and `critic` "
                "(or one of them) when called with the observation space and the action space"
            )
    actor = getattr(own[0], "actor", None) if own else None
    critics: list[Any] = [module.critic for module in own if hasattr(module, "critic")]
    networks = Networks(
        actor=Network([actor_class(shape, num_actions, architecture) if actor is None else actor]),
        critic=Network(critics or [QCritic(shape, num_actions, architecture) for _ in range(num_critics)], ensemble=True),
    )
    if own:
        _try_out(networks, spaces)
    return networks


def _call(network: NetworkSource, spaces: Spaces) -> nn.Module:
    if isinstance(network, nn.Module):
        raise UserError(
            "network is a module - each critic needs weights of its own - give its class, or a function that makes it"
        )
    dtype = np.dtype(spaces.observation_dtype)
    low, high = (-np.inf, np.inf) if dtype.kind == "f" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    observation_space = gymnasium.spaces.Box(low, high, spaces.observation_shape, dtype.type)
    assert isinstance(spaces.action, BoxAction)
    return network(
        observation_space,
        gymnasium.spaces.Box(spaces.action.low, spaces.action.high, dtype=spaces.action.low.dtype.type),
    )


def _try_out(networks: Networks, spaces: Spaces) -> None:
    """One forward pass of the user's own module, so that a misfit is reported at the start and in its own words."""
    observation = np.zeros((2, *spaces.observation_shape), spaces.observation_dtype)
    try:
        output: Any = networks.actor.infer(networks.actor.initial, observation)
        parts = output if isinstance(output, tuple) else (output,)
        value = networks.critic(networks.critic.initial, torch.from_numpy(observation), torch.zeros(2, spaces.action.size))
    except (RuntimeError, TypeError, ValueError) as error:
        raise UserError(f"the network cannot be called - {str(error).splitlines()[0]}") from error
    wanted = (2, spaces.action.size)
    for part in parts:
        if tuple(part.shape) != wanted:
            raise UserError(f"the actor gives shape {tuple(part.shape)} for 2 observations - it must give {wanted}")
    if tuple(value.shape)[1:] != (2,):
        raise UserError(f"the critic gives shape {tuple(value.shape)[1:]} for 2 observations - it must give (2,)")
