"""Stop and checkpoint requests (signals, time limit), polled by the loop between steps; and their handlers."""

import contextlib
import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

_SAVE = getattr(signal, "SIGUSR1", None)  # there is none on Windows
_STRUCT_BYTES = 1024  # larger than `struct sigaction` on any platform
_FROM_SIGNAL = (
    "footlight_from_signal"  # attribute of exceptions that a handler of this module raised
)
_handlers: dict[int, Any] = {}  # by signal: those of this module that are installed now
_owns_process = False


@contextlib.contextmanager
def owning_process() -> Iterator[None]:
    """Inside the context a second signal ends the process at once instead of raising an exception.

    For the command line. A process that uses footlight as a library, such as a notebook, is never ended.
    """
    global _owns_process
    before, _owns_process = _owns_process, True
    try:
        yield
    finally:
        _owns_process = before


def is_interruption(error: BaseException) -> bool:
    """Whether `error` was raised by a signal handler rather than by the code that was running.

    A KeyboardInterrupt or SystemExit may come from another program's handler, but not while this module's are installed, which
    mark theirs, and not where the signal is ignored, as it is in the processes of environments.
    """
    if getattr(error, _FROM_SIGNAL, False):
        return True
    if not isinstance(error, KeyboardInterrupt | SystemExit):
        return False
    number = signal.SIGINT if isinstance(error, KeyboardInterrupt) else signal.SIGTERM
    handler = signal.getsignal(number)
    return callable(handler) and handler is not _handlers.get(number)


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
        error = KeyboardInterrupt() if number == signal.SIGINT else SystemExit(128 + number)
        setattr(error, _FROM_SIGNAL, True)
        return error

    @contextlib.contextmanager
    def listening(self, say: Callable[[str], None]) -> Iterator[None]:
        """Handle the process's signals inside the context. Only possible in the main thread; elsewhere this does nothing.

        The first signal requests a stop. A second one raises the signal's exception at once, without saving; on the command
        line it ends the process.
        """

        def stop(number: int, frame: Any) -> None:
            if not self.is_looked_at:
                say("stopped")
                raise self.ending(number)
            if self.signal is not None:
                if not _owns_process:
                    raise self.ending(number)
                if sys.stdout.isatty():
                    os.write(
                        sys.stdout.fileno(), b"\x1b[?25h\n"
                    )  # the live display had hidden the cursor
                os._exit(128 + number)
            self.signal = number
            say("stopping: saving the run (again to quit at once)")

        def save(number: int, frame: Any) -> None:
            self.wants_checkpoint = True

        if threading.current_thread() is not threading.main_thread():
            yield
            return
        wanted = {
            signal.SIGINT: stop,
            signal.SIGTERM: stop,
            **({_SAVE: save} if _SAVE is not None else {}),
        }
        with contextlib.ExitStack() as installed:
            for number, handler in wanted.items():
                installed.enter_context(_handling(number, handler))
            yield


@contextlib.contextmanager
def _handling(number: int, handler: Callable[[int, Any], None]) -> Iterator[None]:
    """Handle a signal inside the context. The previous handler is restored afterwards, even one installed by C code.

    Python can neither read nor set a C handler, so the system's `struct sigaction` is saved as well.
    """
    in_c = _system_handler(number)
    before, outer = signal.signal(number, handler), _handlers.get(number)
    _handlers[number] = handler
    try:
        yield
    finally:
        signal.signal(number, signal.SIG_DFL if before is None else before)
        if in_c is not None:
            _sigaction(number, in_c, None)
        if outer is None:
            del _handlers[number]
        else:
            _handlers[number] = outer


def _system_handler(number: int) -> Any:
    """A copy of the system's `struct sigaction` of this signal; None where there is no such thing."""
    action = ctypes.create_string_buffer(_STRUCT_BYTES)
    return action if _sigaction(number, None, action) else None


def _sigaction(number: int, new: Any, old: Any) -> bool:
    try:
        return ctypes.CDLL(None).sigaction(int(number), new, old) == 0
    except (AttributeError, OSError, TypeError):  # Windows
        return False
