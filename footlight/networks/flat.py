"""Networks whose parameters travel as one flat vector.

A module keeps the architecture; all parameters of a group lie in one vector of P numbers. So an
optimizer step, a target average or an ensemble is a single operation, and an update is a plain
function of a few tensors. Matrices lie transposed in the vector, as [in, out]: so a linear layer's
gradient comes out of its matrix product in the order in which it is stored, and is not copied.
Kernels of convolutions lie channels last, the order in which a CPU computes with them.
"""

import contextlib
import copy
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from footlight.ambient import computes, computing
from footlight.networks.compiled_forward import CompiledForward, Compiler
from footlight.networks.layout import Layout
from footlight.networks.members import (
    aliases,
    paths,
    require_equal,
    require_no_hidden_state,
    require_parameters,
    stacked,
)
from footlight.networks.numpy_forward import numpy_forward
from footlight.networks.precision import in_fp32, keep_in_fp32, output_layers, restore_forward
from footlight.networks.unit_weights import UnitWeights, restore_norms_
from footlight.trees import map_leaves
from footlight.types import Array

MAX_NUMPY_ROWS = 64  # above, torch is faster than NumPy

Precision = Literal["fp32", "bf16"]
Observed = Tensor | dict[str, Tensor]
"""An input of a network: a tensor, or observations of a Dict as tensors by leaf."""


def as_tensors(observation: Array, device: torch.device) -> Any:
    """Copy observations [E, ...] to tensors: one, or for records a dict of one per leaf."""
    return map_leaves(
        lambda leaf: torch.tensor(np.ascontiguousarray(leaf), device=device), observation
    )


