"""XQC: SAC with batch normalization, weights of constant norm and categorical critics (Palenicek et
al. 2026, ICLR, arXiv:2509.25174).

A set of values of `sac.py`.
"""

from dataclasses import dataclass

from footlight.algorithms.network_settings import CriticKind
from footlight.algorithms.sac import SAC
from footlight.algorithms.sac import Config as SACConfig
from footlight.config.fields import (
    Count,
    CountOrZero,
    Fraction,
    LayerSizes,
    NonNegative,
    OptionalLayerSizes,
    OptionalPositive,
    Positive,
)
from footlight.equations.optimizers import Schedule
from footlight.networks.norms import Norm
from footlight.networks.unit_weights import UnitWeights

__all__ = ["SAC", "Config"]


@dataclass(frozen=True, kw_only=True)
class Config(SACConfig):
    """Hyperparameters of XQC."""

    norm: Norm = "batch"
    normalize_input: bool = True
    unit_weights: UnitWeights = "all"
    hidden_sizes: LayerSizes = (512, 512, 512, 512)
    actor_hidden_sizes: OptionalLayerSizes = (256, 256, 256, 256)
    critic: CriticKind = "categorical"
    normalize_rewards: bool = True
    clip_normalized_reward: OptionalPositive = None
    max_normalized_return: OptionalPositive = 5.0
    initial_alpha: Positive = 0.01
    target_entropy_per_action: float = -0.5
    policy_delay: Count = 3
    delay_targets: bool = False
    updates_per_step: NonNegative = 2.0
    learning_rate_schedule: Schedule = "linear"
    final_learning_rate: Fraction = 0.1
    learning_starts: CountOrZero = 5_000
