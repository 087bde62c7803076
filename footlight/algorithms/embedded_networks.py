"""The networks of TD7: two encoders, an actor with an encoder of its own, and critics."""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from footlight.algorithms.on_policy import example
from footlight.config.fields import Count, LayerSizes
from footlight.networks.bodies import Activation, Architecture
from footlight.networks.combined import encoded_leaves, leaf_torso
from footlight.networks.embeddings import (
    ActionEncoder,
    EmbeddedActor,
    EmbeddedCritic,
    EmbeddingShapes,
    StateEncoder,
)
from footlight.networks.flat import Network, Precision
from footlight.networks.heads import ActionHead, Bounded
from footlight.networks.initialization import Initialization
from footlight.types import Spaces


@dataclass(frozen=True, kw_only=True)
class EmbeddedNetworksConfig:
    """Encoders, actor and critics."""

    hidden_sizes: LayerSizes = (256, 256)
    """Widths of the hidden layers of encoders, actor and critics; none: no hidden layers."""
    embedding_size: Count = 256
    """Numbers of an embedding, and of the normalized features beside it."""
    activation: Activation = "elu"
    """Activation after each hidden layer of encoders and critics."""
    actor_activation: Activation = "relu"
    """Activation after each hidden layer of the actor."""
    initialization: Initialization = "pytorch"
    """Initial weights: pytorch, kaiming (normal; last layer of each network uniform in ±3e-3),
    orthogonal or sparse."""
    precision: Precision = "fp32"
    """Precision of matrix products in hidden layers: fp32 or bf16. Last layers, parameters, sums,
    losses, optimizer and targets are fp32 in either case."""
    num_critics: Count = 2
    """Number of critics: their minimum is the target, and the actor follows their mean."""


@dataclass(frozen=True)
class EmbeddedNetworks:
    """Architectures; their parameters are in the state."""

    state_encoder: Network  # f(s), [B, Z]
    action_encoder: Network  # g(z_s, a), [B, Z]
    actor: Network  # pi(s, z_s), [B, A]; of s alone, it takes z_s from an encoder of its own
    critic: Network  # Q(s, a, z_s, z_sa), [N, B]
    num_actions: int
    head: ActionHead

    @property
    def policy(self) -> Network:
        """The actor."""
        return self.actor

    def encoder_of(self, actor_P: Tensor) -> Tensor:
        """The parameters of the actor's own encoder, a view of its first ones."""
        return actor_P[: self.state_encoder.initial.numel()]


def build_embedded_networks(config: EmbeddedNetworksConfig, spaces: Spaces) -> EmbeddedNetworks:
    """Encoders, an actor and an ensemble of critics, each with convolutions for images."""
    on_images = any(leaf_torso("auto", leaf) != "mlp" for leaf in spaces.observation.values())
    leaves = spaces.observation if on_images else encoded_leaves(spaces)
    num_actions = spaces.action.size
    of_actor = Architecture(
        config.hidden_sizes, config.actor_activation, initialization=config.initialization
    )
    shapes = EmbeddingShapes(
        num_observed=math.prod(spaces.observation_shape), num_actions=num_actions,
        size=config.embedding_size, leaves=leaves,
        architecture=replace(of_actor, activation=config.activation),
        of_actor=of_actor,
    )  # fmt: skip
    critics = [EmbeddedCritic(shapes) for _ in range(config.num_critics)]
    networks = EmbeddedNetworks(
        state_encoder=Network([StateEncoder(shapes)], precision=config.precision),
        action_encoder=Network([ActionEncoder(shapes)], precision=config.precision),
        actor=Network([EmbeddedActor(shapes)], precision=config.precision),
        critic=Network(critics, ensemble=True, precision=config.precision),
        num_actions=num_actions,
        head=Bounded(),
    )
    seen, action = example(spaces), torch.zeros(2, num_actions)
    embedding = torch.zeros(2, config.embedding_size)
    networks.state_encoder.keep_outputs_in_fp32(seen)
    networks.action_encoder.keep_outputs_in_fp32(embedding, action)
    networks.actor.keep_outputs_in_fp32(seen)
    networks.critic.keep_outputs_in_fp32(seen, action, embedding, embedding)
    return networks
