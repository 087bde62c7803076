"""The two networks of an off-policy actor-critic, ours or the user's own."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
import torch
from torch import Tensor, nn

from footlight.errors import UserError, first_line
from footlight.networks.bodies import Architecture, QCritic
from footlight.networks.flat import Network
from footlight.types import Array, Assessment, BoxAction, DiscreteAction, Spaces

NetworkSource = Callable[[gymnasium.Space[Any], gymnasium.Space[Any]], nn.Module]
"""Called with observation space and action space, gives a module with the parts `actor` and `critic`, or only one of them (the
other is ours). For SAC `actor(observation)` gives mean and raw log standard deviation [B, A]; for TD3 and DDPG actions [B, A] in
[-1, 1]. `critic(observation, action)` gives values [B]; the source is called once per critic, for weights of its own."""


@dataclass(frozen=True)
class Networks:
    """Architectures; their parameters are in the state."""

    actor: Network
    critic: Network
    num_actions: int


def build_networks(
    spaces: Spaces,
    actor_class: Callable[[tuple[int, ...], int, Architecture], nn.Module],
    num_critics: int,
    architecture: Architecture,
    network: NetworkSource | None,
) -> Networks:
    """An actor and an ensemble of critics. Raises `UserError` for a module of the user's that does not fit."""
    shape, num_actions = spaces.observation_shape, spaces.action.size
    own = [] if network is None else [call_source(network, spaces) for _ in range(num_critics)]
    for module in own:
        if not (hasattr(module, "actor") or hasattr(module, "critic")):
            raise UserError(
                f"network gave {type(module).__name__} - it must give a torch.nn.Module with the parts `actor` and `critic` "
                "(or one of them) when called with the observation space and the action space"
            )
    actor = getattr(own[0], "actor", None) if own else None
    critics: list[Any] = [module.critic for module in own if hasattr(module, "critic")]
    networks = Networks(
        actor=Network([actor_class(shape, num_actions, architecture) if actor is None else actor]),
        critic=Network(
            critics or [QCritic(shape, num_actions, architecture) for _ in range(num_critics)],
            ensemble=True,
        ),
        num_actions=num_actions,
    )
    if own:
        _try_out(networks, spaces)
    return networks


def call_source(network: NetworkSource, spaces: Spaces) -> nn.Module:
    """The user's module for these spaces. Raises `UserError` where there comes none."""
    if isinstance(network, nn.Module):
        raise UserError(
            "network is a module - it has to be made anew for each run and part - give its class, or a function that makes it"
        )
    dtype = np.dtype(spaces.observation_dtype)
    low, high = (
        (-np.inf, np.inf) if dtype.kind == "f" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    )
    observation_space = gymnasium.spaces.Box(low, high, spaces.observation_shape, dtype.type)
    module = network(observation_space, _action_space(spaces.action))
    if not isinstance(module, nn.Module):
        raise UserError(
            f"network gave {type(module).__name__} - it must give a torch.nn.Module when called with the observation space "
            "and the action space"
        )
    return module


def _action_space(action: BoxAction | DiscreteAction) -> gymnasium.Space[Any]:
    if isinstance(action, BoxAction):
        return gymnasium.spaces.Box(action.low, action.high, dtype=action.low.dtype.type)
    if action.shape == ():
        return gymnasium.spaces.Discrete(action.sizes[0], start=action.starts[0])
    sizes, starts = (np.reshape(numbers, action.shape) for numbers in (action.sizes, action.starts))
    return gymnasium.spaces.MultiDiscrete(sizes, start=starts)


def _try_out(networks: Networks, spaces: Spaces) -> None:
    """One forward pass of the user's own module, so that a misfit is reported at the start and in its own words."""
    observation = np.zeros((2, *spaces.observation_shape), spaces.observation_dtype)
    try:
        output: Any = networks.actor.infer(networks.actor.initial, observation)
        parts = output if isinstance(output, tuple) else (output,)
        value = networks.critic(
            networks.critic.initial,
            torch.from_numpy(observation),
            torch.zeros(2, spaces.action.size),
        )
    except (RuntimeError, TypeError, ValueError) as error:
        raise UserError(f"the network cannot be called - {first_line(error)}") from error
    wanted = (2, spaces.action.size)
    for part in parts:
        if tuple(part.shape) != wanted:
            raise UserError(
                f"the actor gives shape {tuple(part.shape)} for 2 observations - it must give {wanted}"
            )
    if tuple(value.shape)[1:] != (2,):
        raise UserError(
            f"the critic gives shape {tuple(value.shape)[1:]} for 2 observations - it must give (2,)"
        )


def uniform_warmup(
    config: Any, networks: Networks, num_envs: int, stream: np.random.Generator, num_steps: int
) -> Array | None:
    """Uniformly random actions [E, A] before `learning_starts`, where that is how the replay is first filled; None otherwise."""
    if config.warmup != "uniform" or num_steps >= config.learning_starts:
        return None
    return stream.uniform(-1, 1, (num_envs, networks.num_actions)).astype(np.float32)


def assess(config: Any, networks: Networks, state: Any, observation: Tensor) -> Assessment:
    """min_N Q(s, mu(s)) of a deterministic actor, and its action."""
    action_EA = networks.actor(state.actor, observation)
    return Assessment(
        value=networks.critic(state.critic, observation, action_EA).amin(0), mean=action_EA
    )
