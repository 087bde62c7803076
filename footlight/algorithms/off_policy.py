"""What the off-policy algorithms share besides equations: networks, ours or the user's own, and
methods. A function of an `algorithm` is a method of the classes that say so, as in `buffer =
replay_buffer`."""

import contextlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import gymnasium
import numpy as np
import torch
from torch import nn

from footlight.algorithms.settings import OffPolicyNetworks
from footlight.buffers.frames import FrameReplay, replay_for
from footlight.buffers.replay import Replay, ReplaySettings
from footlight.errors import (
    FootlightError,
    UserError,
    counted,
    first_line,
    place_of,
    summarize_error,
)
from footlight.machine import device_fault
from footlight.networks.bodies import Architecture, QCritic, combined
from footlight.networks.combined import encoded_leaves, leaf_torso
from footlight.networks.flat import Network, as_tensors
from footlight.networks.heads import ActionHead, Squashed
from footlight.signals import is_interruption
from footlight.trees import Leaf, rebuilt
from footlight.types import (
    BoxAction,
    DiscreteAction,
    FloatArray,
    Spaces,
)

ActorClass = Callable[[tuple[int, ...], int, Architecture], nn.Module]
NetworkSource = Callable[[gymnasium.Space[Any], gymnasium.Space[Any]], nn.Module]
"""Called with observation space and action space; returns a module with the parts `actor` and
`critic`, or only one of them (the other is the default). For SAC `actor(observation)` returns mean
and raw log standard deviation [B, A]; for TD3 and DDPG actions [B, A] in [-1, 1].
`critic(observation, action)` returns values [B]; the source is called once per critic, for weights
of its own.

For a Dict or Tuple space the observation space is a Dict of all leaves by dotted name, and an
observation a dict of tensors."""


Memory = Mapping[str, FloatArray]
"""Acting memory of the off-policy algorithms: "walk" [E, A], the last value of the noise."""


@dataclass(frozen=True)
class Networks:
    """Architectures; their parameters are in the state."""

    actor: Network
    critic: Network
    num_actions: int
    head: ActionHead

    @property
    def policy(self) -> Network:
        """The actor."""
        return self.actor


def build_networks(
    config: OffPolicyNetworks, spaces: Spaces, actor_class: ActorClass, head: ActionHead,
    num_critics: int, network: NetworkSource | None,
) -> Networks:  # fmt: skip
    """An actor and an ensemble of critics. Raises `UserError` for an unsuitable module of the
    user's."""
    on_images = any(leaf_torso("auto", leaf) != "mlp" for leaf in spaces.observation.values())
    leaves = spaces.observation if on_images else encoded_leaves(spaces)
    architecture = Architecture(
        config.hidden_sizes, config.activation, config.layer_norm, config.initialization,
        torso="auto" if leaves else "mlp", leaves=leaves,
    )  # fmt: skip
    num_actions = spaces.action.size

    def body(kind: ActorClass) -> nn.Module:
        if not leaves:
            return kind(spaces.observation_shape, num_actions, architecture)
        return combined(architecture, lambda shape, inner: kind(shape, num_actions, inner))

    own = [] if network is None else [call_source(network, spaces) for _ in range(num_critics)]
    for module in own:
        if not (hasattr(module, "actor") or hasattr(module, "critic")):
            raise UserError(
                f"network returned {type(module).__name__} - it must return a torch.nn.Module "
                "with the parts `actor` and `critic` (or one of them) when called with the "
                "observation space and the action space"
            )
    actor = getattr(own[0], "actor", None) if own else None
    critics: list[Any] = [module.critic for module in own if hasattr(module, "critic")]
    networks = Networks(
        actor=Network(
            [body(actor_class) if actor is None else actor], on_images=on_images, acts_on_all=True
        ),
        critic=Network(critics or [body(QCritic) for _ in range(num_critics)], ensemble=True),
        num_actions=num_actions,
        head=head,
    )
    if own:
        _check_output_shapes(networks, spaces)
    return networks


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


def _check_output_shapes(networks: Networks, spaces: Spaces) -> None:
    """Call the user's module once, so that wrong shapes are reported before training."""
    observation = np.zeros((2, *spaces.observation_shape), spaces.observation_dtype)
    actor, critic, is_squashed = (
        networks.actor,
        networks.critic,
        isinstance(networks.head, Squashed),
    )
    returned = "(mean, raw log_std), each [B, A]" if is_squashed else "actions [B, A] in [-1, 1]"
    called_so = f"it is called as actor(observation), and must return {returned}"
    with naming_part("actor", called_so):
        output: Any = actor.infer(actor.initial, observation)
    with naming_part(
        "critic", "it is called as critic(observation, action), and must return values [B]"
    ):
        observed = as_tensors(observation, torch.device("cpu"))
        value = critic(critic.initial, observed, torch.zeros(2, spaces.action.size))
    parts, wanted = output if isinstance(output, tuple) else (output,), (2, spaces.action.size)
    if len(parts) != 1 + is_squashed:
        raise UserError(f"the actor returns {counted(len(parts), 'tensor')} - {called_so}")
    for part in parts:
        if tuple(part.shape) != wanted:
            raise UserError(
                f"the actor returns shape {tuple(part.shape)} for 2 observations - "
                f"it must return {wanted}"
            )
    if tuple(value.shape)[1:] != (2,):
        raise UserError(
            f"the critic returns shape {tuple(value.shape)[1:]} for 2 observations - "
            "it must return (2,)"
        )


# Methods of the off-policy algorithms


class OffPolicy(Protocol):
    """What these methods need of an algorithm."""

    @property
    def config(self) -> ReplaySettings:
        """Its hyperparameters, those of replay among them."""

    @property
    def networks(self) -> Networks:
        """Its architectures."""

    @property
    def spaces(self) -> Spaces:
        """What it observes and how it acts."""


def replay_buffer(algorithm: OffPolicy, num_envs: int) -> Replay | FrameReplay:
    """The replay buffer."""
    return replay_for(algorithm.spaces, num_envs, algorithm.config)


def new_memory(algorithm: OffPolicy, num_envs: int) -> Memory:
    """The acting memory at the start of an episode: the last value of the noise, or of the
    warm-up's random walk."""
    return {"walk": np.zeros((num_envs, algorithm.networks.num_actions), np.float32)}
