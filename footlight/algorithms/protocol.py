"""What the library requires of an algorithm and of its parts.

An algorithm is a final frozen dataclass of its config, its networks and the spaces. Its methods are
pure functions of the state that they are given, except that an update changes the state in place.
No base class: any class with these names will do. What an algorithm does not need, it does not
write: the optional parts are protocols of their own below.

Arrays and tensors carry the shape letters of `footlight.types`; continuous actions lie in [-1, 1],
choices count from 0. StateT is a tree (`footlight.trees`) of tensors, MemoryT one of arrays
[E, ...].
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import Field, dataclass
from typing import ClassVar, NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np
from torch import Tensor, nn

from footlight.equations.draws import Draw
from footlight.networks.flat import Network
from footlight.networks.heads import ActionHead
from footlight.types import Array, Decision, Diagnosis, Spaces, Transition

StateT = TypeVar("StateT")
BatchT = TypeVar("BatchT")
MemoryT = TypeVar("MemoryT")
StateT_contra = TypeVar("StateT_contra", contravariant=True)
EventT_contra = TypeVar("EventT_contra", contravariant=True)
BatchT_contra = TypeVar("BatchT_contra", contravariant=True)
ConfigT_contra = TypeVar("ConfigT_contra", contravariant=True)
NetworkT_contra = TypeVar("NetworkT_contra", contravariant=True)
AlgorithmT_co = TypeVar("AlgorithmT_co", covariant=True)
EventT_co = TypeVar("EventT_co", covariant=True)
MemoryT_co = TypeVar("MemoryT_co", covariant=True)

Noise = Mapping[str, Tensor]
"""The random numbers of one update, by the names that `draws` has given them."""


@dataclass(frozen=True)
class Outcome:
    """What an update returns: metrics as 0-d tensors, and priorities [B] for the buffer, if any."""

    metrics: Mapping[str, Tensor]
    priorities: Tensor | None = None


class PolicyState(NamedTuple):
    """What acts: the part of a state that a policy is made of."""

    parameters: Tensor  # [P]
    statistics: Tensor | None = None  # [Q], see `Network.with_statistics`


class Config(Protocol):
    """Hyperparameters: a frozen dataclass, see `footlight.config.fields`."""

    __dataclass_fields__: ClassVar[dict[str, Field[object]]]


class Networks(Protocol):
    """Architectures without parameters; a dataclass. The state has a field of the same name for
    each `Network` in it."""

    @property
    def policy(self) -> Network:
        """The network that acts."""

    @property
    def head(self) -> ActionHead:
        """What its outputs mean, and how actions as drawn become actions in [-1, 1]."""


class Buffer(Protocol[BatchT, EventT_co]):
    """Experience that waits for its updates. `batch` is a named tuple of arrays in reused memory,
    filled for each update."""

    batch: BatchT
    num_bytes: int

    @property
    def num_steps(self) -> int:
        """Environment steps taken."""

    @property
    def capacity(self) -> int:
        """Steps, or frames, that it holds."""

    def add(self, transition: Transition, decision: Decision) -> None:
        """Store one step of each environment, and the decision behind it."""

    def due(self, stream: np.random.Generator, final: bool = False) -> Iterator[EventT_co]:
        """A value for each update that is due, which says what is in `batch` (`Minibatch`,
        `WholeRollout`, ... of `footlight.types`); `final`: nothing more will come."""

    def expected_updates(self, steps: int) -> int:
        """The approximate number of updates in this many environment steps."""

    def forget_pending(self, envs_E: Array) -> None:
        """A new episode begins in the environments of this mask; it does not follow from the last
        step."""

    def arrays(self) -> dict[str, Array]:
        """The arrays that a checkpoint has to hold."""

    def counters(self) -> dict[str, int]:
        """The numbers that a checkpoint has to hold."""

    def restore(self, arrays: dict[str, Array], counters: dict[str, int]) -> None:
        """Continue from `arrays()` and `counters()`."""


class Algorithm(Protocol[StateT, BatchT, MemoryT]):
    """An algorithm, bound to a config, to networks and to spaces."""

    METRICS: ClassVar[tuple[str, ...]]
    """Names of all metrics that updates may return; one that is not named here is an error."""

    @property
    def config(self) -> Config:
        """The hyperparameters."""

    @property
    def networks(self) -> Networks:
        """Architectures; their parameters are in the state."""

    def init(self, num_envs: int) -> StateT:
        """The learner's state before the first step. A field `progress` [1], if there is one, is
        kept by the learner, see `Scheduled`."""

    def buffer(self, num_envs: int) -> Buffer[BatchT, object]:
        """Where steps wait until they are due. With several updates, the values of its `due` are
        those that `update_for` takes (`Choosing`)."""

    def policy(self, state: StateT) -> PolicyState:
        """The part of the state that acts."""

    def act(
        self, policy: PolicyState, memory: MemoryT, observation: Array,
        stream: np.random.Generator | None,
    ) -> tuple[Decision, MemoryT]:  # fmt: skip
        """The policy's actions: its mode, or a sample where a random stream is given. `memory` is
        what the policy remembers within an episode (`Remembering`), otherwise None."""

    @property
    def updates(self) -> Mapping[str, Callable[[StateT, BatchT, Noise], Outcome]]:
        """The updates by name; each becomes a graph of its own. An update changes its state in
        place, and nothing else."""


class AlgorithmClass(Protocol[ConfigT_contra, NetworkT_contra, AlgorithmT_co]):
    """The class of an algorithm, whose field `config` is annotated with the class of its config."""

    @property
    def ACTIONS(self) -> tuple[str, ...]:
        """Class variable: the kinds of action space that it works on, "box", "discrete", or
        "single" for one discrete choice only."""

    def create(
        self, config: ConfigT_contra, spaces: Spaces, network: NetworkT_contra | None = None
    ) -> AlgorithmT_co:
        """A class method: networks of this config for these spaces, or the user's own `network`.
        Raises `UserError` where they do not fit."""


# Optional parts of an algorithm


@runtime_checkable
class Choosing(Protocol[EventT_contra]):
    """With several updates: which of them a value of the buffer's `due` asks for."""

    def update_for(self, due: EventT_contra) -> str:
        """A name in `updates`."""


