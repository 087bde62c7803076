"""Attributes of an environment in a form that can be compared between two instances.

None, numbers, text, bytes, arrays of any size, lists, tuples, dicts, sets, enums, dataclasses,
functions (by their code, defaults and closures) and partial functions are compared, nested down to
`MAX_DEPTH`. Everything else, such as a simulator, a tensor or an instance of a class without
fields, is `INCOMPARABLE` and never makes two instances different: a change in it is noticed only if
it shows in the steps of a trial.
"""

import dataclasses
import enum
import functools
import hashlib
import types
from typing import Any

import numpy as np

MAX_DEPTH = 5  # of collections within collections


class _Incomparable(enum.Enum):
    VALUE = 0


INCOMPARABLE = _Incomparable.VALUE


def plain(value: Any, depth: int = 0) -> Any:
    """A comparable copy of `value`, equal for equal values; `INCOMPARABLE` if there is none.

    Scalars stay what they are; everything else is a tuple.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and value != value:
        return ("nan",)
    if isinstance(value, enum.Enum):  # before int and str, which it may be as well
        return ("enum", type(value).__qualname__, value.name)
    if value is None or isinstance(value, bool | int | float | complex | str | bytes):
        return value
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        return ("array", value.shape, value.dtype.str, hashlib.sha256(value.tobytes()).digest())
    if depth == MAX_DEPTH:
        return INCOMPARABLE

    def inner(each: Any) -> Any:
        return plain(each, depth + 1)

    if isinstance(value, np.ndarray):
        return ("objects", value.shape, *map(inner, value.ravel().tolist()))
    if isinstance(value, list | tuple):
        return (type(value).__name__, *map(inner, value))
    if isinstance(value, dict):
        return ("dict", *((inner(name), inner(each)) for name, each in value.items()))
    if isinstance(value, set | frozenset):
        return ("set", *sorted(map(inner, value), key=repr))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        named = (
            (field.name, getattr(value, field.name, None)) for field in dataclasses.fields(value)
        )
        return (
            "dataclass",
            type(value).__qualname__,
            *((name, inner(each)) for name, each in named),
        )
    return _function(value, depth)


def differ(one: Any, other: Any) -> bool:
    """Whether two values of `plain` differ in what can be compared.

    What holds something incomparable may have been made late, such as images by a first `render`.
    """
    if isinstance(one, tuple) and isinstance(other, tuple) and len(one) == len(other):
        return any(map(differ, one, other))
    return bool(one != other) and not (_is_incomparable(one) or _is_incomparable(other))


def is_comparable(value: Any) -> bool:
    """Whether nothing in `value` is incomparable."""
    return not _is_incomparable(plain(value))


def _is_incomparable(value: Any) -> bool:
    return value is INCOMPARABLE or (isinstance(value, tuple) and any(map(_is_incomparable, value)))


def _function(value: Any, depth: int) -> Any:
    if isinstance(value, functools.partial):
        return (
            "partial",
            *(plain(part, depth + 1) for part in (value.func, value.args, value.keywords)),
        )
    if isinstance(value, types.MethodType):
        value = value.__func__  # the instance that it belongs to is another one in a copy
    if not isinstance(value, types.FunctionType):
        return INCOMPARABLE
    try:
        closure = [cell.cell_contents for cell in value.__closure__ or ()]
    except ValueError:  # a variable that has no value yet
        return INCOMPARABLE
    held = (plain(part, depth + 1) for part in (value.__defaults__, value.__kwdefaults__, closure))
    return ("function", value.__code__, *held)
