"""The folder of a sweep: `sweep.json`, and `trial-0`, `trial-1`, ... with the runs of each trial.

These files are the state of a sweep, and all of it. A trial belongs to the process that holds its
lock, which the system releases however the process ends; whoever takes the lock next resumes the
trial's runs.
"""

import contextlib
import itertools
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict

from footlight.errors import UserError
from footlight.runs.lock import InUse, locked
from footlight.runs.seeds_folder import SeedsFolder, read_seeds
from footlight.storage import schemas
from footlight.storage.files import make_folder, read_json, replace_text, user_path
from footlight.storage.system import lock_file, open_file
from footlight.sweeps.spec import Chosen, Spec

NAME, TRIAL = "sweep.json", "trial.json"
FORMAT_VERSION = 1
State = Literal["running", "finished", "pruned", "failed"]
Suggest = Callable[[int], tuple[int, Chosen]]
"""From the lowest free number to the number and the values of a new trial."""
_FOLDER = re.compile(r"trial-(\d{1,6})")


class TrialFile(TypedDict):
    """`trial.json`."""

    format_version: int
    number: int
    chosen: dict[str, Any]
    state: State
    value: NotRequired[float | None]
    reason: NotRequired[str]


@dataclass(frozen=True)
class Trial:
    """One trial of a sweep."""

    path: Path
    number: int
    chosen: Chosen
    """The values that the search has chosen, by field; "algorithm" is one of them."""
    state: State = "running"
    """running: not ended yet, also where nobody is training it now."""
    value: float | None = None
    """The mean or median over its seeds of the mean return of the final evaluation."""
    reason: str = ""
    """Why it was pruned, or has failed."""

    @property
    def runs(self) -> SeedsFolder:
        """The folder as that of runs of several seeds."""
        return read_seeds(self.path)

    def write(self) -> None:
        """Write `trial.json`. Raises `StorageFault`."""
        content = {
            "format_version": FORMAT_VERSION, "number": self.number, "chosen": self.chosen,
            "state": self.state, "value": self.value, "reason": self.reason,
        }  # fmt: skip
        replace_text(self.path / TRIAL, json.dumps(content, indent=2, allow_nan=False) + "\n")


class SweepFolder:
    """The folder of a sweep."""

    def __init__(self, path: Path, spec: Spec) -> None:
        self.path, self.spec = path, spec
        self._ended: set[int] = set()  # trials of which this is known
        self._is_new = False

    def open(self) -> None:
        """Create the folder, or check that it is of the same sweep. Raises `UserError`."""
        record = {"format_version": FORMAT_VERSION, **self.spec.record()}
        if self.path.exists() and not (self.path / NAME).exists():
            self._require_unused()
        self._is_new = not self.path.exists()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with self.claiming():
                if not (self.path / NAME).exists():
                    replace_text(self.path / NAME, json.dumps(record, indent=2) + "\n")
        except OSError as error:
            if self._is_new:
                shutil.rmtree(self.path, ignore_errors=True)
            raise UserError(
                f"cannot create {self.path} - {error.strerror} - choose another --run-dir"
            ) from error
        saved = read_json(self.path / NAME)
        if different := [name for name in record if saved.get(name) != record[name]]:
            raise UserError(
                f"{self.path} is the sweep of another search ({', '.join(different)}) - results "
                "of both cannot be compared - choose another --run-dir"
            )

    def _require_unused(self) -> None:
        if not self.path.is_dir() or {each.name for each in self.path.iterdir()} - {".lock"}:
            raise UserError(
                f"{self.path} exists and is not a sweep folder - choose another --run-dir"
            )

    def remove(self) -> None:
        """Remove the folder if it was made here, and no trial has begun."""
        with self.claiming():
            if self._is_new and not self.numbers():
                shutil.rmtree(self.path, ignore_errors=True)

    @contextlib.contextmanager
    def claiming(self) -> Iterator[None]:
        """Wait until no other process begins or ends a trial, and keep others from it."""
        descriptor = open_file(self.path / ".lock", os.O_RDWR | os.O_CREAT)
        try:
            lock_file(descriptor, wait=True)
            yield
        finally:
            os.close(descriptor)

    def numbers(self) -> list[int]:
        """The numbers of the trials that have begun."""
        matches = (_FOLDER.fullmatch(each.name) for each in self.path.iterdir())
        return sorted(int(match[1]) for match in matches if match)

    def trials(self) -> list[Trial]:
        """The trials that have begun, by number. Raises `UserError` for files that are damaged."""
        return [self.read(number) for number in self.numbers()]

    def read(self, number: int) -> Trial:
        """A trial. Raises `UserError` for a file that is damaged."""
        path = self.path / f"trial-{number}"
        content = schemas.read(path / TRIAL, TrialFile)
        chosen = {name: tuple(x) if isinstance(x, list) else x for name, x in
                  content["chosen"].items()}  # fmt: skip
        value, reason = content.get("value"), content.get("reason", "")
        return Trial(path, content["number"], chosen, content["state"], value, reason)

    def claim(self, suggest: Suggest) -> "Held | None":
        """A trial to train, begun by `suggest` or left by another process; None: there is none."""
        with self.claiming():
            for number in self.numbers():
                if (held := self._take(number)) is not None:
                    return held
            while len(numbers := self.numbers()) < self.spec.trials:
                free = next(number for number in itertools.count() if number not in numbers)
                number, chosen = suggest(free)
                if number in numbers:
                    raise UserError(
                        f"{self.path} has a trial {number} that its study does not know - "
                        "study.log was removed or replaced - restore it, or choose another folder"
                    )
                if (held := self._begin(number, chosen)) is not None:
                    return held
        return None

    def have_ended(self) -> bool:
        """Whether all trials that have begun had ended when `claim` looked for one."""
        return all(number in self._ended for number in self.numbers())

    def _take(self, number: int) -> "Held | None":
        """Hold a trial that has not ended, unless another process holds it."""
        if number in self._ended:
            return None
        if self.read(number).state != "running":
            self._ended.add(number)
            return None
        stack = contextlib.ExitStack()
        try:
            stack.enter_context(locked(self.path / f"trial-{number}"))
        except InUse:
            return None
        trial = self.read(number)
        if trial.state != "running":  # since the first look
            stack.close()
            return None
        return Held(trial, stack)

    def _begin(self, number: int, chosen: Chosen) -> "Held | None":
        """Create the folder of a trial, and hold it; None if its values cannot be trained."""
        path = self.path / f"trial-{number}"
        made = path.with_name(f".{path.name}.tmp")
        shutil.rmtree(made, ignore_errors=True)  # left by a process that was killed
        make_folder(made)
        trial = Trial(made, number, chosen)
        try:
            record = self.spec.request(chosen).record()
        except UserError as error:
            trial = replace(trial, state="failed", reason=str(error))
        else:
            SeedsFolder(made, self.spec.seeds, record).write()
        trial.write()
        (made / ".lock").touch()
        made.rename(path)
        return self._take(number)


@dataclass
class Held:
    """A trial that this process may train, until it is released."""

    trial: Trial
    _lock: contextlib.ExitStack

    def __enter__(self) -> Trial:
        return self.trial

    def __exit__(self, *error: Any) -> None:
        self._lock.close()


def sweep_path(run_dir: str | Path | None, name: str, start: Path) -> Path:
    """The folder of a sweep: as given, or `runs/sweeps/NAME`."""
    given = Path("runs", "sweeps", name) if run_dir is None else user_path(run_dir)
    return Path(start, given)
