"""What the off-policy algorithms share besides equations: networks, ours or the user's own, and
methods. A function of an `algorithm` is a method of the classes that say so, as in `buffer =
replay_buffer`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from footlight.algorithms.critics import Critics, prediction_of
from footlight.algorithms.exploration import Memory, new_walk
from footlight.algorithms.network_settings import OffPolicyNetworks, require_consistent
from footlight.algorithms.network_source import NetworkSource, naming_part, own_parts
from footlight.algorithms.on_policy import example
from footlight.algorithms.protocol import Noise, Outcome
from footlight.algorithms.settings import Priorities
from footlight.buffers.frames import FrameReplay, replay_for
from footlight.buffers.prioritized import PrioritizedReplay, prioritized
from footlight.buffers.replay import Replay, ReplaySettings
from footlight.errors import (
    UserError,
    counted,
)
from footlight.networks.bodies import Architecture, QCritic, combined
from footlight.networks.combined import encoded_leaves, leaf_torso
from footlight.networks.flat import Network, as_tensors
from footlight.networks.heads import ActionHead, Squashed
from footlight.networks.norms import uses_batches
from footlight.types import Batch, Minibatch, Spaces

ActorClass = Callable[[tuple[int, ...], int, Architecture], nn.Module]


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
    user's, or fields that do not go together."""
    require_consistent(config)
    on_images = any(leaf_torso("auto", leaf) != "mlp" for leaf in spaces.observation.values())
    leaves = spaces.observation if on_images else encoded_leaves(spaces)
    of_critic = Architecture(
        config.hidden_sizes, config.activation, config.norm, config.initialization,
        norm_after_activation=config.norm_after_activation,
        normalizes_input=config.normalize_input, body=config.body, dropout=config.dropout,
        unit_weights=config.unit_weights, torso="auto" if leaves else "mlp", leaves=leaves,
    )  # fmt: skip
    of_actor = replace(
        of_critic, norm=config.norm if config.normalize_actor else "none", dropout=0.0,
        hidden_sizes=config.hidden_sizes if config.actor_hidden_sizes is None
        else config.actor_hidden_sizes,
    )  # fmt: skip
    num_actions = spaces.action.size
    critic_class = partial(QCritic, num_outputs=prediction_of(config).num_outputs)

    def body(kind: ActorClass, architecture: Architecture) -> nn.Module:
        if not leaves:
            return kind(spaces.observation_shape, num_actions, architecture)
        return combined(architecture, lambda shape, inner: kind(shape, num_actions, inner))

    actor, critics = own_parts(network, spaces, num_critics)
    networks = Networks(
        actor=Network(
            [body(actor_class, of_actor) if actor is None else actor],
            precision=config.precision,
            on_images=on_images,
            keeps_statistics=actor is None,
            acts_on_all=True,
        ),
        critic=Network(
            critics or [body(critic_class, of_critic) for _ in range(num_critics)],
            ensemble=True,
            precision=config.precision,
            keeps_statistics=not critics,
        ),
        num_actions=num_actions,
        head=head,
    )
    if actor is not None:
        _check_actor(networks, spaces)
    if critics:
        _check_critic(networks, spaces, prediction_of(config).num_outputs)
    observation = example(spaces)
    networks.actor.keep_outputs_in_fp32(observation)
    networks.critic.keep_outputs_in_fp32(observation, torch.zeros(2, num_actions))
    return networks


def _check_actor(networks: Networks, spaces: Spaces) -> None:
    """Call the user's actor once, so that wrong shapes are reported before training."""
    observation = np.zeros((2, *spaces.observation_shape), spaces.observation_dtype)
    actor, is_squashed = networks.actor, isinstance(networks.head, Squashed)
    returned = "(mean, raw log_std), each [B, A]" if is_squashed else "actions [B, A] in [-1, 1]"
    called_so = f"it is called as actor(observation), and must return {returned}"
    with naming_part("actor", called_so):
        output: Any = actor.infer(actor.initial, observation)
    parts, wanted = output if isinstance(output, tuple) else (output,), (2, spaces.action.size)
    if len(parts) != 1 + is_squashed:
        raise UserError(f"the actor returns {counted(len(parts), 'tensor')} - {called_so}")
    for part in parts:
        if tuple(part.shape) != wanted:
            raise UserError(
                f"the actor returns shape {tuple(part.shape)} for 2 observations - "
                f"it must return {wanted}"
            )


def _check_critic(networks: Networks, spaces: Spaces, num_outputs: int) -> None:
    """The same for the user's critics, each of which predicts that many numbers."""
    observation = np.zeros((2, *spaces.observation_shape), spaces.observation_dtype)
    shape = () if num_outputs == 1 else (num_outputs,)
    wanted, returned = (2, *shape), "[B]" if num_outputs == 1 else f"[B, {num_outputs}]"
    critic, called_so = networks.critic, "it is called as critic(observation, action)"
    with naming_part("critic", f"{called_so}, and must return values {returned}"):
        observed = as_tensors(observation, torch.device("cpu"))
        value = critic(critic.initial, observed, torch.zeros(2, spaces.action.size))
    if tuple(value.shape)[1:] != wanted:
        raise UserError(
            f"the critic returns shape {tuple(value.shape)[1:]} for 2 observations - "
            f"it must return {wanted}"
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


def replay_buffer(algorithm: OffPolicy, num_envs: int) -> Replay | FrameReplay | PrioritizedReplay:
    """The replay buffer; with priorities if the config has them."""
    config = algorithm.config
    replay = replay_for(algorithm.spaces, num_envs, config)
    return prioritized(replay, config.prioritization if isinstance(config, Priorities) else "none")


def new_memory(algorithm: OffPolicy, num_envs: int) -> Memory:
    """The acting memory at the start of an episode: the last value of the noise."""
    return new_walk(num_envs, algorithm.networks.num_actions, False)


class OffPolicyCritic(Protocol):
    """What `critics_of` needs of an algorithm."""

    @property
    def config(self) -> Any:
        """Its hyperparameters: `OffPolicyNetworks` and `Priorities`."""

    @property
    def networks(self) -> Networks:
        """Its architectures."""


def critics_of(algorithm: OffPolicyCritic) -> Critics:
    """The critics, with what they predict and how they are trained."""
    config = algorithm.config
    return Critics(algorithm.networks.critic, config, config, uses_batches(config.norm))


class Delayed(Protocol):
    """An algorithm whose actor is updated less often than its critics."""

    @property
    def config(self) -> Any:
        """Its hyperparameters, with a `policy_delay`."""

    def update_critic(self, state: Any, batch: Batch, noise: Noise) -> Outcome:
        """One step of the critics."""

    def update_critic_and_actor(self, state: Any, batch: Batch, noise: Noise) -> Outcome:
        """One step of everything."""


def delayed_updates(algorithm: Delayed) -> Mapping[str, Callable[..., Outcome]]:
    """An update of everything, and, with a `policy_delay` above 1, one of the critics alone."""
    updates = {"critic_and_actor": algorithm.update_critic_and_actor}
    if algorithm.config.policy_delay > 1:
        updates["critic"] = algorithm.update_critic
    return updates


def delayed_update_for(algorithm: Delayed, due: Minibatch) -> str:
    """Every `policy_delay`th update includes the actor."""
    return "critic" if due.number % algorithm.config.policy_delay else "critic_and_actor"
