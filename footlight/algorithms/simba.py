"""SimBa: SAC with residual networks, layer normalization and normalized observations (Lee et al.
2025, ICLR, arXiv:2410.09754).

A set of values of `sac.py`; the blocks are in `networks/residual.py`. The paper uses a single
critic (`num_critics` 1) on tasks whose episodes end at a time limit only.
"""

from dataclasses import dataclass
from typing import Annotated

from footlight.algorithms.network_settings import Body
from footlight.algorithms.sac import SAC
from footlight.algorithms.sac import Config as SACConfig
from footlight.config.fields import (
    SCHEDULABLE,
    CountOrZero,
    LayerSizes,
    NonNegative,
    OptionalLayerSizes,
    Positive,
)
from footlight.equations.distributions import LogStdBound
from footlight.equations.optimizers import Kind
from footlight.networks.initialization import Initialization
from footlight.networks.norms import Norm

__all__ = ["SAC", "Config"]


@dataclass(frozen=True, kw_only=True)
class Config(SACConfig):
    """Hyperparameters of SimBa."""

    normalize_observations: bool = True
    body: Body = "residual"
    norm: Norm = "layer"
    hidden_sizes: LayerSizes = (512, 512)
    actor_hidden_sizes: OptionalLayerSizes = (128,)
    initialization: Initialization = "orthogonal"
    optimizer: Kind = "adamw"
    learning_rate: Annotated[Positive, SCHEDULABLE] = 1e-4
    weight_decay: NonNegative = 1e-2
    updates_per_step: NonNegative = 2.0
    log_std: LogStdBound = "rescaled-wide"
    initial_alpha: Positive = 0.01
    target_entropy_per_action: float = -0.5
    learning_starts: CountOrZero = 5_000
