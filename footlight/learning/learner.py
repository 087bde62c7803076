"""The learner: state, compiled updates, the batch on its device, and sums of metrics."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from footlight.algorithms.ordinary_parts import StateHolder
from footlight.algorithms.protocol import (
    Buffer,
    Choosing,
    Noise,
    Outcome,
    PartlyEager,
    Randomized,
    Reprioritized,
    Scheduled,
)
from footlight.ambient import computes, computing
from footlight.equations.optimizers import make_room_for_gradients
from footlight.errors import Diverged, warn
from footlight.learning.blueprint import AnyAlgorithm
from footlight.learning.compilation import keep_freed_memory
from footlight.learning.compiled_updates import Bound, CompiledUpdates
from footlight.learning.execution import UPDATES_WORTH_COMPILING
from footlight.learning.metrics import Metrics
from footlight.learning.normalization import Normalizer, divergence_cause
from footlight.learning.scheduling import with_values
from footlight.learning.transport import as_array, to_device
from footlight.trees import leaves_of, rebuilt, tree_items, tree_rebuilt
from footlight.types import Array

keep_freed_memory()
_ONE_IN_TRANSITIONS = {"continues", "discount", "weight"}  # where nothing has ended


class Learner:
    """Makes the updates of an algorithm on batches of a buffer.

    Everything that an update reads or changes lies in tensors that are allocated once, so that it
    can be compiled into a call without arguments. On the CPU the batch's tensors are the buffer's
    arrays. keep_gradients: keep each optimizer's last gradient in the state.
    """

    def __init__(
        self, algorithm: AnyAlgorithm, buffer: Buffer[Any, object], num_envs: int,
        device: torch.device, normalizer: Normalizer | None, keep_gradients: bool,
        notify: Callable[[str], None] = warn,
    ) -> None:  # fmt: skip
        self.algorithm, self.buffer, self.normalizer = algorithm, buffer, normalizer
        self.num_envs = num_envs
        self.device = device
        state = algorithm.init(num_envs)
        if keep_gradients:
            make_room_for_gradients(state)
        self.state = to_device(state, device)
        if isinstance(algorithm, StateHolder):
            algorithm.move(device)
        self.num_updates = 0
        self.learned_at = 0  # environment steps at the last update
        self.total_steps: int | None = None  # of the run, for schedules
        self.compilation = CompiledUpdates(self._bind, notify)
        self._updates = dict(algorithm.updates)
        self._scheduled: dict[str, Tensor] = {}  # values of config fields that change, 0-d
        only = next(iter(self._updates))
        self._name = algorithm.update_for if isinstance(algorithm, Choosing) else lambda due: only
        self._is_scheduled = isinstance(self.state, Scheduled)
        self._reprioritize = buffer.reprioritize if isinstance(buffer, Reprioritized) else None
        self._eager = algorithm.eager if isinstance(algorithm, PartlyEager) else frozenset()
        draws = algorithm.draws(buffer.batch) if isinstance(algorithm, Randomized) else {}
        self._draws = [(draw, draw.empty()) for draw in draws.values()]
        self._noise_names = list(draws)
        # Observations of a Dict are an input for each leaf
        self._leaf_names = [list(leaves_of(field)) for field in buffer.batch]
        host = [leaf for field in buffer.batch for leaf in leaves_of(field).values()]
        self._width = len(host)
        host += [numbers for _, numbers in self._draws]
        self._host = [torch.from_numpy(array) for array in host]
        self._host += normalizer.tensors() if normalizer else []
        on_cpu = device.type == "cpu"
        self._inputs = self._host if on_cpu else [tensor.to(device) for tensor in self._host]
        self.reported = Metrics(algorithm, device)
        self._priorities = torch.zeros(self.rows_per_update, device=device)
        self._prioritizes: dict[str, bool] = {}  # whether each update returns priorities

    @property
    def is_compiled(self) -> bool:
        """Whether updates are compiled, or will be when they are first needed."""
        return self.compilation.enabled and not self._updates.keys() <= self._eager

    @property
    def rows_per_update(self) -> int:
        """Transitions that one update learns from."""
        batch = self.buffer.batch
        rows = batch.rows if "rows" in batch._fields else ()
        return len(rows) or int(batch.reward.size)

    def update(self, due: object, stream: np.random.Generator) -> None:
        """Make the update that is due, on what is in the buffer's batch."""
        name = self._name(due)
        with computing():
            self._prepare(name, stream)
            if name in self.compilation.unchecked:
                self.compilation.check(name)
            elif name in self.compilation.steps:
                self.compilation.steps[name]()
            else:
                with torch.no_grad():
                    outcome = self._updates[name](self.state, *self._given_to_update(self._inputs))
                    self.reported.admit(name, outcome)
                    to = self.reported.totals, self.reported.latest, self._priorities
                    self._collect(name, outcome, *to)
        self.reported.count(name)
        self.num_updates += 1
        if self._reprioritize is not None and self._prioritizes[name]:
            self._reprioritize(self._priorities.cpu().numpy())

    def _prepare(self, name: str, stream: np.random.Generator) -> None:
        """Draw the update's random numbers, move everything to the device, compile if due."""
        if self.compilation.later and self.num_updates == UPDATES_WORTH_COMPILING:
            self.compilation.enabled = True
        if self.compilation.enabled and name not in self.compilation.steps:
            self._compile(name)
        if self.total_steps and self._is_scheduled:
            # Where what is learned from began
            self.state.progress.fill_(min(1.0, self.learned_at / self.total_steps))
        for draw, numbers in self._draws:
            draw.fill(numbers, stream)
        if self._inputs is not self._host:
            for device_tensor, host_tensor in zip(self._inputs, self._host, strict=True):
                device_tensor.copy_(host_tensor)

    def _given_to_update(self, inputs: Sequence[Tensor]) -> tuple[Any, Noise]:
        """The batch, normalized, and the noise."""
        width, end = self._width, self._width + len(self._noise_names)
        given = iter(inputs[:width])
        fields = [rebuilt({name: next(given) for name in names}) for names in self._leaf_names]
        batch = type(self.buffer.batch)(*fields)
        if self.normalizer is not None:
            batch = self.normalizer.batch(batch, tuple(inputs[end:]))
        return batch, dict(zip(self._noise_names, inputs[width:end], strict=True))

    def _collect(
        self, name: str, outcome: Outcome, totals: Tensor, latest: Tensor, priorities: Tensor
    ) -> None:
        """Put what an update returned where it is read from."""
        self.reported.put(name, outcome, totals, latest)
        self._prioritizes[name] = outcome.priorities is not None
        if outcome.priorities is not None:
            priorities.copy_(outcome.priorities)

    @computes
    def try_out(self, name: str, update: Callable[..., Any] | None = None) -> None:
        """Make an update on a copy of the state, for the names of its metrics and its errors.

        update: call this in place of the algorithm's own.
        """
        leaves = {each: leaf.clone() for each, leaf in tree_items(self.state).items()}
        batch, noise = self._given_to_update([tensor.clone() for tensor in self._inputs])
        for each in _ONE_IN_TRANSITIONS & set(batch._fields):
            batch._asdict()[each].fill_(1)
        with torch.no_grad():
            called = update or self._updates[name]
            outcome = called(tree_rebuilt(self.state, leaves), batch, noise)
        self.reported.admit(name, outcome)

    @computes
    def compile(self, ahead: bool = False) -> None:
        """Compile all updates now instead of when they are first needed.

        Without `compilation.enabled`, does nothing. ahead: let other processes compile them, and
        wait for these when an update is needed, where this system can do so.
        """
        names = [name for name in self._updates if name not in self._eager]
        if ahead:
            self.compilation.begin(names)
        for name in () if ahead else names:
            self.compilation.make(name)

    def _compile(self, name: str) -> None:
        if name not in self._eager:
            self.compilation.make(name)

    def _bind(self, name: str) -> Bound:
        """An update as a function of the tensors that it reads and changes, and these tensors."""
        if self.reported.are_derived and not self.compilation.steps:
            for each in self._updates:
                self.try_out(each)
        leaves, scheduled = tree_items(self.state), self._scheduled
        num_leaves, num_scheduled = len(leaves), len(leaves) + len(scheduled)

        def update(*tensors: Tensor) -> None:
            state = tree_rebuilt(self.state, dict(zip(leaves, tensors[:num_leaves], strict=True)))
            values = dict(zip(scheduled, tensors[num_leaves:num_scheduled], strict=True))
            *inputs, totals, latest, priorities = tensors[num_scheduled:]
            updates = with_values(self.algorithm, values).updates if values else self._updates
            outcome = updates[name](state, *self._given_to_update(inputs))
            self.reported.admit(name, outcome, may_grow=False)
            self._collect(name, outcome, totals, latest, priorities)

        tensors = [*leaves.values(), *scheduled.values(), *self._inputs]
        tensors += [self.reported.totals, self.reported.latest, self._priorities]
        return update, tensors

    def schedule(self, values: Mapping[str, float]) -> None:
        """From the next update on, use these values of config fields.

        A field that is given for the first time becomes an input of the updates, which are then
        compiled again.
        """
        if values.keys() - self._scheduled.keys():
            new = {name: torch.zeros((), device=self.device) for name in values}
            self._scheduled = dict(sorted({**new, **self._scheduled}.items()))
            self._updates = dict(with_values(self.algorithm, self._scheduled).updates)
            self.compilation.clear()
        for name, value in values.items():
            self._scheduled[name].fill_(value)

    def end_step(self, updates_before: int) -> dict[str, float]:
        """Note at which step the updates were made, after all that were due in it.

        Returns the metrics of the last one, or {} where none was due. Raises what `latest` does.
        """
        if self.num_updates == updates_before:
            return {}
        self.learned_at = self.buffer.num_steps
        return self.latest()

    def latest(self) -> dict[str, float]:
        """The metrics of the last update. Raises `Diverged` if one is not finite."""
        found = self.reported.last()
        if not math.isfinite(sum(found.values())):
            wrong = [name for name, array in self.batch().items() if not np.isfinite(array).all()]
            wrong += [name for name, value in found.items() if not math.isfinite(value)]
            raise self._diverged(wrong[0])
        return found

    def metrics(self) -> dict[str, float]:
        """Means of the metrics over the updates since the last call; {} if there were none."""
        return self.reported.means()

    def batch(self) -> dict[str, Array]:
        """The batch of the last update and its noise, by name."""
        found = {
            f"batch.{name}.{leaf}".removesuffix("."): array
            for name, field in self.buffer.batch._asdict().items()
            for leaf, array in leaves_of(field).items()
        }
        noise = zip(self._noise_names, self._draws, strict=True)
        return found | {f"noise.{name}": numbers for name, (_, numbers) in noise}

    def require_finite(self) -> None:
        """Raise `Diverged` if any number of the state is not finite.

        Metrics alone do not tell, since they are computed before an update changes the state.
        """
        own = self.algorithm
        held = own.module_arrays() if isinstance(own, StateHolder) else {}
        for name, leaf in {**tree_items(self.state), **held}.items():
            if not np.isfinite(as_array(leaf)).all():
                raise self._diverged(name)

    def _diverged(self, name: str) -> Diverged:
        cause = divergence_cause(self.buffer.batch, self.normalizer)
        where = f"after update {self.num_updates} (step {self.buffer.num_steps})"
        return Diverged(f"{name} is not finite {where} - {cause}")

    def leaves(self) -> Mapping[str, Tensor | Array]:
        """Everything that changes in place, by name: the state, and the metrics not yet read."""
        return {**tree_items(self.state), **self.reported.leaves()}
