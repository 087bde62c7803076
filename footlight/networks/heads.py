"""Action heads: what a network's outputs say about actions. All on-policy methods share them.

A head has two sides. Acting (`mode`, `sample`, `to_unit`) is NumPy on one or a few observations; learning (`log_prob`, `entropy`)
is tensors in a compiled graph. In between travels the action as it was drawn: the choices of a categorical, or the number that a
Gaussian gave before it was squashed or cut off at the bounds, because that is what its density is about.
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
_ALMOST_ONE = (
    1 - 1e-6
)  # an action from elsewhere may lie on a bound, where tanh has no finite inverse


class ActionHead(Protocol):
    """How a policy network's outputs become actions in [-1, 1], or choices counted from 0."""

    def to_unit(self, drawn_EA: Array) -> Array:
        """Actions as drawn -> what is rescaled for the environment: in [-1, 1], or choices counted from 0."""

    def from_unit(self, unit_EA: Array) -> Array:
        """The inverse of `to_unit`, for actions that came from elsewhere."""

    def unit_mode(self, output_BH: Tensor) -> Tensor:
        """The most likely actions [B, A], as `to_unit` returns them, in torch."""


class Head(ActionHead, Protocol):
    """The meaning of the H outputs of a policy network that has a density."""

    @property
    def num_outputs(self) -> int:
        """H."""

    @property
    def noise_size(self) -> int:
        """Standard normal numbers per row that `entropy` takes; 0 where it has a closed form."""

    def mode(self, output_EH: Array) -> Array:
        """The most likely actions [E, A], as drawn."""

    def sample(self, output_EH: Array, stream: np.random.Generator) -> Array:
        """Actions [E, A], as drawn."""

    def log_prob(self, output_BH: Tensor, drawn_BA: Tensor) -> Tensor:
        """Log-probability (density for continuous actions) [B]."""

    def entropy(self, output_BH: Tensor, noise_BA: Tensor) -> Tensor:
        """Entropy in nats [B]."""

    def diagnose(self, output_BH: Tensor) -> Diagnosis:
        """The policy in numbers to look at: its entropy, and probabilities, or mean and standard deviation."""


@dataclass(frozen=True)
class Bounded:
    """Actions that networks give in [-1, 1] already."""

    def to_unit(self, drawn_EA: Array) -> Array:
        """Nothing to do."""
        return drawn_EA

    def from_unit(self, unit_EA: Array) -> Array:
        """Nothing to do."""
        return unit_EA

    def unit_mode(self, output_BH: Tensor) -> Tensor:
        """The outputs themselves."""
        return output_BH


@dataclass(frozen=True)
class Squashed(Bounded):
    """Actions in [-1, 1] from a network whose first output is their mean before tanh."""

    def unit_mode(self, output_BH: Tensor) -> Tensor:
        """tanh(mean)."""
        return output_BH.tanh()


@dataclass(frozen=True)
class Categorical:
    """A choice, or several independent ones, by softmax."""

    sizes: tuple[int, ...]

    @property
    def noise_size(self) -> int:
        """None."""
        return 0

    @property
    def num_outputs(self) -> int:
        """One logit for each option of each choice."""
        return sum(self.sizes)

    def mode(self, output_EH: Array) -> Array:
        """The most likely choices."""
        return self._best(output_EH)

    def sample(self, output_EH: Array, stream: np.random.Generator) -> Array:
        """Choices, by the Gumbel trick: argmax(logit - log E) with E standard exponential has the softmax's probabilities."""
        exponential_EH = stream.standard_exponential(output_EH.shape, dtype=np.float32)
        return self._best(output_EH - np.log(np.maximum(exponential_EH, _SMALLEST)))

    def _best(self, score_EH: Array) -> Array:
        if len(self.sizes) == 1:
            return score_EH.argmax(1)[:, None]
        ends = np.cumsum(self.sizes)
        return np.stack(
            [
                score_EH[:, end - size : end].argmax(1)
                for end, size in zip(ends, self.sizes, strict=True)
            ],
            1,
        )

    def to_unit(self, drawn_EA: Array) -> Array:
        """Nothing to do."""
        return drawn_EA

    def from_unit(self, unit_EA: Array) -> Array:
        """Nothing to do."""
        return unit_EA

    def unit_mode(self, output_BH: Tensor) -> Tensor:
        """The most likely choices."""
        parts = torch.split(output_BH, list(self.sizes), 1)
        return torch.stack([logits.argmax(1) for logits in parts], 1)

    def log_prob(self, output_BH: Tensor, drawn_BA: Tensor) -> Tensor:
        """log pi, summed over the choices."""
        return categorical_log_prob(output_BH, drawn_BA, self.sizes)

    def entropy(self, output_BH: Tensor, noise_BA: Tensor) -> Tensor:
        """Exact."""
        return categorical_entropy(output_BH, self.sizes)

    def diagnose(self, output_BH: Tensor) -> Diagnosis:
        """Probabilities of all options of all choices side by side."""
        parts = [logits.softmax(-1) for logits in torch.split(output_BH, list(self.sizes), -1)]
        return Diagnosis(
            entropy=categorical_entropy(output_BH, self.sizes), probabilities=torch.cat(parts, -1)
        )


@dataclass(frozen=True)
class Gaussian:
    """A diagonal Gaussian; outputs are mean and raw log standard deviation. What falls outside of [-1, 1] is cut off for the
    environment, and counts with its own density all the same."""

    num_actions: int

    @property
    def noise_size(self) -> int:
        """None."""
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
        mean, log_std = (
            output_EH[:, : self.num_actions],
            clamped_log_std(output_EH[:, self.num_actions :]),
        )
        drawn: Array = mean + np.exp(log_std) * stream.standard_normal(mean.shape, dtype=np.float32)
        return drawn

    def to_unit(self, drawn_EA: Array) -> Array:
        """Cut off at the bounds."""
        return np.minimum(np.maximum(drawn_EA, -1), 1)

    def from_unit(self, unit_EA: Array) -> Array:
        """As it is."""
        return unit_EA

    def unit_mode(self, output_BH: Tensor) -> Tensor:
        """The mean, cut off at the bounds."""
        return output_BH[:, : self.num_actions].clamp(-1, 1)

    def log_prob(self, output_BH: Tensor, drawn_BA: Tensor) -> Tensor:
        """log N(u; mean, sigma)."""
        mean, raw_log_std = output_BH.chunk(2, -1)
        return gaussian_log_prob(mean, clamped_log_std(raw_log_std), drawn_BA)

    def entropy(self, output_BH: Tensor, noise_BA: Tensor) -> Tensor:
        """Exact."""
        return gaussian_entropy(clamped_log_std(output_BH.chunk(2, -1)[1]))

    def diagnose(self, output_BH: Tensor) -> Diagnosis:
        """Mean and standard deviation before anything is cut off at the bounds."""
        mean, raw_log_std = output_BH.chunk(2, -1)
        log_std = clamped_log_std(raw_log_std)
        return Diagnosis(entropy=gaussian_entropy(log_std), mean=mean, std=log_std.exp())


@dataclass(frozen=True)
class SquashedGaussian(Gaussian):
    """a = tanh(u) with u from a diagonal Gaussian: never outside of the bounds."""

    @property
    def noise_size(self) -> int:
        """One for each dimension."""
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
        """The Gaussian's entropy + E[log(1 - tanh(u)^2)], the second term from one draw, through which its gradient runs."""
        mean, raw_log_std = output_BH.chunk(2, -1)
        log_std = clamped_log_std(raw_log_std)
        return gaussian_entropy(log_std) + log_tanh_slope(mean + log_std.exp() * noise_BA).sum(-1)

    def diagnose(self, output_BH: Tensor) -> Diagnosis:
        """The squashed mean, and half the width of what one standard deviation to each side becomes."""
        mean, raw_log_std = output_BH.chunk(2, -1)
        return squashed_diagnosis(mean, clamped_log_std(raw_log_std))


def squashed_diagnosis(mean_BA: Tensor, log_std_BA: Tensor) -> Diagnosis:
    """The policy a = tanh(u), u from N(mean, sigma), in numbers to look at."""
    low_BA, high_BA = (mean_BA - log_std_BA.exp()).tanh(), (mean_BA + log_std_BA.exp()).tanh()
    entropy_B = squashed_gaussian_entropy(mean_BA, log_std_BA)
    return Diagnosis(entropy=entropy_B, mean=mean_BA.tanh(), std=(high_BA - low_BA) / 2)


def head_for(action: BoxAction | DiscreteAction, continuous: ContinuousHead) -> Head:
    """The head for this action space; `continuous` says which where actions are continuous."""
    if isinstance(action, DiscreteAction):
        return Categorical(action.sizes)
    return (
        SquashedGaussian(action.size)
        if continuous == "squashed-gaussian"
        else Gaussian(action.size)
    )
