"""Hyperparameters of the networks of off-policy algorithms: bodies, and what the critics learn, of
which targets."""

from dataclasses import dataclass
from typing import Annotated, Literal

from footlight.algorithms.settings import (
    Normalization,
    OffPolicyOptimizer,
    OffPolicyReplay,
    Priorities,
)
from footlight.config.fields import (
    Count,
    CountOrZero,
    LayerSizes,
    OptionalLayerSizes,
    Positive,
    Range,
)
from footlight.errors import UserError
from footlight.networks.bodies import Activation
from footlight.networks.flat import Precision
from footlight.networks.initialization import Initialization
from footlight.networks.norms import Norm
from footlight.networks.unit_weights import UnitWeights

Probability = Annotated[float, Range(0, 1, open_high=True)]
TwoOrMore = Annotated[int, Range(2)]
Body = Literal["mlp", "residual", "residual-post-norm"]
CriticKind = Literal["scalar", "quantile", "categorical"]
TargetRule = Literal["minimum", "mean", "subset"]
ActorRule = Literal["minimum", "mean"]


@dataclass(frozen=True, kw_only=True)
class OffPolicyNetworks:
    """The actor and the critics of an off-policy algorithm."""

    hidden_sizes: LayerSizes = (256, 256)
    """Widths of the hidden layers of actor and critics; none: no hidden layers. Of residual blocks,
    the width of each, which is the same for all."""
    actor_hidden_sizes: OptionalLayerSizes = None
    """Widths of the actor's hidden layers; none: automatic, hidden_sizes."""
    body: Body = "mlp"
    """mlp (linear layers one after another), residual (blocks that add to their input what four
    times as wide a layer computes, with the normalization first, as in SimBa) or residual-post-norm
    (the same with a normalization after each layer, as in FlashSAC)."""
    activation: Activation = "relu"
    """Activation after each hidden layer."""
    norm: Norm = "none"
    """Normalization before each activation: layer, rms, batch, or batch-renorm. With the last two
    the critics see (s, a) and (s', a') in one batch, whose statistics they share (CrossQ).
    Convolutions support layer and rms only."""
    norm_after_activation: bool = False
    """Normalize after each activation instead of before it, as CrossQ does."""
    normalize_input: bool = False
    """Normalize the input of the networks in the same way."""
    normalize_actor: bool = True
    """Whether the actor is normalized, too; false: the critics only."""
    dropout: Probability = 0.0
    """Probability with which each hidden feature of the critics is zeroed in training."""
    unit_weights: UnitWeights = "none"
    """Layers whose rows of weights are scaled to norm 1 after each update: hidden, all, or
    all-and-norms (also scale and shift of batch normalization, and the scale of RMS normalization,
    to the root of their size). Hidden layers then have no bias."""
    initialization: Initialization = "pytorch"
    """Initial weights: pytorch, kaiming (normal; last layer uniform in ±3e-3), orthogonal or
    sparse."""
    precision: Precision = "fp32"
    """Precision of matrix products in hidden layers: fp32 or bf16. Last layers, parameters, sums,
    losses, optimizer and targets are fp32 in either case."""
    num_critics: Count = 2
    """Number of critics."""
    critic: CriticKind = "scalar"
    """What a critic predicts: scalar (the expected return), quantile (quantiles of the return) or
    categorical (probabilities of bins of returns, learned by cross-entropy)."""
    target_rule: TargetRule = "minimum"
    """How the target is made of the critics' predictions: their minimum, their mean, or the minimum
    of a random subset of them. Quantile critics pool their quantiles instead."""
    subset_size: Count = 2
    """Critics in that subset."""
    num_quantiles: TwoOrMore = 25
    """Quantiles of a quantile critic."""
    dropped_quantiles: CountOrZero = 2
    """Quantiles per critic that the target leaves out, the largest of all critics together."""
    num_bins: TwoOrMore = 101
    """Bins of a categorical critic."""
    bin_bound: Positive = 5.0
    """The bins are evenly spaced over plus and minus this, in units of the reward that is learned
    from: combine it with normalize_rewards."""
    target_network: bool = True
    """Predict next values with target networks; false: with the critics themselves."""


def require_consistent(config: OffPolicyNetworks) -> None:
    """Raise `UserError` for fields that do not go together."""
    if config.critic == "quantile" and config.dropped_quantiles >= config.num_quantiles:
        raise UserError(
            f"dropped_quantiles is {config.dropped_quantiles} of {config.num_quantiles} quantiles "
            "- the target would be empty - drop fewer, such as 2 of 25"
        )
    if config.critic == "quantile" and config.target_rule == "mean":
        raise UserError(
            "target_rule is mean with quantile critics - their targets pool the quantiles of all "
            "critics - use target_rule minimum, and dropped_quantiles 0 to drop none"
        )
    if config.target_rule == "subset" and config.subset_size > config.num_critics:
        raise UserError(
            f"subset_size is {config.subset_size} of {config.num_critics} critics - a subset has "
            "no more critics than there are - raise num_critics"
        )
    if config.norm_after_activation and config.body != "mlp":
        raise UserError(
            f"norm_after_activation is true with body {config.body} - the order within residual "
            "blocks is fixed - use body mlp, or norm_after_activation false"
        )
    if config.dropout and config.body != "mlp":
        raise UserError(
            f"dropout is {config.dropout} with body {config.body} - residual blocks have none - "
            "use body mlp, or dropout 0"
        )


@dataclass(frozen=True, kw_only=True)
class OffPolicyConfig(
    Normalization, OffPolicyOptimizer, OffPolicyReplay, Priorities, OffPolicyNetworks
):
    """What the off-policy algorithms with continuous actions have in common."""
