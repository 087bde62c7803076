"""Warn about environment calls that exceed a timeout. In-process calls cannot be interrupted."""

import contextlib
import sys
from collections.abc import Iterator, Sequence

from footlight.contexts import polling
from footlight.environments.source import Environments
from footlight.environments.workers import AsyncEnvironments

MAX_POLL_SECONDS = 5.0  # between two polls


@contextlib.contextmanager
def warn_if_hanging(environments: Sequence[Environments | None], seconds: float) -> Iterator[None]:
    """Print a warning for each call of an environment that takes longer than `seconds` (0: none).

    It costs the environments nothing: a thread polls whether the same call is still running. Those
    in processes of their own are left out: they are ended after the timeout.
    """
    watches = [
        Watch(each)
        for each in environments
        if each is not None and not isinstance(each, AsyncEnvironments)
    ]
    if not seconds or not watches:
        yield
        return
    pause = min(MAX_POLL_SECONDS, seconds / 4)

    def poll_all() -> None:
        for watch in watches:
            if (text := watch.poll(pause, seconds)) is not None:
                print(f"warning: {text}", file=sys.stderr, flush=True)

    with polling(poll_all, pause):
        yield


class Watch:
    """Polls one set of environments."""

    def __init__(self, environments: Environments) -> None:
        self._environments = environments
        self._waited = 0.0  # counted in polls, so that time while this process is stopped is not
        self._last: tuple[object, ...] = ()

    def poll(self, pause: float, seconds: float) -> str | None:
        """The warning about a call that takes longer than `seconds`, once for each call.

        pause: seconds since the last poll.
        """
        tracker = self._environments.tracker
        called = tracker.called
        # After a step or an episode these are other objects; kept, so that no id is reused
        now = (called, tracker, tracker.length, tracker.action)
        before, self._last = self._last, now
        if (
            called is None
            or not before
            or any(new is not old for new, old in zip(now, before, strict=True))
        ):
            self._waited = 0.0
            return None
        self._waited += pause
        if not seconds <= self._waited < seconds + pause:
            return None
        position = tracker.describe_position(called, f"has not returned for {seconds:g} s")
        return f"{position} - waiting for it; press Ctrl-C twice to quit at once"
