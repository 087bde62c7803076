"""An algorithm in ordinary PyTorch: modules, `loss.backward()`, and any optimizer of torch.optim.

Its author writes a class with a `policy` (a module), a `buffer` and an `update(batch)`; see
docs/own-algorithm.md. `Ordinary` is how the library calls it. The state lies in the objects of the
author, and not in what `init` returns; nothing is compiled.
"""

import contextlib
import copy
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from footlight.algorithms import object_state
from footlight.algorithms.author_calls import evaluating, positions, seeded
from footlight.algorithms.object_state import Saved
from footlight.algorithms.ordinary_parts import (
    Acting,
    HasTransient,
    LiveNetworks,
    NoState,
    Seed,
    User,
    Valuing,
)
from footlight.algorithms.protocol import Outcome, PolicyState
from footlight.algorithms.requirements import Derived
from footlight.equations.draws import Draw
from footlight.errors import UserError
from footlight.networks.flat import as_tensors
from footlight.networks.heads import head_for
from footlight.networks.live import LiveNetwork
from footlight.types import Array, Decision, Diagnosis, Spaces

_FIXED = frozenset({"config", "spaces"})


def diagnose(self: "Ordinary", state: NoState, observation: Tensor) -> Diagnosis:
    """The author's values, and the distribution that the policy's output describes. It is a method
    of the classes whose author has written `value`."""
    assert isinstance(self.user, Valuing)
    with torch.no_grad(), self._seeded(0), evaluating(self.networks.modules.values()):
        value_E = self.user.value(observation)
    return distribution(self, observation)._replace(value=value_E.reshape(-1))


def distribution(algorithm: "Ordinary", observation: Tensor) -> Diagnosis:
    """The distribution that the output of the author's policy describes; nothing of one that
    decides in a way of its own."""
    if isinstance(algorithm.user, Acting):
        return Diagnosis()
    modules = algorithm.networks.modules.values()
    with torch.no_grad(), algorithm._seeded(0), evaluating(modules):
        output_EH = _first(algorithm.user.policy(observation)).float()
    return algorithm.networks.head.diagnose(output_EH)


class Ordinary:
    """Adapter from a user's class, which is `own` in a subclass of this, to the protocol."""

    own: ClassVar[Any]
    ACTIONS: ClassVar[tuple[str, ...]] = ("box", "discrete")
    METRICS: ClassVar[tuple[str, ...]] = Derived()
    eager = frozenset({"update"})

    def __init__(self, config: Any, spaces: Spaces, user: User) -> None:
        name = type(self).__name__
        if not isinstance(vars(user).get("policy"), nn.Module):
            raise UserError(
                f"{name} has no `policy` - it is the torch.nn.Module that acts - add "
                "`self.policy = MyNetwork(...)` to __init__"
            )
        self.config, self.spaces, self.user = config, spaces, user
        self.device = torch.device("cpu")
        self.draws_everywhere = False
        """Whether the author's methods use the global generators of NumPy or Python."""
        self._fixed: frozenset[str] | None = None
        self._bind()
        record = self.saved().record  # what cannot be saved is an error before the training
        self._fixed = frozenset(object_state.fixed(record))
        if not isinstance(user, Acting):
            self._check_output_shapes()

    def _bind(self) -> None:
        """Let the networks be those of the author's object."""
        head = head_for(self.spaces.action, "gaussian")
        modules = object_state.named_modules(vars(self.user))
        self.networks = LiveNetworks(LiveNetwork(self.user.policy), head, modules)

    @classmethod
    def create(cls, config: Any, spaces: Spaces, network: Any = None) -> "Ordinary":
        """The author's object; a `network` of the user's is passed on. Raises `UserError`."""
        given = {} if network is None else {"network": network}
        with seeded(torch.initial_seed(), torch.device("cpu"), everywhere=True):
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
        is_own = isinstance(self.user, Acting)  # it may call any of the modules
        modules = [*self.networks.modules.values()] if is_own else [self.user.policy]
        with torch.no_grad(), self._seeded(seed), evaluating(modules):
            seen = as_tensors(observation, self.device)
            if isinstance(self.user, Acting):
                action = self.user.act(seen, stream is None)
                return Decision(self._drawn(action, len(observation))), None
            output_EH = _first(self.user.policy(seen)).float().cpu().numpy()
        head = self.networks.head
        drawn_EA = head.mode(output_EH) if stream is None else head.sample(output_EH, stream)
        return Decision(drawn_EA), None

    def _seeded(self, seed: int) -> contextlib.AbstractContextManager[None]:
        return seeded(seed, self.device, self.draws_everywhere)

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
        with torch.enable_grad(), self._seeded(int(noise["seed"])):
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
        modules = self.networks.modules.values()
        found = {id(part): part for module in modules for part in module.parameters()}
        return sum(part.numel() for part in found.values() if part.requires_grad)

    def saved(self) -> Saved:
        """The state of the author's objects as data."""
        name = type(self).__name__
        found = object_state.saved(self.user, name, _FIXED)
        if self._fixed is not None:
            object_state.require_known(found.record, self._fixed, name)
        return found

    def learned(self, skip: Collection[str]) -> dict[str, Tensor]:
        """The tensors of the author's object, by name, without those of its optimizers."""
        return {
            name: tensor
            for attribute, value in vars(self.user).items()
            if attribute not in skip and "optimizer" not in attribute
            for name, tensor in object_state.tensors(value, attribute)
        }

    @property
    def transient(self) -> tuple[str, ...]:
        """Attributes that belong to one run, and which fine-tuning does not take over."""
        return self.user.transient if isinstance(self.user, HasTransient) else ()

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
            f"{name}.{part}": tensor.detach().float().cpu().numpy()
            for name, module in object_state.named_modules(vars(self.user)).items()
            for part, tensor in module.state_dict().items()
            if tensor.is_floating_point()
        }

    @contextlib.contextmanager
    def tried_out(self) -> Iterator["Ordinary"]:
        """A copy to call before the training; this algorithm itself where there can be none, whose
        update must not be called. It is noted which random numbers the author uses."""
        twin = copy.copy(self)
        try:
            twin.user = copy.deepcopy(self.user)
            twin._bind()
        except Exception:  # an object of the author's that cannot be copied
            twin = self
        before = positions()
        try:
            with warnings.catch_warnings():
                # A scheduler marks its optimizer's `step`, which copies of optimizers lack
                warnings.filterwarnings("ignore", "Seems like `optimizer.step", UserWarning)
                yield twin
        finally:
            self.draws_everywhere = positions() != before

    def _check_output_shapes(self) -> None:
        """Call the module once, so that wrong shapes are reported before training."""
        shape = 2, *self.spaces.observation_shape
        seen = as_tensors(np.zeros(shape, self.spaces.observation_dtype), self.device)
        with torch.no_grad(), seeded(0, self.device), evaluating([self.user.policy]):
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
