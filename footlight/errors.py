"""The exceptions of footlight, each with its exit code, and helpers for messages.

A message has the form `WHAT - WHY - WHAT TO DO`, in one to three lines. Any other exception is a
bug in footlight (exit code 1).
"""

import os
import shlex
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MAX_MESSAGE = 1_000  # characters of another exception's message in one of ours


class FootlightError(Exception):
    """Base class of all errors that footlight raises on purpose."""

    exit_code = 1


class UserError(FootlightError, ValueError):
    """An error that the user can fix: a name, a value, a file, a missing package."""

    exit_code = 2


class EnvironmentFault(FootlightError):
    """The environment or its worker failed during a run; the state before that is saved."""

    exit_code = 3
    episode: Any = None
    """`footlight.environments.episodes.FailedEpisode`; None if the fault was outside of one."""


class DeviceFault(FootlightError):
    """The device failed during an update, or is out of memory; nothing was saved since."""

    exit_code = 3


class Diverged(FootlightError):
    """A loss or parameter is no longer finite; the last finite state is saved."""

    exit_code = 4


class StorageFault(FootlightError):
    """A file of the run cannot be written."""

    exit_code = 5


class RemoteError(Exception):
    """The description of an exception raised by an environment in another process."""


def describe_error(error: BaseException) -> str:
    """The type and message of an exception, in one line; only the message for footlight's own."""
    message = message_of(error)
    if isinstance(error, FootlightError | RemoteError):
        return message
    message = " / ".join(line.strip() for line in message.splitlines() if line.strip())
    if len(message) > MAX_MESSAGE:
        message = f"{message[:MAX_MESSAGE]}..."
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def message_of(error: BaseException) -> str:
    """The message of an exception; empty if it cannot be printed, as a user's class may fail."""
    try:
        return str(error)
    except Exception:
        return ""


def summarize_error(error: BaseException) -> str:
    """`describe_error` with the first line of the message only."""
    line, name = first_line(error), type(error).__name__
    is_complete = line == name or isinstance(error, FootlightError | RemoteError)
    return line if is_complete else f"{name}: {line}"


def first_line(error: BaseException) -> str:
    """The first line of an exception's message, or its type if it has none."""
    return next(iter(message_of(error).strip().splitlines()), type(error).__name__).rstrip(".")


def place_of(error: BaseException, file: Path | None = None) -> str:
    """Where in a user's own code an exception was raised, as ` (FILE, line N)`; empty if nowhere.

    file: the innermost line in this file counts; None: in any file but footlight's and installed
    ones.
    """
    if isinstance(error, SyntaxError) and error.filename and file in (None, Path(error.filename)):
        return f" ({Path(error.filename).name}, line {error.lineno})"
    where, traceback = "", error.__traceback__
    while traceback is not None:
        name = traceback.tb_frame.f_code.co_filename
        if (name == str(file)) if file is not None else not _is_installed(name):
            where = f" ({Path(name).name}, line {traceback.tb_lineno})"
        traceback = traceback.tb_next
    return where


def _is_installed(file: str) -> bool:
    """Whether a file is footlight's, Python's or an installed package's."""
    folders = {sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")}
    folders |= {sys.prefix, str(Path(__file__).parent)} - {"/usr", "/usr/local"}
    return file.startswith("<") or any(file.startswith(f"{folder}{os.sep}") for folder in folders)


def counted(number: int, noun: str) -> str:
    """A number with its noun: `1 episode`, `2 episodes`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def printable(text: str, encoding: str = "utf-8") -> str:
    """Replace control characters in text that may come from files, environments or paths.

    Characters that `encoding` lacks become question marks, so that printing does not fail.
    """
    shown = "".join(c if c.isprintable() or c == "\n" else "?" for c in text)
    return shown.encode(encoding, "replace").decode(encoding)


def quoted(path: str | Path) -> str:
    """Quote a path for the system's shell."""
    if sys.platform == "win32":
        from subprocess import list2cmdline  # here: every command imports this file

        return list2cmdline([str(path)])
    return shlex.quote(str(path))


def missing_objects(run_config: Mapping[str, Any]) -> str:
    """Arguments of a Python call for objects of the run that no file holds; empty if none.

    A command of the shell cannot use such a run.
    """
    in_files = {entry["use"] for entry in run_config.get("code", ())}
    evaluated_in = run_config.get("eval_environment") or {}
    names = {
        "environment": run_config.get("environment_source") == "object",
        "network": run_config.get("network") is not None and "network" not in in_files,
        "eval_environment": evaluated_in.get("environment_source") == "object",
    }
    return "".join(f", {name}=..." for name, is_missing in names.items() if is_missing)


def warn(text: str) -> None:
    """Print a notice on standard error."""
    print(printable(text), file=sys.stderr)
