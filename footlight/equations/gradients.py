"""Gradients of functions, as in `torch.func`, but without importing the compiler.

The first call of `torch.func.grad` imports PyTorch's compiler, which takes as long as everything
else that a short run imports. Within another transformation of `torch.func`, such as the tracing of
an update that is to be compiled, autograd cannot be used, and the compiler is there already.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch._C._functorch import peek_interpreter_stack
from torch.utils._pytree import tree_map_only


def grad_and_value(
    function: Callable[..., Any], argnums: int | tuple[int, ...] = 0, has_aux: bool = False
) -> Callable[..., tuple[Any, Any]]:
    """A function that returns the gradient of `function`, and what `function` returns.

    function: of tensors; it returns a scalar, or with `has_aux` a scalar and anything else, which
        is returned without its history.
    argnums: the position of the argument, or those of several, whose gradients become a tuple. An
        argument that the result does not depend on has a gradient of 0.

    Tensors from outside of `function` are constants. The gradient has no history, so gradients of
    gradients need `torch.func`.
    """
    numbers = (argnums,) if isinstance(argnums, int) else argnums

    def gradient_and_value(*arguments: Any) -> tuple[Any, Any]:
        if peek_interpreter_stack() is not None:
            transformed = torch.func.grad_and_value(function, argnums, has_aux)
            return transformed(*arguments)
        inputs = list(arguments)
        with torch.enable_grad():
            for number in numbers:
                inputs[number] = inputs[number].detach().requires_grad_()
            result = function(*inputs)
            value = result[0] if has_aux else result
            wanted = [inputs[number] for number in numbers]
            if value.requires_grad:
                gradients = torch.autograd.grad(value, wanted, materialize_grads=True)
            else:
                gradients = tuple(map(torch.zeros_like, wanted))
        gradient = gradients[0] if isinstance(argnums, int) else gradients
        return gradient, tree_map_only(Tensor, Tensor.detach, result)

    return gradient_and_value


def grad(function: Callable[..., Any], has_aux: bool = False) -> Callable[..., Any]:
    """A function that returns the gradient of `function` with respect to its first argument.

    With `has_aux`, what `function` returns beside its scalar follows the gradient.
    """

    def gradient(*arguments: Any) -> Any:
        found, result = grad_and_value(function, has_aux=has_aux)(*arguments)
        return (found, result[1]) if has_aux else found

    return gradient
