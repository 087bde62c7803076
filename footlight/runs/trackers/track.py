"""Trackers as readers of the run folder: what stands in its text files is sent on, during the training or afterwards.

A tracker never touches a training: it reads from another process what the training wrote anyway
(see `footlight.runs.trackers.follower`).
"""

import contextlib
import importlib
import importlib.util
import os
import stat
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from footlight.config.suggestions import closest
from footlight.errors import FootlightError, UserError, in_short
from footlight.runs.folder import LOGS
from footlight.runs.read import parse_line
from footlight.storage.files import opened, read_json

TRACKERS = ("tensorboard", "wandb")
LOOK_EVERY = 5.0  # seconds between two looks into the folder of a running training
TIME_TO_FINISH = 600.0  # seconds that a tracker may go on after the training has ended
MAX_LOG_BYTES = 1_000_000
_GROUPS = {
    "metrics": "metrics",
    "episodes": "episode",
    "evaluations": "evaluation",
    "result": "result",
}

Record = dict[str, Any]


class Tracker(Protocol):
    """Takes what a run folder says, in order: lines of the logs, and at the end the result."""

    def write(self, log: str, record: Record) -> None:
        """Take one record: a line of `metrics`, `episodes`, `evaluations` or `histograms`, or one of `videos` (path) or `result`.

        Each has the environment step that it belongs to as its `step`.
        """

    def flush(self) -> None:
        """Show what was written so far."""

    def close(self) -> None:
        """Everything was written."""


def require_trackers(names: Sequence[str]) -> None:
    """Raise `UserError` for a tracker that does not exist or whose package is not installed."""
    for name in names:
        if name not in TRACKERS:
            raise UserError(
                f"unknown tracker {name!r}{closest(name, TRACKERS)} - there are {', '.join(TRACKERS)}"
            )
        found = importlib.util.find_spec(name)
        if (
            found is None or found.origin is None
        ):  # a folder of that name here, such as wandb's own, is no package
            raise UserError(
                f"the tracker {name} needs the package {name} - it is not installed - pip install 'footlight[{name}]'"
            )


def track(folder: Path, names: Sequence[str], **options: Any) -> None:
    """Send all of the run in `folder` to these trackers, what they have already from an earlier time replaced or left out.

    options: `wandb_project`, `wandb_group`, `wandb_tags`, `wandb_mode` where they differ from those the run was trained with.
    Raises `UserError` for a wrong name or folder, and for whatever a tracker stumbles over.
    """
    require_trackers(names)
    over = threading.Event()
    over.set()
    for name in dict.fromkeys(names):
        _send(folder, name, over, options)


def follow(folder: Path, name: str) -> None:
    """Send the run to a tracker while it is written, until standard input gives a byte or ends, and then the rest."""
    over = threading.Event()
    threading.Thread(target=_await_end, args=(over,), daemon=True).start()
    os.nice(10)  # the training comes first
    _send(folder, name, over, {})


def _await_end(over: threading.Event) -> None:
    os.read(
        0, 1
    )  # unbuffered: a thread that holds sys.stdin's lock would disturb the end of the process
    over.set()
    time.sleep(TIME_TO_FINISH)
    print(
        f"not finished {TIME_TO_FINISH:.0f} s after the end of the training",
        file=sys.stderr,
        flush=True,
    )
    os._exit(1)


def _send(folder: Path, name: str, over: threading.Event, options: Record) -> None:
    record = read_json(folder / "config.json") | {
        key: value for key, value in options.items() if value is not None
    }
    home = folder / name
    if home.is_symlink():  # of a folder from elsewhere: what lies behind it is not ours to write
        raise UserError(f"{home} is a link - a tracker writes into the run folder only - remove it")
    try:
        home.mkdir(exist_ok=True)
        with _alone(home, wait=not over.is_set()):
            _send_alone(
                folder,
                importlib.import_module(f"footlight.runs.trackers.{name}").open_tracker(
                    folder, record
                ),
                over,
            )
    except FootlightError:
        raise
    except Exception as error:  # of a package that we do not know, on a network that we know less
        raise UserError(
            f"{name} does not take the run - {in_short(error)} - mend that, then try again"
        ) from error


def _send_alone(folder: Path, tracker: Tracker, over: threading.Event) -> None:
    reader, ended = Reader(folder), False
    while not ended:
        ended = over.is_set()  # before the reading: what is written before the end is read after it
        for log, record in reader.news(ended):
            tracker.write(log, record)
        tracker.flush()
        if not ended:
            _shorten_output()
            over.wait(LOOK_EVERY)
    tracker.close()


@contextlib.contextmanager
def _alone(home: Path, wait: bool) -> Iterator[None]:
    """Hold the folder of a tracker: two processes that write there at the same time would write everything twice."""
    import fcntl  # not above: there is none on Windows, where runs can be looked at all the same

    descriptor = os.open(home, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    except BlockingIOError:
        raise UserError(
            f"{home} is in use - a training, or another `footlight track`, writes there - wait for its end"
        ) from None
    finally:
        os.close(descriptor)


def _shorten_output() -> None:
    """Empty the file that our own messages go to where it has grown large."""
    file = os.fstat(2)
    if stat.S_ISREG(file.st_mode) and file.st_size > MAX_LOG_BYTES:
        os.ftruncate(2, 0)


class Reader:
    """What was added to a run folder since the last look."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read = dict.fromkeys(LOGS, (0, 0))  # bytes and lines of each log
        self._videos: set[Path] = set()

    def news(self, ended: bool) -> Iterator[tuple[str, Record]]:
        """Log and record of what is new and whole, each log in its own order; the result once the run has `ended`.

        Raises `UserError` for a broken file.
        """
        for log in LOGS:
            for record in self._new_lines(log):
                yield log, record
        for path in sorted((self._folder / "videos").glob("step-*.mp4")):
            step = path.stem.removeprefix("step-")
            if path not in self._videos and step.isdigit():
                self._videos.add(path)
                yield "videos", {"step": int(step), "path": str(path)}
        if ended and (self._folder / "result.json").exists():
            result = read_json(self._folder / "result.json")
            yield "result", {"step": result["steps"], **result}

    def _new_lines(self, log: str) -> Iterator[Record]:
        path = self._folder / f"{log}.jsonl"
        if not path.exists():
            return
        with opened(path) as file:
            file.seek(self._read[log][0])
            for line in file:
                if not line.endswith(b"\n"):  # the rest is still to come
                    break
                size, number = self._read[log]
                self._read[log] = size + len(line), number + 1
                yield parse_line(line, path, number + 1)


def scalars(log: str, record: Record) -> dict[str, float]:
    """The numbers of a record by the names that they have in a tracker, such as `episode/return`."""
    values = {**record, **(record.get("final_evaluation") or {})}
    values = {
        name: value
        for name, value in values.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    return {
        f"{_GROUPS[log]}/{name}": float(value)
        for name, value in values.items()
        if name not in ("step", "env")
    }


def histograms(record: Record) -> Iterator[tuple[str, list[int], list[float]]]:
    """Name, counts and the edges around them of each histogram in a line of `histograms.jsonl`."""
    for kind in ("weights", "gradients"):
        for name, histogram in record[kind].items():
            counts, low, high = histogram["counts"], histogram["low"], histogram["high"]
            edges = [low + (high - low) * index / len(counts) for index in range(len(counts) + 1)]
            yield f"{kind}/{name}", counts, edges
