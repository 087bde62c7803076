"""Files in the compiler's cache that a killed run has left incomplete.

The compiler writes its libraries in place, and later trusts each one that exists. One that was
being linked when its process was killed would keep its update from ever being compiled.
"""

import contextlib
import getpass
import os
import re
import struct
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from footlight.machine import user_folder

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

Result = TypeVar("Result")
_FOLDER = "TORCHINDUCTOR_CACHE_DIR"
MAX_REPAIRS = 4  # an update is a few files at most
_INCOMPLETE = (
    "file too short|invalid ELF header|ELF load command|cannot read file data"  # of the loader
    "|file not recognized|file truncated|dynamic module does not define"  # the linker's; Python's
)
_FILE = re.compile(rf"(/[^:\n]*\.(?:so|o)): [^\n]*(?:{_INCOMPLETE})")


class CompilerMissing(Exception):
    """Raised if the compiled update cannot be used on this machine; the message says why.

    The eager update has the same result, but is slower.
    """


class CacheBroken(CompilerMissing):
    """Raised if files in the compiler's cache were incomplete. They are gone now: try again."""


def cache_folder() -> Path:
    """The folder of the compiler's cache, named through the environment as the compiler does it:
    importing the compiler to ask would take seconds."""
    os.environ[_FOLDER] = os.path.abspath(os.environ.get(_FOLDER) or _default())
    return Path(os.environ[_FOLDER])


def library_folder() -> Path:
    """The folder of compiled updates: beside the compiler's cache if that was given a place.

    Otherwise the user's own, as the system's temporary folder, where the compiler's cache then is,
    is cleared now and then, and others can write there.
    """
    cache = cache_folder()
    if cache == Path(_default()):
        with contextlib.suppress(RuntimeError):  # no home
            return user_folder("XDG_CACHE_HOME", ".cache") / "compiled"
    return cache / "footlight"


def _default() -> str:
    try:
        user = getpass.getuser()
    except (ImportError, KeyError, OSError):  # a container's user may have no name
        user = "unknown_user" if sys.platform == "win32" else f"uid_{os.getuid()}"
    name = re.sub(r'[\\/:*?"<>|]', "_", f"torchinductor_{user}")
    return os.path.abspath(os.path.join(tempfile.gettempdir(), name))


def retried(compiled: Callable[[], Result], notify: Callable[[str], None]) -> Result:
    """What `compiled` returns; it is called again where the compiler's cache was broken."""
    for _ in range(MAX_REPAIRS):
        try:
            return compiled()
        except CacheBroken as broken:
            notify(f"{broken}, perhaps of a run that was killed - compiling it again")
    return compiled()


def remove_incomplete(cache: Path) -> list[Path]:
    """Remove the libraries of `cache` that end before their own header says; return them.

    Loading one may crash the process instead of raising an exception. Those that another process is
    just writing stay.
    """
    found = [file for file in cache.glob("*/*.so") if _is_incomplete(file)]
    return [file for file in found if not _is_being_written(file, cache) and _gone(file)]


def _is_incomplete(file: Path) -> bool:
    """Whether an ELF library is empty, or lacks the section headers, which the linker puts last."""
    try:
        with file.open("rb") as content:
            header, size = content.read(64), content.seek(0, 2)
    except OSError:
        return False
    if not size or not any(header):
        return True
    if header[:6] != b"\x7fELF\x02\x01" or len(header) < 64:  # of 64 bits, little-endian
        return size < 64
    (offset,), (each, number) = (
        struct.unpack_from("<Q", header, 40),
        struct.unpack_from("<HH", header, 58),
    )
    return bool(size < offset + each * number or not offset)


def _is_being_written(file: Path, cache: Path) -> bool:
    """Whether a process holds the lock under which the compiler writes this file."""
    lock = cache / "locks" / f"{file.name.partition('.')[0]}.lock"
    if fcntl is None or not lock.is_file():
        return False
    try:
        with lock.open("rb+") as held:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    return False


def remove_broken(error: BaseException, cache: Path) -> list[Path]:
    """Remove the files of `cache` that an exception of the compiler calls incomplete; return
    them."""
    return [file for file in _named(error) if file.is_relative_to(cache.resolve()) and _gone(file)]


def _named(error: BaseException) -> Iterator[Path]:
    """The files that an exception, or one that it came from, calls incomplete."""
    cause: BaseException | None = error
    seen: set[int] = set()
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        for name in dict.fromkeys(_FILE.findall(str(cause))):
            yield Path(name).resolve()
        if isinstance(cause, ImportError) and re.search(_INCOMPLETE, str(cause)) and cause.path:
            yield Path(cause.path).resolve()
        cause = cause.__cause__ or cause.__context__


def _gone(file: Path) -> bool:
    """Remove a file; whether that was possible."""
    try:
        file.unlink()
    except OSError:
        return False
    return True
