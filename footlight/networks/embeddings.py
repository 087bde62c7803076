"""Encoders of states and of state-action pairs, and the actor and critic that see their embeddings
(Fujimoto et al. 2023, arXiv:2306.02451, TD7).

Each network flattens observations itself: as one array of numbers, or leaf by leaf.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from footlight.networks import bodies
from footlight.networks.bodies import Architecture, mlp
from footlight.networks.combined import Combined
from footlight.networks.initialization import initialize
from footlight.trees import Leaf

SMALLEST_MEAN = 1e-8


def average_l1_norm(x: Tensor) -> Tensor:
    """AvgL1Norm, x / max(mean |x|, 1e-8) over the features [..., F]: the mean of |x| becomes 1, and
    features that are all 0 stay."""
    x = x.float()  # sums are fp32, whatever the precision of the products
    return x / x.abs().mean(-1, keepdim=True).clamp(min=SMALLEST_MEAN)


class Flattened(nn.Module):
    """Convert observations [B, ...] of any dtype to float features [B, O]."""

    def forward(self, observation: Tensor) -> Tensor:
        """Bytes are scaled to [0, 1]."""
        return bodies.as_features(observation)


@dataclass(frozen=True)
class EmbeddingShapes:
    """The shapes that the networks have in common."""

    num_observed: int
    """Numbers of an observation of one array; unused with `leaves`."""
    num_actions: int
    size: int
    """Numbers of an embedding, and of the normalized features beside it."""
    architecture: Architecture
    """Of encoders and critics."""
    of_actor: Architecture
    leaves: Mapping[str, Leaf]
    """Leaves of a Dict, choices, or images, which are encoded one by one; {} for numbers."""

    def features(self) -> tuple[Flattened | Combined, int]:
        """A module from observations to features [B, O], and O."""
        if not self.leaves:
            return Flattened(), self.num_observed
        found = Combined(self.leaves)
        initialize(found.images, self.architecture.initialization, has_output=False)
        return found, found.num_features

    def first(self, num_inputs: int) -> nn.Linear:
        """The linear layer of an actor or critic whose output is normalized."""
        layer = nn.Linear(num_inputs, self.size)
        initialize([layer], self.architecture.initialization, has_output=False)
        return layer


class StateEncoder(nn.Module):
    """f: an embedding of the state, z_s."""

    def __init__(self, shapes: EmbeddingShapes) -> None:
        super().__init__()
        self.features, num_features = shapes.features()
        self.body = mlp((num_features,), shapes.size, shapes.architecture)

    def forward(self, observation: Tensor) -> Tensor:
        """z_s, [B, Z]."""
        return average_l1_norm(self.body(self.features(observation)))


class ActionEncoder(nn.Module):
    """g: an embedding of the state and the action, z_sa, which predicts that of the next state."""

    def __init__(self, shapes: EmbeddingShapes) -> None:
        super().__init__()
        self.body = mlp((shapes.size + shapes.num_actions,), shapes.size, shapes.architecture)

    def forward(self, embedding: Tensor, action: Tensor) -> Tensor:
        """z_sa, [B, Z], of z_s and a."""
        output: Tensor = self.body(torch.cat([embedding, action], -1))
        return output


class EmbeddedCritic(nn.Module):
    """Q(s, a), which also sees both embeddings."""

    def __init__(self, shapes: EmbeddingShapes) -> None:
        super().__init__()
        self.features, num_features = shapes.features()
        self.first = shapes.first(num_features + shapes.num_actions)
        self.body = mlp((3 * shapes.size,), 1, shapes.architecture)

    def forward(
        self, observation: Tensor, action: Tensor, state_embedding: Tensor, pair_embedding: Tensor
    ) -> Tensor:
        """Values, [B], of s, a, z_s and z_sa."""
        own = self.first(torch.cat([self.features(observation), action], -1))
        parts = [average_l1_norm(own), pair_embedding, state_embedding]
        output: Tensor = self.body(torch.cat(parts, -1))
        return output.squeeze(-1)


class EmbeddedActor(nn.Module):
    """A deterministic actor that also sees z_s, and the encoder that it takes it from.

    The encoder's parameters come first, so that a vector of the actor's parameters begins with one
    of a `StateEncoder`'s.
    """

    def __init__(self, shapes: EmbeddingShapes) -> None:
        super().__init__()
        self.encoder = StateEncoder(shapes)
        self.features, num_features = shapes.features()
        self.first = shapes.first(num_features)
        self.body = mlp((2 * shapes.size,), shapes.num_actions, shapes.of_actor)

    def forward(self, observation: Tensor, embedding: Tensor | None = None) -> Tensor:
        """Actions, [B, A] in [-1, 1]. embedding: z_s; None: that of the own encoder."""
        embedding = self.encoder(observation) if embedding is None else embedding
        own = average_l1_norm(self.first(self.features(observation)))
        output: Tensor = self.body(torch.cat([own, embedding], -1))
        return output.tanh()
