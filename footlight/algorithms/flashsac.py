"""FlashSAC: SAC with residual networks, batch normalization, weights of constant norm and
categorical critics (arXiv:2604.04539).

A set of values of `sac.py`. Departures from the paper: the actor's batch normalization sees the
states s, not s and s', and the actor is updated after the critics, not before.
"""

from dataclasses import dataclass

from footlight.algorithms.network_settings import Body, CriticKind
from footlight.algorithms.sac import SAC
from footlight.algorithms.sac import Config as SACConfig
from footlight.config.fields import (
    Count,
    CountOrZero,
    Fraction,
    LayerSizes,
    OptionalLayerSizes,
    OptionalPositive,
    Positive,
)
from footlight.equations.distributions import LogStdBound
from footlight.equations.optimizers import Schedule
from footlight.networks.initialization import Initialization
from footlight.networks.norms import Norm
from footlight.networks.unit_weights import UnitWeights

__all__ = ["SAC", "Config"]


@dataclass(frozen=True, kw_only=True)
class Config(SACConfig):
    """Hyperparameters of FlashSAC."""

    body: Body = "residual-post-norm"
    norm: Norm = "batch"
    normalize_input: bool = True
    unit_weights: UnitWeights = "all-and-norms"
    initialization: Initialization = "orthogonal"
    hidden_sizes: LayerSizes = (256, 256)
    actor_hidden_sizes: OptionalLayerSizes = (128, 128)
    critic: CriticKind = "categorical"
    normalize_rewards: bool = True
    clip_normalized_reward: OptionalPositive = None
    max_normalized_return: OptionalPositive = 5.0
    log_std: LogStdBound = "rescaled-wide"
    hold_noise: bool = True
    initial_alpha: Positive = 0.01
    target_entropy_per_action: float = -0.4782  # ln(2 pi e 0.15^2) / 2: of a Gaussian with sd 0.15
    policy_delay: Count = 2
    delay_targets: bool = False
    tau: Fraction = 0.01
    batch_size: Count = 512
    learning_rate_schedule: Schedule = "cosine"
    final_learning_rate: Fraction = 0.5
    learning_starts: CountOrZero = 10_000
