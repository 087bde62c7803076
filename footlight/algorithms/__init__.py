"""The methods, one file each, and the protocol that they and a user's own method satisfy.

Imports no torch by itself, so that `footlight list` answers at once.
"""

import importlib
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, Protocol

from footlight.errors import UserError, closest

if TYPE_CHECKING:
    from torch import Tensor

    from footlight.buffers.replay import Replay
    from footlight.types import Array, Batch, Spaces

ALGORITHMS = {
    "ddpg": "deterministic actor that climbs its critic's gradient; continuous actions (Lillicrap et al. 2015)",
    "sac": "stochastic actor that is paid for its entropy; continuous actions (Haarnoja et al. 2018)",
    "td3": "DDPG with twin critics, smoothed targets, delayed policy; continuous actions (Fujimoto et al. 2018)",
}
"""Name and one line about each method."""


class Algorithm(Protocol):
    """What the agent asks of a method: a module with these names, or any object that has them.

    Arrays and tensors carry the shape letters of `footlight.types`; actions lie in [-1, 1].
    """

    ACTIONS: str
    """The kind of action space that the method works on: "box"."""
    METRICS: tuple[str, ...]
    """Names of the metrics that `update` may give."""
    Config: Any
    """A frozen dataclass of hyperparameters, see `footlight.config`."""

    def build(self, config: Any, spaces: "Spaces", network: Any = None) -> Any:
        """The networks: architectures without state."""

    def init(self, config: Any, networks: Any, spaces: "Spaces", num_envs: int) -> Any:
        """The state, a dataclass tree of tensors and arrays; its field `actor` is what acts."""

    def buffer(self, config: Any, spaces: "Spaces", num_envs: int) -> "Replay":
        """Takes transitions by `add` and hands out batches by `due`."""

    def act(self, config: Any, networks: Any, actor_P: "Tensor", observation: "Array", noise_EA: "Array | None") -> "Array":
        """The policy's actions [E, A]: its mode, or a sample where standard normal noise is given."""

    def explore(self, config: Any, networks: Any, state: Any, observation: "Array", normal_EA: "Array") -> "Array":
        """Actions [E, A] for collecting experience, made with standard normal numbers."""

    def episode_ended(self, state: Any, ended_E: "Array") -> None:
        """Forget what must not reach from one episode into the next, for the environments of the mask."""

    def noise_shape(self, config: Any, spaces: "Spaces") -> tuple[int, ...]:
        """Shape of the standard normal noise that one update takes."""

    def variant(self, config: Any, update_index: int) -> Hashable:
        """Which form the update of this index takes; each form is a graph of its own."""

    def update(
        self, config: Any, networks: Any, state: Any, batch: "Batch", noise: "Tensor", variant: Any
    ) -> "dict[str, Tensor]":
        """One gradient step: changes `state` in place and nothing else; metrics leave as 0-d tensors."""


def find(algorithm: "str | Algorithm") -> Algorithm:
    """The method of this name; an object that already is one is given back. Raises `UserError`."""
    if not isinstance(algorithm, str):
        missing = [name for name in Algorithm.__annotations__ | _methods() if not hasattr(algorithm, name)]
        if missing:
            raise UserError(f"{algorithm!r} is no algorithm - it lacks {', '.join(missing)} - see footlight.algorithms.Algorithm")
        return algorithm
    if algorithm not in ALGORITHMS:
        raise UserError(f"unknown algorithm {algorithm!r}{closest(algorithm, ALGORITHMS)} - there are {', '.join(ALGORITHMS)}")
    module: Algorithm = importlib.import_module(f"footlight.algorithms.{algorithm}")
    return module


def name_of(algorithm: "str | Algorithm") -> str:
    """The word that names the method in files and folders."""
    if isinstance(algorithm, str):
        return algorithm
    name = getattr(algorithm, "__name__", type(algorithm).__name__)
    return str(name).rsplit(".", 1)[-1]


def _methods() -> dict[str, Any]:
    return {name: value for name, value in vars(Algorithm).items() if callable(value) and not name.startswith("_")}
