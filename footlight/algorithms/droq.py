"""DroQ: SAC with many updates per step, and two critics with dropout and layer normalization in the
place of REDQ's ten (Hiraoka et al. 2022, ICLR, arXiv:2110.02034).

A set of values of `sac.py`: of the updates of a step, one includes the actor.
"""

from dataclasses import dataclass

from footlight.algorithms.network_settings import ActorRule, Probability
from footlight.algorithms.sac import SAC
from footlight.algorithms.sac import Config as SACConfig
from footlight.config.fields import Count, CountOrZero, NonNegative
from footlight.networks.norms import Norm

__all__ = ["SAC", "Config"]


@dataclass(frozen=True, kw_only=True)
class Config(SACConfig):
    """Hyperparameters of DroQ."""

    dropout: Probability = 0.01
    norm: Norm = "layer"
    normalize_actor: bool = False
    actor_rule: ActorRule = "mean"
    updates_per_step: NonNegative = 20.0
    policy_delay: Count = 20
    delay_targets: bool = False
    learning_starts: CountOrZero = 5_000
