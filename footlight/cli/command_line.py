"""Preprocessing of the command line before argparse, and set-up of streams and `sys.path`."""

import contextlib
import ctypes
import io
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping

from footlight.errors import UserError
from footlight.user_code.reference import is_reference

_TRACKERS = ("tensorboard", "wandb", "none")
_ARGUMENTS = ("--env-kwargs", "--eval-env-kwargs")
_FILES = ("--wrapper", "--hook")  # several, if ALGORITHM and ENVIRONMENT are there already
_FLAGS = ("--quiet", "--no-preset", "--init-buffer", "--debug")  # options that take no value


def prepare_streams() -> None:
    """Make printing never fail.

    Characters that a terminal lacks are replaced, and output to a closed stream is dropped.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - open until the process exits
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


@contextlib.contextmanager
def output_for_results(is_wanted: bool) -> Iterator[None]:
    """Redirect output printed in this context to standard error if `is_wanted`.

    Standard output then contains only the command's result, even if environments print from C or
    from child processes.
    """
    if not is_wanted:
        yield
        return
    sys.stdout.flush()
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # stdout or stderr is closed
            own, other = os.dup(1), os.dup(2)
            stack.callback(os.close, own)
            stack.callback(os.dup2, own, 1)
            stack.callback(_flush_all)
            os.dup2(2, 1)
            # A stream of its own, since an environment may close it
            stream = stack.enter_context(open(other, "w", buffering=1, errors="replace"))
            stack.enter_context(contextlib.redirect_stdout(stream))
        yield


def _flush_all() -> None:
    """Write what C code, or code that has kept Python's first stream, has printed so far."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.__stdout__.flush()  # type: ignore[union-attr]
    with contextlib.suppress(OSError, AttributeError, TypeError):  # Windows
        ctypes.CDLL(None).fflush(None)


def add_working_directory() -> None:
    """Put the working directory on `sys.path`, as `python FILE.py` does with the file's folder."""
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)


def join_values(arguments: Iterable[str]) -> list[str]:
    """Join options with their values where argparse would misparse them.

    A negative number is not an option, and a list ends where its kind ends, so that ALGORITHM and
    ENVIRONMENT may follow: `--hidden-sizes 64 64 Pendulum-v1` becomes
    `--hidden-sizes=64 64 Pendulum-v1`.
    """
    joined: list[str] = []
    for word in arguments:
        option, equals, value = joined[-1].partition("=") if joined else ("", "", "")
        if not option.startswith("--") or (word.startswith("-") and not _is_number(word)):
            joined.append(word)
        elif (option in _ARGUMENTS and re.match(r"\w+=", word)) or (
            option in _FILES and is_reference(word) and (not equals or all(first_words(joined, ())))
        ):
            joined[-1:] = [f"{option}={word}"] if not equals else [joined[-1], f"{option}={word}"]
        elif not equals and (
            word == "none" or _are_numbers(word) or (option == "--track" and word in _TRACKERS)
        ):
            joined[-1] += f"={word}"
        elif equals and (
            (_are_numbers(word) and _are_numbers(value))
            or (option == "--track" and word in _TRACKERS)
        ):
            joined[-1] += f" {word}"
        else:
            joined.append(word)
    return joined


def first_words(arguments: list[str], algorithms: Iterable[str]) -> tuple[str | None, str | None]:
    """Return algorithm and environment, wherever the options are.

    A misspelled algorithm is the first word that is not an option.
    """
    is_value = [
        False,
        *(word.startswith("--") and "=" not in word and word not in _FLAGS for word in arguments),
    ]
    words = [
        word
        for word, value in zip(arguments, is_value, strict=False)
        if not value and not word.startswith("-")
    ]
    start = next((index for index, word in enumerate(words) if word in algorithms), 0)
    algorithm, environment, *_ = [*words[start : start + 2], None, None]
    return algorithm, environment


def require_not_swallowed(arguments: list[str], lists: Mapping[str, str]) -> None:
    """Raise `UserError` if a list option may have taken ALGORITHM or ENVIRONMENT as a value.

    lists: the options that take several values, and the noun for these values.
    """
    for index, word in enumerate(arguments):
        values = []
        for value in arguments[index + 1 :]:
            if value.startswith("-"):
                break
            values.append(value)
        if word in lists and len(values) > 1:
            raise UserError(
                f"ALGORITHM or ENVIRONMENT is missing - "
                f"{word} took all of {' '.join(values)} as its {lists[word]} - "
                f"put ALGORITHM and ENVIRONMENT first, or write {word}={values[0]}"
            )


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _are_numbers(text: str) -> bool:
    """True for a number, or a list of numbers as typed: `64,64`, or a part of `[64, 64]`."""
    words = re.sub(r"[\[\](),]", " ", text).split()
    return bool(words) and all(map(_is_number, words))
