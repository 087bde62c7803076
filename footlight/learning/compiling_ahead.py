"""Compiling in another process, while this one collects what the first update learns from."""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection

from footlight.environments.processes import may_start_processes
from footlight.learning.compiler_cache import CacheBroken, CompilerMissing
from footlight.machine import end_with_parent

MAX_SECONDS = 600  # after which something must be wrong


def has_forks() -> bool:
    """Whether this system starts processes as forks, which share the tensors of the update."""
    return sys.platform.startswith("linux")


def can_compile_ahead() -> bool:
    """Whether this process can fork: also without other threads of Python's, one of which might
    hold a lock that the fork would wait for."""
    return has_forks() and threading.active_count() == 1


class CompilingProcess:
    """A fork that makes one call, for what the call leaves in the folders of compiled functions.

    It prints nothing. It ends with this process, however that ends.
    """

    def __init__(self, call: Callable[[], object]) -> None:
        self._reason, end = multiprocessing.Pipe(duplex=False)
        context = multiprocessing.get_context("fork")
        self._process = context.Process(target=_serve, args=(call, end), daemon=True)
        with may_start_processes(), warnings.catch_warnings(), contextlib.suppress(OSError):
            # About a fork beside threads: see `footlight.machine.end_openmp_threads`
            warnings.simplefilter("ignore", DeprecationWarning)
            self._process.start()
        end.close()

    def wait(self) -> None:
        """Wait until the call has ended. Raises `CompilerMissing` if it has raised that."""
        if self._process.pid is None:
            return
        self._process.join(MAX_SECONDS)
        with contextlib.suppress(EOFError, OSError):
            if self._reason.poll():
                raise CompilerMissing(self._reason.recv_bytes().decode())
        self.close()

    def close(self) -> None:
        """End the process."""
        if self._process.pid is not None:
            self._process.kill()
            self._process.join()
        self._reason.close()


def _serve(call: Callable[[], object], end: Connection) -> None:
    """Body of the process."""
    end_with_parent()
    # A stop is for the run, whose last update may wait for this; it then calls `close`
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    silence = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(silence, stream)
    sys.stdout = sys.stderr = os.fdopen(silence, "w")  # those of a notebook are not 1 and 2
    try:
        call()
    except CacheBroken:  # of which another try makes an end
        pass
    except CompilerMissing as reason:
        end.send_bytes(str(reason).encode())
