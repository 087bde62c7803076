"""Context managers: close environments and displays after a run, set environment variables, poll.

Errors raised while closing are reported, not propagated.
"""

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Protocol, TypeVar

from footlight.errors import summarize_error, warn
from footlight.signals import is_interruption


class _Closable(Protocol):
    def close(self) -> None:
        """Release all resources."""


C = TypeVar("C", bound=_Closable)
T = TypeVar("T")
Notify = Callable[[str], None]


@contextlib.contextmanager
def polling(poll: Callable[[], object], pause: float) -> Iterator[None]:
    """Call `poll` every `pause` seconds until the end of the block, in a thread of its own."""
    over = threading.Event()

    def poll_all() -> None:
        while not over.wait(pause):
            poll()

    thread = threading.Thread(target=poll_all, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextlib.contextmanager
def closing(environment: C, notify: Notify = warn) -> Iterator[C]:
    """Close `environment` at the end of the block."""
    try:
        yield environment
    finally:
        close(environment, notify)


def close(environment: _Closable, notify: Notify = warn) -> None:
    """Close `environment`; whatever its code raises is reported."""
    with _reporting("closing the environment failed", notify):
        environment.close()


def close_quietly(environment: _Closable) -> None:
    """Close an environment made for a trial, without a report: no result depends on it."""
    close(environment, notify=lambda text: None)


@contextlib.contextmanager
def reporting_exit(
    manager: contextlib.AbstractContextManager[T], what: str, notify: Notify = warn
) -> Iterator[T]:
    """Enter `manager`; if its exit raises, report that `what` failed."""
    value = manager.__enter__()
    try:
        yield value
    finally:
        with _reporting(f"{what} failed", notify):
            manager.__exit__(*sys.exc_info())


@contextlib.contextmanager
def _reporting(what: str, notify: Notify) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        if is_interruption(error):
            raise
        notify(f"{what}: {summarize_error(error)}")


@contextlib.contextmanager
def default_variables(**values: str) -> Iterator[None]:
    """Set environment variables that are unset, for the duration of the block."""
    added = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)
