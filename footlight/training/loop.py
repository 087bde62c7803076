"""The training loop: act, step, observe; used by `train` and by scripts of your own."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import gymnasium
import numpy as np

from footlight.algorithms.protocol import Dropping
from footlight.collection.collection import Collection
from footlight.environments.episodes import Episode
from footlight.environments.make import Environments
from footlight.errors import UserError
from footlight.learning.agent import Agent
from footlight.types import Array, Decision, Transition


class Step(NamedTuple):
    """One step of all environments, after the agent has observed it and learned from it."""

    number: int
    """Environment steps that the agent has observed."""
    previous: int
    """The same before this step. With several environments, `number` skips values."""
    is_last: bool
    """Whether the run has reached its `total_steps`."""
    transition: Transition
    episodes: list[Episode]
    """The episodes that ended in this step."""
    metrics: dict[str, float]
    """The metrics of the last update; empty if no update was due."""

    def crosses(self, interval: int) -> bool:
        """Return whether this step reached or skipped a multiple of `interval`; never for 0."""
        return interval > 0 and self.number // interval > self.previous // interval


@dataclass
class PendingAction:
    """The action of a step that has not succeeded yet.

    Random numbers are drawn once for each step. An action whose step failed in the environment is
    tried again by the next loop, also by that of a resumed run.
    """

    action: Array | None = None


def steps(
    agent: Agent,
    environments: Environments | Collection,
    total_steps: int | None = None,
    *,
    should_stop: Callable[[], bool] = lambda: False,
    pending: PendingAction | None = None,
    learn: Callable[[Transition, Decision | None], dict[str, float]] | None = None,
) -> Iterator[Step]:
    """Train `agent` in `environments` and yield after every step.

    environments: from `footlight.make_environments`, any `Environments` that have been reset, or
        a `Collection` that has begun.
    total_steps: environment steps of the agent at which to stop; the last update of an on-policy
        algorithm follows. None: train for as long as the caller iterates.
    should_stop: called before each step; the loop ends as soon as it returns True.
    pending: receives the action of a step that fails, and provides it to the next loop.
    learn: called in place of `agent.learn_from`, for example to measure its time.
    Raises `EnvironmentFault` and `Diverged`, and `UserError` for an environment of Gymnasium's.
    """
    given: object = environments
    if isinstance(given, str | gymnasium.Env | gymnasium.vector.VectorEnv):
        raise UserError(
            f"{given!s:.80} cannot be stepped by footlight.steps - it has not been reset, and its "
            "episodes are not counted - give footlight.make_environments(...) of it"
        )
    pending = PendingAction() if pending is None else pending
    learn = agent.learn_from if learn is None else learn
    buffer: object = agent.buffer if environments.can_abandon else None
    dropping = buffer if isinstance(buffer, Dropping) else None  # slow: not at every step
    while (total_steps is None or agent.num_steps < total_steps) and not should_stop():
        previous = agent.num_steps
        # Not in the step of the update: a reset can fail, and that step has to be logged first.
        if dropping is not None and dropping.is_dropped.any():
            assert not isinstance(environments, Collection)  # they cannot abandon episodes
            dropped = np.flatnonzero(dropping.is_dropped).tolist()
            environments.abandon(dropped)
            agent.forget_episodes(dropped)
        taken: tuple[Transition, Decision | None] | None
        if isinstance(environments, Collection):
            taken = environments.step(agent, total_steps, should_stop)
        else:
            taken = _stepped(agent, environments, pending)
        if taken is None:
            return
        transition, decision = taken
        if environments.failed:
            agent.forget_episodes(environments.failed)
        if total_steps is not None and total_steps - previous < environments.num_envs:
            transition = _shortened(agent, environments, transition, total_steps - previous)
        metrics = learn(transition, decision)
        is_last = total_steps is not None and agent.num_steps >= total_steps
        episodes = environments.finished
        yield Step(agent.num_steps, previous, is_last, transition, episodes, metrics)
    if total_steps is not None and agent.num_steps >= total_steps:
        agent.finish()


def _stepped(
    agent: Agent, environments: Environments, pending: PendingAction
) -> tuple[Transition, Decision | None]:
    """One step of all environments in this process."""
    if pending.action is None:
        pending.action = agent.act(environments.observation, explore=True)
    transition = environments.step(pending.action)
    pending.action = None
    decided = agent.pending  # its action was taken as it is: no need to compare
    return transition, decided.decision if decided else None


def _shortened(
    agent: Agent, environments: Environments | Collection, transition: Transition, left: int
) -> Transition:
    """Mask all but the first `left` environments, so that a run has exactly its `total_steps`."""
    counted = np.arange(environments.num_envs) < left
    agent.forget_episodes(np.flatnonzero(~counted).tolist())
    environments.finished = [each for each in environments.finished if counted[each.env]]
    valid = counted if transition.valid is None else counted & transition.valid
    return transition._replace(valid=valid)
