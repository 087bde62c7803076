"""Stop and checkpoint requests (signals, time limit), polled by the loop between steps."""

import contextlib
import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

_SAVE = signal.SIGUSR1 if sys.platform != "win32" else None
_STRUCT_BYTES = 1024  # larger than `struct sigaction` on any platform
_FROM_SIGNAL = "footlight_from_signal"  # marks the exceptions raised by handlers of this module
_handlers: dict[int, Any] = {}  # by signal: the handlers of this module that are installed now
_owns_process = False
_stops_once = False
_deadline: float | None = None  # of this whole process


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, or the interrupt button of a notebook, after everything has been saved."""

    def _render_traceback_(self) -> list[str]:
        """What IPython shows in place of a traceback."""
        return [f"KeyboardInterrupt: {self}" if self.args else "KeyboardInterrupt"]


@contextlib.contextmanager
def owning_process() -> Iterator[None]:
    """Inside the context a second signal ends the process at once instead of raising an exception.

    For the command line. A process that uses footlight as a library, such as a notebook, is never
    ended.
    """
    global _owns_process
    before, _owns_process = _owns_process, True
    try:
        yield
    finally:
        _owns_process = before


def serve_parent(seconds: float | None) -> None:
    """Let this process be one that another has started, and that ends with it.

    A second signal is ignored: a job's manager sends one to every process, and the parent passes
    its own on. Trainings stop in so many seconds at the latest; None: no limit.
    """
    global _stops_once, _deadline
    _stops_once = True
    _deadline = None if seconds is None else time.monotonic() + seconds


def ignore_signals() -> None:
    """Let this process, which others serve, not be ended by signals to a whole job.

    Not with SIG_IGN, which programs that are started here would inherit.
    """
    for number in (signal.SIGINT, signal.SIGTERM, *(() if _SAVE is None else (_SAVE,))):
        signal.signal(number, _ignore)


def _ignore(number: int, frame: Any) -> None:
    """A handler that does nothing."""


def is_interruption(error: BaseException) -> bool:
    """Return whether `error` was raised by a signal handler, not by the code that was running.

    A KeyboardInterrupt or SystemExit may come from another program's handler, but not while those
    of this module are installed, and not where the signal is ignored, as it is in the processes
    of environments.
    """
    if _FROM_SIGNAL in vars(error):
        return True
    if not isinstance(error, KeyboardInterrupt | SystemExit):
        return False
    number = signal.SIGINT if isinstance(error, KeyboardInterrupt) else signal.SIGTERM
    handler = signal.getsignal(number)
    return callable(handler) and handler not in (_handlers.get(number), _ignore)


class Interruption:
    """Requests for a stop (SIGINT, SIGTERM, `max_time`) and for a checkpoint (SIGUSR1)."""

    def __init__(self, max_time: float | None = None) -> None:
        self.signal: int | None = None
        """The signal that asked for a stop."""
        self.wants_checkpoint = False
        self.polling = False
        """Whether a loop polls `should_stop`. Before that there is nothing to save, and the first
        signal already raises its exception."""
        self.running: str | None = None
        """The name of a hook of the user's that runs between two steps; None: none does."""
        self.num_calls = 0
        """Calls of hooks so far, which tell one call from the next."""
        self.at_once = False
        """Whether a second signal wants to leave without saving."""
        self._interrupts_hook = False
        self._handler: Any = None  # while it is installed
        self._deadline: float | None = None
        self.stop_after(max_time)

    def stop_after(self, seconds: float | None) -> None:
        """Request a stop in so many seconds; None: no time limit."""
        self._seconds = seconds or 0.0
        own = None if seconds is None else time.monotonic() + seconds
        self._deadline = min((end for end in (own, _deadline) if end is not None), default=None)

    def seconds_left(self) -> float | None:
        """The seconds until the time limit, 0 after it; None without one."""
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    def should_stop(self) -> bool:
        """Return whether the training is to be saved and left between two steps."""
        if self.signal is not None:
            return True
        return self._deadline is not None and time.monotonic() >= self._deadline

    def time_is_up(self) -> str | None:
        """The time limit, in words, if that is why the training stops; else None."""
        if self.signal is not None or not self.should_stop():
            return None
        return f"the {self._seconds:.6g} seconds of max_time are over"

    def interrupt_hook(self) -> None:
        """Raise a signal's exception in the main thread, in the hook that runs there.

        For other threads. Does nothing if no hook runs, or without the handler of `installed`.
        """
        number = signal.SIGTERM
        # Another handler, or none, would do something else than ours
        if self._handler is None or signal.getsignal(number) is not self._handler:
            return
        self._interrupts_hook = True
        if sys.platform == "win32":
            signal.raise_signal(number)
        else:  # a signal to this thread ends a sleep, too
            signal.pthread_kill(threading.main_thread().ident or 0, number)

    def stop_because_of(self, error: BaseException) -> None:
        """Stop as the signal behind an exception asks, unless a stop was requested before."""
        if not self.should_stop():
            is_interrupt = isinstance(error, KeyboardInterrupt)
            self.signal = signal.SIGINT if is_interrupt else signal.SIGTERM

    @staticmethod
    def exit_exception(number: int, saved: str = "") -> BaseException:
        """The exception that a program ended by this signal raises.

        saved: what was saved, and how to continue; empty if nothing was.
        """
        error: BaseException = SystemExit(128 + number)
        if number == signal.SIGINT:
            error = Interrupted(saved) if saved else KeyboardInterrupt()
        vars(error)[_FROM_SIGNAL] = True
        return error

    @contextlib.contextmanager
    def installed(self, notify: Callable[[str], None]) -> Iterator[None]:
        """Install the signal handlers inside the context; does nothing outside the main thread.

        The first signal requests a stop. A second one raises the signal's exception at once,
        without saving; on the command line it ends the process.
        """

        def stop(number: int, frame: Any) -> None:
            if self._interrupts_hook:
                self._interrupts_hook = False
                if self.running is not None:  # it may just have come back
                    raise self.exit_exception(self.signal or number)
                return
            if not self.polling:
                notify("stopped")
                raise self.exit_exception(number)
            if self.signal is not None:
                if _stops_once:
                    return
                self.at_once = True
                if not _owns_process:
                    raise self.exit_exception(number)
                if sys.stdout.isatty():  # show the cursor again that the live display has hidden
                    os.write(sys.stdout.fileno(), b"\x1b[?25h\n")
                os._exit(128 + number)
            self.signal = number
            notify("stopping: saving the run (again to quit at once)")

        def save(number: int, frame: Any) -> None:
            self.wants_checkpoint = True

        if threading.current_thread() is not threading.main_thread():
            yield
            return
        handlers: dict[int, Callable[[int, Any], None]] = {
            signal.SIGINT: stop,
            signal.SIGTERM: stop,
        }
        if _SAVE is not None:
            handlers[_SAVE] = save
        with contextlib.ExitStack() as stack:
            for number, handler in handlers.items():
                stack.enter_context(_handling(number, handler))
            self._handler = stop
            stack.callback(vars(self).update, _handler=None)
            yield


@contextlib.contextmanager
def _handling(number: int, handler: Callable[[int, Any], None]) -> Iterator[None]:
    """Handle a signal inside the context, then restore the previous handler, even one of C code.

    Python can neither read nor set a C handler, so the system's `struct sigaction` is saved too.
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
    """A copy of the system's `struct sigaction` of this signal; None where it does not exist."""
    action = ctypes.create_string_buffer(_STRUCT_BYTES)
    return action if _sigaction(number, None, action) else None


def _sigaction(number: int, new: Any, old: Any) -> bool:
    try:
        return ctypes.CDLL(None).sigaction(int(number), new, old) == 0
    except (AttributeError, OSError, TypeError):  # Windows
        return False
