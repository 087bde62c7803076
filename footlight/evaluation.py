"""Episodes of a frozen policy: the numbers that are reported, in the environment's own raw rewards."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from footlight.environments.make import Environments
from footlight.policy import Policy

MAX_EPISODE_STEPS = 50_000  # an environment without an end must not keep an evaluation for ever


@dataclass(frozen=True)
class Evaluation:
    """Returns (undiscounted sums of raw rewards) and lengths of some episodes."""

    returns: tuple[float, ...]
    lengths: tuple[int, ...]
    deterministic: bool
    unfinished: int = 0
    """Episodes that had not ended after 50,000 steps; they count with the return so far."""

    @property
    def mean_return(self) -> float:
        """Mean over the episodes."""
        return math.fsum(self.returns) / len(self.returns)

    @property
    def std_return(self) -> float:
        """Standard deviation over the episodes (of the population, as peers report it)."""
        return float(np.std(self.returns))

    @staticmethod
    def from_json(record: dict[str, Any]) -> "Evaluation":
        """The inverse of `to_json`."""
        returns, lengths = tuple(record["returns"]), tuple(record["lengths"])
        return Evaluation(returns, lengths, record["deterministic"], record.get("unfinished", 0))

    def to_json(self) -> dict[str, Any]:
        """The line of `evaluations.jsonl`, without the step."""
        record = {"mean_return": self.mean_return, "std_return": self.std_return, **asdict(self)}
        return record if self.unfinished else {k: v for k, v in record.items() if k != "unfinished"}


class Abandoned(Exception):
    """An evaluation was told to stop before it had its episodes."""


def evaluate(
    policy: Policy, environments: Environments, episodes: int, deterministic: bool = True,
    wanted: Callable[[], bool] = lambda: True,
) -> Evaluation:  # fmt: skip
    """Run whole episodes, the first `episodes / num_envs` of each environment, so that short ones are not preferred.

    `wanted` is asked at every step; raises `Abandoned` when it says no.
    """
    num_envs = environments.num_envs
    share = [len(range(env, episodes, num_envs)) for env in range(num_envs)]
    returns: list[list[float]] = [[] for _ in share]
    lengths: list[list[int]] = [[] for _ in share]
    unfinished = 0
    observation = environments.reset()
    while any(len(got) < want for got, want in zip(returns, share, strict=True)):
        if not wanted():
            raise Abandoned
        environments.step(policy.act(observation, deterministic))
        observation = environments.observation
        ended = list(environments.finished)
        endless = np.flatnonzero(environments.book.length >= MAX_EPISODE_STEPS).tolist()
        for env in endless:
            if len(returns[env]) < share[env]:
                unfinished += 1
            ended.append(environments.book.finish(env, False))
        if endless:
            observation = environments.restart(endless)
        for episode in ended:
            if len(returns[episode.env]) < share[episode.env]:
                returns[episode.env].append(episode.total)
                lengths[episode.env].append(episode.length)
    return Evaluation(
        tuple(x for got in returns for x in got), tuple(n for got in lengths for n in got), deterministic, unfinished
    )
