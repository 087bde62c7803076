"""torch's process-wide and per-thread settings: defaults while footlight computes, then restored.

A program may have changed torch's default dtype or device, or be inside `torch.autocast` or
`torch.inference_mode`. None of this may change what footlight computes, and nothing that footlight
changes may outlive its calls.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any, ParamSpec, TypeVar

import torch

P = ParamSpec("P")
T = TypeVar("T")

_SMALLEST, _ONE = 5e-324, 1.0  # a denormal float64, and what it is multiplied by
# Looked up once, as every call that computes asks them.
_default_dtype = torch.get_default_dtype
_num_modes = torch._C._len_torch_function_stack
_is_inference = torch.is_inference_mode_enabled
_any_autocast = torch._C._is_any_autocast_enabled
_product_precision = torch._C._get_float32_matmul_precision


def computes(function: Callable[P, T]) -> Callable[P, T]:
    """Decorator: call `function` under torch's own defaults, with denormal numbers flushed to zero.

    The optimizer's moments of a dead unit decay into denormals, which slow updates down by a third.
    If all settings have their defaults, the overhead is half a microsecond.
    """

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        with computing():
            return function(*args, **kwargs)

    return call


class computing:
    """Context manager with torch's own defaults and denormal numbers flushed, like `computes`."""

    __slots__ = ("_defaults", "_flushing")

    def __enter__(self) -> None:
        self._flushing = flushes_denormals()
        if not self._flushing:
            torch.set_flush_denormal(True)
        self._defaults = None if _is_default() else _defaults()
        if self._defaults is not None:
            self._defaults.__enter__()

    def __exit__(self, *error: Any) -> None:
        try:
            if self._defaults is not None:
                self._defaults.__exit__(*error)
        finally:
            if not self._flushing:
                torch.set_flush_denormal(False)


@contextlib.contextmanager
def process_restored() -> Iterator[None]:
    """Flush denormals inside the context; restore this and torch's number of threads afterwards.

    torch's worker threads inherit the setting when they start, so it must be in force before that.
    """
    flushing, threads = flushes_denormals(), torch.get_num_threads()
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(flushing)
        torch.set_num_threads(threads)


def flushes_denormals() -> bool:
    """Return whether this thread flushes denormal numbers to zero.

    torch can set this mode but not query it.
    """
    return _SMALLEST * _ONE == 0.0


def _is_default() -> bool:
    return (
        _default_dtype() is torch.float32
        and not _num_modes()  # a default device is one
        and not _any_autocast()
        and not _is_inference()
        and _multiplies_in_float32()
    )


def _multiplies_in_float32() -> bool:
    try:
        return _product_precision() == "highest"
    except RuntimeError:  # it was set through another of torch's interfaces
        return False


@contextlib.contextmanager
def _defaults() -> Iterator[None]:
    dtype = torch.get_default_dtype()
    products = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    precision = products.fp32_precision
    torch.set_default_dtype(torch.float32)
    products.fp32_precision = "ieee"
    try:
        with contextlib.ExitStack() as modes:
            modes.enter_context(torch.inference_mode(False))
            for device in ("cpu", "cuda"):
                if torch.is_autocast_enabled(device):
                    modes.enter_context(torch.autocast(device, enabled=False))
            if _num_modes():
                modes.enter_context(torch.device("cpu"))
            yield
    finally:
        torch.set_default_dtype(dtype)
        products.fp32_precision = precision
