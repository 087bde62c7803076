"""What an environment's own code raises where no episodes are being counted."""

import contextlib
from collections.abc import Iterator

from footlight.environments.episodes import FIX
from footlight.errors import EnvironmentFault, FootlightError, in_words
from footlight.interruption import is_interruption


@contextlib.contextmanager
def as_fault(what: str) -> Iterator[None]:
    """Turn whatever the block raises into an `EnvironmentFault`, except a signal's interruption. `what`: the subject."""
    try:
        yield
    except FootlightError:
        raise
    except BaseException as error:  # sys.exit() in an environment must not end the program, let alone with exit code 0
        if is_interruption(error):
            raise
        raise EnvironmentFault(f"{what} raised {in_words(error)} - {FIX}") from error
