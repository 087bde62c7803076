"""Watch for hooks that do not come back: warn, and end them once the run is to stop."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from functools import partial

from footlight.contexts import polling
from footlight.signals import Interruption

GRACE_SECONDS = 5.0  # that a hook has to come back once the run is to stop
POLL_SECONDS = 0.5


@contextlib.contextmanager
def watching_hooks(interruption: Interruption, seconds: float) -> Iterator[None]:
    """Watch the calls of hooks inside the context, from a thread, which costs them nothing.

    seconds: after which a warning says which hook has not come back (0: none).
    """
    watch = HookWatch(interruption, seconds, _warn)
    with polling(partial(watch.poll, POLL_SECONDS), POLL_SECONDS):
        yield


class HookWatch:
    """Polls which hook is running."""

    def __init__(
        self, interruption: Interruption, seconds: float, warn: Callable[[str], None]
    ) -> None:
        self._interruption, self._seconds, self._warn = interruption, seconds, warn
        self._call = -1
        # Both are counted in polls, so that time while this process is stopped is not
        self._waited = self._since_stop = 0.0

    def poll(self, pause: float) -> None:
        """Warn about a call that takes too long, once; end one that is waited for to stop.

        pause: seconds since the last poll.
        """
        interruption = self._interruption
        name, call = interruption.running, interruption.num_calls
        if name is None or call != self._call:
            self._call, self._waited, self._since_stop = call, 0.0, 0.0
            return
        self._waited += pause
        if 0 < self._seconds <= self._waited < self._seconds + pause:
            self._warn(
                f"the hook {name} has not come back for {self._seconds:g} s - the training waits "
                "for it; Ctrl-C ends and saves the run"
            )
        if not interruption.should_stop():
            return
        if not self._since_stop:
            self._warn(
                f"the run is to stop, and waits {GRACE_SECONDS:g} s for the hook {name}, which is "
                "then interrupted"
            )
        self._since_stop += pause
        if self._since_stop >= GRACE_SECONDS:
            interruption.interrupt_hook()


def _warn(text: str) -> None:
    print(f"warning: {text}", file=sys.stderr, flush=True)
