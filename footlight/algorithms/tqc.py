"""Truncated quantile critics: SAC whose critics predict quantiles of the return, the largest of
which the target leaves out (Kuznetsov et al. 2020, arXiv:2005.04269).

A set of values of `sac.py`; the critics are `Quantiles` in `critics.py`. The paper drops fewer or
more quantiles on some tasks (`dropped_quantiles`: 0 on HalfCheetah, 5 on Hopper).
"""

from dataclasses import dataclass

from footlight.algorithms.network_settings import ActorRule, CriticKind
from footlight.algorithms.sac import SAC
from footlight.algorithms.sac import Config as SACConfig
from footlight.config.fields import Count, LayerSizes, OptionalLayerSizes

__all__ = ["SAC", "Config"]


@dataclass(frozen=True, kw_only=True)
class Config(SACConfig):
    """Hyperparameters of TQC."""

    critic: CriticKind = "quantile"
    num_critics: Count = 5
    hidden_sizes: LayerSizes = (512, 512, 512)
    actor_hidden_sizes: OptionalLayerSizes = (256, 256)
    actor_rule: ActorRule = "mean"
