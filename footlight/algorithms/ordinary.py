"""An algorithm in ordinary PyTorch: modules, `loss.backward()`, and any optimizer of torch.optim.

Its author writes a class with a `policy` (a module), a `buffer` and an `update(batch)`; see
docs/own-algorithm.md. `Ordinary` is how the library calls it. The state lies in the objects of the
author, and not in what `init` returns; nothing is compiled.
"""

import contextlib
import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from footlight.algorithms import object_state
from footlight.algorithms.object_state import Saved
from footlight.algorithms.protocol import Outcome, PolicyState
from footlight.algorithms.requirements import Derived
from footlight.equations.draws import Draw
from footlight.errors import UserError
from footlight.networks.flat import as_tensors
from footlight.networks.heads import Head, head_for
from footlight.networks.live import LiveNetwork
from footlight.types import Array, Decision, Spaces

_FIXED = frozenset({"config", "spaces"})


@runtime_checkable
class StateHolder(Protocol):
    """An algorithm whose state lies in objects of its own."""

    @property
    def num_parameters(self) -> int:
        """Parameters that learn."""

    def saved(self) -> Saved:
        """The state as data. Raises `UserError` for objects that cannot be written."""

    def restore(self, given: Saved) -> None:
        """Restore what `saved` returned."""

    def move(self, device: torch.device) -> None:
        """Move the state to a device."""

    def module_arrays(self) -> dict[str, Array]:
        """What the modules hold, by name: numbers that have to be finite."""


@runtime_checkable
class _Acting(Protocol):
    """A user's class with an `act` of its own."""

    def act(self, observation: Any, deterministic: bool) -> Tensor:
        """Actions [E, A] of observations [E, ...], as tensors."""


class _User(Protocol):
    """An object of the user's class."""

    policy: nn.Module
    config: Any

    def buffer(self, num_envs: int) -> Any:
        """Where steps wait until they are due."""

    def update(self, batch: Any) -> Any:
        """Learn from a batch; returns metrics by name."""


@dataclass(frozen=True)
class LiveNetworks:
    """The network that acts."""

    policy: LiveNetwork
    head: Head


@dataclass
class NoState:
    """An empty state: everything lies in the author's objects."""


@dataclass(frozen=True)
class Seed:
    """A seed for torch's random numbers."""

    def empty(self) -> Array:
        """One integer."""
        return np.zeros(1, np.int64)

    def fill(self, out: Array, stream: np.random.Generator) -> None:
        """Draw it."""
        out[:] = stream.integers(2**63)


