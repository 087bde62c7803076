"""The state of objects as data: modules, optimizers, schedulers, tensors, numbers, and containers.

What changes while an algorithm in ordinary PyTorch learns lies in the attributes of its object.
`saved` walks them into arrays and strict JSON, and `restore` puts these back in place, so that
whoever holds a tensor or a module still holds the right one. Anything that cannot be written is an
error, not a gap.
"""

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import partial
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any, NamedTuple, Protocol, runtime_checkable

import gymnasium
import numpy as np
import torch
from torch import Tensor, nn

from footlight.errors import UserError
from footlight.types import Array

_CONSTANTS = (
    FunctionType, BuiltinFunctionType, MethodType, ModuleType, type, partial, Enum, slice, range,
    torch.dtype, torch.device, np.dtype, gymnasium.Space,
)  # fmt: skip

_MADE_BY_THE_AUTHOR = {"state", "generator", "torch_generator", "fields", "constant"}


@runtime_checkable
class HasState(Protocol):
    """A module, an optimizer, a learning-rate scheduler, or anything else with these two."""

    def state_dict(self) -> Any:
        """Its state: containers of tensors and numbers."""

    def load_state_dict(self, state_dict: Any, /) -> Any:
        """Restore what `state_dict` returned."""


class Saved(NamedTuple):
    """A state as data."""

    record: dict[str, Any]
    """Strict JSON; an array is named where it belongs."""
    arrays: dict[str, Array]


def saved(owner: object, name: str, skip: frozenset[str]) -> Saved:
    """The state of the attributes of `owner` except those to `skip`; `name` is for messages.

    On a CPU the arrays share the memory of the tensors. Raises `UserError` for anything that cannot
    be written.
    """
    arrays: dict[str, Array] = {}
    record = {
        each: _encoded(value, each, name, arrays)
        for each, value in vars(owner).items()
        if each not in skip and not _is_constant(value)
    }
    return Saved(record, arrays)


def restore(owner: object, name: str, given: Saved) -> None:
    """Restore what `saved` returned. Raises `UserError` where `owner` has other attributes, and
    what `load_state_dict` raises."""
    for each, record in given.record.items():
        now = vars(owner).get(each)
        if each not in vars(owner) and any(fixed({each: record})):
            raise UserError(f"{name} has no `{each}` now, which it had when it was saved")
        restored = _restored(now, record, given.arrays)
        if restored is not now:
            setattr(owner, each, restored)


def fixed(record: Mapping[str, Any]) -> Iterator[str]:
    """Where a record of `saved` has objects whose state can be restored, but which cannot be made:
    modules, optimizers, generators, mutable dataclasses and constants in containers."""
    for name, part in record.items():
        yield from _fixed_in(part, name)


def _fixed_in(record: Any, path: str) -> Iterator[str]:
    if not isinstance(record, dict):
        return
    kind, content = next(iter(record.items()))
    if kind in _MADE_BY_THE_AUTHOR:
        yield path
    elif kind == "dict":
        for key, part in content:
            yield from _fixed_in(part, f"{path}.{key}")
    elif kind in ("list", "tuple", "deque"):
        for index, part in enumerate(content):
            yield from _fixed_in(part, f"{path}.{index}")


def require_known(record: Mapping[str, Any], known: frozenset[str], name: str) -> None:
    """Raise `UserError` if a record has objects of `fixed` that are not among the `known`."""
    for path in fixed(record):
        if path not in known:
            raise UserError(
                f"{name}.{path} was not there after __init__ - a resumed run could not make it - "
                "make it in __init__, and change its state alone"
            )


def moved(owner: object, device: torch.device, skip: frozenset[str]) -> None:
    """Move the modules, the optimizers' states and the tensors among the attributes."""
    later: list[Any] = []
    for name, value in vars(owner).items():
        if name not in skip:
            setattr(owner, name, _moved(value, device, later.append))
    for optimizer in later:  # once their parameters are there
        optimizer.load_state_dict(optimizer.state_dict())


def tensors(value: Any, path: str) -> Iterator[tuple[str, Tensor]]:
    """The tensors in an attribute, modules' included and optimizers' not, by the names that they
    have in `saved`."""
    if isinstance(value, nn.Module):
        value, path = dict(value.state_dict()), f"{path}.state"
    if isinstance(value, Tensor):
        yield path, value.detach()
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield from tensors(part, f"{path}.{key}")
    elif isinstance(value, list | tuple | deque):
        for index, part in enumerate(value):
            yield from tensors(part, f"{path}.{index}")
    elif is_dataclass(value) and not _is_constant(value):
        yield from tensors(vars(value), path)


def named_modules(value: Any, name: str = "") -> dict[str, nn.Module]:
    """The modules among the attributes of an object, also in its lists, dicts and dataclasses."""
    if isinstance(value, nn.Module):
        return {name: value}
    parts: Iterable[tuple[object, Any]] = ()
    if isinstance(value, Mapping):
        parts = value.items()
    elif isinstance(value, list | tuple):
        parts = enumerate(value)
    elif is_dataclass(value) and not _is_constant(value):
        parts = vars(value).items()
    found: dict[str, nn.Module] = {}
    for key, part in parts:
        found |= named_modules(part, f"{name}.{key}" if name else f"{key}")
    return found


def _is_constant(value: object) -> bool:
    if isinstance(value, HasState):
        return False
    if is_dataclass(value) and not isinstance(value, type):
        return bool(value.__dataclass_params__.frozen)  # type: ignore[attr-defined]
    return isinstance(value, _CONSTANTS)


