"""Data types shared by all packages: transitions, batches, and descriptions of spaces.

Shape letters, used as suffixes of tensor names in `equations/` and `algorithms/`: B batch, N
critics of an ensemble, A action dimensions or choices, O observation dimensions, E environments, T
steps of a rollout, H outputs of a network that describe a distribution over actions, P parameters.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from footlight.trees import Leaf, leaves_of_dtype, record_dtype
from footlight.trees import Observations as Observations
from footlight.trees import Rewards as Rewards
from footlight.trees import Role as Role
from footlight.trees import roles as roles

Array = NDArray[Any]
FloatArray = NDArray[np.float32]


class Transition(NamedTuple):
    """One step of each of E environments, as the environment reported it.

    Observations of a Dict or Tuple space are records [E], see `footlight.trees`.
    `next_observation` is always the true successor, even if the environment has already begun a new
    episode. `terminated` (the task ended) and `truncated` (a time limit was reached) are never
    merged: only after a termination are there no further rewards.
    """

    observation: Array  # [E, *observation shape]
    action: Array  # [E, *action shape], in the environment's own units
    reward: Array  # [E], raw
    next_observation: Array  # [E, *observation shape]
    terminated: Array  # [E] bool
    truncated: Array  # [E] bool
    valid: Array | None = None  # [E] bool, false for reset steps of NEXT_STEP autoreset; None: all


class Decision(NamedTuple):
    """An algorithm's actions in E environments, stored in the buffer with the step."""

    action: Array  # [E, A], as drawn
    extras: Mapping[str, Array] = {}
    """Other arrays [E, ...] to learn from, by name: log-probabilities, a hidden state, ..."""


class Minibatch(NamedTuple):
    """A minibatch is due: the `number`th ever drawn from replay, or the `number`th of a rollout."""

    number: int


class WholeRollout(NamedTuple):
    """A full rollout is due."""

    is_linked: bool  # every successor whose value is used is the observation of the next row


class Chunk(NamedTuple):
    """A part of the episodes of one update is due."""

    is_last: bool


class Part(Enum):
    """One of the two parts of a `MixedBatch` is due."""

    REPLAY = "replay"
    ROLLOUT = "rollout"


class Batch(NamedTuple):
    """A minibatch of transitions as torch tensors (NumPy arrays inside the buffer).

    `reward_B` is the n-step reward, `discount_B` the factor of the value of `next_observation`:
    gamma ** steps, or 0 if the episode terminated within these steps.
    """

    observation: Observations  # [B, *observation shape], in the stored dtype
    action: Any  # [B, A] in [-1, 1], or choices counted from 0
    reward: Rewards  # [B] float32
    next_observation: Observations  # [B, *observation shape]
    discount: Any  # [B] float32


class RolloutBatch(NamedTuple):
    """T consecutive steps of E environments as torch tensors (NumPy arrays inside the buffer)."""

    observation: Observations  # [T, E, *observation shape]
    action: Any  # [T, E, A], as the policy drew it
    reward: Rewards  # [T, E] float32
    next_observation: Observations  # [T, E, *observation shape], the true successor
    discount: Any  # [T, E], factor of the next value: gamma, or 0 if the episode terminated
    continues: Any  # [T, E], 1 if the next row continues the episode, 0 at either kind of end
    weight: Any  # [T, E], 1, or 0 for rows that are not transitions
    rows: Any  # [M] int64, the minibatch's rows among all T * E; empty if an update uses all


class MixedBatch(NamedTuple):
    """A minibatch from replay, and the current rollout."""

    # The first five fields are those of `Batch`
    observation: Observations
    action: Any
    reward: Rewards
    next_observation: Observations
    discount: Any
    rollout_observation: Observations  # [T, E, *observation shape]
    rollout_action: Any  # [T, E, A], as the policy drew it
    rollout_weight: Any  # [T, E], 1, or 0 for rows that are not transitions


class EpisodeBatch(NamedTuple):
    """Steps of finished episodes as torch tensors (NumPy arrays inside the buffer).

    `reward` is the discounted sum of rewards from the step to the end of its episode,
    `next_observation` the last observation of the episode, and `discount` the factor of its value:
    gamma ** steps, or 0 if the episode terminated.
    """

    observation: Observations  # [B, *observation shape]
    action: Any  # [B, A], as the policy drew it
    reward: Rewards  # [B] float32
    next_observation: Observations  # [B, *observation shape]
    discount: Any  # [B] float32
    weight: Any  # [B], 1, or 0 for unused rows


class Diagnosis(NamedTuple):
    """An agent's values and policy at E observations; None for what it does not have.

    As torch tensors within the algorithms, as arrays outside of them. `value` is the state value
    under the policy and `bonus` an intrinsic reward for reaching the state, such as an entropy
    bonus, both in units of the critic's reward; values contain them: r + gamma * (bonus' + value').
    """

    value: Any = None  # [E]
    entropy: Any = None  # [E], of the policy, in nats
    probabilities: Any = None  # [E, H], concatenated over the choices
    mean: Any = None  # [E, A] in [-1, 1], continuous actions
    std: Any = None  # [E, A], in half action ranges; half the width of mean ± std if squashed
    bonus: Any = None  # [E]
    values: Any = None  # [E, N], of each critic
    edge_mass: Any = None  # [E], probability in the outermost bins of categorical critics


