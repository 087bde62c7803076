"""What reaches a training from outside: signals, and the end of its time. They leave word, and the loop looks at safe points."""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

_SAVE = getattr(signal, "SIGUSR1", None)  # there is none on Windows


class Interruption:
    """SIGINT, SIGTERM and `max_time` ask for a stop, SIGUSR1 for a checkpoint."""

    def __init__(self, max_time: float | None = None) -> None:
        self.signal: int | None = None
        """The signal that asked for a stop."""
        self.wants_checkpoint = False
        self.is_looked_at = False
        """Whether the loop runs, which looks; before it nothing is under way, and a stop is one at once."""
        self._deadline: float | None = None
        self.end_after(max_time)

    def end_after(self, seconds: float | None) -> None:
        """Ask for a stop in so many seconds, None for never."""
        self._deadline = None if seconds is None else time.monotonic() + seconds

    def goes_on(self) -> bool:
        """Whether nothing asks for the training to be saved and left at the next safe point."""
        return self.signal is None and (self._deadline is None or time.monotonic() < self._deadline)

    @staticmethod
    def ending(number: int) -> BaseException:
        """What a program that this signal has ended raises."""
        return KeyboardInterrupt() if number == signal.SIGINT else SystemExit(128 + number)

    @contextlib.contextmanager
    def listening(self, say: Callable[[str], None]) -> Iterator[None]:
        """Take the process's signals for the time of the context. Only the main thread can; in others nothing happens."""

        def stop(number: int, frame: Any) -> None:
            if not self.is_looked_at:
                say("stopped")
                raise self.ending(number)
            if self.signal is not None:
                if sys.stdout.isatty():
                    os.write(sys.stdout.fileno(), b"\x1b[?25h\n")  # the live display had hidden the cursor
                os._exit(128 + number)
            self.signal = number
            say("stopping: saving the run (again to quit at once)")

        def save(number: int, frame: Any) -> None:
            self.wants_checkpoint = True

        if threading.current_thread() is not threading.main_thread():
            yield
            return
        wanted = {signal.SIGINT: stop, signal.SIGTERM: stop, **({_SAVE: save} if _SAVE is not None else {})}
        before = {number: signal.signal(number, handler) for number, handler in wanted.items()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