def _encoded(value: Any, path: str, owner: str, arrays: dict[str, Array]) -> Any:
    """A value as strict JSON, with its arrays in `arrays`."""

    def inner(part: Any, name: object) -> Any:
        return _encoded(part, f"{path}.{name}", owner, arrays)

    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int | float) and not isinstance(value, np.generic):
        return value if math.isfinite(value) else {"float": str(value)}
    if isinstance(value, Tensor) and not value.is_complex():
        found = value.detach().cpu()
        exotic = found.dtype.itemsize < 4 and found.is_floating_point()  # NumPy lacks some of them
        arrays[path] = np.asarray((found.float() if exotic else found).numpy(), order="C")
        return {"tensor": path, "dtype": str(value.dtype).removeprefix("torch.")}
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "fiub":
        arrays[path] = np.asarray(value)
        return {"array": path}
    if isinstance(value, np.random.Generator):
        return {"generator": inner(value.bit_generator.state, "state")}
    if isinstance(value, torch.Generator):
        return {"torch_generator": inner(value.get_state(), "state")}
    if isinstance(value, nn.Module):
        named = {name: part.grad for name, part in value.named_parameters()}
        kept = {name: gradient for name, gradient in named.items() if gradient is not None}
        state = {"state": inner(value.state_dict(), "state")}  # gradients may be accumulated
        return state | ({"gradients": inner(kept, "gradients")} if kept else {})
    if isinstance(value, HasState):
        return {"state": inner(value.state_dict(), "state")}
    if isinstance(value, Mapping):
        items = [[inner(key, "key"), inner(part, key)] for key, part in value.items()]
        return {"dict": items}
    if isinstance(value, list | tuple | deque):
        kind = next(each.__name__ for each in (list, tuple, deque) if isinstance(value, each))
        return {kind: [inner(part, index) for index, part in enumerate(value)]}
    if is_dataclass(value) and not isinstance(value, type) and not _is_constant(value):
        return {"fields": {each.name: inner(vars(value)[each.name], each.name)
                           for each in fields(value)}}  # fmt: skip
    if _is_constant(value):
        return {"constant": None}
    raise UserError(
        f"{owner}.{path} is a {type(value).__name__}, which no checkpoint can hold - keep what "
        "changes in modules, optimizers, tensors, arrays, numbers, lists and dicts, or give its "
        "class state_dict() and load_state_dict()"
    )


def _decoded(record: Any, arrays: Mapping[str, Array]) -> Any:
    """The inverse of `_encoded` for plain data."""
    if not isinstance(record, dict):
        return record
    (kind, content), *rest = record.items()
    if kind == "float":
        return float(content)
    if kind == "tensor":
        dtype = getattr(torch, str(rest[0][1]))
        return torch.from_numpy(np.array(arrays[content])).to(dtype)
    if kind == "array":
        return np.array(arrays[content])
    if kind == "dict":
        pairs = [(_decoded(key, arrays), _decoded(part, arrays)) for key, part in content]
        return dict(pairs)
    if kind in ("list", "tuple", "deque"):
        made: Any = {"list": list, "tuple": tuple, "deque": deque}[kind]
        return made(_decoded(part, arrays) for part in content)
    return _decoded(content, arrays)


def _restored(now: Any, record: Any, arrays: Mapping[str, Array]) -> Any:
    """The value of a record: `now` itself, changed in place, wherever that can be."""
    kind, content = next(iter(record.items())) if isinstance(record, dict) else ("", record)
    if kind == "constant":
        return now
    if isinstance(now, HasState):
        now.load_state_dict(_decoded(record, arrays))
        if isinstance(now, nn.Module):
            kept = _decoded(record.get("gradients", {"dict": []}), arrays)
            for name, part in now.named_parameters():
                part.grad = kept[name].to(part) if name in kept else None
        return now
    if isinstance(now, np.random.Generator):
        now.bit_generator.state = _decoded(record, arrays)
        return now
    if isinstance(now, torch.Generator):
        now.set_state(_decoded(record, arrays))
        return now
    if kind == "fields":
        for name, part in content.items():
            setattr(now, name, _restored(vars(now)[name], part, arrays))
        return now
    if kind == "dict" and isinstance(now, dict):
        pairs = [(_decoded(key, arrays), part) for key, part in content]
        values = {key: _restored(now.get(key), part, arrays) for key, part in pairs}
        now.clear()
        now.update(values)
        return now
    if kind == "list" and isinstance(now, list):
        before = [*now, *[None] * len(content)]
        now[:] = [_restored(*pair, arrays) for pair in zip(before, content, strict=False)]
        return now
    if kind == "deque" and isinstance(now, deque):
        values = _decoded(record, arrays)
        now.clear()
        now.extend(values)
        return now
    if kind == "tuple" and isinstance(now, tuple) and len(now) == len(content):
        return tuple(_restored(*pair, arrays) for pair in zip(now, content, strict=True))
    value = _decoded(record, arrays)
    if isinstance(now, Tensor) and isinstance(value, Tensor) and now.shape == value.shape:
        with torch.no_grad():
            now.copy_(value)
        return now
    if isinstance(now, np.generic):
        return now.dtype.type(value)
    return value


def _moved(value: Any, device: torch.device, postpone: Callable[[Any], None]) -> Any:
    if isinstance(value, nn.Module | Tensor):
        return value.to(device)
    if isinstance(value, torch.optim.Optimizer):
        postpone(value)
    elif isinstance(value, list):
        value[:] = [_moved(part, device, postpone) for part in value]
    elif isinstance(value, dict):
        value.update({key: _moved(part, device, postpone) for key, part in value.items()})
    return value
