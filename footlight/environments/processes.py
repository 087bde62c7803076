"""How the processes of environments start, wherever Python runs: in daemons, after threads, without a fork."""

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from footlight.errors import in_words


def start_method() -> Any:
    """How worker processes are started, as a context of multiprocessing.

    On Linux by a fork: it takes 8 ms each where spawn and forkserver take 600 ms, which import this package again; it knows the
    ids that the user's script has registered, and does not run that script again; and nothing has to be pickled. Elsewhere as
    multiprocessing does by default, with functions pickled by cloudpickle, which takes lambdas and closures, too.
    """
    return multiprocessing.get_context("fork" if sys.platform.startswith("linux") else None)


@contextlib.contextmanager
def may_start_processes() -> Iterator[None]:
    """Inside of the context a daemon, such as a worker of multiprocessing.Pool, may start processes, too.

    multiprocessing refuses that, as they would outlive the daemon when it is terminated; the workers of environments do not.
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
    """Why workers cannot be started here; None where they can, which one that does nothing has shown."""
    try:
        process = start_method().Process(target=_nothing, daemon=True)
        with may_start_processes(), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            process.start()
        process.join()
    except Exception as error:  # of the system, or of the way in which it was started
        return in_words(error)
    return None if process.exitcode == 0 else describe_end(process.exitcode)


def _nothing() -> None:
    """What a process does that only has to start."""


def use_one_thread() -> None:
    """Have torch and OpenMP work in this thread alone: the cores are the other workers'; and in a fork there are no others.

    GNU's OpenMP, which torch brings along, waits for ever in a fork for threads that only the parent has, if it was in use there.
    No parallel region at all is the one setting that still holds where the environment asks for several threads.
    """
    os.environ["OMP_NUM_THREADS"] = "1"  # read by what is loaded later
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    with contextlib.suppress(OSError, AttributeError):  # only Linux has such a file
        mapped = {line.split(maxsplit=5)[-1] for line in Path("/proc/self/maps").read_text().splitlines()}
        for library in (path for path in mapped if Path(path).name.startswith("libgomp")):
            ctypes.CDLL(library).omp_set_max_active_levels(0)


def describe_end(exit_code: int | None) -> str:
    """How a process ended, in words."""
    if exit_code is None:
        return "its process has closed its pipe"
    if exit_code >= 0:
        return f"its process has ended by itself (exit code {exit_code})"
    try:
        name = f" ({signal.Signals(-exit_code).name})"
    except ValueError:  # a real-time signal
        name = ""
    want = ", perhaps for want of memory" if exit_code == -9 else ""
    return f"its process was killed by signal {-exit_code}{name}{want}"
