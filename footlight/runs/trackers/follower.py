"""The trackers of a running training: a process each, so that nothing a tracker does can touch the training.

They read the run folder (see `footlight.runs.trackers.track`). All that connects them with the
training is a pipe to their standard input; its end, which also comes when the training is killed,
is the end of the training.
"""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from footlight.errors import quoted

PATIENCE = 60.0  # seconds that a training waits at its end for a tracker
MOMENT = 2.0  # seconds that it waits without a word
_HOME = str(
    Path(__file__).absolute().parents[3]
)  # an environment may have changed the directory that sys.path begins with


@contextlib.contextmanager
def followed(
    folder: Path, names: Sequence[str], say: Callable[[str], None]
) -> Iterator[Callable[[], None]]:
    """Have the run followed by these trackers inside of the context, and wait for them for a bounded time at its end.

    Gives a function to be called now and then, which says it where a tracker has failed. Raises nothing.
    """
    followers = [Follower(folder, name, say) for name in dict.fromkeys(names)]

    def look_after() -> None:
        for follower in followers:
            follower.look_after()

    try:
        yield look_after
    finally:
        for follower in followers:
            follower.tell_end()
        deadline = time.monotonic() + PATIENCE
        for follower in followers:
            follower.finish(deadline)


class Follower:
    """The process of one tracker, as the training sees it."""

    def __init__(self, folder: Path, name: str, say: Callable[[str], None]) -> None:
        self._folder, self._name, self._say = folder, name, say
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
            flags = (
                os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
            )
            with os.fdopen(os.open(self._log, flags, 0o644), "wb") as log:  # of this session alone
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    env=os.environ
                    | {
                        "PYTHONPATH": os.pathsep.join([_HOME, *sys.path])
                    },  # what we can import, it can import
                    start_new_session=True,  # Ctrl-C is for the training
                )
        except OSError as error:
            self._fail(str(error))

    def look_after(self) -> None:
        """Say it, once, where the process has ended before the training."""
        if self._process is not None and self._failure is None and self._process.poll() is not None:
            self._fail(self._last_words())

    def tell_end(self) -> None:
        """The training has ended."""
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError):  # it has ended before
                os.write(
                    self._process.stdin.fileno(), b"\n"
                )  # besides closing: a worker's process may hold the pipe open
            with contextlib.suppress(OSError):
                self._process.stdin.close()

    def finish(self, deadline: float) -> None:
        """Wait for the process until `deadline` (monotonic clock), end it where it takes longer, and say what is missing."""
        if self._process is not None:
            try:
                if not self._ends_within(MOMENT):
                    self._say(f"waiting for {self._name} to take the rest of the run ...")
                    if not self._ends_within(deadline - time.monotonic()):
                        self._process.kill()
                        self._process.wait()
                        self._failure = self._failure or "it took too long and was ended"
            except KeyboardInterrupt:
                self._say(f"not waiting any longer: {self._name} goes on by itself")
                raise
            if self._process.returncode != 0:
                self._failure = self._failure or self._last_words()
        if self._failure is not None:
            self._say(
                f"{self._name} has not all of this run - {self._failure}\n"
                f"fill it in later: footlight track {quoted(self._folder)} --track {self._name}"
            )

    def _ends_within(self, seconds: float) -> bool:
        assert self._process is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(max(seconds, 0))
        return self._process.returncode is not None

    def _fail(self, reason: str) -> None:
        self._failure = reason
        self._say(f"{self._name} has stopped - {reason} - the training goes on")

    def _last_words(self) -> str:
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
            return f"it was ended by signal {-code}"
        errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
        return [f"see {self._log}", *lines, *errors][-1]
