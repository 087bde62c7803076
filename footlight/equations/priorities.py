"""Priorities of replayed transitions, and the losses that go with them."""

from torch import Tensor


def proportional_priority(error_B: Tensor, exponent: float, epsilon: float = 1e-6) -> Tensor:
    """p = (|delta| + epsilon)^alpha, shape [B]: a transition without error keeps a chance.

    Schaul et al. 2016, arXiv:1511.05952, section 3.3, the proportional variant.
    """
    return (error_B.abs() + epsilon).pow(exponent)


def importance_weights(relative_probability_B: Tensor, exponent: float | Tensor) -> Tensor:
    """w = (N P(i))^-beta / max w, shape [B], with the largest weight of the minibatch.

    beta 1 makes up for the unequal probabilities, 0 not at all. Schaul et al. 2016, section 3.4
    and algorithm 1.
    """
    weight_B = relative_probability_B.pow(-exponent)
    return weight_B / weight_B.max()


def lap_priority(error_B: Tensor, exponent: float) -> Tensor:
    """p = max(|delta|, 1)^alpha, shape [B]: small errors are drawn uniformly.

    Loss-adjusted prioritized replay (LAP), Fujimoto et al. 2020, arXiv:2007.06049.
    """
    return error_B.abs().clamp(min=1).pow(exponent)


def huber(error: Tensor) -> Tensor:
    """delta^2 / 2 where |delta| <= 1, else |delta| - 1/2; the same shape.

    The derivative, delta cut to [-1, 1], times LAP's priority is that of a loss under uniform
    sampling: delta for small errors, |delta|^alpha sign(delta) for large ones. Huber 1964.
    """
    size = error.abs()
    cut = size.clamp(max=1)
    return cut * (size - cut / 2)
