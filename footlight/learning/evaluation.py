"""Evaluation episodes of a fixed policy, and their returns in raw rewards."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from footlight.config.fields import Range, integer
from footlight.contexts import closing
from footlight.environments.running_statistics import restore_statistics, saved_statistics
from footlight.environments.source import (
    EnvironmentLike,
    Environments,
    EnvironmentSource,
    Wanted,
)
from footlight.errors import UserError, counted
from footlight.learning.policy import Policy
from footlight.streams import MAX_SEED
from footlight.types import Transition

if TYPE_CHECKING:
    from footlight.learning.agent import Agent

# Episodes that never end must not stall an evaluation. All evaluations of a run have the same
# limit, so that the returns of episodes that are cut off there are comparable.
MIN_EPISODE_STEPS, MAX_EPISODE_STEPS = 1_000, 50_000


def episode_limit(training_steps: int) -> int:
    """Step limit of an evaluation episode: a twentieth of the run, within [1,000, 50,000]."""
    return min(max(training_steps // 20, MIN_EPISODE_STEPS), MAX_EPISODE_STEPS)


@dataclass(frozen=True, repr=False)
class Evaluation:
    """Returns (undiscounted sums of raw rewards) and lengths of some episodes."""

    returns: tuple[float, ...]
    lengths: tuple[int, ...]
    deterministic: bool
    unfinished: int = 0
    """Episodes that were cut off at the step limit; they count with their return so far."""

    def __repr__(self) -> str:
        how = "deterministic" if self.deterministic else "stochastic"
        return f"<Evaluation: {self.summary()}, {how}>"

    @property
    def mean_return(self) -> float:
        """Mean over the episodes."""
        return math.fsum(self.returns) / len(self.returns)

    @property
    def std_return(self) -> float:
        """Standard deviation over the episodes: that of a population, divided by n."""
        return float(np.std(self.returns))

    def remark(self, episodes: int | None = None) -> str:
        """How many of `episodes` there are, and how many were cut off, as text; may be empty."""
        count = len(self.returns)
        few = (
            ""
            if episodes in (None, count)
            else f"{count} of {episodes} episodes: stopped after as many steps as the run has"
        )
        cut = (
            f"{counted(self.unfinished, 'episode')} cut off after {max(self.lengths):,} steps"
            if self.unfinished
            else ""
        )
        return "; ".join(filter(None, [few, cut]))

    def summary(self) -> str:
        """Mean, standard deviation and number of episodes, as text."""
        remark = f" ({self.remark()})" if self.unfinished else ""
        episodes = counted(len(self.returns), "episode")
        return f"{self.mean_return:.1f} ± {self.std_return:.1f} over {episodes}{remark}"

    @staticmethod
    def from_json(row: dict[str, Any]) -> "Evaluation":
        """The inverse of `to_json`."""
        returns, lengths = tuple(row["returns"]), tuple(row["lengths"])
        return Evaluation(returns, lengths, row["deterministic"], row.get("unfinished", 0))

    def to_json(self) -> dict[str, Any]:
        """The row of `evaluations.jsonl`, without the step."""
        row = {"mean_return": self.mean_return, "std_return": self.std_return, **asdict(self)}
        return row if self.unfinished else {k: v for k, v in row.items() if k != "unfinished"}


class Abandoned(Exception):
    """An evaluation was stopped before all of its episodes were finished."""


def evaluate(
    policy: Policy,
    environments: Environments,
    episodes: int,
    deterministic: bool = True,
    *,
    limit: int | None = None,
    max_steps: int | None = None,
    progress: Callable[[int], bool] = lambda count: True,
    watch: Callable[[Transition], object] | None = None,
) -> Evaluation:
    """Run complete episodes, equally many in each environment: short ones get no advantage.

    limit: steps after which an episode is cut off and counted as unfinished; None: 50,000.
    max_steps: after so many steps, the current episodes are completed and no further one begins.
    progress: called at every step with the number of completed episodes; `Abandoned` is raised when
        it returns False. watch: called with each step.
    """
    limit, num_envs = MAX_EPISODE_STEPS if limit is None else limit, environments.num_envs
    share = [len(range(env, episodes, num_envs)) for env in range(num_envs)]
    returns: list[list[float]] = [[] for _ in share]
    lengths: list[list[int]] = [[] for _ in share]
    unfinished = steps = 0
    observation = environments.reset()
    policy.reset()
    while any(len(got) < want for got, want in zip(returns, share, strict=True)):
        if not progress(sum(map(len, returns))):
            raise Abandoned
        transition = environments.step(policy.act(observation, deterministic))
        if watch is not None:
            watch(transition)
        observation = environments.observation
        steps += num_envs
        ended = list(environments.finished)
        endless = np.flatnonzero(environments.tracker.length >= limit).tolist()
        for env in endless:
            if len(returns[env]) < share[env]:
                unfinished += 1
            ended.append(environments.tracker.finish(env, False))
        if endless:
            observation = environments.restart(endless)
        if ended:
            policy.reset(np.isin(np.arange(num_envs), [episode.env for episode in ended]))
        for episode in ended:
            if len(returns[episode.env]) < share[episode.env]:
                returns[episode.env].append(episode.total)
                lengths[episode.env].append(episode.length)
        if max_steps is not None and steps >= max_steps:
            running = (environments.tracker.length > 0).tolist()
            share = [
                min(want, len(got) + on)
                for want, got, on in zip(share, returns, running, strict=True)
            ]
    return Evaluation(
        tuple(x for got in returns for x in got),
        tuple(n for got in lengths for n in got),
        deterministic,
        unfinished,
    )


def evaluate_agent(
    agent: "Agent",
    environment: EnvironmentLike | EnvironmentSource,
    episodes: int,
    seed: int | None,
    deterministic: bool,
) -> Evaluation:
    """The value of `Agent.evaluate`."""
    seed = integer("seed", agent.seed if seed is None else seed, Range(0, MAX_SEED))
    integer("episodes", episodes, Range(1))
    # A policy of its own: with another stream and another memory, on the same parameters
    own = agent.policy
    policy = Policy(own.algorithm, own.blueprint, own.state, own.normalizer, seed)
    source = EnvironmentSource.of(environment).configured()
    with closing(_environments(source, seed, episodes)) as environments:
        if environments.spaces.to_json() != agent.spaces.to_json():
            raise UserError(
                f"{source.name(environments)} has other spaces than those of the agent - it cannot "
                "act there - give the environment that it learns in"
            )
        limit = episode_limit(agent.learner.total_steps or agent.num_steps)
        statistics = saved_statistics(environments)
        restore_statistics(environments, statistics, frozen=True)
        try:
            return evaluate(policy, environments, episodes, deterministic, limit=limit)
        finally:
            restore_statistics(environments, statistics)


def _environments(source: EnvironmentSource, seed: int, episodes: int) -> Environments:
    """What is evaluated in: a given object as it is, or new environments."""
    if source.is_object:
        return source.make(Wanted(seed, stream="evaluate"))
    return source.make_for_evaluation(seed, "evaluate", episodes)
