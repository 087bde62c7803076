"""The forward pass of acting, compiled: for networks on images, where it costs half as much as
learning."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from footlight.trees import leaves_of, rebuilt
from footlight.types import Array

Compiler = Callable[[Callable[..., None], list[Tensor]], Callable[[], None]]
"""`footlight.learning.compilation.compile_checked`."""


class CompiledForward:
    """A network's output for one vector of parameters, whose numbers may change, and for
    observations of one shape.

    forward: the output, or a tuple of outputs, of parameters [P] and observations [E, ...], which
    are tensors, or dicts of them by leaf. example: such observations, as an array or as records.
    Raises what `compile_checked` raises.
    """

    def __init__(
        self, forward: Callable[[Tensor, Any], Any], parameters_P: Tensor, example: Array,
        compile_checked: Compiler,
    ) -> None:  # fmt: skip
        self._arrays = {n: np.array(leaf, order="C") for n, leaf in leaves_of(example).items()}
        tensors = [torch.from_numpy(array) for array in self._arrays.values()]

        def outputs(parameters_P: Tensor, leaves: list[Tensor]) -> tuple[Tensor, ...]:
            found = forward(parameters_P, rebuilt(dict(zip(self._arrays, leaves, strict=True))))
            self._is_tuple = isinstance(found, tuple)
            return found if isinstance(found, tuple) else (found,)

        def update_outputs(parameters_P: Tensor, *rest: Tensor) -> None:
            leaves, places = list(rest[: len(tensors)]), rest[len(tensors) :]
            for place, output in zip(places, outputs(parameters_P, leaves), strict=True):
                place.copy_(output)

        with torch.no_grad():
            places = [torch.zeros_like(output) for output in outputs(parameters_P, tensors)]
        self._outputs = [place.numpy() for place in places]
        self._parameters_at = parameters_P.data_ptr()
        self._shape, self._dtype = example.shape, example.dtype
        self._run = compile_checked(update_outputs, [parameters_P, *tensors, *places])

    def fits(self, parameters_P: Tensor, observation: Array) -> bool:
        """Whether it was compiled for this vector and for such observations."""
        return (self._parameters_at, self._shape, self._dtype) == (
            parameters_P.data_ptr(), observation.shape, observation.dtype
        )  # fmt: skip

    def __call__(self, observation: Array) -> Any:
        """The output for observations [E, ...], or the tuple of outputs."""
        for name, leaf in leaves_of(observation).items():
            self._arrays[name][...] = leaf
        self._run()
        found = tuple(output.copy() for output in self._outputs)
        return found if self._is_tuple else found[0]
