"""Lock of a run folder: one process at a time trains in it.

This is `fcntl.lockf`, a lock of the process, and not `filelock`, whose `flock` belongs to the open
file: environment workers, which are forks, would hold it after their killed training. On Windows,
which has no forks, it is the lock of a byte.
"""

import contextlib
import json
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

from footlight.errors import StorageFault, UserError
from footlight.storage.system import is_locked, lock_process, open_file


class InUse(UserError):
    """Raised if another process, or another thread of this one, trains in a run folder."""


# By this process, whose own locks the system does not distinguish
_held: dict[Path, tuple[int, int]] = {}


@contextlib.contextmanager
def locked(run_dir: Path) -> Iterator[None]:
    """Hold the lock of a run folder. The system releases it when the process ends in any way.

    Raises `InUse` if another process, or another thread of this one, holds it.
    """
    path = run_dir / ".lock"
    # This check comes before opening: closing the file again would release the lock.
    with contextlib.suppress(OSError):
        if _identity(path.lstat()) in _held.values():
            raise InUse(
                f"{run_dir} is in use - this process is training in it - wait until it ends"
            )
    try:
        descriptor = open_file(path, os.O_RDWR | os.O_CREAT)
    except OSError as error:
        if path.is_symlink():
            raise UserError(
                f"{path} is a symbolic link - links could lead anywhere - remove it"
            ) from error
        raise StorageFault(
            f"cannot write {path} - {error.strerror} - give a folder that can be written"
        ) from error
    place, identity = run_dir.absolute(), _identity_of(path, descriptor)
    try:
        try:
            lock_process(descriptor)
        except (BlockingIOError, PermissionError) as error:
            holder = _holder(os.read(descriptor, 1000))
            raise InUse(
                f"{run_dir} is in use - {holder} is training in it - wait, or stop that process"
            ) from error
        with contextlib.suppress(OSError):  # a full disk: the holder is informative only
            os.ftruncate(descriptor, 0)
            os.write(
                descriptor,
                json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode(),
            )
        _held[place] = identity
        try:
            yield
        finally:
            del _held[place]
    finally:
        os.close(descriptor)


def is_running(run_dir: Path) -> bool:
    """Whether a process, also this one, holds the lock of a run folder: a training is running.

    A training that starts at that moment is not disturbed. Raises `OSError` if this is unknown, as
    for a folder that may not be read.
    """
    path = run_dir / ".lock"
    try:
        if _identity(path.lstat()) in _held.values():  # and opening the file would release it
            return True
    except FileNotFoundError:
        return False
    return is_locked(path)


def require_held(run_dir: Path) -> None:
    """Raise `StorageFault` if a run folder was removed or replaced since it was locked."""
    identity = _held.get(run_dir.absolute())
    try:
        is_same = identity is None or _identity((run_dir / ".lock").lstat()) == identity
    except OSError:
        is_same = False
    if not is_same:
        raise StorageFault(
            f"{run_dir} is not the folder in which this training started - it was removed - "
            "nothing more is written there"
        )


def _identity_of(path: Path, descriptor: int) -> tuple[int, int]:
    """Which file was opened. Windows may number an open file otherwise than its name."""
    return _identity(path.lstat() if sys.platform == "win32" else os.fstat(descriptor))


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _holder(content: bytes) -> str:
    try:
        holder = json.loads(content)
        return f"process {int(holder['pid'])} on {str(holder['host'])[:100]}"
    except (ValueError, KeyError, TypeError):
        return "another process"
