"""One graph from an update: the file that calls the compiler.

`torch.compile` traces Python bytecode, which takes seconds, and once its guards are off it hands a
second agent of another size the first one's kernels. An update here is a function of tensors of
fixed shapes that works in place, so it is traced directly (`make_fx`), made functional, and given
to Inductor: one callable per agent, no guards, nothing to recompile.
"""

import contextlib
import ctypes
import os
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from footlight.errors import UserError, summarize_error
from footlight.learning import graph_cache
from footlight.learning.compiler_cache import (
    CacheBroken,
    cache_folder,
    library_folder,
    remove_broken,
    remove_incomplete,
)
from footlight.learning.compiler_cache import CompilerMissing as CompilerMissing
from footlight.learning.cuda_graph import captured
from footlight.learning.first_call import first_call
from footlight.learning.products import onednn_from, products

_LARGEST_KEPT, _MOST_KEPT = -3, -1  # M_MMAP_THRESHOLD and M_TRIM_THRESHOLD of <malloc.h>
_COMPILERS = {"win32": "cl", "darwin": "clang++"}  # the compiler's own defaults; elsewhere g++
_examined: set[Path] = set()  # caches, once in each process


def compile_in_place(
    function: Callable[..., None],
    tensors: Sequence[Tensor],
    announce: Callable[[], None] = lambda: None,
) -> Callable[[], None]:
    """Compile `function(*tensors)` into a function without arguments.

    The function changes some of the tensors in place; compiling it does not run it. announce: is
    called before the compiler, but not where its result is at hand. On a GPU, the result is a CUDA
    graph instead. Raises `CompilerMissing`, and
    `CacheBroken` where another try may succeed.
    """
    if tensors[0].device.type == "cuda":
        return _captured(function, tensors)
    cache, libraries = _examined_folders()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the compiler's own warnings
            key = _key_of(function, tensors)
            graph = graph_cache.load(libraries, key)
            if graph is None:
                _require_compiler()
                announce()
                with graph_cache.claimed(libraries, key):
                    graph = graph_cache.load(libraries, key)  # made by another process meanwhile
                    graph = graph or _compiled(function, tensors, libraries, key)
    except (UserError, CompilerMissing):  # the function's own message; there is no compiler
        raise
    except Exception as error:  # whatever fails in the compiler, the run continues without it
        _raise_broken(remove_broken(error, cache))
        raise CompilerMissing(f"the compiler failed ({summarize_error(error):.140})") from error

    return _bound(graph, tensors)


def _bound(graph: graph_cache.Graph, tensors: Sequence[Tensor]) -> Callable[[], None]:
    def step() -> None:
        graph([*tensors])  # the callee empties the list it is given

    return step


def _examined_folders() -> tuple[Path, Path]:
    """The folders of the compiler's cache and of compiled functions. Raises `CacheBroken`."""
    cache, libraries = cache_folder(), library_folder()
    if cache not in _examined:
        _examined.add(cache)
        _raise_broken([*remove_incomplete(cache), *remove_incomplete(libraries.parent)])
    return cache, libraries


class AtHand(NamedTuple):
    """What was compiled before."""

    step: Callable[[], None] | None
    """As `compile_in_place` returns it; None: it has to be compiled."""
    may_be_made_elsewhere: bool
    """Whether another process can compile it for this one."""


def at_hand(function: Callable[..., None], tensors: Sequence[Tensor]) -> AtHand:
    """Find `compile_in_place(function, tensors)` without compiling. Raises `CompilerMissing`."""
    if tensors[0].device.type == "cuda":
        return AtHand(None, False)
    _, libraries = _examined_folders()
    key = _key_of(function, tensors)
    graph = graph_cache.load(libraries, key)
    if graph is None:
        _require_compiler()
        return AtHand(None, key is not None)
    return AtHand(_bound(graph, tensors), True)


def _captured(function: Callable[..., None], tensors: Sequence[Tensor]) -> Callable[[], None]:
    try:
        return captured(function, tensors)
    except Exception as error:  # whatever the device refuses, the run continues eagerly
        raise CompilerMissing(f"no CUDA graph ({summarize_error(error):.140})") from error


def _require_compiler() -> None:
    compiler = _COMPILERS.get(sys.platform, "g++")
    if shutil.which(os.environ.get("CXX", compiler)) is None:
        raise CompilerMissing(f"there is no C++ compiler ({compiler})")


def _compiled(
    function: Callable[..., None], tensors: Sequence[Tensor], libraries: Path, key: str | None
) -> graph_cache.Graph:
    """`function` compiled now, and kept under this name."""
    # Precompiling headers takes longer than the first update of a new machine does without them
    is_new = key is not None and graph_cache.size(libraries) < 3
    graph = _inductor(function, tensors, {"cpp_cache_precompile_headers": False} if is_new else {})
    graph_cache.keep(libraries, key, _library_of(graph))
    return graph


def forget(function: Callable[..., None], tensors: Sequence[Tensor]) -> None:
    """Compile this function again when it is needed next, since the compiled one is wrong."""
    if tensors[0].device.type != "cuda":
        graph_cache.remove(library_folder(), _key_of(function, tensors))


def _key_of(function: Callable[..., None], tensors: Sequence[Tensor]) -> str | None:
    # What compiled code depends on beside its function, PyTorch and the machine
    names = "compilation.py", "products.py", "wrapper_code.py"
    sources = [Path(__file__).with_name(name) for name in names]
    own = [path.read_bytes() for path in sources], onednn_from()
    return graph_cache.key_of(function, tensors, own)


