"""Rounds of chunks from all collectors: when they are asked for, and in which order learned from.

Round r is what every collector does with the r-th task. The rows of a round are learned from once
all of its chunks are there, side by side in the collectors' order, so the numbers depend neither on
how long anything took nor on where it was computed. On-policy methods ask for a round once the one
before is learned from. Others ask for it one round earlier: collectors then never wait for an
update, at most two chunks of each are on their way, and what acts is one round older.

The learner owns everything: it knows the position of each collector after its last chunk. One that
is lost is replaced by another that begins there, and computes the same chunk again.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from footlight.algorithms.protocol import Collecting
from footlight.collection.chunks import COUNTS, Chunked, Task, at_step, stacked, within
from footlight.collection.collector import STREAM, Plan, exploration_stream
from footlight.collection.supervised import Channel, SupervisedCollector, end
from footlight.environments.episodes import Episode
from footlight.environments.running_statistics import statistics_wrappers
from footlight.environments.source import Environments, EnvironmentSource, Wanted
from footlight.environments.wrappers import first_instance
from footlight.errors import EnvironmentFault, UserError
from footlight.learning.agent import Agent
from footlight.learning.transport import as_array
from footlight.streams import stream_words
from footlight.types import Array, Decision, Transition

_COLLECTOR, _TASK, _STEP = "collector.", "task.", "collected.step"

Open = Callable[[Plan, int, Sequence[Any]], Channel]
"""Starts the collector of a plan and an index, besides others that run already."""


class Collection:
    """E environments that collectors step, K of them each.

    source, wanted: what one collector makes its environments from. open_channel: starts a
    collector. notify: called with messages.

    Raises `UserError` for environments that cannot be made, or not by several processes.
    """

    can_abandon = False

    def __init__(
        self, source: EnvironmentSource, wanted: Wanted, num_collectors: int, open_channel: Open,
        notify: Callable[[str], None],
    ) -> None:  # fmt: skip
        _require_makeable(source)
        self._source, self._wanted = source, wanted
        self._open, self._notify = open_channel, notify
        self._envs_each = wanted.num_envs or 1
        one = wanted if wanted.vectorization == "native" else replace(wanted, num_envs=1)
        self.template: Environments = source.make(one)
        """Environments as a collector has them, never stepped here."""
        if names := ", ".join(statistics_wrappers(first_instance(self.template))):
            self.template.close()
            raise UserError(
                f"{names} has running statistics, which each collector would have for itself - "
                "use normalize_observations or normalize_rewards in its place"
            )
        template = self.template
        self.num_collectors = num_collectors
        self.num_envs = num_collectors * self._envs_each
        self.observation_space, self.action_space = (
            template.observation_space,
            template.action_space,
        )
        self.spaces = template.spaces
        self.finished: list[Episode] = []
        """The episodes that the last step ended."""
        self.failed: list[int] = []
        """The environments in which the last step was cut off, or does not follow."""
        self.on_fault: Callable[[EnvironmentFault], None] | None = None
        self.on_not_restored: Callable[[list[int]], None] = lambda envs: None
        """Called with environments that begin new episodes because a collector was lost."""
        self.rollbacks = 0
        """Set before `restore`: other random numbers are explored with."""
        self._plan: Plan | None = None
        self._collectors = self._new_collectors()
        self._tasks: deque[Task] = deque()  # asked for and not learned from, the oldest first
        self._next = 0  # the number of the next task
        self._step = 0  # steps of the oldest round that are learned from
        self._rows: tuple[Transition, Decision] | None = None  # of the oldest round [T, E, ...]
        self._not_restored: list[int] = []  # environments whose next step does not follow

    def begin(self, agent: Agent) -> None:
        """Know whom collectors work for. They start when they are first asked."""
        self._plan = Plan(
            self._source, self._wanted, agent.blueprint, self.num_collectors,
            self.on_fault is not None, agent.compiled, self.rollbacks,
        )  # fmt: skip

    def _new_collectors(self) -> list[SupervisedCollector]:
        return [
            SupervisedCollector(index, self._start, self._notify, self._wanted.supervision.timeout)
            for index in range(self.num_collectors)
        ]

    def _start(self, index: int) -> Channel:
        assert self._plan is not None
        others = [each.channel for each in self._collectors if each.channel is not None]
        return self._open(self._plan, index, others)

    def reset(self) -> None:
        """Do nothing: each collector begins the first episodes of its environments."""

    def step(
        self, agent: Agent, total_steps: int | None, should_stop: Callable[[], bool]
    ) -> tuple[Transition, Decision] | None:
        """The next step of all environments; None if it was to stop before there was one.

        Raises `EnvironmentFault`, and `UserError` for a collector that cannot be made.
        """
        if self._rows is None and not self._receive_round(agent, total_steps, should_stop):
            return None
        assert self._rows is not None
        chunks, step = [each.chunks[0] for each in self._collectors], self._step
        self.finished = [episode for chunk in chunks for episode in chunk.episodes[step]]
        self.failed = [env for chunk in chunks for env in chunk.failed[step]]
        if self._not_restored:
            self.on_not_restored(self._not_restored)
            self.failed, self._not_restored = [*self.failed, *self._not_restored], []
        row = at_step(*self._rows, step)
        self._step += 1
        if self._step == self._tasks[0].steps:
            self._end_round()
        return row

    def _receive_round(
        self, agent: Agent, total_steps: int | None, should_stop: Callable[[], bool]
    ) -> bool:
        """Ask for what is due, and wait for the chunks of the oldest round."""
        buffer: object = agent.buffer
        assert isinstance(buffer, Chunked)
        while len(self._tasks) <= buffer.max_lag and self._ask(agent, buffer, total_steps):
            pass
        for collector in self._collectors:
            while not collector.chunks:
                if should_stop():
                    return False
                collector.receive()
        chunks = [each.chunks[0] for each in self._collectors]
        if self._step == 0 and self.on_fault is not None:
            for fault in (fault for chunk in chunks for fault in chunk.faults):
                self.on_fault(fault)
        self._not_restored = self._numbered(chunk.not_restored for chunk in chunks)
        pairs = ((chunk.transition, chunk.decision) for chunk in chunks)
        self._rows = stacked(pairs, along=1)
        return True

    def _ask(self, agent: Agent, buffer: Chunked, total_steps: int | None) -> bool:
        """Ask for another round, unless those asked for take an on-policy run to its end."""
        asked = sum(task.steps for task in self._tasks) - self._step
        num_steps = agent.num_steps + self.num_envs * asked
        steps = buffer.chunk_steps
        # Others are asked for whole chunks, so that a run which is continued later has the numbers
        # of a longer one
        if total_steps is not None and buffer.max_lag == 0:
            steps = min(steps, -(-(total_steps - num_steps) // self.num_envs))
        if steps <= 0:
            return False
        task = Task(self._next, steps, num_steps, policy_arrays(agent), dict(agent.scheduled))
        self._next += 1
        self._tasks.append(task)
        for collector in self._collectors:
            if collector.channel is None:
                collector.start()
            collector.ask(task)
        return True

    def _numbered(self, by_collector: Iterable[Sequence[int]]) -> list[int]:
        """The numbers in the run of environments that each collector numbers by itself."""
        return [
            self._envs_each * index + env for index, envs in enumerate(by_collector) for env in envs
        ]

    def _end_round(self) -> None:
        """Forget a round that is learned from."""
        self._tasks.popleft()
        self._rows, self._step = None, 0
        for collector in self._collectors:
            collector.take()

    def arrays(self) -> dict[str, Array]:
        """Arrays for a checkpoint: where the oldest round began, and what was asked for since."""
        found = {_STEP: np.array([self._next, self._step])}
        for index, collector in enumerate(self._collectors):
            prefix = f"{_COLLECTOR}{index}."
            found |= {prefix + name: array for name, array in collector.position.items()}
        for number, task in enumerate(self._tasks):
            found |= {f"{_TASK}{number}.{name}": array for name, array in task.arrays().items()}
        return found

    def restore(self, arrays: Mapping[str, Array]) -> list[int]:
        """Continue from `arrays`: rounds that were asked for are collected again.

        Returns the environments that begin new episodes. Raises `ValueError` or `KeyError` for
        arrays of other environments.
        """
        end(self._collectors)
        positions = [
            within(arrays, f"{_COLLECTOR}{index}.") for index in range(self.num_collectors)
        ]
        count = sum(name.endswith(f".{COUNTS}") for name in within(arrays, _TASK))
        self._tasks = deque(
            Task.from_arrays(within(arrays, f"{_TASK}{number}.")) for number in range(count)
        )
        self._next, self._step = (int(number) for number in arrays[_STEP])
        self._rows, self._collectors = None, self._new_collectors()
        assert self._plan is not None
        self._plan = replace(self._plan, rollbacks=self.rollbacks)
        for collector, position in zip(self._collectors, positions, strict=True):
            if self.rollbacks and position:
                given = self._plan.wanted.seed, collector.index, self.rollbacks
                position[STREAM] = stream_words(exploration_stream(*given))
            collector.position = position
            collector.start()
            collector.resume(position, [*self._tasks])
        for collector in self._collectors:
            while collector.is_restoring:
                collector.receive()
        not_restored = self._numbered(each.not_restored for each in self._collectors)
        for collector in self._collectors:
            # What is left of the oldest round does not follow from what was learned from before,
            # which the caller knows now
            collector.not_restored = []
        return not_restored

    def name_of_first(self) -> str | None:
        """The name of the first environment."""
        return self.template.name_of_first()

    def close(self) -> None:
        """End all collectors, and close the template."""
        end(self._collectors)
        self.template.close()


def _require_makeable(source: EnvironmentSource) -> None:
    """Raise `UserError` unless every collector can make environments of its own."""
    if source.instance is not None or source.is_vector:
        raise UserError(
            f"{source.name()} is one object, and each collector needs environments of its own - "
            "give an id, or a function that makes a single environment"
        )


def require_chunked(agent: Agent) -> None:
    """Raise `UserError` for an algorithm whose experience cannot be collected in chunks."""
    if not isinstance(agent.buffer, Chunked):
        raise UserError(
            f"{agent.name} cannot learn from chunks of steps that others have collected - leave "
            "collectors out, or use an algorithm with rollouts or replay, such as ppo or sac"
        )


def policy_arrays(agent: Agent) -> dict[str, Array]:
    """A copy of what acts in training: parameters as one vector, and statistics."""
    state = agent.policy.state
    if isinstance(agent.algorithm, Collecting):
        state = agent.algorithm.collecting_policy(agent.state)
    found = {"parameters": as_array(state.parameters)}
    if state.statistics is not None:
        found["statistics"] = as_array(state.statistics)
    if agent.normalizer is not None:
        found |= agent.normalizer.policy_arrays()
    return {name: np.array(array) for name, array in found.items()}
