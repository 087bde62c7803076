"""What flows between the rooms: transitions, batches, metrics, and the description of an environment's spaces.

Shape letters, used as suffixes of tensor names in `equations/` and `algorithms/`:
B batch, N critics of an ensemble, A action dimensions or choices, O observation dimensions, E environments, T steps of a rollout,
H outputs of a network that describe a distribution over actions, P parameters.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
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
    `next_observation` is always the true successor, also where the environment has begun a new episode since.
    `terminated` (the world ended) and `truncated` (the clock did) are never merged: only the first ends the future.
    """

    observation: Array  # [E, *observation shape]
    action: Array  # [E, *action shape], in the environment's own units
    reward: Array  # [E], raw
    next_observation: Array  # [E, *observation shape]
    terminated: Array  # [E] bool
    truncated: Array  # [E] bool
    valid: Array | None = (
        None  # [E] bool; None is all. Autoreset NEXT_STEP makes steps that are resets and no transitions
    )


class Decision(NamedTuple):
    """What an algorithm has decided for E environments: travels with the step into the buffer."""

    action: Array  # [E, A], as drawn
    extras: Mapping[str, Array] = {}
    """By name, what else was known at that moment and is learned from, [E, ...]: the
    log-probability, the policy's hidden state, ..."""


class Minibatch(NamedTuple):
    """Due: a minibatch; of replay the `number`th ever drawn, of a rollout its `number`th."""

    number: int


class WholeRollout(NamedTuple):
    """Due: a full rollout; linked if what follows a step is the next row, wherever it counts."""

    is_linked: bool


class Chunk(NamedTuple):
    """Due: steps of finished episodes, a part of what one update learns from."""

    is_last: bool


class Part(Enum):
    """Due: one of the two parts of a `MixedBatch`."""

    REPLAY = "replay"
    ROLLOUT = "rollout"


class Batch(NamedTuple):
    """A minibatch of transitions as torch tensors (NumPy arrays inside the buffer).

    `reward_B` is the n-step reward, `discount_B` what the value of `next_observation` is multiplied with:
    gamma ** steps, and 0 where the episode terminated within these steps.
    """

    observation: Observations  # [B, *observation shape], in the dtype it is stored in
    action: Any  # [B, A] in [-1, 1], or choices counted from 0
    reward: Rewards  # [B] float32
    next_observation: Observations  # [B, *observation shape]
    discount: Any  # [B] float32


class RolloutBatch(NamedTuple):
    """T consecutive steps of E environments as torch tensors (NumPy arrays inside the buffer), in the order they happened."""

    observation: Observations  # [T, E, *observation shape]
    action: Any  # [T, E, A], as the policy drew it
    reward: Rewards  # [T, E] float32
    next_observation: Observations  # [T, E, *observation shape], the true successor
    discount: Any  # [T, E], gamma, and 0 where the episode terminated: what the next value is multiplied with
    continues: Any  # [T, E], 1 where the next row is the next step of the same episode, 0 at either kind of end
    weight: Any  # [T, E], 1, and 0 for rows that are no transitions
    rows: Any  # [M] int64, the minibatch among the T * E rows; empty where an update takes all of them


class MixedBatch(NamedTuple):
    """A minibatch from replay, and the current rollout beside it."""

    observation: Observations  # [B, *observation shape] to discount: as in `Batch`
    action: Any
    reward: Rewards
    next_observation: Observations
    discount: Any
    rollout_observation: Observations  # [T, E, *observation shape]
    rollout_action: Any  # [T, E, A], as the policy drew it
    rollout_weight: Any  # [T, E], 1, and 0 for rows that are no transitions


class EpisodeBatch(NamedTuple):
    """Steps of finished episodes as torch tensors (NumPy arrays inside the buffer).

    `reward` is the discounted sum of rewards from the step to the end of its episode, `next_observation` the episode's last one,
    `discount` what its value is multiplied with: gamma to the number of steps, and 0 where the episode terminated.
    """

    observation: Observations  # [B, *observation shape]
    action: Any  # [B, A], as the policy drew it
    reward: Rewards  # [B] float32
    next_observation: Observations  # [B, *observation shape]
    discount: Any  # [B] float32
    weight: Any  # [B], 1, and 0 for rows that are none


