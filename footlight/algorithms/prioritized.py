"""The critics' loss and the priorities of the replayed transitions, by `prioritization`."""

from torch import Tensor

from footlight.algorithms.settings import Priorities
from footlight.buffers.mixed import PrioritizedMixedBatch
from footlight.buffers.prioritized import PrioritizedBatch
from footlight.equations.priorities import (
    huber,
    importance_weights,
    lap_priority,
    proportional_priority,
)
from footlight.types import Batch, MixedBatch

ReplayedBatch = Batch | PrioritizedBatch | MixedBatch | PrioritizedMixedBatch


def td_loss(config: Priorities, batch: ReplayedBatch, progress: Tensor, error_NB: Tensor) -> Tensor:
    """Sum over the critics of the mean over the rows of delta^2, a scalar.

    With `prioritization` proportional the rows are weighted: w delta^2, where beta rises linearly
    to 1 with the progress of the run. With lap it is Huber's loss.
    """
    if config.prioritization == "lap":
        return huber(error_NB).mean(1).sum()
    return weighted(config, batch, progress, error_NB.square()).mean(1).sum()


def weighted(config: Priorities, batch: ReplayedBatch, progress: Tensor, loss_NB: Tensor) -> Tensor:
    """The loss of each row, multiplied by its weight where the batch was drawn in proportion."""
    if not isinstance(batch, PrioritizedBatch | PrioritizedMixedBatch):
        return loss_NB
    beta = config.importance_exponent + (1 - config.importance_exponent) * progress
    return importance_weights(batch.relative_probability, beta) * loss_NB


def new_priorities(config: Priorities, error_NB: Tensor) -> Tensor | None:
    """Priorities [B] from the critics' errors; None without prioritization.

    Of several critics the proportional variant takes the mean |delta|, LAP the largest, as its
    authors' code does.
    """
    if config.prioritization == "none":
        return None
    if config.prioritization == "lap":
        return lap_priority(error_NB.abs().amax(0), config.exponent_of_priority)
    return proportional_priority(error_NB.abs().mean(0), config.exponent_of_priority)
