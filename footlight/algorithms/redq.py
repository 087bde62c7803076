"""REDQ: SAC with many updates per step, and targets from a random pair of ten critics (Chen et al.
2021, ICLR, arXiv:2101.05982).

A set of values of `sac.py`: of the updates of a step, one includes the actor.
"""

from dataclasses import dataclass

from footlight.algorithms.network_settings import ActorRule, TargetRule
from footlight.algorithms.sac import SAC
from footlight.algorithms.sac import Config as SACConfig
from footlight.config.fields import Count, CountOrZero, NonNegative

__all__ = ["SAC", "Config"]


@dataclass(frozen=True, kw_only=True)
class Config(SACConfig):
    """Hyperparameters of REDQ."""

    num_critics: Count = 10
    target_rule: TargetRule = "subset"
    subset_size: Count = 2
    actor_rule: ActorRule = "mean"
    updates_per_step: NonNegative = 20.0
    policy_delay: Count = 20
    delay_targets: bool = False
    learning_starts: CountOrZero = 5_000
