"""Networks whose parameters travel as one flat vector.

A module keeps the architecture; all parameters of a group lie in one vector of P numbers. So an optimizer step, a target average
or an ensemble is a single operation, and an update is a plain function of a few tensors. Matrices lie transposed in the vector,
as [in, out]: so a linear layer's gradient comes out of its matrix product in the order in which it is stored, and is not copied.
Kernels of convolutions lie channels last, the order in which a CPU computes with them.
"""

import copy
import threading
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from footlight.ambient import computes
from footlight.errors import UserError
from footlight.networks.numpy_forward import numpy_forward
from footlight.networks.precision import keep_in_fp32, output_layers, restore_forward
from footlight.trees import map_leaves
from footlight.types import Array

Precision = Literal["fp32", "bf16"]
Observed = Tensor | dict[str, Tensor]
"""An input of a network: a tensor, or observations of a Dict as tensors by leaf."""


def as_tensors(observation: Array, device: torch.device) -> Any:
    """Copy observations to tensors: one, or a dict of the leaves of records."""
    return map_leaves(
        lambda leaf: torch.tensor(np.ascontiguousarray(leaf), device=device), observation
    )


class Network:
    """One module, or an ensemble of N equal ones, called with the parameters as first argument."""

    def __init__(
        self, modules: Sequence[nn.Module], ensemble: bool = False, precision: Precision = "fp32",
        on_images: bool = False, keeps_statistics: bool = False,
    ) -> None:  # fmt: skip
        self.on_images = on_images  # its forward pass is then worth compiling for acting, too
        for module in modules:
            _refuse_hidden_state(module, keeps_statistics)
        self.module = modules[0]
        self.num_copies = len(modules) if ensemble else None
        named = [dict(module.named_parameters()) for module in modules]
        self._aliases, self._paths = _aliases(modules[0]), _paths(modules[0])
        if any(
            {k: v.shape for k, v in other.items()} != {k: v.shape for k, v in named[0].items()}
            for other in named
        ):
            raise UserError(
                "the critics of an ensemble differ in shape - each call of `network` must build the same one"
            )
        if not all(_same_buffers(modules[0], module) for module in modules):
            mine, theirs = (dict(module.named_buffers()) for module in (modules[0], modules[-1]))
            names = ", ".join(sorted({*mine, *theirs}))
            raise UserError(
                f"the critics of an ensemble differ in their buffers ({names}) - buffers are constants - make them equal"
            )
        on_meta = any(
            value.is_meta for value in named[0].values()
        )  # shapes only; stacking meta tensors would import the compiler
        stack = _shape_of_stack if on_meta else torch.stack
        stacked = {name: stack([copy[name].detach() for copy in named]) for name in named[0]}
        if not ensemble:
            stacked = {name: value[0] for name, value in stacked.items()}
        self.shapes = {name: tuple(value.shape) for name, value in stacked.items()}
        self._sizes = [value.numel() for value in stacked.values()]
        self._dims = [
            value.dim() - ensemble for value in stacked.values()
        ]  # 2: matrices, 4: kernels
        self._precision = precision
        if on_meta:
            self.initial = torch.empty(sum(self._sizes), device="meta")
        else:
            self.initial = self.flatten({name: value.float() for name, value in stacked.items()})
        self._statistics = Statistics(modules, ensemble) if keeps_statistics else None
        self.initial_statistics = self._statistics.initial if self._statistics else None
        self._lock = (
            threading.RLock()
        )  # while a call has its parameters in the module, where another thread would find them
        self._numpy: tuple[int, Callable[[Array], Any] | None] | None = None
        self._compiled: tuple[int, Tensor, Tensor, Callable[[], None]] | None = None

    def __call__(self, parameters_P: Tensor, *inputs: Observed) -> Any:
        """The module's output; an ensemble's outputs are stacked along a new first dimension N."""
        if self._statistics is not None:
            raise TypeError("this network keeps statistics - call with_statistics() instead")
        if self.num_copies is None:
            if self._precision == "fp32":
                return self._call(self.named(parameters_P), inputs)
            with torch.autocast(
                parameters_P.device.type, torch.bfloat16
            ):  # sums, and what is kept, are float32 anyway
                output = self._call(self.named(parameters_P), inputs)
            return (
                tuple(part.float() for part in output)
                if isinstance(output, tuple)
                else output.float()
            )
        return vmap(lambda copy: self._call(copy, inputs))(self.named(parameters_P))

    def with_statistics(
        self, parameters_P: Tensor, statistics_Q: Tensor, *inputs: Observed, training: bool = False
    ) -> tuple[Any, Tensor]:
        """The output of a module with running statistics, such as BatchNorm's, and the statistics
        after the call. With `training` they are those of the inputs and the running ones move on;
        otherwise the running ones are used, and stay."""
        assert self._statistics is not None

        def call(named: dict[str, Tensor], buffers: dict[str, Tensor]) -> Any:
            with self._lock:
                self.module.train(training)
                output = self._call({**named, **buffers}, inputs)  # buffers are changed in place
            return output, buffers

        named, buffers = self.named(parameters_P), self._statistics.named(statistics_Q.clone())
        output, after = (call if self.num_copies is None else vmap(call))(named, buffers)
        return output, self._statistics.flatten(after)

    def keep_outputs_in_fp32(self, *inputs: Observed) -> None:
        """Compute the last layers in float32 whatever the precision; a call with these inputs finds them."""
        if self._precision != "fp32":
            keep_in_fp32(output_layers(self.module, *inputs))

    def first(self, parameters_P: Tensor, *inputs: Observed) -> Any:
        """The output of the first module of an ensemble alone."""
        return self._call(
            {name: stacked[0] for name, stacked in self.named(parameters_P).items()}, inputs
        )

    def _call(self, named: dict[str, Tensor], inputs: tuple[Observed, ...]) -> Any:
        """Call the module with these parameters in place of its own.

        A parameter that several modules hold is passed once for each of them. `functional_call` could
        find such ties itself, but it also counts a module that is reachable under two names as two,
        and then leaves the second name's tensor behind in the module.
        """
        given = named | {alias: named[name] for alias, name in self._aliases.items()}
        with self._lock:
            return functional_call(self.module, given, inputs, tie_weights=False)

    def dependencies(self, *inputs: Observed) -> tuple[Tensor, ...]:
        """For each output of the module: 1 for the parameters that it is computed from, 0 for others, [P]."""
        leaves = {
            name: view.detach().clone().requires_grad_()
            for name, view in self.named(self.initial).items()
        }
        with torch.enable_grad():
            outputs = self._call(leaves, inputs)
        masks = []
        for output in outputs if isinstance(outputs, tuple) else (outputs,):
            found: Sequence[Tensor | None] = [None] * len(leaves)
            if output.requires_grad:
                found = torch.autograd.grad(
                    output.sum(), list(leaves.values()), retain_graph=True, allow_unused=True
                )
            masks.append(self._mask([gradient is not None for gradient in found]))
        return tuple(masks)

    def named(self, parameters_P: Tensor) -> dict[str, Tensor]:
        """Views of the vector by the module's own parameter names (with a leading N for an ensemble)."""
        views = {}
        for part, (name, shape), dims in zip(
            torch.split(parameters_P, self._sizes), self.shapes.items(), self._dims, strict=True
        ):
            if dims == 2:
                views[name] = part.view(*shape[:-2], shape[-1], shape[-2]).mT
            elif dims == 4:
                views[name] = part.view(*shape[:-3], *shape[-2:], shape[-3]).movedim(-1, -3)
            else:
                views[name] = part.view(shape)
        return views

    def flatten(self, named: dict[str, Tensor]) -> Tensor:
        """The inverse of `named`. Raises `UserError` where names or shapes are not this network's."""
        found = {name: tuple(value.shape) for name, value in named.items()}
        if found != self.shapes:
            wrong = next(n for n in {**self.shapes, **found} if found.get(n) != self.shapes.get(n))
            raise UserError(
                f"parameter {wrong!r} has shape {found.get(wrong, 'missing')} - "
                f"this network wants {self.shapes.get(wrong, 'no such parameter')} - load it with the network it was saved from"
            )
        parts = []
        for name, dims in zip(self.shapes, self._dims, strict=True):
            part = named[name]
            parts.append(
                (part.mT if dims == 2 else part.movedim(-3, -1) if dims == 4 else part).flatten()
            )
        return torch.cat(parts)

    def named_state(
        self, parameters_P: Tensor, statistics_Q: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Views of both vectors by the names of the module's `state_dict`."""
        if self._statistics is None or statistics_Q is None:
            return self.named(parameters_P)
        return {**self.named(parameters_P), **self._statistics.named(statistics_Q)}

    def flatten_state(self, named: dict[str, Tensor]) -> tuple[Tensor, Tensor | None]:
        """The inverse of `named_state`. Raises `UserError` where names or shapes are others."""
        if self._statistics is None:
            return self.flatten(named), None
        of = self._statistics.shapes
        parameters = {name: value for name, value in named.items() if name not in of}
        buffers = {name: value for name, value in named.items() if name in of}
        if {name: tuple(value.shape) for name, value in buffers.items()} != of:
            raise UserError("its running statistics do not fit this network - load it with its own")
        return self.flatten(parameters), self._statistics.flatten(buffers)

    def filled(self, parameters_P: Tensor, statistics_Q: Tensor | None = None) -> nn.Module:
        """A copy of the module with these parameters, and these statistics, in it."""
        module = copy.deepcopy(self.module)
        restore_forward(module)
        views = self.named(parameters_P)
        for (
            name,
            parameter,
        ) in (
            module.named_parameters()
        ):  # one name for what is used in several places, so all are filled
            parameter.data = views[name].clone(memory_format=torch.contiguous_format)
        if self._statistics is not None and statistics_Q is not None:
            own = dict(module.named_buffers())
            for name, view in self._statistics.named(statistics_Q).items():
                own[name].copy_(view)
            module.eval()
        return module.requires_grad_(False)

    def marked(self, part: str) -> Tensor:
        """1 for the parameters that lie in a part of the module with this name, 0 for the others, [P].

        A parameter that several parts share is marked for each of them.
        """
        if self.initial.is_meta:
            return self.initial  # of the right shape, and also without data
        return self._mask(
            [any(part in name.split(".") for name in self._paths[first]) for first in self.shapes]
        )

    def _mask(self, selected: Sequence[bool]) -> Tensor:
        """1 for the parameters that are selected, 0 for the others, [P]."""
        return torch.cat(
            [
                torch.full((size,), float(is_selected))
                for is_selected, size in zip(selected, self._sizes, strict=True)
            ]
        )

    @computes
    def compile_infer(
        self,
        parameters_P: Tensor,
        observation: Tensor,
        compile_in_place: Callable[..., Callable[[], None]],
    ) -> None:
        """Compile `infer` for observations like these, on these very parameters. It gives the first output alone from then on.

        Raises what `compile_in_place` raises.
        """

        def first_output(parameters_P: Tensor, observation: Tensor) -> Tensor:
            output = self(parameters_P, observation)
            return output[0] if isinstance(output, tuple) else output

        with torch.no_grad():
            output = first_output(parameters_P, observation)
        run = compile_in_place(
            lambda *given: given[2].copy_(first_output(*given[:2])),
            [parameters_P, observation, output],
        )
        self._compiled = parameters_P.data_ptr(), observation, output, run

    def infer(
        self, parameters_P: Tensor, observation: Array, statistics_Q: Tensor | None = None
    ) -> Any:
        """The forward pass for acting, without gradients: observations [E, ...] to NumPy arrays.

        Small batches on a CPU go through NumPy on views of the parameters where all layers are known, which takes a quarter of
        the time that modules take.
        """
        if (
            parameters_P.device.type == "cpu"
            and len(observation) <= 64
            and self._precision == "fp32"
            and self._statistics is None
        ):
            if self._numpy is None or self._numpy[0] != parameters_P.data_ptr():
                self._numpy = (
                    parameters_P.data_ptr(),
                    numpy_forward(self.module, self.named(parameters_P)),
                )
            if self._numpy[1] is not None:
                return self._numpy[1](observation)
        return self._infer_with_torch(parameters_P, observation, statistics_Q)

    @computes
    def _infer_with_torch(
        self, parameters_P: Tensor, observation: Array, statistics_Q: Tensor | None
    ) -> Any:
        if self._compiled is not None:
            compiled_P, seen, output, run = self._compiled
            here = seen.numpy()
            if (compiled_P, here.shape, here.dtype) == (
                parameters_P.data_ptr(),
                observation.shape,
                observation.dtype,
            ):
                here[...] = observation
                run()
                return output.numpy().copy()
        with torch.no_grad():
            seen = as_tensors(observation, parameters_P.device)
            if statistics_Q is None:
                output = self(parameters_P, seen)
            else:
                output, _ = self.with_statistics(parameters_P, statistics_Q, seen)
        return (
            tuple(part.cpu().numpy() for part in output)
            if isinstance(output, tuple)
            else output.cpu().numpy()
        )


def _shape_of_stack(parts: list[Tensor]) -> Tensor:
    return torch.empty((len(parts), *parts[0].shape), device="meta")


class Statistics:
    """The buffers of a module, or of an ensemble, as one flat vector of Q float32 numbers.

    Counts among them are exact up to 2**24.
    """

    def __init__(self, modules: Sequence[nn.Module], ensemble: bool) -> None:
        copies = [dict(module.named_buffers()) for module in modules]
        stacked = {name: torch.stack([copy[name] for copy in copies]) for name in copies[0]}
        if not ensemble:
            stacked = {name: value[0] for name, value in stacked.items()}
        self.shapes = {name: tuple(value.shape) for name, value in stacked.items()}
        self._sizes = [value.numel() for value in stacked.values()]
        self.initial = self.flatten({name: value.float() for name, value in stacked.items()})

    def named(self, statistics_Q: Tensor) -> dict[str, Tensor]:
        """Views of the vector by the names of the module's buffers."""
        parts = torch.split(statistics_Q, self._sizes)
        return {n: part.view(s) for part, (n, s) in zip(parts, self.shapes.items(), strict=True)}

    def flatten(self, named: dict[str, Tensor]) -> Tensor:
        """The inverse of `named`."""
        return torch.cat([named[name].flatten() for name in self.shapes])


def _refuse_hidden_state(module: nn.Module, keeps_statistics: bool) -> None:
    for name, part in module.named_modules():
        random = isinstance(part, nn.modules.dropout._DropoutNd | nn.RReLU)
        tracking = getattr(part, "track_running_stats", False) and not keeps_statistics
        if random or tracking:
            raise UserError(
                f"the network's part {name or type(part).__name__!r} is a {type(part).__name__} - its running statistics or "
                "random draws would be hidden state, and a resumed run would differ - use LayerNorm, or none"
            )


def _aliases(module: nn.Module) -> dict[str, str]:
    """Map further names of parameters that several modules share to the name in `named_parameters()`."""
    first = {id(parameter): name for name, parameter in module.named_parameters()}
    aliases = {}
    for (
        path,
        part,
    ) in module.named_modules():  # yields each module once, even if it has several names
        for name, parameter in part.named_parameters(path, recurse=False, remove_duplicate=False):
            if name != first[id(parameter)]:
                aliases[name] = first[id(parameter)]
    return aliases


def _paths(module: nn.Module) -> dict[str, list[str]]:
    """All names of each parameter, by its name in `named_parameters()`."""
    first = {id(parameter): name for name, parameter in module.named_parameters()}
    paths: dict[str, list[str]] = {name: [] for name in first.values()}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        paths[first[id(parameter)]].append(name)
    return paths


def _same_buffers(one: nn.Module, other: nn.Module) -> bool:
    mine, theirs = dict(one.named_buffers()), dict(other.named_buffers())
    return mine.keys() == theirs.keys() and all(
        torch.equal(mine[name], theirs[name]) for name in mine
    )
