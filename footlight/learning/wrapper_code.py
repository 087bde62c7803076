"""The C++ around the kernels of a compiled update, without a tensor for every intermediate result.

Inductor's own wrapper makes a new tensor for each intermediate result and for each view of one, in
every call, and multiplies matrices through PyTorch's dispatcher. Around small networks that takes
longer than the arithmetic. Here intermediate results up to `MAX_KEPT_BYTES` keep their memory from
call to call, and products go to BLAS directly, with the arguments that PyTorch would pass: the
numbers are the same to the bit. Those of tanh are not, see `_TANH`.

Imports the compiler: only `compilation.py` may import this file, and only where it compiles.
"""

import contextlib
import ctypes
import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch._inductor import codecache, ir
from torch._inductor.codegen import common
from torch._inductor.codegen.cpp import CppVecOverrides
from torch._inductor.codegen.cpp_wrapper_cpu import CppWrapperCpu
from torch._inductor.utils import IndentedBuffer

_InductorWrapper: Any = CppWrapperCpu  # without types
MAX_KEPT_BYTES = 1 << 20  # of one result; allocating a larger one is quick beside computing it
VERSION = "2.13."  # of PyTorch, whose generated code this is about
_KEPT = "static thread_local const"  # const: taking its memory away does not compile
_PRODUCT = """
#include <cstring>
extern "C" void sgemm_(
    const char*, const char*, const int*, const int*, const int*, const float*, const float*,
    const int*, const float*, const int*, const float*, float*, const int*);
static inline void multiply(
    char order_a, char order_b, int m, int n, int k, const float* a, int lda, const float* b,
    int ldb, float* c, int ldc, const float* bias, int rows, int columns) {
  const float one = 1, beta = bias ? 1 : 0;
  for (int row = 0; bias && row < rows; ++row)
    std::memcpy(c + row * columns, bias, columns * sizeof(float));
  sgemm_(&order_a, &order_b, &m, &n, &k, &one, a, &lda, b, &ldb, &beta, c, &ldc);
}
"""
_TANH = """
#include <ATen/cpu/vec/vec.h>
template <typename T>
static inline T tanh_of(const T& x) { return x.tanh(); }
// Of float32, in a fifth of the time: x P(x^2) / Q(x^2) for |x| <= 9, where tanh rounds to 1. The
// coefficients, from the highest power down, are those with the smallest largest relative error
// (2.1e-8); with the rounding of the arithmetic, results differ from tanh by at most 4e-7.
static inline at::vec::Vectorized<float> tanh_of(const at::vec::Vectorized<float>& given) {
  typedef at::vec::Vectorized<float> V;
  V x = at::vec::clamp(given, V(-9.0f), V(9.0f)), square = x * x;  // NaN stays NaN
  V p = at::vec::fmadd(V(1.3354667583e-8f), square, V(2.0609086372e-5f));
  V q = at::vec::fmadd(V(7.7765607110e-7f), square, V(3.2856351990e-4f));
  p = at::vec::fmadd(p, square, V(3.4955883463e-3f));
  q = at::vec::fmadd(q, square, V(2.5876982988e-2f));
  p = at::vec::fmadd(p, square, V(0.13381025808f));
  q = at::vec::fmadd(q, square, V(0.4671434140f));
  p = at::vec::fmadd(p, square, V(0.99999997945f));
  q = at::vec::fmadd(q, square, V(1.0f));
  return at::vec::clamp(x * p / q, V(-1.0f), V(1.0f));
}
"""


@contextlib.contextmanager
def own_wrapper() -> Iterator[None]:
    """Have Inductor generate this wrapper inside the context, where the version is known."""
    if not torch.__version__.startswith(VERSION):
        yield
        return
    common.init_backend_registration()
    cpu = common.device_codegens["cpu"]
    before, cpu.cpp_wrapper_codegen = cpu.cpp_wrapper_codegen, Wrapper
    cache: Any = codecache.CppWrapperCodeCache
    headers_before, cache._get_uncompiled_header = vars(cache)["_get_uncompiled_header"], _headers
    functions: Any = CppVecOverrides
    tanh_before, functions.tanh = vars(functions)["tanh"], staticmethod("tanh_of({})".format)
    try:
        yield
    finally:
        functions.tanh = tanh_before
        cpu.cpp_wrapper_codegen = before
        cache._get_uncompiled_header = headers_before


def _headers(device: str) -> str:
    """What Inductor writes between `#include <` and `>` of the header that it precompiles.

    By itself it precompiles the wrapper's. The kernels, in the same file, include another one, and
    reading that takes longer than all the rest of compiling a small update.
    """
    wrapper = codecache._get_cpp_wrapper_header(device)
    kernels = codecache._get_cpp_prefix_header(device)
    return wrapper if kernels is None else f"{wrapper}>\n#include <{kernels}"