def _library_of(compiled: Any) -> Path | None:
    """The file that the compiler has made; None if that is not all that its result consists of."""
    try:
        entry = compiled.current_callable.__globals__["inductor_entry"]
        return None if compiled.constants else Path(entry.__self__.__file__)
    except (AttributeError, KeyError):
        return None


def _raise_broken(files: Sequence[Path]) -> None:
    if files:
        more = f" and {len(files) - 1} more" if len(files) > 1 else ""
        raise CacheBroken(f"the compiler had left {files[0]}{more} incomplete")


def compile_checked(
    function: Callable[..., None],
    tensors: Sequence[Tensor],
    announce: Callable[[], None] = lambda: None,
) -> Callable[[], None]:
    """`compile_in_place`, compared with an eager call at once. Raises `CompilerMissing`."""
    step = compile_in_place(function, tensors, announce)
    try:
        first_call(step, function, tensors)
    except CompilerMissing:
        forget(function, tensors)
        raise
    return step


def keep_freed_memory() -> None:
    """Have the C library keep up to 256 MiB of freed memory instead of returning it to the system.

    An update on images frees 20 MB of intermediate results and allocates them again in the next
    one. Getting them from the system again, page by page, would cost a quarter of its time. Does
    nothing where the C library has no such setting.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):  # macOS; Windows
        library = ctypes.CDLL(None)
        library.mallopt(_LARGEST_KEPT, 32 << 20)
        library.mallopt(_MOST_KEPT, 256 << 20)


def _inductor(
    function: Callable[..., None], tensors: Sequence[Tensor], settings: dict[str, Any]
) -> graph_cache.Graph:
    # Imported here: 3 s that a short eager run never pays.
    from torch._guards import TracingContext, tracing
    from torch._inductor.compile_fx import compile_fx_inner
    from torch._inductor.decomposition import select_decomp_table
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.func import functionalize
    from torch.fx.experimental.proxy_tensor import make_fx
    from torch.fx.experimental.symbolic_shapes import ShapeEnv

    from footlight.learning.wrapper_code import own_wrapper

    def returning_tuple(*inputs: Tensor) -> tuple[()]:
        function(*inputs)
        return ()

    fake_mode = FakeTensorMode(shape_env=ShapeEnv(), allow_non_fake_inputs=True)
    fakes = [fake_mode.from_tensor(tensor, static_shapes=True) for tensor in tensors]
    with fake_mode, torch.no_grad():
        functional = functionalize(returning_tuple, remove="mutations")
        graph = make_fx(functional, decomposition_table={**select_decomp_table(), **products()})(
            *fakes
        )
    graph.graph.eliminate_dead_code()
    graph.recompile()
    with (
        tracing(TracingContext(fake_mode)), torch.no_grad(), _settings(settings), own_wrapper(),
        _indices_expanded(), _types_known(),
    ):  # fmt: skip
        compiled: graph_cache.Graph = compile_fx_inner(graph, fakes, cpp_wrapper=True)
    return compiled


def _settings(further: dict[str, Any]) -> AbstractContextManager[None]:
    import torch._inductor.config as config
    from torch._inductor.cpu_vec_isa import pick_vec_isa

    # By default Inductor compiles a dozen test programs to learn what /proc/cpuinfo says already,
    # which takes half of the first start. Threads are for matrix products: an element-wise kernel
    # with less than 32,768 numbers per thread waits longer than it works. A C++ wrapper around the
    # kernels saves a third of the time of a small update, and compiles faster than a Python one.
    chosen = {"cpp.vec_isa_ok": True, "cpp_wrapper": True, "cpp.min_chunk_size": 32_768}
    # The tensors of an update never change their shapes. The cache of generated code does not know
    # the wrapper around the kernels.
    chosen |= {"size_asserts": False, "fx_graph_cache": False}
    with config.patch(chosen):
        # Inductor's cache of generated code forgets the width of vectors, which the code depends
        # on: with another ATEN_CPU_CAPABILITY, or another machine, it would compute wrong numbers.
        # Naming the width that Inductor chooses by itself makes it a part of the key.
        width = pick_vec_isa().bit_width()
    all_of_them = {**chosen, **further, "cpp.simdlen": width}
    settings: AbstractContextManager[None] = config.patch(all_of_them)
    return settings


class _Expanding:
    """The module sympy, with another `simplify`."""

    def __init__(self, sympy: Any) -> None:
        self._sympy = sympy

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sympy, "expand" if name == "simplify" else name)


@contextlib.contextmanager
def _indices_expanded() -> Iterator[None]:
    """Have Inductor expand indices where it would simplify them.

    It subtracts two indices to see whether their difference is a number. `sympy.simplify`, which
    also tries fractions and powers, finds the same sums of products in a hundred times the time: a
    third of Inductor's own, for an update of networks with unit weights or residual blocks.
    """
    from torch._inductor import sizevars

    names = vars(sizevars)
    before = names["sympy"]
    names["sympy"] = _Expanding(before)
    try:
        yield
    finally:
        names["sympy"] = before


@contextlib.contextmanager
def _types_known() -> Iterator[None]:
    """Have Inductor make its table of the types of results once.

    It makes the same one again for each operation that it writes, in a tenth of its own time.
    """
    from torch._inductor.dtype_propagation import DtypePropagationOpsHandler

    table: Any = DtypePropagationOpsHandler  # a class with one instance
    table()
    before, table.__init__ = table.__init__, lambda self: None
    try:
        yield
    finally:
        table.__init__ = before
