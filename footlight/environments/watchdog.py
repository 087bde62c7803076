"""Says which environment does not come back. One in this process cannot be interrupted, so saying is all that can be done."""

import contextlib
import sys
import threading
from collections.abc import Iterator, Sequence

from footlight.environments.source import Environments
from footlight.environments.workers import AsyncEnvironments

MOST_SECONDS = 5.0  # between two looks


@contextlib.contextmanager
def watched(environments: Sequence[Environments | None], seconds: float) -> Iterator[None]:
    """Inside of the context, a line on standard error for each call of an environment that takes longer than `seconds` (0: none).

    Costs the environments nothing: a thread looks now and then whether the same call is still being made. Those in processes
    of their own are left out, as they are ended.
    """
    watches = [
        Watch(each)
        for each in environments
        if each is not None and not isinstance(each, AsyncEnvironments)
    ]
    if not seconds or not watches:
        yield
        return
    over = threading.Event()
    pause = min(MOST_SECONDS, seconds / 4)

    def look() -> None:
        while not over.wait(pause):
            for watch in watches:
                if (words := watch.look(pause, seconds)) is not None:
                    print(f"warning: {words}", file=sys.stderr, flush=True)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


class Watch:
    """Looks at one set of environments."""

    def __init__(self, environments: Environments) -> None:
        self._environments = environments
        self._waited = (
            0.0  # counted in looks: while this process is stopped, as by Ctrl-Z, nobody waits
        )
        self._seen: tuple[object, ...] = ()

    def look(self, pause: float, seconds: float) -> str | None:
        """What is to be said, once for each call that takes longer than `seconds`; the last look was `pause` seconds ago."""
        book = self._environments.book
        called = book.called
        # Of a step or an episode that is over, another number or a new array; kept here, so that none takes its place in memory
        now = (called, book, book.length, book.action)
        before, self._seen = self._seen, now
        if (
            called is None
            or not before
            or any(mine is not theirs for mine, theirs in zip(now, before, strict=True))
        ):
            self._waited = 0.0
            return None
        self._waited += pause
        if not seconds <= self._waited < seconds + pause:
            return None
        return f"{book.place(called, f'has not come back for {seconds:g} s')} - waiting for it; Ctrl-C twice leaves at once"
