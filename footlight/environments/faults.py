"""Errors of an environment's own code outside of counted episodes (videos, windows)."""

import contextlib
from collections.abc import Iterator

from footlight.environments.episodes import FIX
from footlight.errors import EnvironmentFault, FootlightError, describe_error
from footlight.signals import is_interruption


@contextlib.contextmanager
def as_fault(what: str) -> Iterator[None]:
    """Turn exceptions in the block into `EnvironmentFault`, except interruptions by a signal.

    what: the subject of the message.
    """
    try:
        yield
    except FootlightError:
        raise
    except BaseException as error:  # SystemExit in an environment must not end the program
        if is_interruption(error):
            raise
        raise EnvironmentFault(f"{what} raised {describe_error(error)} - {FIX}") from error