class Network:
    """One module, or an ensemble of N equal ones, called with the parameters as first argument.

    precision: of matrix products.
    on_images: its forward pass is then worth compiling for acting, too.
    acts_on_all: acting uses all outputs of the module, not the first alone.
    keeps_statistics: the modules may have running statistics, see `with_statistics`.
    Raises `UserError` for modules with hidden state or without parameters, and for an ensemble
    whose modules differ.
    """

    def __init__(
        self, modules: Sequence[nn.Module], ensemble: bool = False, precision: Precision = "fp32",
        on_images: bool = False, keeps_statistics: bool = False, acts_on_all: bool = False,
    ) -> None:  # fmt: skip
        for module in modules:
            require_parameters(module, type(module).__name__)
            require_no_hidden_state(module, keeps_statistics)
        require_equal(modules, keeps_statistics)
        self.module, self.on_images = modules[0], on_images
        self._acts_on_all = acts_on_all
        self.num_copies = len(modules) if ensemble else None
        self._precision = precision
        self._aliases, self._paths = aliases(self.module), paths(self.module)
        parameters = stacked([dict(module.named_parameters()) for module in modules], ensemble)
        self._layout = Layout(parameters, ensemble)
        self.initial = self._layout.initial
        self._statistics: Layout | None = None
        if keeps_statistics and any(True for _ in self.module.buffers()):
            buffers = stacked([dict(module.named_buffers()) for module in modules], ensemble)
            self._statistics = Layout(buffers, ensemble)
        self.initial_statistics = self._statistics.initial if self._statistics else None
        # Held while a call has its parameters in the module, where other threads would find them
        self._lock = threading.RLock()
        self._numpy: tuple[int, Callable[[Array], Any] | None] | None = None  # see `infer`
        self._compiled: CompiledForward | None = None

    def __call__(self, parameters_P: Tensor, *inputs: Observed) -> Any:
        """The module's output; an ensemble's outputs are stacked along a new first dimension N."""
        if self._statistics is not None:
            raise TypeError("this network keeps statistics - call with_statistics() instead")
        named = self.unflatten(parameters_P)
        with self._products(parameters_P):
            if self.num_copies is None:
                return in_fp32(self._call(named, inputs))
            return in_fp32(vmap(lambda copy: self._call(copy, inputs))(named))

    def _products(self, parameters_P: Tensor) -> contextlib.AbstractContextManager[Any]:
        """The precision of matrix products; sums, and what is kept, are float32 anyway."""
        if self._precision == "fp32":
            return contextlib.nullcontext()
        return torch.autocast(parameters_P.device.type, torch.bfloat16)

    def with_statistics(
        self, parameters_P: Tensor, statistics_Q: Tensor | None, *inputs: Observed,
        training: bool = False,
    ) -> tuple[Any, Tensor]:  # fmt: skip
        """The output of a module with running statistics, such as BatchNorm's, and the statistics
        after the call. With `training` they are those of the inputs and the running ones move on;
        otherwise the running ones are used, and stay. The statistics of a module without any are an
        empty tensor."""
        if self._statistics is None or statistics_Q is None:
            return self(parameters_P, *inputs), parameters_P.new_empty(0)

        def call(named: dict[str, Tensor], buffers: dict[str, Tensor]) -> Any:
            with self._lock:
                self.module.train(training)
                output = self._call({**named, **buffers}, inputs)  # buffers are changed in place
            return output, buffers

        named = self.unflatten(parameters_P)
        # Changes of views into one copy would be traced as changes of all of it
        buffers = {k: v.clone() for k, v in self._statistics.unflatten(statistics_Q).items()}
        with self._products(parameters_P):
            output, after = (call if self.num_copies is None else vmap(call))(named, buffers)
        return in_fp32(output), self._statistics.flatten(after)

    def keep_outputs_in_fp32(self, *inputs: Observed) -> None:
        """Compute the last layers in float32 whatever the precision; a call with these inputs finds
        them. On the meta device, where there are only shapes, nothing is computed."""
        if self._precision != "fp32" and not self.initial.is_meta:
            keep_in_fp32(output_layers(self.module, *inputs))

    def member(
        self, index: int, parameters_P: Tensor, *inputs: Observed,
        statistics_Q: Tensor | None = None,
    ) -> Any:  # fmt: skip
        """The output of one module of an ensemble alone; running statistics are used, and stay."""
        named = self.named_state(parameters_P, statistics_Q)
        with self._products(parameters_P), self._lock:
            if self._statistics is not None:
                self.module.eval()
            chosen = {name: copies[index] for name, copies in named.items()}
            return in_fp32(self._call(chosen, inputs))

    def start(self, kind: UnitWeights) -> tuple[Tensor, Tensor | None]:
        """The parameters, with rows of norm 1 where `kind` says so, and statistics at the start."""
        parameters_P, statistics_Q = self.initial.clone(), self.initial_statistics
        if not parameters_P.is_meta:
            restore_norms_(self.module, self.unflatten(parameters_P), kind)
        return parameters_P, None if statistics_Q is None else statistics_Q.clone()

    def keep_(
        self, parameters_P: Tensor, statistics_Q: Tensor | None, after_Q: Tensor, kind: UnitWeights
    ) -> None:
        """After an optimizer's step: take the new statistics, and restore norms, in place."""
        if statistics_Q is not None:
            statistics_Q.copy_(after_Q)
        restore_norms_(self.module, self.unflatten(parameters_P), kind)

    def _call(self, named: dict[str, Tensor], inputs: tuple[Observed, ...]) -> Any:
        """Call the module with these parameters in place of its own.

        A parameter that several modules hold is passed once for each of them. `functional_call`
        could find such ties itself, but it also counts a module that is reachable under two names
        as two, and then leaves the second name's tensor behind in the module.
        """
        given = named | {alias: named[name] for alias, name in self._aliases.items()}
        with self._lock:
            return functional_call(self.module, given, inputs, tie_weights=False)

    def dependencies(self, *inputs: Observed) -> tuple[list[bool], ...]:
        """For each output of the module, which of the parameters it is computed from, in their
        order: see `selected`."""
        leaves = {
            name: view.detach().clone().requires_grad_()
            for name, view in self.unflatten(self.initial).items()
        }
        with torch.enable_grad():
            outputs = self._call(leaves, inputs)
        uses = []
        for output in outputs if isinstance(outputs, tuple) else (outputs,):
            found: Sequence[Tensor | None] = [None] * len(leaves)
            if output.requires_grad:
                found = torch.autograd.grad(
                    output.sum(), list(leaves.values()), retain_graph=True, allow_unused=True
                )
            uses.append([gradient is not None for gradient in found])
        return tuple(uses)

    def selected(self, parameters: Sequence[bool], device: torch.device | None = None) -> Tensor:
        """A mask [P] on this device: 1 for the selected parameters, in their order."""
        return self._layout.mask(parameters, device)

    def unflatten(self, parameters_P: Tensor) -> dict[str, Tensor]:
        """Views of the vector by the module's own parameter names, [N, ...] of an ensemble."""
        return self._layout.unflatten(parameters_P)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of the parameters by the module's own names, [N, ...] of an ensemble."""
        return dict(self._layout.shapes)

    def flatten(self, named: Mapping[str, Tensor]) -> Tensor:
        """The inverse of `named`. Raises `UserError` where names or shapes are not this
        network's."""
        return self._layout.flatten(named)

    def named_state(
        self, parameters_P: Tensor, statistics_Q: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Views of both vectors by the names of the module's `state_dict`."""
        if self._statistics is None or statistics_Q is None:
            return self.unflatten(parameters_P)
        return {**self.unflatten(parameters_P), **self._statistics.unflatten(statistics_Q)}

    def flatten_state(self, named: Mapping[str, Tensor]) -> tuple[Tensor, Tensor | None]:
        """The inverse of `named_state`. Raises `UserError` where names or shapes are others."""
        if self._statistics is None:
            return self.flatten(named), None
        shapes = self._statistics.shapes
        parameters = {name: value for name, value in named.items() if name not in shapes}
        buffers = {name: value for name, value in named.items() if name in shapes}
        return self.flatten(parameters), self._statistics.flatten(buffers)

    def to_module(self, parameters_P: Tensor, statistics_Q: Tensor | None = None) -> nn.Module:
        """A copy of the module with these parameters, and these statistics, in it."""
        module = copy.deepcopy(self.module)
        restore_forward(module)
        views = self.unflatten(parameters_P)
        # Under one name for what is used in several places, so all are filled
        for name, parameter in module.named_parameters():
            parameter.data = views[name].clone(memory_format=torch.contiguous_format)
        if self._statistics is not None and statistics_Q is not None:
            own = dict(module.named_buffers())
            for name, view in self._statistics.unflatten(statistics_Q).items():
                own[name].copy_(view)
            module.eval()
        return module.requires_grad_(False)

    def mask(self, part: str, device: torch.device | None = None) -> Tensor:
        """A mask [P] on this device: 1 for the parameters that lie in a part of the module with
        this name. A parameter that several parts share is marked for each of them."""
        if self.initial.is_meta:
            return self.initial  # of the right shape, and also without data
        names = self._paths.values()  # in the order of the vector
        inside = [any(part in name.split(".") for name in each) for each in names]
        return self._layout.mask(inside, device)

    @computes
    def compile_infer(
        self, parameters_P: Tensor, example: Array, compile_checked: Compiler
    ) -> None:
        """Compile `infer` for observations like `example`, on these very parameters. It returns no
        more outputs than acting uses from then on.

        Raises what `compile_checked` raises.
        """

        def outputs(parameters_P: Tensor, observation: Observed) -> Any:
            output = self(parameters_P, observation)
            return output[0] if isinstance(output, tuple) and not self._acts_on_all else output

        self._compiled = CompiledForward(outputs, parameters_P, example, compile_checked)

    def infer(
        self, parameters_P: Tensor, observation: Array, statistics_Q: Tensor | None = None
    ) -> Any:
        """The forward pass for acting, without gradients: observations [E, ...] to NumPy arrays.

        Small batches on a CPU go through NumPy on views of the parameters where all layers are
        known, which takes a quarter of the time that modules take.
        """
        if parameters_P.is_cpu and len(observation) <= MAX_NUMPY_ROWS and self._precision == "fp32":
            address = parameters_P.data_ptr()
            if self._numpy is None or self._numpy[0] != address:
                views = self.named_state(parameters_P, statistics_Q)
                self._numpy = address, numpy_forward(self.module, views)
            if self._numpy[1] is not None:
                return self._numpy[1](observation)
        if self._compiled is not None and self._compiled.fits(parameters_P, observation):
            with computing():
                return self._compiled(observation)
        return self._infer_with_torch(parameters_P, observation, statistics_Q)

    @computes
    def _infer_with_torch(
        self, parameters_P: Tensor, observation: Array, statistics_Q: Tensor | None
    ) -> Any:
        with torch.no_grad():
            observed = as_tensors(observation, parameters_P.device)
            if statistics_Q is None:
                output = self(parameters_P, observed)
            else:
                output, _ = self.with_statistics(parameters_P, statistics_Q, observed)
        if isinstance(output, tuple):
            return tuple(part.cpu().numpy() for part in output)
        return output.cpu().numpy()
