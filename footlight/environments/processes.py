"""Start-up of worker processes: from daemons, after threads have run, and without fork."""

import contextlib
import multiprocessing
import os
import signal
import sys
import warnings
from collections.abc import Iterator
from typing import Any

from footlight.errors import describe_error


def start_method() -> Any:
    """The multiprocessing context that worker processes are started with.

    On Linux this is fork: it takes 8 ms per worker, where spawn and forkserver take 600 ms to
    import this package again; ids that the user's script has registered are known, the script is
    not run again, and nothing has to be pickled. Elsewhere it is the default of multiprocessing,
    with functions pickled by cloudpickle, which supports lambdas and closures.
    """
    return multiprocessing.get_context("fork" if sys.platform.startswith("linux") else None)


@contextlib.contextmanager
def may_start_processes() -> Iterator[None]:
    """Let a daemon, such as a worker of multiprocessing.Pool, start processes inside the context.

    multiprocessing forbids this because children would outlive a terminated daemon; footlight's
    workers do not.
    """
    this = multiprocessing.current_process()
    is_daemon = this.daemon
    if is_daemon:
        this.daemon = False
    try:
        yield
    finally:
        if is_daemon:
            this.daemon = True


def why_no_processes() -> str | None:
    """Why workers cannot be started here; None if a trial process started and ended normally."""
    try:
        process = start_method().Process(target=_nothing, daemon=True)
        with may_start_processes(), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            process.start()
        process.join()
    except Exception as error:  # from the system or the start method
        return describe_error(error)
    return None if process.exitcode == 0 else describe_end(process.exitcode)


def _nothing() -> None:
    """Body of the trial process."""


def begin_with_one_thread() -> None:
    """Let torch, and what is loaded later, begin with one thread: the other cores belong to other
    workers."""
    os.environ["OMP_NUM_THREADS"] = "1"  # read by what is loaded later
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


def describe_end(exit_code: int | None) -> str:
    """Describe how a process ended."""
    if exit_code is None:
        return "its process has closed its pipe"
    if exit_code >= 0:
        return f"its process exited by itself (exit code {exit_code})"
    try:
        name = f" ({signal.Signals(-exit_code).name})"
    except ValueError:  # a real-time signal
        name = ""
    guess = ", perhaps out of memory" if exit_code == -9 else ""
    return f"its process was killed by signal {-exit_code}{name}{guess}"
