"""Calls in processes of their own, at most N at a time, and what they report.

The processes are forks, made before anything is displayed: each has the imports of this process
and the user's objects, and waits for its turn. They end with this process, in whatever way it ends.
"""

import contextlib
import json
import multiprocessing
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any, NamedTuple

from footlight.environments.processes import describe_end, may_start_processes
from footlight.errors import EnvironmentFault, FootlightError, UserError, describe_error, warn
from footlight.instruments.several import SeveralRuns, report_to
from footlight.machine import end_with_parent, share_cores
from footlight.signals import Interruption, serve_parent
from footlight.user_code.reference import place_in_loaded

POLL_SECONDS = 0.25
DIVERGED = 4  # an exit code
Call = Callable[[], str]
"""Trains a run, and returns its status, as in `result.json`."""


class Ended(NamedTuple):
    """How a call has ended: its status, and the error that it raised, with its exit code.

    A call that a signal has stopped has the exit code of that, and no error.
    """

    status: str
    error: str | None = None
    code: int = 0
    trace: str = ""
    """The traceback of the error."""
    is_of_all: bool = False
    """Whether the other calls are likely to end with the same error."""


def can_fork() -> bool:
    """Whether this system starts processes as forks, which need nothing but the call itself."""
    return sys.platform.startswith("linux")


def outcome(call: Call) -> Ended:
    """Make a call, and return how it ended. A bug's traceback is printed."""
    try:
        return Ended(call())
    except FootlightError as error:
        status = "diverged" if error.exit_code == DIVERGED else "failed"
        is_of_all = isinstance(error, UserError)
        return Ended(status, str(error), error.exit_code, traceback.format_exc(), is_of_all)
    except KeyboardInterrupt:
        return Ended("stopped", code=128 + signal.SIGINT)
    except SystemExit:
        return Ended("stopped", code=128 + signal.SIGTERM)
    except Exception as error:
        where, trace = place_in_loaded(error), traceback.format_exc()
        if not where:
            warn(trace)
        code = UserError.exit_code if where else FootlightError.exit_code
        return Ended("failed", f"{describe_error(error)}{where}", code, trace)


class _Child:
    """A process that waits until it may begin, and then makes one call."""

    def __init__(self, call: Call, num_together: int, earlier: Sequence["_Child"]) -> None:
        self.connection, end = multiprocessing.Pipe()
        others = [self.connection, *(child.connection for child in earlier)]
        context = multiprocessing.get_context("fork")
        self.process = context.Process(target=_serve, args=(end, call, num_together, others))
        with may_start_processes(), warnings.catch_warnings():
            # About a fork beside threads: see `footlight.machine.end_openmp_threads`
            warnings.simplefilter("ignore", DeprecationWarning)
            self.process.start()
        end.close()

    def begin(self, seconds: float | None) -> None:
        """Let it begin, for so many seconds. One that has died says so in `message`."""
        with contextlib.suppress(OSError):
            self.connection.send_bytes(json.dumps(seconds).encode())

    def message(self) -> dict[str, Any]:
        """The next message; how the call ended if there will be no more."""
        try:
            return dict(json.loads(self.connection.recv_bytes()))
        except (EOFError, OSError):
            self.process.join()
            fault = describe_end(self.process.exitcode)
            return Ended("fault", fault, EnvironmentFault.exit_code)._asdict()

    def signal(self, number: int) -> None:
        """Send a signal to the process, if it is still there."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid or 0, number)

    def close(self) -> None:
        """Wait for the end of a process that has ended its call or never began it."""
        self.connection.close()
        self.process.join()


def run_together(
    calls: Mapping[int, Call], num_together: int, display: SeveralRuns, interruption: Interruption
) -> dict[int, Ended]:
    """Make the calls in this order, at most so many at a time; return how each of them ended.

    A stop that is requested is passed on to those in progress, and the others never begin, which
    is also what happens after a `UserError`: it is likely to be one of all. They are missing in
    the result.
    """
    children: dict[int, _Child] = {}
    ended: dict[int, Ended] = {}
    try:
        for key, call in calls.items():
            children[key] = _Child(call, num_together, [*children.values()])
        with display, interruption.installed(display.notify):
            interruption.polling = True
            _attend(children, num_together, display, interruption, ended)
    finally:
        for key, child in children.items():
            if key not in ended:
                child.process.kill()
            child.close()
    return ended


def _attend(
    children: Mapping[int, _Child], num_together: int, display: SeveralRuns,
    interruption: Interruption, ended: dict[int, Ended],
) -> None:  # fmt: skip
    """Let the children begin in turn, pass signals on to them and show what they report."""
    waiting, running, has_signaled = [*children], dict[int, _Child](), False
    while running or waiting:
        while waiting and len(running) < num_together:
            key = waiting.pop(0)
            running[key] = children[key]
            children[key].begin(interruption.seconds_left())
        connections = {child.connection: key for key, child in running.items()}
        for connection in wait([*connections], POLL_SECONDS):
            key = connections[connection]  # type: ignore[index]
            message = running[key].message()
            if "status" not in message:
                display.update_run(key, message)
                continue
            ended[key] = Ended(**message)
            del running[key]
            display.end_run(key, ended[key].status)
            if ended[key].is_of_all:
                waiting.clear()
        if interruption.should_stop():
            waiting.clear()
        if interruption.signal is not None and not has_signaled:
            has_signaled = True
            for child in running.values():
                child.signal(interruption.signal)
        if interruption.wants_checkpoint:
            interruption.wants_checkpoint = False
            for child in running.values():
                child.signal(signal.SIGUSR1)
        display.refresh()


def _serve(
    connection: Connection, call: Call, num_together: int, others: Sequence[Connection]
) -> None:
    """Body of a child. others: ends of pipes that this process has inherited and does not need."""
    for other in others:
        other.close()
    end_with_parent()
    os.setpgid(0, 0)  # Ctrl-C is for the parent, which passes it on
    # Outside of a training, which has handlers of its own
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)

    def send(message: Mapping[str, Any]) -> None:
        connection.send_bytes(json.dumps(message, default=float).encode())

    try:
        seconds = json.loads(connection.recv_bytes())
    except (EOFError, SystemExit):  # it never began
        return
    serve_parent(seconds)
    share_cores(num_together)
    report_to(send)
    send(outcome(call)._asdict())


def _leave(number: int, frame: Any) -> None:
    raise SystemExit(128 + number)
