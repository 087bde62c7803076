"""What collectors are asked for, and what they return.

A chunk is a function of its task and of the position where it began: the same ones give the same
chunk in any process, whenever it is collected.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from footlight.environments.episodes import Episode
from footlight.errors import EnvironmentFault
from footlight.types import Array, Decision, Transition

Position = Mapping[str, Array]
"""Where a collector is between two chunks: the state of its environments, of its random stream and
of its acting memory. Empty: at the beginning."""

COUNTS, _POLICY, _VALUE = "counts", "policy.", "value."


@runtime_checkable
class Chunked(Protocol):
    """A buffer whose steps other processes can collect, several at a time."""

    @property
    def chunk_steps(self) -> int:
        """How many steps of each environment to collect with the same parameters."""

    @property
    def max_lag(self) -> int:
        """How many chunks older what acts may be than what learns; 0: on-policy."""


class CollectorLost(Exception):
    """The process of a collector, or the machine that it was on, has ended."""


class Task(NamedTuple):
    """What each collector is asked for in one round."""

    number: int
    """Of the round, from 0 on."""
    steps: int
    """T, of each environment."""
    num_steps: int
    """Environment steps of the whole run before this round."""
    policy: Mapping[str, Array]
    """What acts: its parameters as one flat vector, and the statistics that it needs."""
    scheduled: Mapping[str, float]
    """Fields of the config that have changed since the run began."""

    def arrays(self) -> dict[str, Array]:
        """The task for a checkpoint."""
        counts = np.array([self.number, self.steps, self.num_steps])
        scheduled = {_VALUE + name: np.array(value) for name, value in self.scheduled.items()}
        policy = {_POLICY + name: array for name, array in self.policy.items()}
        return {COUNTS: counts, **scheduled, **policy}

    @staticmethod
    def from_arrays(arrays: Mapping[str, Array]) -> "Task":
        """The inverse of `arrays`. Raises `ValueError` or `KeyError` for anything else."""
        number, steps, num_steps = (int(count) for count in arrays[COUNTS])
        scheduled = {name: float(value) for name, value in within(arrays, _VALUE).items()}
        return Task(number, steps, num_steps, within(arrays, _POLICY), scheduled)


class Chunk(NamedTuple):
    """T consecutive steps of each of a collector's environments."""

    number: int
    """Of the round."""
    transition: Transition
    """Its fields are [T, environments, ...]."""
    decision: Decision
    """The same."""
    episodes: list[list[Episode]]
    """By step, those that it has ended."""
    failed: list[list[int]]
    """By step, the environments that it was cut off in by a fault."""
    faults: list[EnvironmentFault]
    """The faults that were survived."""
    position: Position
    """After the last step."""
    not_restored: Sequence[int] = ()
    """Environments that could not continue where a collector was lost, and begin new episodes."""


def stacked(
    steps: Iterable[tuple[Transition, Decision]], along: int = 0
) -> tuple[Transition, Decision]:
    """Steps of the same environments [E, ...] as ones [T, E, ...].

    along: 1 joins chunks [T, K, ...] of different environments to ones [T, E, ...] instead.
    """
    transitions, decisions = zip(*steps, strict=True)
    join: Any = np.stack if along == 0 else np.concatenate
    columns = [
        None if all(each is None for each in column) else [
            np.ones(rows.shape, bool) if each is None else each
            for each, rows in zip(column, (t.reward for t in transitions), strict=True)
        ]
        for column in zip(*transitions, strict=True)
    ]  # fmt: skip
    fields: Any = (None if column is None else join(column, axis=along) for column in columns)
    extras = {
        name: join([each.extras[name] for each in decisions], axis=along)
        for name in decisions[0].extras
    }
    actions = join([each.action for each in decisions], axis=along)
    return Transition(*fields), Decision(actions, extras)


def at_step(transition: Transition, decision: Decision, step: int) -> tuple[Transition, Decision]:
    """One step [E, ...] of several [T, E, ...]."""
    fields: Any = (None if field is None else field[step] for field in transition)
    extras = {name: array[step] for name, array in decision.extras.items()}
    return Transition(*fields), Decision(decision.action[step], extras)


def within(arrays: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    """The arrays whose names begin so, without that beginning."""
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }
