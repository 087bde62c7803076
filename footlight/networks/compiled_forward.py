"""The forward pass of acting, compiled: for networks on images, where it costs half as much as
learning."""

from collections.abc import Callable

import torch
from torch import Tensor

from footlight.types import Array

Compiler = Callable[[Callable[..., None], list[Tensor]], Callable[[], None]]
"""`footlight.learning.compilation.compile_checked`."""


class CompiledForward:
    """A network's output for one vector of parameters, whose numbers may change, and for
    observations of one shape.

    forward: the output of parameters [P] and observations [E, ...]. example: such observations,
    whose memory is used from then on. Raises what `compile_checked` raises.
    """

    def __init__(
        self, forward: Callable[[Tensor, Tensor], Tensor], parameters_P: Tensor, example: Tensor,
        compile_checked: Compiler,
    ) -> None:  # fmt: skip
        def update_output(parameters_P: Tensor, observation: Tensor, output: Tensor) -> None:
            output.copy_(forward(parameters_P, observation))

        with torch.no_grad():
            self._output = torch.zeros_like(forward(parameters_P, example))
        self._parameters_at, self._observation = parameters_P.data_ptr(), example.numpy()
        self._run = compile_checked(update_output, [parameters_P, example, self._output])

    def fits(self, parameters_P: Tensor, observation: Array) -> bool:
        """Whether it was compiled for this vector and for such observations."""
        mine = self._observation
        return (self._parameters_at, mine.shape, mine.dtype) == (
            parameters_P.data_ptr(), observation.shape, observation.dtype
        )  # fmt: skip

    def __call__(self, observation: Array) -> Array:
        """The output for observations [E, ...]."""
        self._observation[...] = observation
        self._run()
        output: Array = self._output.numpy().copy()
        return output
