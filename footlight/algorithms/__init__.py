"""The methods, one file each, and the protocol that they and a user's own method satisfy.

Imports no torch by itself, so that `footlight list` answers at once.
"""

import importlib
from collections.abc import Hashable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

from footlight.config.suggestions import closest
from footlight.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from footlight.types import Array, Assessment, Spaces, Transition

ALGORITHMS = {
    "a2c": "Synchronous advantage actor-critic; continuous and discrete actions (Mnih et al. 2016)",
    "actor-critic": "One-step actor-critic, an update at every step; continuous and discrete actions (Sutton & Barto 2018)",
    "ddpg": "Off-policy actor-critic with a deterministic policy; continuous actions (Lillicrap et al. 2015)",
    "ppo": "Proximal policy optimization with a clipped objective; continuous and discrete actions (Schulman et al. 2017)",
    "reinforce": "Monte Carlo policy gradient; continuous and discrete actions (Williams 1992)",
    "replay-actor-critic": "Softmax actor on rollouts, critic Q(s, .) from replay; a single discrete action",
    "sac": "Maximum-entropy off-policy actor-critic with a stochastic policy; continuous actions (Haarnoja et al. 2018)",
    "stream-ac": "Streaming actor-critic with traces and no buffer; continuous and discrete actions (Elsayed et al. 2024)",
    "td3": "DDPG with twin critics, target smoothing and delayed policy updates; continuous actions (Fujimoto et al. 2018)",
}
"""Name and one line about each method."""


class Algorithm(Protocol):
    """What the agent asks of a method: a module with these names, or any object that has them.

    Arrays and tensors carry the shape letters of `footlight.types`; continuous actions lie in [-1, 1], choices count from 0.
    """

    ACTIONS: tuple[str, ...]
    """The kinds of action space that the method works on: "box", "discrete", or "single" for one discrete choice only."""
    POLICY: str
    """Name of the field of networks and of the state that acts, such as "actor"."""
    METRICS: tuple[str, ...]
    """Names of all metrics that `update` may return; one that is not named here is an error."""
    Config: Any
    """A frozen dataclass of hyperparameters, see `footlight.config.fields`."""

    def build(self, config: Any, spaces: "Spaces", network: Any = None) -> Any:
        """The networks: architectures without state. A field `head`, if there is one, is a `footlight.networks.heads.Head`: it
        turns actions as they are drawn into actions in [-1, 1]."""

    def init(self, config: Any, networks: Any, spaces: "Spaces", num_envs: int) -> Any:
        """The state, a dataclass tree of tensors and arrays. A field `progress` [1], if there is one, is kept by the agent: the
        share of the run that was over when what is learned from began."""

    def buffer(self, config: Any, spaces: "Spaces", num_envs: int) -> "Buffer":
        """Where transitions wait until they are due."""

    def act(
        self,
        config: Any,
        networks: Any,
        policy_P: "Tensor",
        observation: "Array",
        stream: "np.random.Generator | None",
    ) -> "Array":
        """The policy's actions [E, A] as drawn: its mode, or a sample where a random stream is given."""

    def explore(
        self,
        config: Any,
        networks: Any,
        state: Any,
        observation: "Array",
        stream: "np.random.Generator",
        num_steps: int,
    ) -> "Array":
        """Actions [E, A], as drawn, for collecting experience; `num_steps` environment steps have been taken."""

    def episode_ended(self, state: Any, ended_E: "Array") -> None:
        """Reset what must not carry over from one episode into the next, in the environments of the mask. Called after the
        update that the last step made due, and when an episode is abandoned."""

    def noise_shape(self, config: Any, networks: Any, batch: Any) -> tuple[int, ...]:
        """Shape of the standard normal noise that an update on `batch` takes."""

    def variants(self, config: Any, networks: Any) -> tuple[Hashable, ...]:
        """The forms that an update usually takes; each is a graph of its own, compiled before the first step."""

    def variant(self, config: Any, index: int) -> Hashable:
        """The form of the update that the buffer's `due` gave this number."""

    def update(
        self, config: Any, networks: Any, state: Any, batch: Any, noise: "Tensor", variant: Any
    ) -> "dict[str, Tensor]":
        """One gradient step: changes `state` in place and nothing else; metrics leave as 0-d tensors."""


class Assessing(Protocol):
    """What a method may have besides, so that films show its values; its config has to have a `gamma`."""

    def assess(self, config: Any, networks: Any, state: Any, observation: "Tensor") -> "Assessment":
        """The critic's values of observations [E, ...], as the policy sees them, and the policy. Changes nothing."""


class Buffer(Protocol):
    """What the agent asks of a buffer. `batch` is a named tuple of arrays in reused memory, filled anew for each update."""

    batch: Any
    num_steps: int
    capacity: int
    num_bytes: int

    def add(self, transition: "Transition", action_EA: "Array") -> None:
        """Keep one step of each environment; `action_EA` are its actions as drawn."""

    def due(self, stream: "np.random.Generator", final: bool = False) -> "Iterator[int]":
        """A number for each update that is due, with what it is to learn from in `batch`; `final`: nothing more will come."""

    def expected_updates(self, steps: int) -> int:
        """Updates that this many environment steps will bring, roughly."""

    def forget_pending(self, envs_E: "Array") -> None:
        """In the environments of this mask a new episode begins that does not follow from the last step."""

    def arrays(self) -> "dict[str, Array]":
        """The arrays that a checkpoint has to hold."""

    def counters(self) -> dict[str, int]:
        """The numbers that a checkpoint has to hold."""

    def restore(self, arrays: "dict[str, Array]", counters: dict[str, Any]) -> None:
        """Go on from `arrays()` and `counters()`."""


def find(algorithm: "str | Algorithm") -> Algorithm:
    """The method of this name; an object that already is one is given back. Raises `UserError`."""
    if not isinstance(algorithm, str):
        missing = [
            name for name in Algorithm.__annotations__ | _methods() if not hasattr(algorithm, name)
        ]
        if missing:
            raise UserError(
                f"{algorithm!r} is no algorithm - it lacks {', '.join(missing)} - see footlight.algorithms.Algorithm"
            )
        return algorithm
    if algorithm not in ALGORITHMS:
        raise UserError(
            f"unknown algorithm {algorithm!r}{closest(algorithm, ALGORITHMS)} - there are {', '.join(ALGORITHMS)}"
        )
    module: Algorithm = importlib.import_module(
        f"footlight.algorithms.{algorithm.replace('-', '_')}"
    )
    return module


def name_of(algorithm: "str | Algorithm") -> str:
    """The word that names the method in files and folders."""
    if isinstance(algorithm, str):
        return algorithm
    name = str(getattr(algorithm, "__name__", type(algorithm).__name__)).rsplit(".", 1)[-1]
    return name.replace("_", "-") if name.replace("_", "-") in ALGORITHMS else name


def _methods() -> dict[str, Any]:
    return {
        name: value
        for name, value in vars(Algorithm).items()
        if callable(value) and not name.startswith("_")
    }
