"""Files in the compiler's cache that a killed run has left incomplete.

The compiler writes its libraries in place, and later takes each one that exists for whole. One that
was being linked when its process was killed would keep its update from being compiled for ever.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

Result = TypeVar("Result")
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


def retried(compiled: Callable[[], Result], notify: Callable[[str], None]) -> Result:
    """What `compiled` returns; it is called again where the compiler's cache was broken."""
    for _ in range(MAX_REPAIRS):
        try:
            return compiled()
        except CacheBroken as broken:
            notify(f"{broken}, perhaps of a run that was killed - compiling it again")
    return compiled()


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
