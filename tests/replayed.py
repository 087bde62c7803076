"""Updates as lists of PyTorch's operations, for tests that learn for hundreds of updates.

An eager update of a tiny network spends its time on Python, on `vmap` and on autograd. What reaches
PyTorch's kernels is the same list of operations each time: it is recorded in one call, and then
repeated, with the same bits. `record` takes the place of the compiler, so an agent that uses it has
`compile="on"`, and its first update is compared with an eager one.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from footlight.learning.compilation import AtHand

_VIEWS = torch.ops.aten.detach.default, torch.ops.aten.alias.default


def use_replayed_updates(monkeypatch: Any) -> None:
    """Record what would be compiled."""
    monkeypatch.setattr("footlight.learning.compiled_updates.compile_in_place", record)
    monkeypatch.setattr(
        "footlight.learning.compiled_updates.at_hand",
        lambda function, tensors: AtHand(record(function, tensors), False),
    )


def record(
    function: Callable[..., None],
    tensors: Sequence[Tensor],
    announce: Callable[[], None] = lambda: None,
) -> Callable[[], None]:
    """`function(*tensors)` as a function without arguments. Does not run it."""
    copies = [torch.empty_strided(x.shape, x.stride(), dtype=x.dtype).copy_(x) for x in tensors]
    with torch.random.fork_rng(devices=[]), torch.no_grad(), Recorder(copies, tensors) as found:
        function(*copies)
    return found.function()


class Recorder(TorchDispatchMode):
    """Writes a line of Python for every operation inside of it.

    Tensors are known by the memory that they describe, as autograd makes new ones of it.
    """

    def __init__(self, copies: Sequence[Tensor], tensors: Sequence[Tensor]) -> None:
        super().__init__()
        self._lines: list[str] = []
        self._values: dict[str, Any] = {}  # constants and operations, by name in the code
        self._names: dict[Any, str] = {}  # of tensors, by their memory
        self._given = {
            copy.untyped_storage()._cdata: tensor
            for copy, tensor in zip(copies, tensors, strict=True)
        }
        self._alive: list[Tensor] = [*copies]  # so that no memory is used twice

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        assert operation is not torch.ops.aten._local_scalar_dense.default, "depends on numbers"
        kwargs = kwargs or {}
        words = [self._word(each) for each in args]
        words += [f"{name}={self._word(each)}" for name, each in kwargs.items()]
        result = operation(*args, **kwargs)
        parts = result if isinstance(result, tuple | list) else (result,)
        fresh = [x for x in parts if isinstance(x, Tensor) and not self._is_given(x)]
        if operation in _VIEWS or (operation.is_view and not fresh):
            for part, source in zip(fresh, args, strict=False):
                self._names[_memory(part)] = self._word(source)
            self._alive += fresh
            return result
        names = [self._new_name(x) if isinstance(x, Tensor) else "_" for x in parts]
        target = ", ".join(names) + ("," if isinstance(result, tuple | list) else "")
        call = f"{self._constant(operation)}({', '.join(words)})"
        self._lines.append(f"{target} = {call}")
        return result

    def function(self) -> Callable[[], None]:
        """A function that repeats the operations."""
        body = "\n    ".join(self._lines)
        names = dict(self._values)
        exec(f"def replay():\n    {body}\n", names)
        replay = names["replay"]

        def step() -> None:
            with torch.no_grad():
                replay()

        return step

    def _is_given(self, tensor: Tensor) -> bool:
        return tensor.untyped_storage()._cdata in self._given

    def _new_name(self, tensor: Tensor) -> str:
        if self._is_given(tensor):  # changed in place, or seen in another way
            return "_"
        self._alive.append(tensor)
        return self._names.setdefault(_memory(tensor), f"t{len(self._alive)}")

    def _word(self, value: Any) -> str:
        """An argument as Python."""
        if isinstance(value, tuple | list):
            return "[" + ", ".join(map(self._word, value)) + "]"
        if not isinstance(value, Tensor):
            return self._constant(value)
        storage = value.untyped_storage()._cdata
        if storage in self._given:
            own = self._given[storage]
            place = own.storage_offset() + value.storage_offset()
            return self._constant(own.as_strided(value.shape, value.stride(), place))
        if _memory(value) not in self._names:
            assert value.numel() == 1, "a constant"
            return self._constant(value.clone())
        return self._names[_memory(value)]

    def _constant(self, value: Any) -> str:
        name = f"c{len(self._values)}"
        self._values[name] = value
        return name


def _memory(tensor: Tensor) -> Any:
    place = tensor.untyped_storage()._cdata, tensor.storage_offset(), tensor.dtype
    return *place, tuple(tensor.shape), tensor.stride()
