"""Context managers: close environments and displays after a run (errors raised there are reported, not propagated);
set environment variables for a while."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import Protocol, TypeVar

from footlight.errors import in_short, warn
from footlight.signals import is_interruption


class _Closable(Protocol):
    def close(self) -> None:
        """Release what it holds."""


C = TypeVar("C", bound=_Closable)
T = TypeVar("T")
Say = Callable[[str], None]


@contextlib.contextmanager
def closing(environment: C, say: Say = warn) -> Iterator[C]:
    """Close `environment` at the end of the block."""
    try:
        yield environment
    finally:
        close(environment, say)


def close(environment: _Closable, say: Say = warn) -> None:
    """Close `environment`, whose own code may raise anything."""
    with _saying("closing the environment failed", say):
        environment.close()


def close_quietly(environment: _Closable) -> None:
    """Close an environment that was made for a trial, and say nothing where that fails: no result depends on it."""
    close(environment, say=lambda text: None)


@contextlib.contextmanager
def leaving(
    manager: contextlib.AbstractContextManager[T], what: str, say: Say = warn
) -> Iterator[T]:
    """Enter `manager`; if leaving it raises, report that `what` failed."""
    value = manager.__enter__()
    try:
        yield value
    finally:
        with _saying(f"{what} failed", say):
            manager.__exit__(*sys.exc_info())


@contextlib.contextmanager
def _saying(what: str, say: Say) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        if is_interruption(error):
            raise
        say(f"{what}: {in_short(error)}")


@contextlib.contextmanager
def default_variables(**values: str) -> Iterator[None]:
    """Set those environment variables that are not set, and remove them at the end of the block."""
    added = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)
