"""Everything that the author of an algorithm imports; see docs/own-algorithm.md.

    from footlight.algorithms.authoring import Networks, Outcome, rollout_buffer, sample_or_mode

A function of an `algorithm` is a method of the classes that name it, as in `act = sample_or_mode`.
"""

from typing import Any, Protocol

from footlight.algorithms.off_policy import replay_buffer
from footlight.algorithms.on_policy import Networks, optimizer_step, rows_of, sample_or_mode
from footlight.algorithms.protocol import Noise, Outcome, PolicyState
from footlight.algorithms.settings import Normalization, OffPolicyReplay, OptimizerSettings
from footlight.buffers.rollout import Rollout
from footlight.equations.returns import generalized_advantage, standardized, weighted_mean
from footlight.errors import UserError
from footlight.networks.flat import Network
from footlight.types import Batch, Decision, RolloutBatch, Spaces

__all__ = [
    "Batch",
    "Decision",
    "Network",
    "Networks",
    "Noise",
    "Normalization",
    "OffPolicyReplay",
    "OptimizerSettings",
    "Outcome",
    "PolicyState",
    "RolloutBatch",
    "Spaces",
    "generalized_advantage",
    "optimizer_step",
    "replay_buffer",
    "rollout_buffer",
    "rows_of",
    "sample_or_mode",
    "standardized",
    "weighted_mean",
]


def __dir__() -> list[str]:
    """The names to import, for completion."""
    return __all__


class OnPolicy(Protocol):
    """What `rollout_buffer` needs of an algorithm."""

    @property
    def config(self) -> Any:
        """Its hyperparameters, `gamma` and `n_steps` among them."""

    @property
    def spaces(self) -> Spaces:
        """What it observes and how it acts."""


def rollout_buffer(algorithm: OnPolicy, num_envs: int) -> Rollout:
    """The rollout of `config.n_steps` steps of each environment, due once, as a whole.

    Raises `UserError` for a config without `gamma` or `n_steps`.
    """
    config = algorithm.config
    for name, line in {"gamma": "gamma: float = 0.99", "n_steps": "n_steps: int = 16"}.items():
        if name not in config.__dataclass_fields__:
            kind = type(config).__name__
            raise UserError(f"{kind} has no `{name}` - rollout_buffer needs it - add `{line}`")
    return Rollout(algorithm.spaces, num_envs, config.gamma, config.n_steps)
