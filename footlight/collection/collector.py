"""A collector: some of a run's environments, and the policy that acts in them.

It owns nothing that could be lost: the learner knows its position after each chunk, from which
another collector computes the next chunk with the same numbers.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from footlight.algorithms.protocol import Exploring, PolicyState
from footlight.collection.chunks import Chunk, CollectorLost, Position, Task, stacked, within
from footlight.environments.episodes import Episode
from footlight.environments.source import EnvironmentSource, Wanted
from footlight.errors import EnvironmentFault, FootlightError, describe_error
from footlight.learning.blueprint import Blueprint
from footlight.learning.normalization import make_normalizer
from footlight.learning.policy import Policy
from footlight.learning.scheduling import with_values
from footlight.streams import Streams, derived_seed, stream_words, take_words
from footlight.trees import tree_items, tree_rebuilt
from footlight.types import Array, Decision, Transition

_ENVIRONMENTS, _MEMORY, STREAM = "environments.", "memory.", "stream"


@dataclass(frozen=True)
class Plan:
    """Everything that determines what collectors do, besides their tasks."""

    source: EnvironmentSource
    wanted: Wanted
    """The environments of one collector."""
    blueprint: Blueprint
    num_collectors: int
    survives_faults: bool
    """Whether a new episode begins where an environment fails."""
    compiles: bool
    """Whether acting is compiled where that is worth it."""
    rollbacks: int = 0
    """How often the run has diverged, and was continued with other random numbers."""

    @property
    def num_envs(self) -> int:
        """The environments of one collector."""
        return self.wanted.num_envs or 1


def exploration_stream(seed: int, index: int, rollbacks: int) -> np.random.Generator:
    """The random stream that a collector begins with."""
    again = (rollbacks,) if rollbacks else ()
    return Streams(derived_seed(seed, "collector", index, *again)).exploration


class Collector:
    """Collects chunks, one after the other. Raises `UserError` if it cannot be made.

    index: which of the collectors it is. Its environments are those of the run from
    index * num_envs on, with the seeds that they have in any run, and it has a random stream of its
    own for exploration. is_over: whether to leave a chunk unfinished, asked before each step.
    """

    def __init__(self, plan: Plan, index: int, is_over: Callable[[], bool] = lambda: False) -> None:
        self._is_over = is_over
        self.environments = plan.source.make(plan.wanted)
        self.environments.tracker.first = index * plan.num_envs
        self._plan, self._bound = plan, plan.blueprint.build()
        config, acting = plan.blueprint.config, self._bound.networks.policy
        self._normalizer = make_normalizer(config, plan.blueprint.spaces, plan.num_envs)
        state = PolicyState(acting.initial.clone(), acting.initial_statistics)
        self._policy = Policy(self._bound, plan.blueprint, state, self._normalizer)
        self._stream = exploration_stream(plan.wanted.seed, index, plan.rollbacks)
        self._memory = self._policy.new_memory(plan.num_envs)
        self._faults: list[EnvironmentFault] = []
        if plan.survives_faults:
            self.environments.on_fault = self._faults.append
        self._has_begun, self._is_compiled = False, not plan.compiles

    @property
    def env_timeout(self) -> float:
        """Seconds after which a call of an environment counts as hanging; 0: never."""
        return self._plan.wanted.supervision.timeout

    def restore(self, position: Position) -> list[int]:
        """Continue from a position; return the environments that cannot, and begin new episodes.

        Raises `EnvironmentFault`, and `KeyError` or `ValueError` for positions of others.
        """
        if not position:
            return []
        not_restored = self.environments.restore(within(position, _ENVIRONMENTS))
        take_words(self._stream, position[STREAM])
        if self._memory is not None:
            self._memory = tree_rebuilt(self._memory, within(position, _MEMORY))
            self._forget(not_restored)
        self._has_begun = True
        return not_restored

    def collect(self, task: Task) -> Chunk:
        """The next chunk. Raises `EnvironmentFault`, after which it has to be restored."""
        if not self._has_begun:
            self.environments.reset()
            self._has_begun = True
        self._take_policy(task)
        steps, episodes, failed = list[tuple[Transition, Decision]](), list[list[Episode]](), []
        environments, num_envs = self.environments, self._plan.num_envs
        first, together = environments.tracker.first, num_envs * self._plan.num_collectors
        for step in range(task.steps):
            if self._is_over():
                raise CollectorLost("it was asked to end")
            decision = self._decide(task.num_steps + step * together)
            try:
                transition = environments.step(self._policy.to_environment(decision.action))
            except EnvironmentFault as fault:
                raise self._numbered(fault) from fault.__cause__
            ended = transition.terminated | transition.truncated
            if ended.any():
                self._forget(np.flatnonzero(ended).tolist())
            steps.append((transition, decision))
            episodes.append([
                # A plain dict, since a read-only one cannot be sent
                each._replace(env=each.env + first, info=dict(each.info))
                for each in environments.finished
            ])  # fmt: skip
            failed.append([first + env for env in environments.failed])
        faults = [self._numbered(fault) for fault in self._faults]
        self._faults.clear()
        return Chunk(task.number, *stacked(steps), episodes, failed, faults, self._position())

    def _take_policy(self, task: Task) -> None:
        """Act with what the task says from here on."""
        state = self._policy.state
        _copy(state.parameters, task.policy["parameters"])
        if state.statistics is not None:
            _copy(state.statistics, task.policy["statistics"])
        mine = {} if self._normalizer is None else self._normalizer.policy_arrays()
        for name, array in mine.items():
            array[...] = task.policy[name]
        if task.scheduled:
            values = {**vars(self._plan.blueprint.config), **task.scheduled}
            self._bound = with_values(self._bound, values)
        if not self._is_compiled:
            self._policy.compile(self._plan.num_envs)
            self._is_compiled = True

    def _decide(self, num_steps: int) -> Decision:
        """The next actions of training, when the run has so many steps."""
        seen = self.environments.observation
        if self._normalizer is not None:
            seen = self._normalizer.observation(seen)
        given = self._policy.state, self._memory, seen, self._stream
        algorithm: Any = self._bound
        if isinstance(algorithm, Exploring):
            decision, self._memory = algorithm.explore(*given, num_steps)
        else:
            decision, self._memory = algorithm.act(*given)
        return decision

    def _numbered(self, fault: EnvironmentFault) -> EnvironmentFault:
        """A fault, with the number that its environment has in the run."""
        if fault.episode is not None and fault.episode.env is not None:
            fault.episode.env += self.environments.tracker.first
        return fault

    def _forget(self, envs: list[int]) -> None:
        """Reset what was remembered within the episode in these environments."""
        if self._memory is not None:
            starts = np.isin(np.arange(self._plan.num_envs), envs)
            self._memory = self._policy.reset_memory(self._memory, starts)

    def _position(self) -> Mapping[str, Array]:
        environments = self.environments.arrays()
        memory = {} if self._memory is None else tree_items(self._memory)
        return {
            **{_ENVIRONMENTS + name: np.array(array) for name, array in environments.items()},
            **{_MEMORY + name: np.array(array) for name, array in memory.items()},
            STREAM: stream_words(self._stream),
        }

    def close(self) -> None:
        """Close the environments."""
        self.environments.close()


def failure(error: BaseException) -> FootlightError:
    """What is said of an error that no environment and no user has made."""
    return FootlightError(
        f"a collector has failed: {describe_error(error)} - the run is saved as it was before - "
        "train without --collectors to see where"
    )


def _copy(into: torch.Tensor, array: Array) -> None:
    """Copy in place, since compiled acting reads this very memory."""
    with torch.no_grad():
        into.copy_(torch.from_numpy(array))