@runtime_checkable
class Randomized(Protocol[BatchT_contra]):
    """Updates take random numbers."""

    def draws(self, batch: BatchT_contra) -> Mapping[str, Draw]:
        """By name, the numbers that an update on `batch` takes."""


@runtime_checkable
class Remembering(Protocol[MemoryT_co]):
    """Acting has a memory within an episode: a noise's walk, a recurrent policy's state."""

    def memory(self, num_envs: int) -> MemoryT_co:
        """The memory at the beginning of an episode: a tree of arrays [E, ...]."""


@runtime_checkable
class Exploring(Protocol[MemoryT]):
    """Experience is collected in a way other than sampling from the policy."""

    def explore(
        self, policy: PolicyState, memory: MemoryT, observation: Array,
        stream: np.random.Generator, num_steps: int,
    ) -> tuple[Decision, MemoryT]:  # fmt: skip
        """Actions for collecting experience; `num_steps` environment steps have been taken."""


@runtime_checkable
class Collecting(Protocol[StateT_contra]):
    """Experience is collected by another policy than the one that is evaluated and saved."""

    def collecting_policy(self, state: StateT_contra) -> PolicyState:
        """The part of the state that acts during training; `policy` is what acts otherwise."""


@runtime_checkable
class Tracing(Protocol[StateT_contra]):
    """The state holds something that must not outlive an episode, such as an eligibility trace."""

    def episode_ended(self, state: StateT_contra, ended_E: Array) -> None:
        """Reset it in place, after the update that a step made due, and for abandoned episodes."""


@runtime_checkable
class Diagnosable(Protocol[StateT_contra]):
    """Videos can show the critic's values; the config has to have a `gamma`."""

    def diagnose(self, state: StateT_contra, observation: Tensor) -> Diagnosis:
        """The critic's values of observations [E, ...], as the policy sees them, and the policy."""


@runtime_checkable
class PartlyEager(Protocol):
    """Some updates are too rare to be worth compiling."""

    @property
    def eager(self) -> frozenset[str]:
        """Their names."""


# Optional parts of networks, states, configs and buffers


@runtime_checkable
class Wrapping(Protocol):
    """A network that calls the user's own, and adds what it lacks."""

    @property
    def user_module(self) -> nn.Module | None:
        """The user's own module; None if no part of it acts."""


@runtime_checkable
class Scheduled(Protocol):
    """A state whose updates depend on how much of the run is over."""

    progress: Tensor
    """[1]: the share of the run that was over when what is learned from began. Kept by the
    learner."""


@runtime_checkable
class Discounting(Protocol):
    """A config with a discount."""

    @property
    def gamma(self) -> float:
        """Discount per environment step."""


@runtime_checkable
class SummingRewards(Protocol):
    """A buffer that may add rewards up before they are normalized."""

    sums_rewards: bool


@runtime_checkable
class Reprioritized(Protocol):
    """A buffer that draws by priority."""

    def reprioritize(self, priorities_B: Array) -> None:
        """New priorities of the rows in `batch`, from the update that has learned from them."""


@runtime_checkable
class Ringed(Protocol):
    """A buffer with large rings, which checkpoints write piece by piece."""

    def spans(self) -> dict[str, tuple[int, int]]:
        """By array, the fields of a `storage.checkpoint.RingPosition`: how many rows will stay as
        they are until they are overwritten, and how many were ever written."""


@runtime_checkable
class Dropping(Protocol):
    """A buffer that discards the rest of episodes that began under an older policy."""

    @property
    def is_dropped(self) -> Array:
        """Mask [E] of the environments whose current episode is discarded."""
