"""Action heads, which turn a policy network's outputs into distributions over actions.

Acting (`mode`, `sample`, `to_unit`) uses NumPy on one or a few observations; learning (`log_prob`,
`entropy`) uses tensors in a compiled graph. What is stored in between is the action as it was
drawn: the choices of a categorical, or the sample of a Gaussian before it is squashed or clipped,
since its density refers to that.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from footlight.equations.distributions import (
    categorical_entropy,
    categorical_log_prob,
    clamped_log_std,
    gaussian_entropy,
    gaussian_log_prob,
    log_tanh_slope,
    squashed_gaussian_entropy,
)  # fmt: skip
from footlight.types import Array, BoxAction, Diagnosis, DiscreteAction

ContinuousHead = Literal["gaussian", "state-dependent-gaussian", "squashed-gaussian"]

_SMALLEST = np.float32(2**-24)  # a draw may round to 0, which has no logarithm
# A user's action may lie on a bound, where tanh has no finite inverse
_ALMOST_ONE = 1 - 1e-6


class ActionHead(Protocol):
    """Conversion of a policy network's outputs to actions.

    Unit actions are those in [-1, 1], or choices counted from 0.
    """

    def to_unit(self, drawn_EA: Array) -> Array:
        """Convert actions as drawn to unit actions, which are then rescaled for the environment."""

    def from_unit(self, unit_EA: Array) -> Array:
        """The inverse of `to_unit`, for actions that the policy did not draw."""

    def unit_mode(self, output_BH: Tensor) -> Tensor:
        """The most likely unit actions [B, A], as tensors."""


class Head(ActionHead, Protocol):
    """The distribution over actions that H outputs of a policy network describe."""

    @property
    def num_outputs(self) -> int:
        """Number of outputs, H."""

    @property
    def noise_size(self) -> int:
        """Standard normal numbers per row that `entropy` takes; 0 if it has a closed form."""

    def mode(self, output_EH: Array) -> Array:
        """The most likely actions [E, A], as drawn."""

    def sample(self, output_EH: Array, stream: np.random.Generator) -> Array:
        """Random actions [E, A], as drawn."""

    def log_prob(self, output_BH: Tensor, drawn_BA: Tensor) -> Tensor:
        """Log-probabilities [B] (log-densities of continuous actions)."""

    def entropy(self, output_BH: Tensor, noise_BA: Tensor) -> Tensor:
        """Entropy in nats [B]."""

    def diagnose(self, output_BH: Tensor) -> Diagnosis:
        """Entropy, and either probabilities or mean and standard deviation, for display."""


@dataclass(frozen=True)
class Bounded:
    """Actions of a network whose outputs are in [-1, 1]."""

    def to_unit(self, drawn_EA: Array) -> Array:
        """Return the actions unchanged."""
        return drawn_EA

    def from_unit(self, unit_EA: Array) -> Array:
        """Return the actions unchanged."""
        return unit_EA

    def unit_mode(self, output_BH: Tensor) -> Tensor:
        """Return the outputs unchanged."""
        return output_BH


@dataclass(frozen=True)
class Squashed(Bounded):
    """Actions in [-1, 1] of a network whose first output is their mean before tanh."""

    def unit_mode(self, output_BH: Tensor) -> Tensor:
        """tanh(mean)."""
        return output_BH.tanh()


@dataclass(frozen=True)
class Categorical:
    """Softmax distribution over the options of one choice, or of several independent ones."""

    sizes: tuple[int, ...]

    @property
    def noise_size(self) -> int:
        """0: the entropy has a closed form."""
        return 0

    @property
    def num_outputs(self) -> int:
        """One logit for each option of each choice."""
        return sum(self.sizes)

    def mode(self, output_EH: Array) -> Array:
        """The most likely choices."""
        return self._best(output_EH)

    def sample(self, output_EH: Array, stream: np.random.Generator) -> Array:
        """Random choices, by the Gumbel-max trick.

        argmax(logit - log E) with E standard exponential has the softmax's probabilities.
        """
        noise_EH = stream.standard_exponential(output_EH.shape, dtype=np.float32)
        np.maximum(noise_EH, _SMALLEST, out=noise_EH)
        np.log(noise_EH, out=noise_EH)
        return self._best(output_EH - noise_EH)

    def _best(self, score_EH: Array) -> Array:
        if len(self.sizes) == 1:
            return score_EH.argmax(1)[:, None]
        ends = np.cumsum(self.sizes)
        columns = zip(ends, self.sizes, strict=True)
        return np.stack([score_EH[:, end - size : end].argmax(1) for end, size in columns], 1)

    def to_unit(self, drawn_EA: Array) -> Array:
        """Return the choices unchanged."""
        return drawn_EA

    def from_unit(self, unit_EA: Array) -> Array:
        """Return the choices unchanged."""
        return unit_EA

    def unit_mode(self, output_BH: Tensor) -> Tensor:
        """The most likely choices."""
        parts = torch.split(output_BH, list(self.sizes), 1)
        return torch.stack([logits.argmax(1) for logits in parts], 1)

    def log_prob(self, output_BH: Tensor, drawn_BA: Tensor) -> Tensor:
        """log pi, summed over the choices."""
        return categorical_log_prob(output_BH, drawn_BA, self.sizes)

    def entropy(self, output_BH: Tensor, noise_BA: Tensor) -> Tensor:
        """Exact entropy, summed over the choices."""
        return categorical_entropy(output_BH, self.sizes)

    def diagnose(self, output_BH: Tensor) -> Diagnosis:
        """Entropy, and the concatenated probabilities of all choices."""
        parts = [logits.softmax(-1) for logits in torch.split(output_BH, list(self.sizes), -1)]
        entropy_B = categorical_entropy(output_BH, self.sizes)
        return Diagnosis(entropy=entropy_B, probabilities=torch.cat(parts, -1))


@dataclass(frozen=True)
class Gaussian:
    """Diagonal Gaussian; the outputs are its mean and raw log standard deviation.

    Samples outside of [-1, 1] are clipped for the environment, but keep the density of the sample.
    """

    num_actions: int

    @property
    def noise_size(self) -> int:
        """0: the entropy has a closed form."""
        return 0

    @property
    def num_outputs(self) -> int:
        """Mean and raw log standard deviation for each dimension."""
        return 2 * self.num_actions

    def mode(self, output_EH: Array) -> Array:
        """The mean."""
        return output_EH[:, : self.num_actions]

    def sample(self, output_EH: Array, stream: np.random.Generator) -> Array:
        """mean + sigma * noise."""
        mean = output_EH[:, : self.num_actions]
        log_std = clamped_log_std(output_EH[:, self.num_actions :])
        drawn: Array = mean + np.exp(log_std) * stream.standard_normal(mean.shape, dtype=np.float32)
        return drawn

    def to_unit(self, drawn_EA: Array) -> Array:
        """Clip the actions to the bounds."""
        return np.minimum(np.maximum(drawn_EA, -1), 1)

    def from_unit(self, unit_EA: Array) -> Array:
        """Return the actions unchanged."""
        return unit_EA

    def unit_mode(self, output_BH: Tensor) -> Tensor:
        """The mean, clipped to the bounds."""
        return output_BH[:, : self.num_actions].clamp(-1, 1)

    def log_prob(self, output_BH: Tensor, drawn_BA: Tensor) -> Tensor:
        """log N(u; mean, sigma)."""
        mean, raw_log_std = output_BH.chunk(2, -1)
        return gaussian_log_prob(mean, clamped_log_std(raw_log_std), drawn_BA)

    def entropy(self, output_BH: Tensor, noise_BA: Tensor) -> Tensor:
        """Exact entropy of the unclipped Gaussian."""
        return gaussian_entropy(clamped_log_std(output_BH.chunk(2, -1)[1]))

    def diagnose(self, output_BH: Tensor) -> Diagnosis:
        """Entropy, mean and standard deviation of the unclipped Gaussian."""
        mean, raw_log_std = output_BH.chunk(2, -1)
        log_std = clamped_log_std(raw_log_std)
        return Diagnosis(entropy=gaussian_entropy(log_std), mean=mean, std=log_std.exp())


@dataclass(frozen=True)
class SquashedGaussian(Gaussian):
    """a = tanh(u) with u from a diagonal Gaussian, always within the bounds."""

    @property
    def noise_size(self) -> int:
        """One number per action dimension."""
        return self.num_actions

    def to_unit(self, drawn_EA: Array) -> Array:
        """tanh(u)."""
        return np.tanh(drawn_EA)

    def from_unit(self, unit_EA: Array) -> Array:
        """artanh(a)."""
        return np.arctanh(unit_EA * _ALMOST_ONE)

    def unit_mode(self, output_BH: Tensor) -> Tensor:
        """tanh(mean)."""
        return output_BH[:, : self.num_actions].tanh()

    def log_prob(self, output_BH: Tensor, drawn_BA: Tensor) -> Tensor:
        """log N(u) - log(1 - tanh(u)^2)."""
        return super().log_prob(output_BH, drawn_BA) - log_tanh_slope(drawn_BA).sum(-1)

    def entropy(self, output_BH: Tensor, noise_BA: Tensor) -> Tensor:
        """The Gaussian's entropy + E[log(1 - tanh(u)^2)].

        The expectation is estimated from one reparameterized sample.
        """
        mean, raw_log_std = output_BH.chunk(2, -1)
        log_std = clamped_log_std(raw_log_std)
        return gaussian_entropy(log_std) + log_tanh_slope(mean + log_std.exp() * noise_BA).sum(-1)

    def diagnose(self, output_BH: Tensor) -> Diagnosis:
        """Entropy, squashed mean and half-width, see `squashed_diagnosis`."""
        mean, raw_log_std = output_BH.chunk(2, -1)
        return squashed_diagnosis(mean, clamped_log_std(raw_log_std))


def squashed_diagnosis(mean_BA: Tensor, log_std_BA: Tensor) -> Diagnosis:
    """Diagnosis of the policy a = tanh(u) with u from N(mean, sigma).

    `std` is half the width of the interval mean ± sigma after squashing.
    """
    low_BA, high_BA = (mean_BA - log_std_BA.exp()).tanh(), (mean_BA + log_std_BA.exp()).tanh()
    entropy_B = squashed_gaussian_entropy(mean_BA, log_std_BA)
    return Diagnosis(entropy=entropy_B, mean=mean_BA.tanh(), std=(high_BA - low_BA) / 2)


def head_for(action: BoxAction | DiscreteAction, continuous: ContinuousHead) -> Head:
    """Create the head for this action space; `continuous` selects that of continuous actions."""
    if isinstance(action, DiscreteAction):
        return Categorical(action.sizes)
    if continuous == "squashed-gaussian":
        return SquashedGaussian(action.size)
    return Gaussian(action.size)
