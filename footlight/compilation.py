"""One graph from an update: the only file that knows the compiler.

`torch.compile` traces Python bytecode, which takes seconds, and once its guards are off it hands a second agent of another size
the first one's kernels. An update here is a function of tensors of fixed shapes that works in place, so it is traced directly
(`make_fx`), made functional, and given to Inductor: one callable per agent, no guards, nothing to recompile.
"""

import os
import shutil
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor


class CompilerMissing(Exception):
    """The graph cannot be compiled on this machine; the message says why. The eager update does the same, slower."""


def compile_in_place(function: Callable[..., None], tensors: Sequence[Tensor]) -> Callable[[], None]:
    """`function(*tensors)`, which changes some of these tensors in place, as one compiled call without arguments.

    Nothing is run or changed by compiling. Raises `CompilerMissing`.
    """
    if tensors[0].device.type == "cpu" and shutil.which(os.environ.get("CXX", "g++")) is None:
        raise CompilerMissing("there is no C++ compiler (g++)")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the compiler's own making
            graph = _inductor(function, tensors)
    except Exception as error:  # whatever an optimisation stumbles over, the run goes on without it
        first_line = next(iter(str(error).strip().splitlines()), "")
        raise CompilerMissing(f"the compiler failed ({type(error).__name__}: {first_line[:120]})") from error

    def step() -> None:
        graph([*tensors])  # the callee empties the list it is given

    return step


def _inductor(function: Callable[..., None], tensors: Sequence[Tensor]) -> Callable[[list[Tensor]], Any]:
    # Imported here: 3 s that a short eager run never pays.
    from torch._guards import TracingContext, tracing
    from torch._inductor.compile_fx import compile_fx_inner
    from torch._inductor.decomposition import select_decomp_table
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.func import functionalize
    from torch.fx.experimental.proxy_tensor import make_fx
    from torch.fx.experimental.symbolic_shapes import ShapeEnv

    def returning_tuple(*inputs: Tensor) -> tuple[()]:
        function(*inputs)
        return ()

    fake_mode = FakeTensorMode(shape_env=ShapeEnv(), allow_non_fake_inputs=True)
    fakes = [fake_mode.from_tensor(tensor, static_shapes=True) for tensor in tensors]
    with fake_mode, torch.no_grad():
        functional = functionalize(returning_tuple, remove="mutations")
        graph = make_fx(functional, decomposition_table=select_decomp_table())(*fakes)
    graph.graph.eliminate_dead_code()
    graph.recompile()
    with tracing(TracingContext(fake_mode)), torch.no_grad(), _settings():
        compiled: Callable[[list[Tensor]], Any] = compile_fx_inner(graph, fakes, cpp_wrapper=True)
    return compiled


def _settings() -> AbstractContextManager[None]:
    import torch._inductor.config as config

    # By default Inductor compiles a dozen test programs to learn what /proc/cpuinfo says already: half of the first start.
    # Threads are for matrix products: an element-wise kernel with less than 32,768 numbers a thread waits longer than it works.
    # A C++ wrapper around the kernels saves a third of the time of a small update, and is quicker to compile than a Python one.
    settings: AbstractContextManager[None] = config.patch(
        {"cpp.vec_isa_ok": True, "cpp_wrapper": True, "cpp.min_chunk_size": 32_768}
    )
    return settings
