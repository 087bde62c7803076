"""The columns of `diagnostics.jsonl`: what each of them measures, and in which unit."""

from dataclasses import dataclass
from typing import Literal

Group = Literal["value", "policy", "optimization", "data"]


@dataclass(frozen=True)
class Quantity:
    """What a column of `diagnostics.jsonl` measures."""

    group: Group
    label: str
    """A short label for charts and tables."""
    meaning: str
    """What is measured, and in which unit."""


QUANTITIES: dict[str, Quantity] = {
    "critic_value": Quantity("value", "critic's value", "mean value of the critic over the states "
        "of evaluation episodes, in units of discounted return"),
    "critic_return": Quantity("value", "return that followed", "mean discounted return that "
        "followed these states, in the same units"),
    "critic_bias": Quantity("value", "critic's bias", "mean of value minus return, in units of the "
        "returns' own size"),
    "critic_spread": Quantity("value", "critic's spread", "standard deviation of value minus "
        "return, in units of the returns' own size"),
    "critic_explained_variance": Quantity("value", "explained variance", "share of the returns' "
        "variance that the critic explains: 1 at best, 0 for a constant"),
    "value_bound_ratio": Quantity("value", "value beside its bound", "95th percentile of |value| "
        "over the largest discounted return that the rewards allow"),
    "value_size": Quantity("value", "size of the values", "95th percentile of |value|, in units of "
        "raw rewards"),
    "policy_preferred": Quantity("value", "policy preferred", "share of states in which the critic "
        "rates the policy's action above a random one"),
    "twin_gap": Quantity("value", "gap between critics", "mean difference between the largest and "
        "the smallest critic's value, in standard deviations of the value over states"),
    "edge_mass": Quantity("value", "mass at the edges", "probability in the outermost bins of a "
        "categorical critic"),
    "entropy": Quantity("policy", "entropy", "mean entropy of the policy, over all action "
        "dimensions together, in nats"),
    "relative_entropy": Quantity("policy", "relative entropy", "entropy H of discrete actions as a "
        "share of its maximum; of A continuous ones, exp(H / A) / 2: the width of a uniform "
        "distribution with this entropy, as a share of the action range"),
    "entropy_gap": Quantity("policy", "entropy above its target", "entropy minus the target that "
        "the temperature holds it near, in nats per action dimension"),
    "policy_std": Quantity("policy", "policy's standard deviation", "mean standard deviation of "
        "continuous actions, in half action ranges"),
    "action_saturation": Quantity("policy", "saturated actions", "share of continuous actions "
        "within 1 % of a bound"),
    "action_variation": Quantity("policy", "variation of actions", "standard deviation of actions "
        "over states, in half action ranges; of discrete ones, the share of states that do not get "
        "the most frequent action"),
    "action_reach": Quantity("policy", "reach of actions", "95th percentile of the distance of the "
        "actions that were taken from the middle of their range, in half action ranges"),
    "action_scale": Quantity("policy", "scale of actions", "the actions that were taken, relative "
        "to the modes of the policy at the same states: 1 in a deterministic evaluation"),
    "action_range": Quantity("policy", "range of actions", "share of the innermost environment's "
        "action range that the bounds of its outermost wrapper reach"),
    "equal_starts": Quantity("data", "equal starts", "share of the evaluation's episodes whose "
        "first observation another one has, too"),
    "rollout_is_current": Quantity("data", "rollout is current", "1 if the rollout contains the "
        "newest step, 0 if not"),
    "reward_mean": Quantity("data", "mean reward", "mean reward of the transitions that are "
        "learned from, as the critic sees them: of n-step returns, the sum of n rewards"),
    "reward_std": Quantity("data", "standard deviation of the reward", "of these rewards"),
    "reward_max": Quantity("data", "largest reward", "largest absolute value of these rewards"),
    "positive_rewards": Quantity("data", "positive rewards", "share of these rewards that are "
        "positive"),
    "reward_mode_share": Quantity("data", "most frequent reward", "share of these rewards that are "
        "equal to the most frequent one"),
    "observation_max": Quantity("data", "largest observation", "99th percentile of |x| over the "
        "components of these observations, as the networks see them"),
    "constant_observations": Quantity("data", "constant observations", "share of an observation's "
        "components that are the same in all of these transitions"),
    "distinct_observations": Quantity("data", "distinct observations", "number of different "
        "observations among them, as a share of all of them"),
    "terminal_share": Quantity("data", "terminal transitions", "share of these transitions after "
        "which no value is added, since nothing follows"),
    "sample_rows": Quantity("data", "rows of the sample", "how many of these transitions were "
        "looked at"),
    "sample_age": Quantity("data", "age of the samples", "mean number of environment steps since "
        "these transitions were collected"),
}  # fmt: skip
"""By name. Those of a network are in `PER_NETWORK`."""

PER_NETWORK: dict[str, Quantity] = {
    "update_size": Quantity("optimization", "update size", "norm of one update as a share of the "
        "parameters' norm"),
    "weight_growth": Quantity("optimization", "weight growth", "norm of the parameters as a "
        "multiple of the initial one"),
    "target_distance": Quantity("optimization", "distance of the target", "distance between target "
        "and online network as a share of the online network's distance from its start"),
    "dormant": Quantity("optimization", "dormant units", "share of hidden units whose mean "
        "activation is below 2.5 % of the layer's"),
    "saturated": Quantity("optimization", "saturated units", "share of hidden tanh units that are "
        "within 1 % of a bound at almost all states"),
    "rank": Quantity("optimization", "effective rank", "effective rank of the last hidden layer's "
        "features as a share of the largest possible one, min(128, width)"),
}  # fmt: skip
"""By the part of the name after the dot."""


def describe(name: str) -> Quantity | None:
    """What a column measures; None for one that this version does not know."""
    network, _, rest = name.partition(".")
    return PER_NETWORK.get(rest) if rest else QUANTITIES.get(network)
