"""The run folder, written: what is said about a run goes into append-only JSON lines, the one source of truth."""

import errno
import hashlib
import json
import os
import re
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from footlight.errors import StorageFault, UserError, quoted
from footlight.runs.lock import require_held
from footlight.storage.files import flush, replace_text, user_path

FORMAT_VERSION = 1
LOGS = ("metrics", "episodes", "evaluations", "histograms")


def new_folder(
    run_dir: str | Path | None, environment: str, algorithm: str, start: Path | None = None
) -> Path:
    """Create the folder of a new run: `run_dir`, or `runs/ENVIRONMENT/ALGORITHM/NNN` with the next free number.

    start: the directory from which a relative path begins; None: the working directory.
    Raises `UserError` where `run_dir` has something in it, or nothing can be created there.
    """
    try:
        if run_dir is not None:
            folder = Path(start or "", user_path(run_dir))
            try:
                _make(folder)
            except FileExistsError:
                if not folder.is_dir():
                    raise
                require_unbegun(folder)
            return folder
        parent = Path(start or "", "runs", _safe(environment), _safe(algorithm))
        parent.mkdir(parents=True, exist_ok=True)
        number = 1 + max(
            (int(child.name) for child in parent.iterdir() if child.name.isdigit()), default=0
        )
        while True:
            try:
                _make(parent / f"{number:03d}")
                return parent / f"{number:03d}"
            except FileExistsError:  # another run took the number in between
                number += 1
    except OSError as error:
        raise UserError(
            f"cannot create the run folder {error.filename} - {error.strerror} - choose another --run-dir"
        ) from error


def shown(folder: Path, start: Path, given: str | Path | None = None) -> Path:
    """The path of a run folder for messages: as `given`, or relative to the directory `start` if it is inside."""
    if given is not None:
        return user_path(given)
    return folder.relative_to(start) if folder.is_relative_to(start) else folder


def _make(folder: Path) -> None:
    """Make a folder that has its lock from the first moment, so that no other process takes it. Raises `OSError`."""
    if folder.exists() or folder.is_symlink():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(folder))
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        made.mkdir()
        (made / ".lock").touch()
        made.rename(
            folder
        )  # never onto one that another process has made in between: that is not empty
        flush(folder.parent)
    except OSError as error:
        shutil.rmtree(made, ignore_errors=True)
        number = errno.EEXIST if error.errno == errno.ENOTEMPTY else error.errno
        raise OSError(
            number, error.strerror, str(folder)
        ) from None  # which is a FileExistsError for the one number


def require_unbegun(folder: Path) -> None:
    """Raise `UserError` where a folder is anything but what a training leaves that is killed before its first checkpoint."""
    inside, checkpoints = {path.name for path in folder.iterdir()}, folder / "checkpoints"
    more = (
        inside - {"config.json", ".config.json.tmp", ".lock", "checkpoints"}
        or ".lock" not in inside
    )
    if "checkpoints" in inside and not more:
        more = (
            checkpoints.is_symlink()
            or not checkpoints.is_dir()
            or any(p.name[0] != "." for p in checkpoints.iterdir())
        )
    if more:
        raise UserError(
            f"{folder} exists - a run is never overwritten - choose another --run-dir, or `footlight resume {quoted(folder)}`"
        )


def _safe(name: str) -> str:
    """An environment's name as a safe relative path."""
    parts = (re.sub(r"[^\w.-]+", "-", part).strip(".") for part in name.split("/"))
    named = [part.rstrip("-") if "(" in name else part for part in parts]
    return "/".join(part for part in named if part) or "environment"


class RunFolder:
    """The files of a run. Lines wait in memory until `flush`, and longer where the disk is full: none is written twice."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._logs = {name: _Log(path / f"{name}.jsonl") for name in LOGS}

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Write `config.json`, `machine.json` or `result.json` as a whole. Raises `StorageFault`."""
        require_held(self.path)
        replace_text(self.path / name, json.dumps(content, indent=2, allow_nan=False) + "\n")

    def append(self, log: str, record: Mapping[str, Any]) -> None:
        """Add a line to one of `LOGS`."""
        self._logs[log].waiting += json.dumps(record, allow_nan=False).encode() + b"\n"

    def flush(self) -> None:
        """Hand everything added so far to the operating system. Raises `StorageFault`."""
        for log in self._logs.values():
            log.flush()

    def marks(self) -> dict[str, dict[str, Any]]:
        """Length and SHA-256 of each log, which have reached the disk: where a resumed run goes on. Raises `StorageFault`."""
        return {name: log.mark() for name, log in self._logs.items()}

    def cut(self, marks: Mapping[str, Any]) -> list[str]:
        """Cut the logs back to `marks()` of an earlier moment. Gives what is wrong with them, in words. Raises `StorageFault`."""
        start = {
            "bytes": 0,
            "sha256": hashlib.sha256().hexdigest(),
        }  # of a log that there was not yet
        return [
            said for name, log in self._logs.items() if (said := log.cut(marks.get(name, start)))
        ]

    def close(self) -> None:
        """Close the files. What could not be written was said when it was flushed."""
        for log in self._logs.values():
            log.close()


class _Log:
    """One file of lines, which only grows."""

    def __init__(self, path: Path) -> None:
        self.path, self.waiting = path, bytearray()
        self._descriptor: int | None = None
        self._length, self._hash = 0, hashlib.sha256()  # of what is in the file

    def flush(self) -> None:
        try:
            while self.waiting:
                if self._descriptor is None:
                    require_held(self.path.parent)
                    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
                    is_new = not self.path.exists()
                    self._descriptor = os.open(self.path, flags, 0o644)
                    if is_new:
                        flush(self.path.parent)
                count = os.write(self._descriptor, self.waiting)
                self._hash.update(self.waiting[:count])
                self._length += count
                del self.waiting[:count]
        except OSError as error:
            raise _fault(self.path, error) from error

    def mark(self) -> dict[str, Any]:
        self.flush()
        try:
            if self._descriptor is not None:
                os.fsync(self._descriptor)
        except OSError as error:
            raise _fault(self.path, error) from error
        return {"bytes": self._length, "sha256": self._hash.hexdigest()}

    def cut(self, mark: Mapping[str, Any]) -> str | None:
        self.close()
        self.waiting.clear()
        length = int(mark["bytes"])
        try:
            with os.fdopen(
                os.open(self.path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "r+b"
            ) as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    raise UserError(f"{self.path} is no regular file - put the log itself there")
                file.truncate(min(length, os.fstat(file.fileno()).st_size))
                content = file.read()
        except FileNotFoundError:
            return f"{self.path} is missing - {length:,} bytes of it are lost" if length else None
        except OSError as error:
            if self.path.is_symlink():
                raise UserError(
                    f"{self.path} is a symbolic link - links could lead anywhere - put the log itself there"
                ) from error
            raise _fault(self.path, error) from error
        self._length, self._hash = len(content), hashlib.sha256(content)
        if len(content) < length:
            return f"{self.path} is shorter than when the checkpoint was written - {length - len(content):,} bytes are lost"
        if self._hash.hexdigest() != mark["sha256"]:
            return f"{self.path} has been changed since the checkpoint was written - it is left as it is"
        return None

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor = None


def _fault(path: Path, error: OSError) -> StorageFault:
    return StorageFault(
        f"cannot write {path} - {error.strerror} - free some space, then `footlight resume {quoted(path.parent)}`"
    )
