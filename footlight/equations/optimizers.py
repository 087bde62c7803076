"""Optimisers and target averages on flat parameter vectors. They change their first argument in place."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Adam:
    """Adam's memory for a vector of P parameters."""

    first_moment: Tensor  # [P]
    second_moment: Tensor  # [P]
    first_bias: Tensor  # [1], 0.9 ** steps taken
    second_bias: Tensor  # [1], 0.999 ** steps taken

    @staticmethod
    def zeros_like(parameters_P: Tensor) -> "Adam":
        """The memory before the first step."""
        zeros, one = torch.zeros_like(parameters_P), torch.ones(1, device=parameters_P.device)
        return Adam(zeros, zeros.clone(), one, one.clone())


def adam_step(parameters_P: Tensor, gradient_P: Tensor, memory: Adam, learning_rate: float, epsilon: float = 1e-8) -> None:
    """One Adam step, in place (Kingma & Ba 2015, algorithm 1, with betas 0.9 and 0.999).

    The powers of the bias corrections are kept, not computed: a compiler computes them anew for every few parameters.
    """
    memory.first_bias.mul_(0.9)
    memory.second_bias.mul_(0.999)
    memory.first_moment.mul_(0.9).add_(gradient_P, alpha=0.1)
    memory.second_moment.mul_(0.999).addcmul_(gradient_P, gradient_P, value=0.001)
    step_size = learning_rate / (1 - memory.first_bias)
    root = (memory.second_moment / (1 - memory.second_bias)).sqrt()
    parameters_P.sub_(memory.first_moment * step_size / (root + epsilon))


def polyak_(target_P: Tensor, online_P: Tensor, tau: float) -> None:
    """target <- (1 - tau) target + tau online, in place (Lillicrap et al. 2015, algorithm 1)."""
    target_P.lerp_(online_P, tau)
