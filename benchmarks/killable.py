"""footlight's command line in a process that reports its progress, and can be made to fail.

    python benchmarks/killable.py PLAN train sac Pendulum-v1 --run-dir DIR ...

PLAN is JSON, see `Plan`. `kill.py` starts these processes. Only `tamper` changes what a training
computes.
"""

import functools
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

PHASES = ("startup", "training", "evaluation", "saving")
OPERATIONS = (
    "open",
    "os.mkdir",
    "os.truncate",
    "os.link",
    "os.symlink",
    "os.fsync",
    "os.rename",
    "os.remove",
    "os.rmdir",
)
"""Python's audit events that change the file system (there is none for fsync)."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What becomes of a process."""

    run_dir: str
    pulse: str
    """File of its `Pulse`."""
    dies_at: int = 0
    """Which file operation in the run folder it does not live to do, counted from 1; 0: none."""
    in_save: int = -1
    """The checkpoint of this process from which they are counted, from 0; -1: from the start."""
    stops: bool = False
    """Whether it is told to stop, by SIGTERM, before its first step."""
    tamper: str | None = None
    """A key of `TAMPERINGS`."""


class Pulse:
    """What a process tells of itself, in mapped memory: it can be read when the process is dead."""

    FIELDS = ("phase", "step", "saved", "saves", "operations", "last_operation", "tampered")
    phase: int
    """Index in `PHASES`."""
    step: int
    """Environment steps observed."""
    saved: int
    """Step of the last checkpoint that was written, -1 before there is one."""
    saves: int
    """Checkpoints begun, -1 before the first."""
    operations: int
    """File operations in the run folder."""
    last_operation: int
    """Index in `OPERATIONS` of the one at which it died."""
    tampered: int
    """How often something was falsified."""

    def __init__(self, path: str | Path, create: bool = False) -> None:
        memory = np.memmap(path, np.int64, "w+" if create else "r+", shape=len(self.FIELDS))
        self.__dict__["_memory"] = memory
        if create:
            self.saved = self.saves = self.last_operation = -1

    def __getattr__(self, name: str) -> int:
        return int(self.__dict__["_memory"][self.FIELDS.index(name)])

    def __setattr__(self, name: str, value: int) -> None:
        self.__dict__["_memory"][self.FIELDS.index(name)] = value


def patch(owner: Any, name: str, function: Any) -> None:
    """Replace a function of a module or of a class for the rest of this process."""
    setattr(owner, name, function)


def tell(plan: Plan, pulse: Pulse) -> None:
    """Wrap the functions that show the progress: the loop, evaluations, checkpoints, one step."""
    from footlight.learning.agent import Agent
    from footlight.training import evaluator
    from footlight.training.saving import Saver
    from footlight.training.training import Training

    def around(owner: Any, name: str, watched: Callable[..., AbstractContextManager[None]]) -> None:
        inner = getattr(owner, name)

        @functools.wraps(inner)
        def wrapper(*given: Any, **named: Any) -> Any:
            with watched(*given):
                return inner(*given, **named)

        patch(owner, name, wrapper)

    @contextmanager
    def phase(name: str) -> Iterator[None]:
        before, pulse.phase = pulse.phase, PHASES.index(name)
        yield
        pulse.phase = before

    @contextmanager
    def beginning(*given: Any) -> Iterator[None]:
        if plan.stops:
            os.kill(os.getpid(), signal.SIGTERM)
        yield

    @contextmanager
    def saving(saver: Saver) -> Iterator[None]:
        pulse.saves += 1
        with phase("saving"):
            yield
        pulse.saved = saver.session.agent.num_steps

    @contextmanager
    def learning(agent: Agent, *given: Any) -> Iterator[None]:
        yield
        pulse.step = agent.num_steps

    around(Training, "run", lambda *given: phase("training"))
    around(Training, "_catch_up", beginning)
    around(Saver, "save", saving)
    around(evaluator, "evaluate", lambda *given: phase("evaluation"))
    around(Agent, "learn_from", learning)