class Wrapper(_InductorWrapper):  # type: ignore[misc]
    """Inductor's wrapper, which keeps memory."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: set[str] = set()  # names of results and views whose memory stays

    @staticmethod
    def create(*subgraph: Any, **more: Any) -> "Wrapper":
        """Called by Inductor."""
        return Wrapper()

    def write_header(self) -> None:
        """Declare `tanh_of` and `multiply`."""
        super().write_header()
        self.header.splice(_TANH)
        if _has_sgemm():
            self.header.splice(_PRODUCT)

    def make_allocation(
        self, name: str, device: torch.device, dtype: torch.dtype, shape: Any, *rest: Any,
        **more: Any,
    ) -> str:  # fmt: skip
        """Allocate a result in the first call only."""
        size = functools.reduce(lambda size, each: size * int(each), shape, dtype.itemsize)
        with self._target_buf("wrapper_call", IndentedBuffer()):
            last: str = super().make_allocation(name, device, dtype, shape, *rest, **more)
            lines = self.wrapper_call.getvalue().splitlines()
        if size > MAX_KEPT_BYTES:
            self.wrapper_call.writelines(lines)
            return last
        # Lists of sizes are shared with other allocations
        shared = [line for line in lines if line.startswith("static constexpr")]
        self.wrapper_call.writelines(shared)
        own = " ".join(line for line in lines if line not in shared)
        handle = last.removeprefix(f"RAIIAtenTensorHandle {name}")  # (handle);
        self.kept.add(name)
        made = f"[&] {{ {own} return RAIIAtenTensorHandle{handle} }}()"
        return f"{_KEPT} RAIIAtenTensorHandle {name} = {made};"

    def make_buffer_free(self, buffer: Any) -> str:
        """Free nothing that is kept."""
        return "" if buffer.get_name() in self.kept else super().make_buffer_free(buffer)

    def make_buffer_reuse(self, old: Any, new: Any, delete_old: bool) -> str:
        """A result in the memory of an earlier one."""
        line: str = super().make_buffer_reuse(old, new, delete_old)
        return self._kept_view(line, old.get_name(), new.get_name())

    def codegen_exact_buffer_reuse(self, old_name: str, new_name: str, del_line: str) -> str:
        """The same for a result of the same shape."""
        if old_name not in self.kept:
            return super().codegen_exact_buffer_reuse(old_name, new_name, del_line)
        self.kept.add(new_name)
        return f"const auto& {new_name} = {old_name};"

    def codegen_deferred_allocation(self, name: str, view: Any) -> None:
        """A result that is a part of another one."""
        line = f"auto {name} = {view.codegen_reference()};"
        self.writeline(common.DeferredLine(name, self._kept_view(line, view.get_name(), name)))

    def _kept_view(self, line: str, old: str, new: str) -> str:
        # Other kinds of views write further lines, which are part of each call
        is_simple = "= wrap_with_raii_handle_if_needed(reinterpret_tensor_wrapper(" in line
        if old not in self.kept or not is_simple:
            return line
        self.kept.add(new)
        return f"{_KEPT} {line}"

    def generate_extern_kernel_out(self, node: Any) -> None:
        """Multiply directly, if it is a product."""
        call = _product(node) if _has_sgemm() else None
        if call is None:
            super().generate_extern_kernel_out(node)
        else:
            node.codegen_comment(self)
            self.writeline(call)


@functools.cache
def _has_sgemm() -> bool:
    """Whether PyTorch's library has the BLAS function that it multiplies with."""
    try:
        path = Path(torch.__file__).with_name("lib") / "libtorch_cpu.so"
        return bool(ctypes.CDLL(str(path))["sgemm_"])
    except (OSError, AttributeError):  # macOS; Windows
        return False


class _Stored(NamedTuple):
    """How a matrix lies in memory."""

    by_rows: bool
    leading: int
    """Distance of two rows, or of two columns."""


def _product(node: Any) -> str | None:
    """The call of BLAS for `a @ b`, or `a @ b + bias`; None for what it cannot multiply."""
    kind = node.python_kernel_name
    if kind not in ("extern_kernels.mm", "extern_kernels.addmm") or node.output_view is not None:
        return None
    *bias, a, b = node.inputs
    scales = [node.kwargs.get(name, 1) for name in ("alpha", "beta")]
    if {x.get_dtype() for x in (node, *node.inputs)} != {torch.float32} or scales != [1, 1]:
        return None
    (rows, inner), (_, columns) = _numbers(a.get_size()), _numbers(b.get_size())
    out, of_bias = _numbers(node.get_stride()), [_numbers(x.get_stride()) for x in bias]
    if out != (columns, 1) or of_bias not in ([], [(1,)]):
        return None
    # What PyTorch does: BLAS counts by columns, so rows of the result are columns to it, and
    # the operands change places, unless the result is a single column
    is_column = columns == 1
    stored_a, stored_b = (_stored(x, not is_column) for x in (a, b))
    if stored_a is None or stored_b is None:
        return None
    first, second, m, n = (a, b, rows, 1) if is_column else (b, a, columns, rows)
    of_first, of_second = (stored_a, stored_b) if is_column else (stored_b, stored_a)
    orders = ["'N'" if x.by_rows != is_column else "'T'" for x in (of_first, of_second)]
    arguments = [
        *orders, m, n, inner, _pointer(first), of_first.leading, _pointer(second),
        of_second.leading, f"(float*)({node.get_name()}.data_ptr())", m,
        _pointer(bias[0]) if bias else "nullptr", rows, columns,
    ]  # fmt: skip
    return f"multiply({', '.join(map(str, arguments))});"


def _stored(matrix: Any, rows_first: bool) -> _Stored | None:
    """How PyTorch describes a matrix to BLAS; None if it would copy it first.

    rows_first: what it tries first, where a single row or column fits both.
    """
    (rows, columns), (of_row, of_column) = (
        _numbers(numbers) for numbers in (matrix.get_size(), matrix.get_stride())
    )
    found = []
    if of_column == 1 and of_row >= max(1, columns):
        found.append(_Stored(True, of_row))
    if of_row == 1 and of_column >= max(1, rows):
        found.append(_Stored(False, of_column))
    if not found and columns == 1 and of_row == 1:  # its copy would be the same
        found.append(_Stored(True, 1))
    if not found:
        return None
    return found[0] if rows_first else found[-1]


def _pointer(x: Any) -> str:
    offset = int(x.get_layout().offset) if isinstance(x, ir.ReinterpretView) else 0
    return f"(const float*)({x.get_name()}.data_ptr()) + {offset}"


def _numbers(sizes: Sequence[Any]) -> tuple[int, ...]:
    return tuple(int(size) for size in sizes)
