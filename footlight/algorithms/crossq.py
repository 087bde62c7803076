"""CrossQ: SAC without target networks, whose critics normalize (s, a) and (s', a') in one batch
(Bhatt et al. 2024, ICLR, arXiv:1902.05605).

A set of values of `sac.py`; the batch of both is `Critics.is_joint` in `critics.py`, and batch
renormalization is in `networks/norms.py`.
"""

from dataclasses import dataclass
from typing import Annotated

from footlight.algorithms.sac import SAC
from footlight.algorithms.sac import Config as SACConfig
from footlight.algorithms.settings import Decay
from footlight.config.fields import (
    SCHEDULABLE,
    Count,
    CountOrZero,
    LayerSizes,
    OptionalLayerSizes,
    Positive,
)
from footlight.networks.norms import Norm

__all__ = ["SAC", "Config"]


@dataclass(frozen=True, kw_only=True)
class Config(SACConfig):
    """Hyperparameters of CrossQ."""

    norm: Norm = "batch-renorm"
    norm_after_activation: bool = True
    normalize_input: bool = True
    target_network: bool = False
    hidden_sizes: LayerSizes = (2048, 2048)
    actor_hidden_sizes: OptionalLayerSizes = (256, 256)
    policy_delay: Count = 3
    delay_targets: bool = False
    learning_rate: Annotated[Positive, SCHEDULABLE] = 1e-3
    adam_beta1: Decay = 0.5
    learning_starts: CountOrZero = 5_000
