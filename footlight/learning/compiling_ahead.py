"""Compiling in another process, while this one collects what the first update learns from."""

import contextlib
import multiprocessing
import os
import signal
import sys
import warnings
from collections.abc import Callable

from footlight.environments.processes import may_start_processes
from footlight.machine import end_with_parent


def can_compile_ahead() -> bool:
    """Whether this system starts processes as forks, which share the tensors of the update."""
    return sys.platform.startswith("linux")


class CompilingProcess:
    """A fork that makes one call, for what the call leaves in the folders of compiled functions.

    It prints nothing, and a failure is left to whoever then makes the same call without it. It ends
    with this process, however that ends.
    """

    def __init__(self, call: Callable[[], object]) -> None:
        context = multiprocessing.get_context("fork")
        self._process = context.Process(target=_serve, args=(call,), daemon=True)
        with may_start_processes(), warnings.catch_warnings(), contextlib.suppress(OSError):
            # About a fork beside threads: see `footlight.machine.end_openmp_threads`
            warnings.simplefilter("ignore", DeprecationWarning)
            self._process.start()

    def join(self) -> None:
        """Wait until the call has ended."""
        if self._process.pid is not None:
            self._process.join()


def _serve(call: Callable[[], object]) -> None:
    """Body of the process."""
    end_with_parent()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    silence = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(silence, stream)
    sys.stdout = sys.stderr = os.fdopen(silence, "w")  # those of a notebook are not 1 and 2
    call()
