"""Atomic writing of files, and reading of files that may be malicious.

A kill or a power cut leaves the old file or the new one.
"""

import contextlib
import hashlib
import json
import math
import os
import stat
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import Any, NoReturn

from footlight.errors import StorageFault, UserError
from footlight.storage import system

MAX_JSON_BYTES = 64 << 20
MAX_BYTES = 1 << 30  # of arrays read at once whose size is not known beforehand
_FOREIGN = (  # first bytes, and the kind of file
    (b"PK\x03\x04", "a zip archive, as PyTorch and Stable-Baselines3 write, which may hold code"),
    (b"\x80\x02", "a pickle, which may hold code"),
    (b"\x80\x03", "a pickle, which may hold code"),
    (b"\x80\x04", "a pickle, which may hold code"),
    (b"\x80\x05", "a pickle, which may hold code"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ", "an xz archive"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\x93NUMPY", "a NumPy file"),
    (
        b"version https://git-lfs",
        "a pointer of git-lfs, not the file itself: `git lfs pull` fetches it",
    ),
    (b"<", "an HTML or XML page, not the file itself: the download went wrong"),
)
_ENDINGS = {
    ".pkl": "a pickle, which may hold code",
    ".pickle": "a pickle, which may hold code",
    ".tar": "a tar archive",
}


def user_path(path: str | Path) -> Path:
    """Expand `~` in a path as a shell does. Raises `UserError` if there is no such home."""
    if not isinstance(path, str | os.PathLike):
        raise UserError(f"{path!r:.80} is not a path - give a string or a pathlib.Path")
    if not os.fspath(path):  # which would be the working directory
        raise UserError("a path is empty - give the name of a file or folder")
    # Unlike pathlib, this leaves ./~ alone, as a shell does.
    expanded = os.path.expanduser(path)
    if str(expanded).startswith("~"):
        user = Path(path).parts[0]
        raise UserError(
            f"cannot expand {path} - there is no home directory {user} - "
            f"write ./{path} for a folder of that name"
        )
    found = Path(expanded)
    return found.absolute() if found.parts[:1] and found.parts[0].startswith("~") else found


def make_folder(path: Path) -> None:
    """Create a folder and its parents if they do not exist. Raises `StorageFault`."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageFault(
            f"cannot create {path} - {error.strerror} - free some space, or choose another place"
        ) from error


def make_own_folder(path: Path) -> None:
    """Create a folder inside a run folder that may be from elsewhere.

    An existing link could lead anywhere, and is refused. Raises `StorageFault`.
    """
    if path.is_symlink():
        raise StorageFault(f"{path} is a link - a run writes into its own folder only - remove it")
    make_folder(path)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a new file and flush its content, but not its name, to the disk. Raises `OSError`."""
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def replace_text(path: Path, text: str) -> None:
    """Replace a small file atomically. Raises `StorageFault`."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        temporary.unlink(missing_ok=True)  # left by a process that was killed
        write_bytes(temporary, text.encode())
        system.replace(temporary, path)
        system.flush_folder(path.parent)
    except OSError as error:
        raise StorageFault(f"cannot write {path} - {error.strerror} - free some space") from error


def read_file(path: Path, max_bytes: int) -> bytes:
    """Read a regular file of at most `max_bytes`.

    Never follows links or blocks on pipes and devices. Raises `UserError`.
    """
    with opened(path) as file:
        if (size := os.fstat(file.fileno()).st_size) > max_bytes:
            raise UserError(
                f"{path} has {size:,} bytes - it may have at most {max_bytes:,} - restore it"
            )
        return file.read(size)  # what is asked for is allocated, however little there is


def read_start(path: Path, count: int) -> bytes:
    """Like `read_file`, but only the first `count` bytes, or all if there are fewer."""
    with opened(path) as file:
        return file.read(min(count, os.fstat(file.fileno()).st_size))


@contextlib.contextmanager
def opened(path: Path) -> Iterator[BufferedReader]:
    """Open a regular file for reading.

    Never follows links or blocks on pipes and devices. Raises `UserError`.
    """
    try:
        descriptor = system.open_file(path, system.without_waiting(os.O_RDONLY))
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            os.close(descriptor)
            raise UserError(
                f"{path} is {_kind(mode)} - a regular file is needed - put the file there"
            )
        with os.fdopen(descriptor, "rb") as file:
            yield file
    except OSError as error:
        if path.is_symlink():
            raise UserError(
                f"{path} is a symbolic link - links could lead anywhere - put the file itself there"
            ) from error
        if isinstance(error, FileNotFoundError):
            raise UserError(
                f"{path} is missing - other files here refer to it - restore it"
            ) from error
        raise UserError(
            f"{path} cannot be read - {error.strerror} - check its permissions"
        ) from error


def hash_file(path: Path) -> tuple[int, str]:
    """Return size and SHA-256 of a regular file of any size. Raises `UserError`."""
    with opened(path) as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return file.tell(), sha256


def read_json(path: Path, max_bytes: int = MAX_JSON_BYTES) -> dict[str, Any]:
    """Read the object in a strict JSON file.

    Raises `UserError` if it is missing or invalid, or contains NaN or a duplicate key.
    """
    data = read_file(path, max_bytes)
    try:
        return parse_json(data)
    except ValueError as error:
        raise UserError(f"{path} is invalid: {error} - restore it, or run again") from None


def parse_json(data: bytes) -> dict[str, Any]:
    """Parse the object in strict JSON. Raises `ValueError`."""
    try:
        value = json.loads(
            data.decode(), parse_constant=_refuse, parse_float=_finite, object_pairs_hook=_object
        )
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError(f"it holds a {type(value).__name__}, not an object")
    return value


def describe_foreign(path: Path) -> str:
    """Describe a non-directory for an error message. Never blocks."""
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            return _kind(mode)
        with path.open("rb") as file:
            start = file.read(512)
    except OSError as error:
        return f"unreadable ({error.strerror})"
    known = next((what for magic, what in _FOREIGN if start.lstrip().startswith(magic)), None)
    return (
        known
        or _ENDINGS.get(path.suffix)
        or ("a tar archive" if start[257:262] == b"ustar" else "a file, not a folder")
    )


def _kind(mode: int) -> str:
    kinds = ((stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"))
    return next((name for test, name in kinds if test(mode)), "a device")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("it has a duplicate key")
    return value


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text:.20} is too large a number")
    return number


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