class Diagnosis(NamedTuple):
    """What an agent makes of E observations, as torch tensors (arrays outside of the algorithms); None: there is no such thing.

    `value` and `bonus` are in units of the reward that the critic learns from, discounted. A value is that of the state under the
    policy: what follows until the end of the world. `bonus` is what a method pays itself, besides the reward, for having come to
    the state, and counts into values: r + gamma * (bonus' + value').
    """

    value: Any = None  # [E]
    entropy: Any = None  # [E], of the policy, in nats
    probabilities: Any = None  # [E, H], of all options of all choices side by side
    mean: Any = None  # [E, A] in [-1, 1], continuous actions
    std: Any = None  # [E, A], in half action ranges; of a squashed policy half the width of what one standard deviation becomes
    bonus: Any = None  # [E]


@dataclass(frozen=True, kw_only=True)
class BoxAction:
    """Continuous actions between finite bounds. Algorithms act in [-1, 1]^A; `to_environment` rescales affinely."""

    low: Array
    high: Array

    stored_dtype = np.dtype(np.float32)

    def __post_init__(self) -> None:
        low, high = self.low.astype(np.float64), self.high.astype(np.float64)
        object.__setattr__(
            self, "_middle", low / 2 + high / 2
        )  # halves first: wide bounds must not overflow
        object.__setattr__(self, "_half", high / 2 - low / 2)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one action."""
        return tuple(self.low.shape)

    @property
    def size(self) -> int:
        """Number of action dimensions, A."""
        return int(self.low.size)

    def to_environment(self, action_EA: Array) -> Array:
        """Actions in [-1, 1] -> the environment's units and shape; the ends are reached exactly, never passed."""
        unit = action_EA.reshape(-1, *self.shape)
        action = unit * self._half + self._middle  # type: ignore[attr-defined]
        np.copyto(action, self.high, where=unit >= 1)
        np.copyto(action, self.low, where=unit <= -1)
        return action.astype(self.low.dtype, copy=False)

    def from_environment(self, action: Array) -> FloatArray:
        """Actions in the environment's units [E, *shape] -> [-1, 1], [E, A]."""
        unit = (action - self._middle) / self._half  # type: ignore[attr-defined]
        return (
            np.minimum(np.maximum(unit, -1), 1)
            .reshape(len(action), self.size)
            .astype(np.float32, copy=False)
        )


@dataclass(frozen=True, kw_only=True)
class DiscreteAction:
    """One or several choices; choice i is among `starts[i]`, `starts[i] + 1`, ... Algorithms count each from 0.

    A Discrete space is one choice and its actions have shape (); MultiDiscrete is several; MultiBinary as many of two.
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
        """Choices counted from 0 -> the environment's own numbers and shape."""
        action: Array = (
            (choice_EA + self.starts).reshape(-1, *self.shape).astype(self.dtype, copy=False)
        )
        return action

    def from_environment(self, action: Array) -> Array:
        """The environment's actions [E, *shape] -> choices counted from 0, int64 [E, A]."""
        choice: Array = action.reshape(len(action), self.size).astype(np.int64) - self.starts
        return choice


@dataclass(frozen=True, kw_only=True)
class Spaces:
    """What an algorithm has to know of an environment."""

    observation_shape: tuple[int, ...]
    """() where observations are records."""
    observation_dtype: str | np.dtype[np.void]
    """As stored: "float32", or the environment's own integer dtype such as "uint8". Of a Dict or
    Tuple space the dtype of records with its leaves, see `footlight.trees`."""
    action: BoxAction | DiscreteAction
    choices: Mapping[str, tuple[range, ...]] = field(default_factory=dict)
    """By leaf of a Dict or Tuple space, the options of each of its numbers, where it is discrete."""

    @staticmethod
    def of_leaves(leaves: Mapping[str, Leaf], action: BoxAction | DiscreteAction) -> "Spaces":
        """The spaces with these leaves, which are the one leaf "" or those of a Dict."""
        if leaves.keys() == {""}:
            only = leaves[""]
            return Spaces(observation_shape=only.shape, observation_dtype=only.dtype, action=action)
        choices = {name: leaf.choices for name, leaf in leaves.items() if leaf.choices}
        return Spaces(
            observation_shape=(), observation_dtype=record_dtype(leaves), action=action,
            choices=choices,
        )  # fmt: skip

    @property
    def observation(self) -> dict[str, Leaf]:
        """The leaves of an observation by dotted name; that of a Box is the one leaf ""."""
        return leaves_of_dtype(self.observation_shape, self.observation_dtype, self.choices)

    @property
    def has_leaves(self) -> bool:
        """Whether observations are records of named leaves, and no plain array."""
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
            bounds = BoxAction(
                low=np.array(action["low"], dtype), high=np.array(action["high"], dtype)
            )
        observation = record["observation"]
        leaves = observation.get("leaves", {"": observation})
        return Spaces.of_leaves(
            {name: Leaf.from_json(leaf) for name, leaf in leaves.items()}, bounds
        )
