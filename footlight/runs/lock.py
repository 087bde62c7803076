"""One run folder, one process that trains in it."""

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from footlight.errors import StorageFault, UserError

try:
    import fcntl
except ImportError:  # no such thing on Windows
    fcntl = None  # type: ignore[assignment]


_held: set[tuple[int, int]] = set()  # by this process, whose locks the system does not tell apart


@contextlib.contextmanager
def locked(run_dir: Path) -> Iterator[None]:
    """Hold the lock of a run folder. The system lets go of it when the process ends, however that happens.

    A lock of the process, not of the open file: workers that outlive a killed training for a moment do not hold it.
    Raises `UserError` where another process, or another thread of this one, has it.
    """
    path = run_dir / ".lock"
    with contextlib.suppress(OSError):  # before it is opened: closing it again would let go of the lock
        if _identity(path.lstat()) in _held:
            raise UserError(f"{run_dir} is in use - this process is training in it - wait for its end")
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    except OSError as error:
        raise StorageFault(f"cannot write {path} - {error.strerror} - give a folder that can be written") from error
    mine = _identity(os.fstat(descriptor))
    try:
        if fcntl is not None:
            try:
                fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (BlockingIOError, PermissionError) as error:
                holder = _holder(os.read(descriptor, 1000))
                raise UserError(f"{run_dir} is in use - {holder} is training in it - wait, or stop that process") from error
        with contextlib.suppress(OSError):  # a full disk: who holds it is only for reading
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode(), 0)
        _held.add(mine)
        try:
            yield
        finally:
            _held.discard(mine)
    finally:
        os.close(descriptor)


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _holder(content: bytes) -> str:
    try:
        holder = json.loads(content)
        return f"process {int(holder['pid'])} on {str(holder['host'])[:100]}"
    except (ValueError, KeyError, TypeError):
        return "another process"
