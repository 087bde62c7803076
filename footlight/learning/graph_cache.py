"""Compiled updates of earlier runs, found without the compiler by what they compute.

The compiler has a cache of its own, but importing it and tracing the update takes seconds before it
can look there. An eager call on copies goes through the same operations on tensors of the same
shapes: their digest names the library that was compiled from them. Whatever is found is compared
with the eager update in its first call, as a new one is.
"""

import contextlib
import hashlib
import importlib.util
import os
import platform
import shutil
import sysconfig
import tempfile
from collections.abc import Callable, Iterator, Sequence
from importlib.machinery import ExtensionFileLoader
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

from footlight.errors import UserError
from footlight.storage.system import lock_file, open_file

MAX_LIBRARIES = 300  # of a few hundred kB each
Graph = Callable[[list[Tensor]], Any]
_ENTRY = "inductor_entry_cpp"  # the function in a library
_OTHERS = {"ATEN_CPU_CAPABILITY", "CXX"}  # further variables that the compiler reads
_TENSOR_ACCESS = "_TORCHINDUCTOR_PYOBJECT_TENSOR_DATA_PTR"  # which a library asks for when loaded


class Digest(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Takes down every operation inside of it: its name, its arguments, which memory it uses."""

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._hash = hashlib.sha256()
        self._numbers: dict[int, int] = {}  # of a storage, in the order of appearance
        self._addresses: list[StorageWeakRef] = []  # keep their addresses, not their memory
        self.is_complete = True
        """False if a result depends on numbers that the digest does not have."""
        self._add([self._known(tensor) for tensor in tensors])

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # Otherwise the first operation imports the compiler, which is what this is to avoid
        return False

    def hexdigest(self) -> str:
        """The digest so far."""
        return self._hash.hexdigest()

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        self._add([str(operation), self._plain(args), self._plain(sorted(kwargs.items()))])
        result = operation(*args, **kwargs)
        if operation is torch.ops.aten._local_scalar_dense.default:
            self.is_complete = False
        for part in result if isinstance(result, tuple | list) else (result,):
            if isinstance(part, Tensor):
                self._known(part)
        return result

    def _add(self, value: Any) -> None:
        self._hash.update(repr(value).encode())

    def _known(self, tensor: Tensor) -> str:
        """The description of a tensor, which from now on is known."""
        storage = tensor.untyped_storage()._cdata
        if storage not in self._numbers:
            self._numbers[storage] = len(self._numbers)
            self._addresses.append(
                StorageWeakRef(tensor.untyped_storage())  # type: ignore[no-untyped-call]
            )
        place = self._numbers[storage], tensor.storage_offset(), tensor.shape, tensor.stride()
        return f"{place} {tensor.dtype} {tensor.device}"

    def _plain(self, value: Any) -> Any:
        """An argument without addresses: tensors as their descriptions."""
        if isinstance(value, tuple | list):
            return [self._plain(each) for each in value]
        if not isinstance(value, Tensor):
            return value
        if value.untyped_storage()._cdata not in self._numbers:
            # The compiler writes a single number into the code; others it keeps elsewhere
            self.is_complete &= value.untyped_storage().nbytes() == value.element_size()
            self._add(value.flatten()[:1].tolist())
        return self._known(value)


def key_of(
    function: Callable[..., None], tensors: Sequence[Tensor], settings: object
) -> str | None:
    """The name of `function(*tensors)` compiled with these settings; None if it has none.

    It does not depend on the numbers in the tensors. Calls the function on copies; a function that
    fails on these numbers has no name.
    """
    if any(tensor.device.type != "cpu" or _is_expanded(tensor) for tensor in tensors):
        return None
    copies = [torch.empty_strided(x.shape, x.stride(), dtype=x.dtype).copy_(x) for x in tensors]
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad(), Digest(copies) as digest:
            function(*copies)
    except UserError:
        raise
    except Exception:  # which tracing repeats if the numbers are not the reason
        return None
    if not digest.is_complete:
        return None
    build = torch.__version__, torch.version.git_version, sysconfig.get_config_var("SOABI")
    modes = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    text = repr((digest.hexdigest(), build, modes, _processor(), _variables(), settings))
    return hashlib.sha256(text.encode()).hexdigest()


def _is_expanded(tensor: Tensor) -> bool:
    """Whether several numbers of the tensor are in the same place."""
    places = zip(tensor.shape, tensor.stride(), strict=True)
    return tensor.numel() > 0 and any(size > 1 and not stride for size, stride in places)


def _variables() -> list[tuple[str, str]]:
    """The variables that the compiler reads."""
    names = [name for name in os.environ if name.startswith("TORCHINDUCTOR_") or name in _OTHERS]
    return sorted((name, os.environ[name]) for name in names if name != "TORCHINDUCTOR_CACHE_DIR")


def _processor() -> str:
    """What the code for one machine may rely on: the instructions of its processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    found = [line for line in lines if line.startswith(("model name", "flags", "Features"))]
    capability = torch.backends.cpu.get_cpu_capability()
    return f"{platform.machine()} {capability} {sorted(set(found))}"


def load(folder: Path, key: str | None) -> Graph | None:
    """The compiled function of this name; None if there is none, or it does not load."""
    path = _library(folder, key)
    if key is None or not path.is_file():
        return None
    guards: Any = torch._C._dynamo.guards
    os.environ[_TENSOR_ACCESS] = str(guards._torchinductor_pyobject_tensor_data_ptr)
    loader = ExtensionFileLoader(f"{key}.{_ENTRY}", str(path))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    try:
        module = importlib.util.module_from_spec(spec)
        loader.exec_module(module)
        with contextlib.suppress(OSError):  # a folder that cannot be written
            os.utime(path)  # those that were not used for longest go first
        return _calling(module.__dict__[_ENTRY])
    except Exception:  # whatever it is, the function can be compiled again
        return None


def _calling(entry: Callable[[Any], Any]) -> Graph:
    def call(tensors: list[Tensor]) -> None:
        handles = torch._C._aoti.unsafe_alloc_void_ptrs_from_tensors(tensors)
        entry(handles)  # takes the handles, and returns none: an update works in place

    return call


@contextlib.contextmanager
def claimed(folder: Path, key: str | None) -> Iterator[None]:
    """Hold the right to compile the function of this name: others wait here, and then find it.

    Where files cannot be locked, several processes compile the same function at once.
    """
    with contextlib.ExitStack() as stack:
        if key is not None:
            path = _library(folder, key).with_suffix(".lock")
            with contextlib.suppress(OSError):
                folder.mkdir(parents=True, exist_ok=True)
                descriptor = open_file(path, os.O_RDWR | os.O_CREAT)
                stack.callback(os.close, descriptor)
                lock_file(descriptor, wait=True)
        yield


def keep(folder: Path, key: str | None, made: Path | None) -> None:
    """Keep a library that the compiler has made under this name; without either, do nothing."""
    if key is None or made is None:
        return
    path = _library(folder, key)
    with contextlib.suppress(OSError):  # a full disk: it is compiled again next time
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as temporary:
            copy = shutil.copyfile(made, Path(temporary, path.name))
            os.replace(copy, path)
        _make_room(folder)


def _make_room(folder: Path) -> None:
    """Remove the libraries beyond `MAX_LIBRARIES` that were not used for longest."""
    by_use = sorted(folder.glob("*.so"), key=lambda path: path.stat().st_mtime)
    for path in by_use[:-MAX_LIBRARIES]:
        path.unlink(missing_ok=True)
        path.with_suffix(".lock").unlink(missing_ok=True)


def remove(folder: Path, key: str | None) -> None:
    """Keep no library of this name any longer."""
    with contextlib.suppress(OSError):
        _library(folder, key).unlink()


def size(folder: Path) -> int:
    """How many compiled functions there are."""
    return len([*folder.glob("*.so")])


def _library(folder: Path, key: str | None) -> Path:
    return folder / f"{key}.so"
