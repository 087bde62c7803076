"""A training in a process and session of its own: started, watched, killed, and searched for."""

import contextlib
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from killable import PHASES, Plan, Pulse, run_forked, to_json
from report import HERE, Failure

LONGEST = 900.0  # seconds that one process may take
ORPHANS_END = 5.0  # seconds after which nothing of a dead training may run


class Process(Protocol):
    """The part of `subprocess.Popen` that is used."""

    pid: int

    def poll(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        ...

    def wait(self, timeout: float) -> int:
        """Its exit code. Raises `TimeoutExpired`."""
        ...


Launch = Callable[[Plan | None, list[str], Path], Process]


def fresh(plan: Plan | None, words: list[str], log: Path) -> Process:
    """`python -m footlight WORDS`, or the same by way of `killable.py` where there is a plan."""
    start = ["-m", "footlight"] if plan is None else [str(HERE / "killable.py"), to_json(plan)]
    with log.open("w") as output:
        return subprocess.Popen(
            [sys.executable, *start, *words], stdout=output, stderr=output, start_new_session=True
        )


class Forked:
    """The same as a fork of a process with all imports, which saves seconds at each start."""

    def __init__(self, plan: Plan | None, words: list[str], log: Path) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(
            ["footlight.api", "torch._dynamo.aot_compile"]
        )  # the last: by torch.func, at its first use
        self._process = context.Process(target=run_forked, args=(plan, words, str(log)))
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    def poll(self) -> int | None:
        """Its exit code; None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float) -> int:
        """Its exit code. Raises `TimeoutExpired`."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("footlight", timeout)
        return self._process.exitcode


class Session:
    """One start of the command line, with its output and its pulse in `folder`."""

    def __init__(self, launch: Launch, plan: Plan | None, words: list[str], folder: Path) -> None:
        folder.mkdir()
        self._name, self._log = f"{folder.name}, {words[0]}", folder / "output"
        self.pulse = Pulse(folder / "pulse", create=True)
        self._launched = time.monotonic()
        plan = plan and replace(plan, pulse=str(folder / "pulse"))
        self.process = launch(plan, words, self._log)

    def wait_for(self, phase: str, step: float = 0) -> float:
        """Wait for that phase and step, or the end; return the seconds since the start."""
        wanted = PHASES.index(phase)
        while self.process.poll() is None and not (
            self.pulse.phase == wanted and self.pulse.step >= step
        ):
            if time.monotonic() - self._launched > LONGEST:
                raise self._failure(
                    f"it has not come to {phase} at step {step:,.0f} in {LONGEST:.0f} s"
                )
            time.sleep(0.001)
        return time.monotonic() - self._launched

    def wait(self) -> int:
        """Until it ends; its exit code. Raises `Failure` where it does not."""
        try:
            return self.process.wait(LONGEST)
        except subprocess.TimeoutExpired:
            raise self._failure(f"it has not ended in {LONGEST:.0f} s") from None

    def expect(self, *codes: int) -> int:
        """Until it ends, with one of these exit codes. Raises `Failure` for another."""
        code = self.wait()
        if code not in codes:
            raise self._failure(f"exit code {code} instead of {' or '.join(map(str, codes))}")
        return code

    def kill(self, target: str, generator: random.Random) -> str:
        """Kill its "group", the "parent" alone, or one "worker" if there is any, else the parent.

        Returns what was killed.
        """
        workers = [pid for pid in self._members() if pid != self.process.pid]
        if target == "worker" and not workers:
            target = "parent"
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            if target == "group":
                os.killpg(self.process.pid, signal.SIGKILL)
            else:
                os.kill(
                    generator.choice(workers) if target == "worker" else self.process.pid,
                    signal.SIGKILL,
                )
        return target

    def require_no_orphans(self) -> None:
        """Raise `Failure` where a process of it still runs some seconds after it has ended."""
        deadline = time.monotonic() + ORPHANS_END
        while orphans := self._members():
            if time.monotonic() > deadline:
                raise self._failure(
                    f"{len(orphans)} processes still run {ORPHANS_END:.0f} s after the training "
                    "was killed"
                )
            time.sleep(0.01)

    def end(self) -> None:
        """Leave nothing of it running."""
        while members := self._members():
            for pid in members:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)

    def _members(self) -> list[int]:
        """The processes of its session that are not dead."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):  # it has just ended
                    state, _, _, session, *_ = (
                        (entry / "stat").read_text().rpartition(")")[2].split()
                    )
                    if int(session) == self.process.pid and state not in "ZX":
                        found.append(int(entry.name))
        return found

    def _failure(self, what: str) -> Failure:
        text = self._log.read_text(errors="replace") if self._log.exists() else ""
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return Failure(f"{self}: {what}{f' - its last words: {lines[-1]}' if lines else ''}")

    def __str__(self) -> str:
        return f"{self._name}, {PHASES[self.pulse.phase]} at step {self.pulse.step:,}"
