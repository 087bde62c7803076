"""A collector in a process of its own on this machine."""

import contextlib
import multiprocessing
import os
import queue
import threading
import warnings
from collections.abc import Sequence
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

from gymnasium.vector.utils import CloudpickleWrapper

from footlight.collection.chunks import CollectorLost
from footlight.collection.collector import Collector, Plan, failure
from footlight.contexts import close
from footlight.environments import processes
from footlight.environments.watchdog import warn_if_hanging
from footlight.errors import FootlightError
from footlight.machine import end_with_parent
from footlight.signals import ignore_signals

CLOSING_SECONDS = 5.0


class ProcessChannel:
    """Asks a collector in a process of its own. Requests are answered in their order.

    earlier: the channels of other collectors, whose pipes a fork must not keep open.
    """

    def __init__(self, plan: Plan, index: int, earlier: Sequence["ProcessChannel"] = ()) -> None:
        context = processes.start_method()
        self._connection, end = context.Pipe()
        others = [self._connection, *(channel._connection for channel in earlier)]
        make: Any = partial(Collector, plan, index)  # pickled where processes are not forks
        self._process = context.Process(
            target=_serve,
            args=(CloudpickleWrapper(make), end, others if _forks(context) else []),
            daemon=True,
        )
        with processes.may_start_processes(), warnings.catch_warnings():
            # About a fork beside threads: see `footlight.machine.end_openmp_threads`
            warnings.simplefilter("ignore", DeprecationWarning)
            self._process.start()
        end.close()

    def ask(self, method: str, given: Any) -> None:
        """Have a method of the collector called."""
        with contextlib.suppress(OSError):  # if the process has died, the answer will say so
            self._connection.send((method, given))

    def answer(self, seconds: float) -> Any:
        """What the next call has returned; None if it takes longer than so many seconds.

        Raises what the call has raised, and `CollectorLost`.
        """
        try:
            if not self._connection.poll(seconds):
                # Its pipe may be held open by a process that the environment has started
                if self._process.is_alive() or self._connection.poll():
                    return None
                raise EOFError
            answer = self._connection.recv()
        except (EOFError, OSError) as error:
            self._process.join(CLOSING_SECONDS)
            raise CollectorLost(processes.describe_end(self._process.exitcode)) from error
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def close(self) -> None:
        """Let the process end after the current step."""
        with contextlib.suppress(OSError):
            self._connection.send(None)
        self._connection.close()

    def join(self) -> None:
        """Wait until the process has ended, after `close`."""
        self._process.join(CLOSING_SECONDS)
        self._process.kill()
        self._process.join()


def _forks(context: Any) -> bool:
    return bool(context.get_start_method() == "fork")


def _serve(make: Any, connection: Connection, others: Sequence[Connection]) -> None:
    """Body of the process: make the collector, then answer until the pipe is closed.

    make: a `CloudpickleWrapper` of what makes the collector. others: ends of pipes that a fork has
    inherited and does not need.
    """
    for other in others:
        other.close()
    multiprocessing.current_process().daemon = False  # so that environments may start processes
    end_with_parent()
    ignore_signals()
    processes.begin_with_one_thread()
    requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
    over = threading.Event()
    threading.Thread(target=_receive, args=(connection, requests, over), daemon=True).start()
    collector: Collector | None = None
    try:
        collector = make.fn(is_over=over.is_set)
        with warn_if_hanging([collector.environments], collector.env_timeout):
            while (request := requests.get()) is not None:
                method, given = request
                connection.send(getattr(collector, method)(given))
    except OSError:
        pass  # the other end is closed
    except CollectorLost:
        pass  # it was asked to end
    except (FootlightError, KeyError, ValueError) as error:
        _send_error(connection, error)
    except BaseException as error:  # SystemExit included
        _send_error(connection, failure(error))
    finally:
        if collector is not None:
            close(collector)
        os._exit(0)  # at once, without what this process has inherited


def _receive(
    connection: Connection, requests: "queue.SimpleQueue[Any]", over: threading.Event
) -> None:
    """Take requests from the pipe as they come: the other process must never wait for that."""
    try:
        while (request := connection.recv()) is not None:
            requests.put(request)
    except (EOFError, OSError):
        pass  # the other process has ended
    over.set()
    requests.put(None)


def _send_error(connection: Connection, error: Exception) -> None:
    with contextlib.suppress(OSError):
        connection.send(error)
