"""What can go wrong, as one small family: each error knows its exit code and speaks in one to three lines.

A message has the form `WHAT - WHY - WHAT TO DO`. Anything that is not one of these is a bug of ours (exit code 1).
"""

import shlex
import sys
from pathlib import Path
from typing import Any


class FootlightError(Exception):
    """Base of every error that footlight raises on purpose."""

    exit_code = 1


class UserError(FootlightError, ValueError):
    """Something that the user can correct: a name, a value, a file, a missing package."""

    exit_code = 2


class EnvironmentFault(FootlightError):
    """The environment or its worker failed during a run; the state before the fault is saved."""

    exit_code = 3
    episode: Any = None
    """`footlight.environments.episodes.FailedEpisode`; None if the fault was outside of one."""


class DeviceFault(FootlightError):
    """The device failed in the middle of an update, or has no memory left; the last checkpoint stays the newest."""

    exit_code = 3


class Diverged(FootlightError):
    """A loss or parameter is no longer finite; the last finite state is saved."""

    exit_code = 4


class StorageFault(FootlightError):
    """A file of the run cannot be written."""

    exit_code = 5


class RemoteError(Exception):
    """What an environment in another process raised, already in words."""


def in_words(error: BaseException) -> str:
    """The type of an exception and what it says, if it says anything; of footlight's own the text alone."""
    said = str(error)
    if isinstance(error, FootlightError | RemoteError):
        return said
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def in_short(error: BaseException) -> str:
    """`in_words` with the first line of what it says."""
    said = first_line(error)
    is_told = said == type(error).__name__ or isinstance(error, FootlightError | RemoteError)
    return said if is_told else f"{type(error).__name__}: {said}"


def first_line(error: BaseException) -> str:
    """The first line of what an exception says, or its type."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__).rstrip(".")


def counted(number: int, noun: str) -> str:
    """`1 episode`, `2 episodes`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def printable(text: str, encoding: str = "utf-8") -> str:
    """Replace control characters, since some text comes from files, environments and paths.

    Characters that `encoding` lacks become question marks, so that printing does not fail.
    """
    shown = "".join(c if c.isprintable() or c == "\n" else "?" for c in text)
    return shown.encode(encoding, "replace").decode(encoding)


def quoted(path: str | Path) -> str:
    """A path as it can be pasted into a shell."""
    return shlex.quote(str(path))


def warn(text: str) -> None:
    """Say something on standard error that is no error."""
    print(printable(text), file=sys.stderr)
