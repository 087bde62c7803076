"""What an agent learns from: a sample of its replay buffer, or its rollout."""

from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from footlight.algorithms.settings import Normalization
from footlight.diagnostics.value_errors import quantile
from footlight.instruments.critic_probe import as_learned
from footlight.learning.agent import Agent
from footlight.trees import leaves_of
from footlight.types import Array, RolloutBatch

NUM_ROWS, MIN_ROWS = 256, 16  # fewer say nothing about what varies
MAX_BYTES = 1 << 21  # of the observations


@runtime_checkable
class Peekable(Protocol):
    """A buffer that shows experience without an update learning from it."""

    batch: Any

    def peek(self, stream: np.random.Generator, count: int) -> tuple[Array, ...]:
        """The fields of `Rows` of `count` random rows."""

    def __len__(self) -> int:
        """How many rows there are."""


@runtime_checkable
class Wrapping(Protocol):
    """A buffer around one of replay."""

    @property
    def replay(self) -> Any:
        """The inner buffer."""


class Rows(NamedTuple):
    """What an agent learns from, row by row."""

    observation: Array  # [B, ...]
    reward: Array  # [B]
    discount: Array | None = None  # [B]
    ages: Array | None = None  # [B], environment steps since each row was collected


def sampled(agent: Agent, stream: np.random.Generator) -> Rows | None:
    """Rows that the agent learns from; None if there are few, or the buffer shows none."""
    buffer: Any = agent.buffer
    while isinstance(buffer, Wrapping):
        buffer = buffer.replay
    if isinstance(buffer, Peekable):
        if len(buffer) < MIN_ROWS:
            return None
        return Rows(*buffer.peek(stream, _room(buffer.batch.observation[0].nbytes)))
    if not is_rollout(buffer.batch):
        return None
    batch = buffer.batch
    rows = np.flatnonzero(batch.weight.reshape(-1) > 0)
    if len(rows) < MIN_ROWS:
        return None
    if len(rows) > (room := _room(batch.observation[0, 0].nbytes)):
        rows = rows[np.linspace(0, len(rows) - 1, room).astype(int)]
    fields = batch.observation, batch.reward, batch.discount
    return Rows(*(field.reshape(-1, *field.shape[2:])[rows] for field in fields))


def _room(row_bytes: int) -> int:
    """How many rows are looked at: fewer of large ones."""
    return max(MIN_ROWS, min(NUM_ROWS, MAX_BYTES // max(row_bytes, 1)))


def is_rollout(batch: Any) -> bool:
    """Whether a batch has the steps of a rollout in its first fields, [T, E, ...] each."""
    return batch._fields[:7] == RolloutBatch._fields[:7]


def holds_newest(batch: Any, observed: Array, running_E: Array) -> bool:
    """Whether a rollout has a step that ends with the current observation of each environment.

    running_E: the environments whose episode has begun; of others, the observation is a first one.
    """
    stored = batch.next_observation[:, running_E]
    equal = (stored == observed[running_E]).reshape(*stored.shape[:2], -1).all(-1)
    return bool(equal.any(0).all())


def data_quantities(agent: Agent, rows: Rows) -> dict[str, float]:
    """Rewards and observations as the networks see them, and how old the rows are."""
    normalizer, config = agent.normalizer, agent.config
    clip = config.clip_reward if isinstance(config, Normalization) else None
    rewards = as_learned(rows.reward.astype(np.float64), clip, normalizer)
    most_frequent = Counter(rewards.tolist()).most_common(1)[0][1]
    found = {
        "sample_rows": float(len(rewards)),
        "reward_mean": float(rewards.mean()),
        "reward_std": float(rewards.std()),
        "reward_max": float(np.abs(rewards).max()),
        "reward_mode_share": most_frequent / len(rewards),
        "positive_rewards": float((rewards > 0).mean()),
    }
    if rows.discount is not None:
        found["terminal_share"] = float((rows.discount == 0).mean())
    observation = rows.observation
    # Leaf by leaf: records have padding, whose bytes are whatever lay in memory
    parts = [leaf.reshape(len(leaf), -1) for leaf in leaves_of(observation).values()]
    different = {b"".join(part.tobytes() for part in row) for row in zip(*parts, strict=True)}
    found["distinct_observations"] = len(different) / len(observation)
    if normalizer is not None:
        observation = normalizer.observation(observation)
    leaves = {name: _as_floats(leaf) for name, leaf in leaves_of(observation).items()}
    # Choices are one-hot or embedded, whatever their numbers are
    sizes_BO = _joined(leaf for name, leaf in leaves.items() if name not in agent.spaces.choices)
    if sizes_BO.size:
        found["observation_max"] = quantile(np.abs(sizes_BO), 0.99)
    if (numbers_BO := _joined(leaves.values())).size:
        found["constant_observations"] = float((np.ptp(numbers_BO, axis=0) == 0).mean())
    if rows.ages is not None:
        found["sample_age"] = float(rows.ages.mean())
    return found


def _joined(leaves: Iterable[Array]) -> Array:
    """Leaves [B, ?] side by side; of none, an array without numbers."""
    return np.hstack([*leaves] or [np.empty(0)])


def _as_floats(leaf: Array) -> Array:
    flat = leaf.reshape(len(leaf), -1)
    return flat.astype(np.float32) / 255 if flat.dtype == np.uint8 else flat.astype(np.float64)
