"""Optimizers, gradient clipping and target averages on flat parameter vectors. Steps change their
first argument in place.

A step along a gradient that is not finite is skipped: parameters and memory stay as they are, and
the returned norm is not finite.
"""

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

StepSize = float | Tensor
"""One number, or a tensor that broadcasts to [P]: a schedule's value, a step size for each
parameter."""
Kind = Literal["adam", "adamw", "rmsprop", "rmsprop-tf", "sgd"]
Schedule = Literal["constant", "linear", "cosine"]


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    """An optimizer: clipping, weight decay, update rule and learning-rate schedule. A value; its
    moments are in a `Memory`, which is part of the learner's state."""

    kind: Kind = "adam"
    """Adam, Adam with decoupled weight decay, RMSprop, RMSprop in TensorFlow's form (epsilon under
    the root, a memory that begins at 1), or plain gradient descent."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Decay rates of Adam's two moments."""
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    max_grad_norm: float | None = None
    schedule: Schedule = "constant"
    final_share: float = 0.0
    """What a schedule leaves of the learning rate at the end."""

    def init(self, parameters_P: Tensor) -> "Memory":
        """The memory before the first step."""
        if self.kind in ("adam", "adamw"):
            return Adam.zeros_like(parameters_P)
        if self.kind == "sgd":
            return SGD.zeros_like(parameters_P)
        is_tf = self.kind == "rmsprop-tf"
        return RMSprop.ones_like(parameters_P) if is_tf else RMSprop.zeros_like(parameters_P)

    def step(
        self, parameters_P: Tensor, gradient_P: Tensor, memory: "Memory", learning_rate: StepSize,
        progress: Tensor, trained_P: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """One step against the gradient, in place. Return the gradient's norm, before clipping.

        progress: share of the run that is over, for the schedule. trained_P: 1 for the parameters
        that the loss depends on, 0 for others, which weight decay then leaves alone; None: all.
        """
        gradient_P, norm = clipped(gradient_P, self.max_grad_norm)
        learning_rate = scheduled(learning_rate, self.schedule, progress, self.final_share)
        weight_decay: float | Tensor = self.weight_decay
        if self.weight_decay and trained_P is not None:
            weight_decay = self.weight_decay * trained_P.to(parameters_P)
        if self.weight_decay and self.kind != "adamw":
            gradient_P = gradient_P + weight_decay * parameters_P
        if isinstance(memory, Adam):
            decay = weight_decay if self.kind == "adamw" else 0.0
            adam_step(
                parameters_P, gradient_P, memory, learning_rate, self.epsilon, decay, self.betas
            )
        elif isinstance(memory, SGD):
            sgd_step(parameters_P, gradient_P, memory, learning_rate)
        else:
            is_tf = self.kind == "rmsprop-tf"
            rmsprop_step(
                parameters_P, gradient_P, memory, learning_rate, self.epsilon, epsilon_inside=is_tf
            )
        return norm


def scheduled(
    learning_rate: StepSize, schedule: Schedule, progress: Tensor, final: float = 0.0
) -> StepSize:
    """The learning rate at this point of the run: constant, falling linearly, or along half a
    cosine (Loshchilov & Hutter 2017, eq. 5, without restarts), to the share `final` of itself."""
    if schedule == "linear":
        return learning_rate * (1 - (1 - final) * progress)
    if schedule == "cosine":
        return learning_rate * (final + (1 - final) * (0.5 * (1 + (math.pi * progress).cos())))
    return learning_rate


@dataclass
class Adam:
    """Adam's memory for a vector of P parameters."""

    first_moment: Tensor  # [P]
    second_moment: Tensor  # [P]
    first_bias: Tensor  # [1], beta_1 ** steps taken
    second_bias: Tensor  # [1], beta_2 ** steps taken
    gradient: Tensor | None = None  # [P], the last one, where it is to be looked at

    @staticmethod
    def zeros_like(parameters_P: Tensor) -> "Adam":
        """The memory before the first step."""
        zeros, one = torch.zeros_like(parameters_P), torch.ones(1, device=parameters_P.device)
        return Adam(zeros, zeros.clone(), one, one.clone())


def adam_step(
    parameters_P: Tensor, gradient_P: Tensor, memory: Adam, learning_rate: StepSize,
    epsilon: float = 1e-8, weight_decay: float | Tensor = 0.0,
    betas: tuple[float, float] = (0.9, 0.999),
) -> Tensor:  # fmt: skip
    """One Adam step, in place (Kingma & Ba 2015, algorithm 1). Return the gradient's norm.

    `weight_decay` is decoupled from the gradient (Loshchilov & Hutter 2019, algorithm 2, AdamW):
    the parameters also shrink by learning_rate * weight_decay of themselves. The powers of the bias
    corrections are stored, not computed: a compiler would recompute them for every few parameters.
    """
    norm = gradient_norm(gradient_P)
    (beta_1, beta_2), (rest_1, rest_2) = betas, (_one_minus(beta) for beta in betas)
    first_bias, second_bias = memory.first_bias * beta_1, memory.second_bias * beta_2
    first_moment = (memory.first_moment * beta_1).add(gradient_P, alpha=rest_1)
    second_moment = (memory.second_moment * beta_2).addcmul(gradient_P, gradient_P, value=rest_2)
    step_size = learning_rate / (1 - first_bias)
    root = (second_moment / (1 - second_bias)).sqrt()
    kept_P = parameters_P
    if isinstance(weight_decay, Tensor) or weight_decay:
        kept_P = parameters_P - learning_rate * weight_decay * parameters_P
    _take(norm, parameters_P, kept_P - first_moment * step_size / (root + epsilon))
    _take(norm, memory.first_moment, first_moment)
    _take(norm, memory.second_moment, second_moment)
    _take(norm, memory.first_bias, first_bias)
    _take(norm, memory.second_bias, second_bias)
    if memory.gradient is not None:
        memory.gradient.copy_(gradient_P)
    return norm


def _one_minus(beta: float) -> float:
    """1 - beta without its rounding error: 0.1, not 0.09999999999999998."""
    return round(1 - beta, 12)


def gradient_norm(gradient_P: Tensor) -> Tensor:
    """Euclidean; not finite where any number of the gradient is not."""
    return gradient_P.square().sum().sqrt()


def _take(norm: Tensor, old: Tensor, new: Tensor) -> None:
    """Put `new` into `old` where the gradient's norm is finite."""
    old.copy_(torch.where(norm.isfinite(), new, old))


@dataclass
class RMSprop:
    """RMSprop's memory for a vector of P parameters."""

    second_moment: Tensor  # [P]
    gradient: Tensor | None = None  # [P], the last one, where it is to be looked at

    @staticmethod
    def zeros_like(parameters_P: Tensor) -> "RMSprop":
        """The memory before the first step."""
        return RMSprop(torch.zeros_like(parameters_P))

    @staticmethod
    def ones_like(parameters_P: Tensor) -> "RMSprop":
        """The memory before the first step of TensorFlow's form, whose first steps are small."""
        return RMSprop(torch.ones_like(parameters_P))


def rmsprop_step(
    parameters_P: Tensor, gradient_P: Tensor, memory: RMSprop, learning_rate: StepSize,
    epsilon: float, decay: float = 0.99, epsilon_inside: bool = False,
) -> Tensor:  # fmt: skip
    """One RMSprop step, in place (Tieleman & Hinton 2012): v <- decay v + (1 - decay) g^2, w <- w -
    alpha g / (sqrt(v) + epsilon), or g / sqrt(v + epsilon), as in Mnih et al. 2016 and TensorFlow,
    where epsilon stands inside. Return the gradient's norm."""
    norm = gradient_norm(gradient_P)
    v = (memory.second_moment * decay).addcmul(gradient_P, gradient_P, value=1 - decay)
    root = (v + epsilon).sqrt() if epsilon_inside else v.sqrt() + epsilon
    _take(norm, parameters_P, parameters_P - learning_rate * gradient_P / root)
    _take(norm, memory.second_moment, v)
    if memory.gradient is not None:
        memory.gradient.copy_(gradient_P)
    return norm


@dataclass
class SGD:
    """State of plain gradient descent for P parameters: only the last gradient, for inspection."""

    gradient: Tensor  # [P]

    @staticmethod
    def zeros_like(parameters_P: Tensor) -> "SGD":
        """The memory before the first step."""
        return SGD(torch.zeros_like(parameters_P))


Memory = Adam | RMSprop | SGD


def sgd_step(
    parameters_P: Tensor, gradient_P: Tensor, memory: SGD, learning_rate: StepSize
) -> Tensor:
    """One step of stochastic gradient descent without momentum, in place: w <- w - alpha g. Return
    the gradient's norm."""
    norm = gradient_norm(gradient_P)
    _take(norm, parameters_P, parameters_P - learning_rate * gradient_P)
    memory.gradient.copy_(gradient_P)
    return norm


def clipped(gradient_P: Tensor, max_norm: float | None) -> tuple[Tensor, Tensor]:
    """The gradient, scaled down to the norm `max_norm` where its own is larger, and its own norm
    (Pascanu et al. 2013)."""
    norm = gradient_norm(gradient_P)
    if max_norm is None:
        return gradient_P, norm
    return gradient_P * (max_norm / (norm + 1e-6)).clamp(max=1.0), norm


def bounded_step_size(step_size: float, kappa: float, delta: Tensor, trace_norm: Tensor) -> Tensor:
    """alpha' = alpha / max(1, alpha kappa max(|delta|, 1) ||z||_1), a scalar.

    The step size of overshooting-bounded gradient descent (Elsayed et al. 2024, algorithm 3): with
    it a step alpha' delta z along the trace z does not pass the point where the error delta is 0.
    `trace_norm` is the sum of the trace's absolute values.
    """
    return step_size / (step_size * kappa * delta.abs().clamp(min=1.0) * trace_norm).clamp(min=1.0)


def polyak_(target_P: Tensor, online_P: Tensor, tau: float) -> None:
    """target <- (1 - tau) target + tau online, in place (Lillicrap et al. 2015, algorithm 1)."""
    target_P.lerp_(online_P, tau)


def follow_(target_P: Tensor | None, online_P: Tensor, tau: float) -> None:
    """`polyak_`, where there is a target."""
    if target_P is not None:
        polyak_(target_P, online_P, tau)


def make_room_for_gradients(state: Any) -> None:
    """Have every optimizer in the state keep its last gradient, as it was applied (after
    clipping)."""
    for _, memory in memories(state):
        if memory.gradient is None:
            memory.gradient = torch.zeros_like(memory.second_moment)


def memories(state: Any) -> Iterator[tuple[str, Any]]:
    """The optimizers' memories among the fields of the state."""
    for field in dataclasses.fields(state):
        value = getattr(state, field.name)
        if isinstance(value, Memory):
            yield field.name, value