def count_operations(plan: Plan, pulse: Pulse) -> None:
    """Count what is about to change the run folder, and die of the one that the plan names."""
    run_dir, inner, counted = os.path.abspath(plan.run_dir), os.fsync, 0

    def count(operation: str, path: str) -> None:
        nonlocal counted
        if path != run_dir and not path.startswith(run_dir + os.sep):
            return
        pulse.operations += 1
        counted += pulse.saves >= plan.in_save
        if counted == plan.dies_at > 0:
            pulse.last_operation = OPERATIONS.index(operation)
            os.killpg(os.getpid(), signal.SIGKILL)

    def hook(event: str, given: tuple[Any, ...]) -> None:
        if event not in OPERATIONS or (
            event == "open" and not given[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        ):
            return
        folder = (
            given[-1] if event in ("os.remove", "os.rmdir") else -1
        )  # how rmtree says where a name is
        path = _path_of(given[0])
        count(
            event, os.path.join(_path_of(folder), path) if folder != -1 else os.path.abspath(path)
        )

    def fsync(descriptor: int) -> None:
        count("os.fsync", _path_of(descriptor))
        inner(descriptor)

    patch(os, "fsync", fsync)
    sys.addaudithook(hook)


def _path_of(target: Any) -> str:
    return (
        os.readlink(f"/proc/self/fd/{target}") if isinstance(target, int) else os.fsdecode(target)
    )


# What a resumed run is given that it should not be: a comparison that does not notice is blind


def _changed(
    group: str, part: str, change: Callable[[np.ndarray], None]
) -> Callable[[Callable[[], None]], None]:
    """Let the first array of `group` with `part` in its name be another one when it is read."""

    def install(happened: Callable[[], None]) -> None:
        from footlight.storage import checkpoint

        inner = checkpoint.read_arrays

        def read_arrays(
            folder: Path, asked: str, *given: Any, **named: Any
        ) -> dict[str, np.ndarray]:
            arrays = dict(inner(folder, asked, *given, **named))
            names = [
                name
                for name, array in sorted(arrays.items())
                if part in name and isinstance(array, np.ndarray) and array.size
            ]
            if asked == group and names:
                arrays[names[0]] = np.array(arrays[names[0]])
                change(arrays[names[0]].reshape(-1))
                happened()
            return arrays

        patch(checkpoint, "read_arrays", read_arrays)

    return install


def _last_bit(numbers: np.ndarray, count: int) -> None:
    """The largest of them, as little as they can be changed."""
    places = np.abs(numbers).argsort()[-count:]
    numbers[places] = np.nextafter(numbers[places], np.inf, dtype=numbers.dtype)


def _one_more(numbers: np.ndarray) -> None:
    numbers += 1


def _no_streams(happened: Callable[[], None]) -> None:
    from footlight.streams import Streams

    patch(Streams, "restore", lambda streams, positions: happened())


def _new_episodes(happened: Callable[[], None]) -> None:
    from footlight.environments.serial import SerialEnvironments
    from footlight.environments.vector import VectorEnvironments

    def restore(self: Any, arrays: dict[str, np.ndarray]) -> list[int]:
        self.tracker.index[:] = arrays["episode.index"]
        self.reset()
        happened()
        return []

    for kind in (SerialEnvironments, VectorEnvironments):
        patch(kind, "restore", restore)


def _whole_logs(happened: Callable[[], None]) -> None:
    from footlight.runs.folder import RunFolder

    def truncate(folder: RunFolder, *given: Any) -> list[str]:
        happened()
        return []

    patch(RunFolder, "truncate", truncate)


TAMPERINGS = {
    "streams": _no_streams,
    "environments": _new_episodes,
    "moment": _changed("agent", "second_moment", functools.partial(_last_bit, count=16)),
    "normalizer": _changed("agent", "normalizer.observation.count", _one_more),
    "buffer": _changed("buffer", "reward", functools.partial(_last_bit, count=1)),
    "logs": _whole_logs,
}
"""streams: random streams start again; environments: their episodes do; moment: the last bit of 16
numbers of a second moment (that of a single one may be lost by rounding, and the runs are equal);
buffer: the last bit of a reward; normalizer: its count is one too high; logs: not truncated."""


def run(plan: Plan | None, words: list[str]) -> int:
    """The command line; its exit code."""
    if plan is not None:
        pulse = Pulse(plan.pulse)
        tell(plan, pulse)
        count_operations(plan, pulse)
        if plan.tamper is not None:
            TAMPERINGS[plan.tamper](lambda: setattr(pulse, "tampered", pulse.tampered + 1))
    from footlight.cli.main import main

    return main(words)


def run_forked(plan: Plan | None, words: list[str], log: str) -> None:
    """The same in a process of `multiprocessing`, as session leader and with output to a file."""
    os.setsid()
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(descriptor, stream.fileno())
    sys.exit(run(plan, words))


def to_json(plan: Plan) -> str:
    """A plan as a word of a command line."""
    return json.dumps(asdict(plan))


if __name__ == "__main__":
    sys.exit(run(Plan(**json.loads(sys.argv[1])), sys.argv[2:]))
