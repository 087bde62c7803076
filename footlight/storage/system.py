"""What differs between operating systems when files are opened, locked, linked and replaced.

Windows has no `fcntl`, does not open folders, translates line ends in files opened without
`O_BINARY`, and replaces no file that another process has open. Everything else calls the functions
here and looks the same on all systems.
"""

import os
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]
HAS_FCNTL = fcntl is not None

LOCK_POSITION = 1 << 30  # beyond the content of any file that is locked: reading stays possible
POLL_SECONDS = 0.05  # between two attempts at a lock or a replacement
REPLACE_SECONDS = 2.0  # for a virus scanner or another reader to close the file


def open_file(path: Path, flags: int) -> int:
    """The descriptor of a file, created for everyone to read if `flags` say so.

    Never follows links, blocks on pipes, or passes the descriptor on to child processes, as far as
    the system can do that. Raises `OSError`.
    """
    names = "O_NOFOLLOW", "O_CLOEXEC", "O_BINARY", "O_NOINHERIT"
    for name in names:
        flags |= vars(os).get(name, 0)
    if "O_NOFOLLOW" not in vars(os) and path.is_symlink():
        raise OSError("it is a symbolic link")
    return os.open(path, flags, 0o644)


def without_waiting(flags: int) -> int:
    """The flags, so that opening a pipe or device does not wait for its other end."""
    return int(flags | vars(os).get("O_NONBLOCK", 0))


def flush_folder(path: Path) -> None:
    """Flush the entries of a folder to the disk; nothing on Windows, which does it by itself."""
    if sys.platform == "win32":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace(source: Path, target: Path) -> None:
    """Move a file over another one.

    On Windows this fails while any process has the other one open, so it is tried for
    `REPLACE_SECONDS`. Raises `OSError`.
    """
    deadline = time.monotonic() + (REPLACE_SECONDS if sys.platform == "win32" else 0.0)
    while True:
        try:
            source.replace(target)
            return
        except PermissionError:
            if time.monotonic() >= deadline:
                raise
        time.sleep(POLL_SECONDS)


def link(source: Path, target: Path) -> None:
    """Give a file a second name. Raises `OSError`, also where the file system cannot."""
    # Some systems cannot be told not to follow links; an argument would be an error there.
    options: Any = {"follow_symlinks": False} if os.link in os.supports_follow_symlinks else {}
    os.link(source, target, **options)


def lock_process(descriptor: int) -> None:
    """Lock a file for this process, and not for its forks. Raises `OSError` if another holds it."""
    if HAS_FCNTL:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    else:
        _lock_byte(descriptor)


def is_locked(path: Path) -> bool:
    """Whether another process holds the lock of `lock_process` on a file; False without the file.

    The system is asked who holds it. Only on Windows, which cannot be asked, it is taken for that
    moment. Opening and closing a file whose lock this process holds would release it: do not ask
    for one. Raises `OSError`.
    """
    flags = os.O_RDONLY if HAS_FCNTL else os.O_RDWR
    try:
        descriptor = open_file(path, without_waiting(flags))
    except FileNotFoundError:
        return False
    try:
        if not HAS_FCNTL:
            try:
                _lock_byte(descriptor)
            except BlockingIOError:
                return True
            return False  # closing the file releases it again
        # `struct flock`: type, start (a kind and an offset), length and holder of a lock
        if sys.platform == "linux":
            question = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
            kind = struct.unpack("hhqqi4x", fcntl.fcntl(descriptor, fcntl.F_GETLK, question))[0]
        else:  # macOS and other BSDs
            question = struct.pack("qqihh", 0, 0, 0, fcntl.F_WRLCK, os.SEEK_SET)
            kind = struct.unpack("qqihh", fcntl.fcntl(descriptor, fcntl.F_GETLK, question))[3]
        return bool(kind != fcntl.F_UNLCK)
    finally:
        os.close(descriptor)


def lock_file(descriptor: int, wait: bool) -> None:
    """Lock an open file until it is closed. Raises `OSError` if it is held, unless `wait`."""
    if HAS_FCNTL:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        return
    while True:
        try:
            return _lock_byte(descriptor)
        except OSError:
            if not wait:
                raise
        time.sleep(POLL_SECONDS)


def _lock_byte(descriptor: int) -> None:
    """Lock one byte, as Windows does. The system releases it when the process ends in any way.

    Raises `BlockingIOError` if another process holds it.
    """
    import msvcrt  # which other systems lack

    module: Any = msvcrt
    position = os.lseek(descriptor, 0, os.SEEK_CUR)
    os.lseek(descriptor, LOCK_POSITION, os.SEEK_SET)
    try:
        module.locking(descriptor, module.LK_NBLCK, 1)
    except OSError as error:
        raise BlockingIOError(error.errno, "another process holds the lock") from error
    finally:
        os.lseek(descriptor, position, os.SEEK_SET)


def hold_folder(folder: Path, wait: bool) -> int:
    """The descriptor of a lock on a folder, which is held until it is closed.

    Raises `BlockingIOError` if another process holds it, unless `wait`.
    """
    flags = os.O_RDONLY
    if not HAS_FCNTL:  # a folder cannot be opened
        folder, flags = folder / ".lock", os.O_RDWR | os.O_CREAT
    descriptor = open_file(folder, flags)
    try:
        lock_file(descriptor, wait)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def own_process_group() -> int:
    """`creationflags` of a child process that Ctrl-C in a console of Windows does not reach."""
    return int(vars(subprocess).get("CREATE_NEW_PROCESS_GROUP", 0))


def lower_priority() -> None:
    """Let other processes go first, where the system lets a process say so of itself."""
    if "nice" in vars(os):
        os.nice(10)