class Ordinary:
    """Adapter from a user's class, which is `own` in a subclass of this, to the protocol."""

    own: ClassVar[Any]
    ACTIONS: ClassVar[tuple[str, ...]] = ("box", "discrete")
    METRICS: ClassVar[tuple[str, ...]] = Derived()
    eager = frozenset({"update"})

    def __init__(self, config: Any, spaces: Spaces, user: _User) -> None:
        name = type(self).__name__
        if not isinstance(vars(user).get("policy"), nn.Module):
            raise UserError(
                f"{name} has no `policy` - it is the torch.nn.Module that acts - add "
                "`self.policy = MyNetwork(...)` to __init__"
            )
        self.config, self.spaces, self.user = config, spaces, user
        self.device = torch.device("cpu")
        head = head_for(spaces.action, "gaussian")
        self.networks = LiveNetworks(LiveNetwork(user.policy), head)
        self.saved()  # anything that cannot be saved is an error before the training
        if not isinstance(user, _Acting):
            self._try_out()

    @classmethod
    def create(cls, config: Any, spaces: Spaces, network: Any = None) -> "Ordinary":
        """The author's object; a `network` of the user's is passed on. Raises `UserError`."""
        given = {} if network is None else {"network": network}
        user = cls.own(config, spaces, **given)
        for name, value in {"config": config, "spaces": spaces}.items():
            if name not in vars(user):
                setattr(user, name, value)  # `buffer` needs both
        return cls(config, spaces, user)

    def init(self, num_envs: int) -> NoState:
        """Nothing: the state lies in the author's objects."""
        return NoState()

    def buffer(self, num_envs: int) -> Any:
        """The author's buffer."""
        return self.user.buffer(num_envs)

    def policy(self, state: NoState) -> PolicyState:
        """No vector: the module itself acts."""
        return PolicyState(self.networks.policy.marker)

    def draws(self, batch: Any) -> dict[str, Draw]:
        """A seed for each update, so that dropout and samples follow from the run's seed."""
        return {"seed": Seed()}

    def act(
        self, policy: PolicyState, memory: None, observation: Array,
        stream: np.random.Generator | None,
    ) -> tuple[Decision, None]:  # fmt: skip
        """The author's `act`, or the mode of the head, or a sample from it."""
        seed = 0 if stream is None else int(stream.integers(2**63))
        with torch.no_grad(), _seeded(seed, self.device), _evaluating(self.user.policy):
            seen = as_tensors(observation, self.device)
            if isinstance(self.user, _Acting):
                action = self.user.act(seen, stream is None)
                return Decision(self._drawn(action, len(observation))), None
            output_EH = _first(self.user.policy(seen)).float().cpu().numpy()
        head = self.networks.head
        drawn_EA = head.mode(output_EH) if stream is None else head.sample(output_EH, stream)
        return Decision(drawn_EA), None

    def _drawn(self, action: Any, num_rows: int) -> Array:
        size = self.spaces.action.size
        if not isinstance(action, Tensor) or action.numel() != num_rows * size:
            found = f"a tensor {list(action.shape)}" if isinstance(action, Tensor) else repr(action)
            raise UserError(
                f"{type(self).__name__}.act returned {found:.60} - it returns the actions as a "
                f"tensor {[num_rows, size]} - end it with `return action`"
            )
        drawn = action.reshape(num_rows, size).cpu().numpy()
        return drawn.astype(self.spaces.action.stored_dtype)

    @property
    def updates(self) -> dict[str, Callable[..., Outcome]]:
        """The author's `update`."""
        return {"update": self._update}

    def _update(self, state: NoState, batch: Any, noise: Mapping[str, Tensor]) -> Outcome:
        self.user.config = self._plain_config()
        with torch.enable_grad(), _seeded(int(noise["seed"]), self.device):
            result = self.user.update(batch)
        if isinstance(result, Outcome):
            return result
        if not isinstance(result, Mapping) or not result:
            raise UserError(
                f"{type(self).__name__}.update returned {result!r:.60} - it returns its metrics - "
                'end it with `return {"loss": loss}`'
            )
        return Outcome({name: self._number(name, value) for name, value in result.items()})

    def _number(self, name: str, value: Any) -> Tensor:
        try:
            number = torch.as_tensor(value, dtype=torch.float32, device=self.device).detach()
            return number.reshape(())
        except (TypeError, ValueError, RuntimeError) as error:
            raise UserError(
                f"{type(self).__name__}.update returned {name} = {value!r:.60} - a metric is one "
                "number - take its mean"
            ) from error

    def _plain_config(self) -> Any:
        """The config; values that are scheduled are tensors in it, and numbers for the author."""
        values = vars(self.config)
        if not any(isinstance(value, Tensor) for value in values.values()):
            return self.config
        plain = copy.copy(self.config)
        for name, value in values.items():
            if isinstance(value, Tensor):
                object.__setattr__(plain, name, float(value))  # of a frozen dataclass
        return plain

    @property
    def num_parameters(self) -> int:
        """Parameters that learn."""
        modules = object_state.modules_of(vars(self.user))
        found = {id(part): part for module in modules for part in module.parameters()}
        return sum(part.numel() for part in found.values() if part.requires_grad)

    def saved(self) -> Saved:
        """The state of the author's objects as data."""
        return object_state.saved(self.user, type(self).__name__, _FIXED)

    def restore(self, given: Saved) -> None:
        """Restore what `saved` returned."""
        object_state.restore(self.user, type(self).__name__, given)

    def move(self, device: torch.device) -> None:
        """Move the author's modules, optimizers and tensors."""
        self.device = device
        if device.type != "cpu":
            object_state.moved(self.user, device, _FIXED)

    def module_arrays(self) -> dict[str, Array]:
        """The tensors of the modules."""
        return {
            f"{index}.{name}": part.detach().float().cpu().numpy()
            for index, module in enumerate(object_state.modules_of(vars(self.user)))
            for name, part in module.state_dict().items()
            if part.is_floating_point()
        }

    def _try_out(self) -> None:
        """Call the module once, so that wrong shapes are reported before training."""
        shape = 2, *self.spaces.observation_shape
        seen = as_tensors(np.zeros(shape, self.spaces.observation_dtype), self.device)
        with torch.no_grad(), _seeded(0, self.device), _evaluating(self.user.policy):
            output = _first(self.user.policy(seen))
        wanted = 2, self.networks.head.num_outputs
        if not isinstance(output, Tensor) or tuple(output.shape) != wanted:
            found = list(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise UserError(
                f"{type(self).__name__}.policy returns {found} for 2 observations - it must return "
                f"{list(wanted)} - or write `def act(self, observation, deterministic): ...`"
            )


def _first(output: Any) -> Any:
    return output[0] if isinstance(output, tuple) else output


@contextlib.contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Draw torch's random numbers from this seed inside of the context, and restore the generators
    afterwards: what they draw is then a function of the run's seed."""
    devices = [] if device.type == "cpu" else [torch.cuda.current_device()]
    with torch.random.fork_rng(devices=devices):
        torch.default_generator.manual_seed(seed)
        if devices:
            torch.cuda.manual_seed(seed)
        yield


@contextlib.contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """The module in evaluation mode, as for acting: no dropout, running statistics."""
    training = [part for part in module.modules() if part.training]
    for part in training:
        part.training = False
    try:
        yield
    finally:
        for part in training:
            part.training = True
