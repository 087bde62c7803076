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


_held: dict[
    Path, tuple[int, int]
] = {}  # by this process, whose own locks the system does not tell apart


@contextlib.contextmanager
def locked(run_dir: Path) -> Iterator[None]:
    """Hold the lock of a run folder. The system lets go of it when the process ends, however that happens.

    A lock of the process, not of the open file: workers that outlive a killed training for a moment do not hold it.
    Raises `UserError` where another process, or another thread of this one, has it.
    """
    path = run_dir / ".lock"
    with contextlib.suppress(
        OSError
    ):  # before it is opened: closing it again would let go of the lock
        if _identity(path.lstat()) in _held.values():
            raise UserError(
                f"{run_dir} is in use - this process is training in it - wait for its end"
            )
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    except OSError as error:
        if path.is_symlink():
            raise UserError(
                f"{path} is a symbolic link - links could lead anywhere - remove it"
            ) from error
        raise StorageFault(
            f"cannot write {path} - {error.strerror} - give a folder that can be written"
        ) from error
    place, mine = run_dir.absolute(), _identity(os.fstat(descriptor))
    try:
        if fcntl is not None:
            try:
                fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (BlockingIOError, PermissionError) as error:
                holder = _holder(os.read(descriptor, 1000))
                raise UserError(
                    f"{run_dir} is in use - {holder} is training in it - wait, or stop that process"
                ) from error
        with contextlib.suppress(OSError):  # a full disk: who holds it is only for reading
            os.ftruncate(descriptor, 0)
            os.pwrite(
                descriptor,
                json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode(),
                0,
            )
        _held[place] = mine
        try:
            yield
        finally:
            del _held[place]
    finally:
        os.close(descriptor)


def require_held(run_dir: Path) -> None:
    """Raise `StorageFault` where a run folder is no longer the one that this process has locked: removed, and made anew."""
    mine = _held.get(run_dir.absolute())
    try:
        is_mine = mine is None or _identity((run_dir / ".lock").lstat()) == mine
    except OSError:
        is_mine = False
    if not is_mine:
        raise StorageFault(
            f"{run_dir} is not the folder that this training began in - it was removed - nothing more is written there"
        )


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _holder(content: bytes) -> str:
    try:
        holder = json.loads(content)
        return f"process {int(holder['pid'])} on {str(holder['host'])[:100]}"
    except (ValueError, KeyError, TypeError):
        return "another process"
