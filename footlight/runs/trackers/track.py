"""Trackers: readers of the run folder that forward its rows, during or after the training.

A tracker cannot affect a training: in another process it reads what the training writes anyway
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
from footlight.errors import FootlightError, UserError, summarize_error
from footlight.runs.folder import LOGS
from footlight.runs.read import parse_line
from footlight.storage.files import opened, read_json
from footlight.storage.system import hold_folder, lower_priority

TRACKERS = ("tensorboard", "wandb")
POLL_SECONDS = 5.0  # between reads of the folder of a running training
MAX_FINISH_SECONDS = 600.0  # time limit of a tracker after the end of the training
MAX_LOG_BYTES = 1_000_000
_GROUPS = {
    "metrics": "metrics",
    "episodes": "episode",
    "evaluations": "evaluation",
    "diagnostics": "diagnostics",
    "result": "result",
}

Row = dict[str, Any]


class Tracker(Protocol):
    """Receives the content of a run folder in order: rows of the logs, and finally the result."""

    def write(self, log: str, row: Row) -> None:
        """Take one row: of one of the logs `LOGS`, or a row of `videos` (path) or `result`.
        Its `step` is the environment step."""

    def flush(self) -> None:
        """Make the rows so far visible."""

    def close(self) -> None:
        """Finish: all rows were written."""


def require_trackers(names: Sequence[str]) -> None:
    """Raise `UserError` if a tracker is unknown or its package is not installed."""
    for name in names:
        if name not in TRACKERS:
            raise UserError(
                f"unknown tracker {name!r}{closest(name, TRACKERS)} - "
                f"trackers are {', '.join(TRACKERS)}"
            )
        found = importlib.util.find_spec(name)
        # A folder of that name here, such as wandb's own, is found without an origin.
        if found is None or found.origin is None:
            raise UserError(
                f"the tracker {name} needs the package {name} - it is not installed - "
                + ('pip install "footlight[wandb]"' if name == "wandb" else f"pip install {name}")
            )


def track(folder: Path, names: Sequence[str], **options: Any) -> None:
    """Send the run in `folder` to these trackers; what they already have is replaced or skipped.

    options: `wandb_project`, `wandb_group`, `wandb_tags`, `wandb_mode` if they differ from those of
    the run. Raises `UserError` for a wrong name or folder, and if a tracker fails.
    """
    require_trackers(names)
    over = threading.Event()
    over.set()
    for name in dict.fromkeys(names):
        _send(folder, name, over, options)


def follow(folder: Path, name: str) -> None:
    """Send the run to a tracker while it is written, until standard input has a byte or closes."""
    over = threading.Event()
    threading.Thread(target=_await_end, args=(over,), daemon=True).start()
    lower_priority()  # the training comes first
    _send(folder, name, over, {})


def _await_end(over: threading.Event) -> None:
    os.read(0, 1)  # unbuffered: a thread holding sys.stdin's lock would disturb the exit
    over.set()
    time.sleep(MAX_FINISH_SECONDS)
    print(
        f"not finished {MAX_FINISH_SECONDS:.0f} s after the end of the training",
        file=sys.stderr,
        flush=True,
    )
    os._exit(1)


def _send(folder: Path, name: str, over: threading.Event, options: Row) -> None:
    config = read_json(folder / "config.json") | {
        key: value for key, value in options.items() if value is not None
    }
    home = folder / name
    if home.is_symlink():  # in a folder from elsewhere it could lead anywhere
        raise UserError(f"{home} is a link - a tracker writes into the run folder only - remove it")
    try:
        home.mkdir(exist_ok=True)
        with _exclusive(home, wait=not over.is_set()):
            _send_rows(
                folder,
                importlib.import_module(f"footlight.runs.trackers.{name}").open_tracker(
                    folder, config
                ),
                over,
            )
    except FootlightError:
        raise
    except Exception as error:  # a third-party package on a network can raise anything
        raise UserError(
            f"{name} did not accept the run - {summarize_error(error)} - fix that, then try again"
        ) from error


def _send_rows(folder: Path, tracker: Tracker, over: threading.Event) -> None:
    reader, ended = Reader(folder), False
    while not ended:
        ended = over.is_set()  # checked before reading, so that no row is missed
        for log, row in reader.new_rows(ended):
            tracker.write(log, row)
        tracker.flush()
        if not ended:
            _shorten_output()
            over.wait(POLL_SECONDS)
    tracker.close()


@contextlib.contextmanager
def _exclusive(home: Path, wait: bool) -> Iterator[None]:
    """Lock the folder of a tracker: two processes at a time would write everything twice."""
    try:
        descriptor = hold_folder(home, wait)
    except BlockingIOError:
        raise UserError(
            f"{home} is in use - a training, or another `footlight track`, writes there - "
            "wait until it ends"
        ) from None
    try:
        yield
    finally:
        os.close(descriptor)


def _shorten_output() -> None:
    """Truncate the log of our own messages if it has grown large."""
    file = os.fstat(2)
    if stat.S_ISREG(file.st_mode) and file.st_size > MAX_LOG_BYTES:
        os.ftruncate(2, 0)


class Reader:
    """Reads what was added to a run folder since the last call."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read = dict.fromkeys(LOGS, (0, 0))  # bytes and lines of each log
        self._videos: set[Path] = set()

    def new_rows(self, ended: bool) -> Iterator[tuple[str, Row]]:
        """Yield log and row of what is new and complete, and the result once the run has `ended`.

        Raises `UserError` for an invalid file.
        """
        for log in LOGS:
            for row in self._new_lines(log):
                yield log, row
        for path in sorted((self._folder / "videos").glob("step-*.mp4")):
            step = path.stem.removeprefix("step-")
            if path not in self._videos and step.isdigit():
                self._videos.add(path)
                yield "videos", {"step": int(step), "path": str(path)}
        if ended and (self._folder / "result.json").exists():
            result = read_json(self._folder / "result.json")
            yield "result", {"step": result["steps"], **result}

    def _new_lines(self, log: str) -> Iterator[Row]:
        path = self._folder / f"{log}.jsonl"
        if not path.exists():
            return
        with opened(path) as file:
            file.seek(self._read[log][0])
            for line in file:
                if not line.endswith(b"\n"):  # still being written
                    break
                size, number = self._read[log]
                self._read[log] = size + len(line), number + 1
                yield parse_line(line, path, number + 1)


def scalars(log: str, row: Row) -> dict[str, float]:
    """The numbers of a row by their names in a tracker, such as `episode/return`."""
    values = {**row, **(row.get("final_evaluation") or {})}
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


def histograms(row: Row) -> Iterator[tuple[str, list[int], list[float]]]:
    """Name, counts and bin edges of each histogram in a row of `histograms.jsonl`."""
    for kind in ("weights", "gradients"):
        for name, histogram in row[kind].items():
            counts, low, high = histogram["counts"], histogram["low"], histogram["high"]
            edges = [low + (high - low) * index / len(counts) for index in range(len(counts) + 1)]
            yield f"{kind}/{name}", counts, edges
