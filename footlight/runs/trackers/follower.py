"""Trackers during a training: one process each, so that no tracker can affect the training.

They read the run folder (see `footlight.runs.trackers.track`). Their only connection with the
training is a pipe to their standard input; when it closes, as it also does if the training is
killed, the training has ended.
"""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from footlight.errors import quoted
from footlight.storage.system import open_file, own_process_group

FINISH_SECONDS = 60.0  # how long a training waits at its end for its trackers
QUIET_SECONDS = 2.0  # how long it waits without a notice
# Absolute, since an environment may have changed the working directory.
_HOME = str(Path(__file__).absolute().parents[3])


@contextlib.contextmanager
def run_trackers(
    folder: Path, names: Sequence[str], notify: Callable[[str], None]
) -> Iterator[Callable[[], None]]:
    """Run these trackers during the block, and wait for them at its end, for a limited time.

    Yields a function to call from time to time, which reports trackers that failed. Never raises.
    """
    processes = [TrackerProcess(folder, name, notify) for name in dict.fromkeys(names)]

    def check() -> None:
        for process in processes:
            process.check()

    try:
        yield check
    finally:
        for process in processes:
            process.signal_end()
        deadline = time.monotonic() + FINISH_SECONDS
        for process in processes:
            process.finish(deadline)


class TrackerProcess:
    """The process of one tracker, seen from the training."""

    def __init__(self, folder: Path, name: str, notify: Callable[[str], None]) -> None:
        self._folder, self._name, self._notify = folder, name, notify
        self._log = folder / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._failure: str | None = None
        command = [
            sys.executable,
            "-P",
            "-m",
            "footlight",
            "--debug",
            "track",
            str(folder),
            "--track",
            name,
            "--follow",
        ]
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND  # of this session only
            with os.fdopen(open_file(self._log, flags), "wb") as log:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    # It can import whatever this process can.
                    env=os.environ | {"PYTHONPATH": os.pathsep.join([_HOME, *sys.path])},
                    start_new_session=True,  # Ctrl-C is for the training
                    creationflags=own_process_group(),
                )
        except OSError as error:
            self._fail(str(error))

    def check(self) -> None:
        """Report, once, a process that has ended before the training."""
        if self._process is not None and self._failure is None and self._process.poll() is not None:
            self._fail(self._last_log_line())

    def signal_end(self) -> None:
        """Tell the process that the training has ended."""
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError):  # it has already ended
                # Closing alone is not enough: a worker process may hold the pipe open.
                os.write(self._process.stdin.fileno(), b"\n")
            with contextlib.suppress(OSError):
                self._process.stdin.close()

    def finish(self, deadline: float) -> None:
        """Wait until `deadline` (monotonic clock), then kill the process; report failures."""
        if self._process is not None:
            try:
                if not self._ends_within(QUIET_SECONDS):
                    self._notify(f"waiting for {self._name} to receive the rest of the run ...")
                    if not self._ends_within(deadline - time.monotonic()):
                        self._process.kill()
                        self._process.wait()
                        self._failure = self._failure or "it took too long and was killed"
            except KeyboardInterrupt:
                self._notify(f"no longer waiting: {self._name} continues by itself")
                raise
            if self._process.returncode != 0:
                self._failure = self._failure or self._last_log_line()
        if self._failure is not None:
            self._notify(
                f"{self._name} does not have all of this run - {self._failure}\n"
                f"add the rest later: footlight track {quoted(self._folder)} --track {self._name}"
            )

    def _ends_within(self, seconds: float) -> bool:
        assert self._process is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(max(seconds, 0))
        return self._process.returncode is not None

    def _fail(self, reason: str) -> None:
        self._failure = reason
        self._notify(f"{self._name} has stopped - {reason} - the training continues")

    def _last_log_line(self) -> str:
        assert self._process is not None
        code = self._process.returncode
        try:
            lines = [
                line.strip()
                for line in self._log.read_text(errors="replace").splitlines()
                if line.strip()
            ]
        except OSError:
            lines = []
        if code < 0:
            return f"it was killed by signal {-code}"
        errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
        return [f"see {self._log}", *lines, *errors][-1]