@dataclass(frozen=True, kw_only=True)
class BoxAction:
    """Continuous actions between finite bounds; algorithms act in [-1, 1]^A."""

    low: Array
    high: Array

    stored_dtype = np.dtype(np.float32)

    def __post_init__(self) -> None:
        # Halve first: wide bounds must not overflow
        half_low, half_high = self.low.astype(np.float64) / 2, self.high.astype(np.float64) / 2
        object.__setattr__(self, "_middle", half_low + half_high)
        object.__setattr__(self, "_half", half_high - half_low)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one action."""
        return tuple(self.low.shape)

    @property
    def size(self) -> int:
        """Number of action dimensions, A."""
        return int(self.low.size)

    def to_environment(self, action_EA: Array) -> Array:
        """Rescale actions in [-1, 1] affinely to the environment's units and shape.

        The bounds are reached exactly and never exceeded.
        """
        unit = action_EA.reshape(-1, *self.shape)
        action = unit * self._half + self._middle  # type: ignore[attr-defined]
        np.copyto(action, self.high, where=unit >= 1)
        np.copyto(action, self.low, where=unit <= -1)
        return action.astype(self.low.dtype, copy=False)

    def from_environment(self, action: Array) -> FloatArray:
        """Convert actions in the environment's units [E, *shape] to [-1, 1], [E, A]."""
        unit = (action - self._middle) / self._half  # type: ignore[attr-defined]
        clipped = np.minimum(np.maximum(unit, -1), 1).reshape(len(action), self.size)
        return clipped.astype(np.float32, copy=False)


@dataclass(frozen=True, kw_only=True)
class DiscreteAction:
    """One or several choices; choice i is one of `starts[i]`, `starts[i] + 1`, ...

    Algorithms count the options of each choice from 0. A Discrete space is one choice, whose
    actions have shape (); MultiDiscrete is several; MultiBinary is several choices of two options.
    """

    sizes: tuple[int, ...]
    starts: tuple[int, ...]
    shape: tuple[int, ...] = ()
    dtype: str = "int64"

    stored_dtype = np.dtype(np.int64)

    @property
    def size(self) -> int:
        """Number of choices, A."""
        return len(self.sizes)

    def to_environment(self, choice_EA: Array) -> Array:
        """Convert choices counted from 0 to the environment's numbers and shape."""
        shifted = choice_EA + self.starts if any(self.starts) else choice_EA
        action: Array = shifted.reshape(-1, *self.shape).astype(self.dtype)
        return action

    def from_environment(self, action: Array) -> Array:
        """Convert the environment's actions [E, *shape] to choices counted from 0, int64 [E, A]."""
        choice: Array = action.reshape(len(action), self.size).astype(np.int64) - self.starts
        return choice


@dataclass(frozen=True, kw_only=True)
class Spaces:
    """The observation and action spaces of an environment, as algorithms use them."""

    observation_shape: tuple[int, ...]
    """() if observations are records."""
    observation_dtype: str | np.dtype[np.void]
    """As stored: "float32", or the environment's integer dtype such as "uint8". For a Dict or Tuple
    space, the dtype of records with its leaves, see `footlight.trees`."""
    action: BoxAction | DiscreteAction
    choices: Mapping[str, tuple[range, ...]] = field(default_factory=dict)
    """By discrete leaf, the options of each of its numbers."""

    @staticmethod
    def of_leaves(leaves: Mapping[str, Leaf], action: BoxAction | DiscreteAction) -> "Spaces":
        """Create spaces from leaves: the single leaf "", or those of a Dict or Tuple."""
        choices = {name: leaf.choices for name, leaf in leaves.items() if leaf.choices}
        shape: tuple[int, ...] = ()
        dtype: str | np.dtype[np.void] = record_dtype(leaves)
        if leaves.keys() == {""}:
            shape, dtype = leaves[""].shape, leaves[""].dtype
        return Spaces(
            observation_shape=shape, observation_dtype=dtype, action=action, choices=choices
        )

    @property
    def observation(self) -> dict[str, Leaf]:
        """The leaves of an observation by dotted name; only a Dict or Tuple has others than ""."""
        return leaves_of_dtype(self.observation_shape, self.observation_dtype, self.choices)

    @cached_property  # asked at every step
    def has_leaves(self) -> bool:
        """Whether observations are records of named leaves instead of plain arrays."""
        return not isinstance(self.observation_dtype, str)

    def to_json(self) -> dict[str, Any]:
        """The spaces as strict JSON."""
        if isinstance(self.action, DiscreteAction):
            action: dict[str, Any] = {
                "kind": "discrete", "sizes": list(self.action.sizes),
                "starts": list(self.action.starts), "shape": list(self.action.shape),
                "dtype": self.action.dtype,
            }  # fmt: skip
        else:
            low, high = self.action.low, self.action.high
            bounds = {"low": low.tolist(), "high": high.tolist()}
            action = {"kind": "box", **bounds, "dtype": str(low.dtype)}
        leaves = {name: leaf.to_json() for name, leaf in self.observation.items()}
        return {
            "observation": {"leaves": leaves} if self.has_leaves else leaves[""],
            "action": action,
        }

    @staticmethod
    def from_json(record: dict[str, Any]) -> "Spaces":
        """The inverse of `to_json`."""
        action = record["action"]
        bounds: BoxAction | DiscreteAction
        if action["kind"] == "discrete":
            sizes, starts, shape = (
                tuple(int(n) for n in action[name]) for name in ("sizes", "starts", "shape")
            )
            bounds = DiscreteAction(
                sizes=sizes, starts=starts, shape=shape, dtype=str(np.dtype(str(action["dtype"])))
            )
        else:
            dtype = np.dtype(str(action["dtype"]))
            low, high = np.array(action["low"], dtype), np.array(action["high"], dtype)
            bounds = BoxAction(low=low, high=high)
        observation = record["observation"]
        leaves = observation.get("leaves", {"": observation})
        parsed = {name: Leaf.from_json(leaf) for name, leaf in leaves.items()}
        return Spaces.of_leaves(parsed, bounds)
