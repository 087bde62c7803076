"""Writer of the run folder: append-only JSON lines, the single source of truth about a run."""

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
from footlight.storage.files import replace_text, user_path
from footlight.storage.system import flush_folder, open_file, without_waiting

FORMAT_VERSION = 1
MAX_NAME = 100  # characters of an environment's name that a folder is named after
_ROW = json.JSONEncoder(allow_nan=False)  # `json.dumps` would make one for each row
LOGS = ("metrics", "episodes", "evaluations", "diagnostics", "histograms")


def new_folder(
    run_dir: str | Path | None, environment: str, algorithm: str, start: Path | None = None
) -> Path:
    """Create the folder of a new run.

    run_dir: None: `runs/ENVIRONMENT/ALGORITHM/NNN` with the next free number.
    start: the directory that a relative path starts from; None: the working directory.
    Raises `UserError` if `run_dir` is in use, or cannot be created.
    """
    try:
        if run_dir is not None:
            folder = Path(start or "", user_path(run_dir))
            try:
                _make(folder)
            except FileExistsError:
                if not folder.is_dir():
                    raise
                require_unused(folder)
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
            f"cannot create the run folder {error.filename} - {error.strerror} - "
            "choose another --run-dir"
        ) from error


def shown(folder: Path, start: Path, given: str | Path | None = None) -> Path:
    """The path of a run folder for messages: as `given`, or relative to `start` if inside it."""
    if given is not None:
        return user_path(given)
    return folder.relative_to(start) if folder.is_relative_to(start) else folder


def _make(folder: Path) -> None:
    """Create a folder that already has its lock file, so that no other process takes it.

    Raises `OSError`.
    """
    if folder.exists() or folder.is_symlink():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(folder))
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        made.mkdir()
        (made / ".lock").touch()
        # Fails if another process has created the folder in between: that one is not empty.
        made.rename(folder)
        flush_folder(folder.parent)
    except OSError as error:
        shutil.rmtree(made, ignore_errors=True)
        number = errno.EEXIST if error.errno == errno.ENOTEMPTY else error.errno
        # OSError(EEXIST, …) constructs a FileExistsError.
        raise OSError(number, error.strerror, str(folder)) from None


def require_unused(folder: Path) -> None:
    """Raise `UserError` if a folder is in use.

    The files of a training that was killed before its first checkpoint may be overwritten.
    """
    inside = {path.name for path in folder.iterdir()}
    checkpoints = folder / "checkpoints"
    is_used = bool(
        inside - {"config.json", ".config.json.tmp", ".seeds.json.tmp", ".lock", "checkpoints"}
        or ".lock" not in inside
    )
    if "checkpoints" in inside and not is_used:
        is_used = bool(
            checkpoints.is_symlink()
            or not checkpoints.is_dir()
            or any(p.name[0] != "." for p in checkpoints.iterdir())
        )
    if is_used:
        raise UserError(
            f"{folder} exists - a run is never overwritten - "
            f"choose another --run-dir, or `footlight resume {quoted(folder)}`"
        )


def _safe(name: str) -> str:
    """Turn the name of an environment into a safe relative path."""
    parts = (re.sub(r"[^\w.-]+", "-", part).strip(".") for part in name.split("/"))
    named = [part.rstrip("-") if "(" in name else part for part in parts]
    return "/".join(part[:MAX_NAME] for part in named if part) or "environment"


class RunFolder:
    """The files of a run.

    Rows are kept in memory until `flush`, or longer if the disk is full; none is written twice.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._logs = {name: _Log(path / f"{name}.jsonl") for name in LOGS}

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Replace `config.json`, `machine.json` or `result.json`. Raises `StorageFault`."""
        require_held(self.path)
        replace_text(self.path / name, json.dumps(content, indent=2, allow_nan=False) + "\n")

    def append(self, log: str, row: Mapping[str, Any]) -> None:
        """Append a row to one of `LOGS`."""
        self._logs[log].waiting += _ROW.encode(row).encode() + b"\n"

    def flush(self) -> None:
        """Write all appended rows to their files. Raises `StorageFault`."""
        for log in self._logs.values():
            log.flush()

    def log_digests(self) -> dict[str, dict[str, Any]]:
        """Flush the logs to the disk and return the size and SHA-256 of each, for a checkpoint.

        Raises `StorageFault`.
        """
        return {name: log.digest() for name, log in self._logs.items()}

    def truncate(self, digests: Mapping[str, Any]) -> list[str]:
        """Truncate the logs to an earlier `log_digests()`, and describe what is wrong with them.

        Raises `StorageFault`.
        """
        empty = {"bytes": 0, "sha256": hashlib.sha256().hexdigest()}  # a log that is newer
        return [
            fault
            for name, log in self._logs.items()
            if (fault := log.truncate(digests.get(name, empty)))
        ]

    def close(self) -> None:
        """Close the files. Failures to write were reported by `flush`."""
        for log in self._logs.values():
            log.close()


class _Log:
    """One append-only file of JSON lines."""

    def __init__(self, path: Path) -> None:
        self.path, self.waiting = path, bytearray()
        self._descriptor: int | None = None
        self._length, self._hash = 0, hashlib.sha256()  # of the file's content

    def flush(self) -> None:
        try:
            while self.waiting:
                if self._descriptor is None:
                    require_held(self.path.parent)
                    is_new = not self.path.exists()
                    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
                    self._descriptor = open_file(self.path, flags)
                    if is_new:
                        flush_folder(self.path.parent)
                count = os.write(self._descriptor, self.waiting)
                self._hash.update(self.waiting[:count])
                self._length += count
                del self.waiting[:count]
        except OSError as error:
            raise _fault(self.path, error) from error

    def digest(self) -> dict[str, Any]:
        self.flush()
        try:
            if self._descriptor is not None:
                os.fsync(self._descriptor)
        except OSError as error:
            raise _fault(self.path, error) from error
        return {"bytes": self._length, "sha256": self._hash.hexdigest()}

    def truncate(self, digest: Mapping[str, Any]) -> str | None:
        self.close()
        self.waiting.clear()
        length = int(digest["bytes"])
        try:
            descriptor = open_file(self.path, without_waiting(os.O_RDWR))
            with os.fdopen(descriptor, "r+b") as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    raise UserError(f"{self.path} is not a regular file - put the log itself there")
                file.truncate(min(length, os.fstat(file.fileno()).st_size))
                content = file.read()
        except FileNotFoundError:
            return f"{self.path} is missing - {length:,} bytes of it are lost" if length else None
        except OSError as error:
            if self.path.is_symlink():
                raise UserError(
                    f"{self.path} is a symbolic link - links could lead anywhere - "
                    "put the log itself there"
                ) from error
            raise _fault(self.path, error) from error
        self._length, self._hash = len(content), hashlib.sha256(content)
        if len(content) < length:
            lost = f"{length - len(content):,} bytes are lost"
            return f"{self.path} is shorter than when the checkpoint was written - {lost}"
        if self._hash.hexdigest() != digest["sha256"]:
            return f"{self.path} has changed since the checkpoint was written - it is left as it is"
        return None

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor = None


def _fault(path: Path, error: OSError) -> StorageFault:
    return StorageFault(
        f"cannot write {path} - {error.strerror} - "
        f"free some space, then `footlight resume {quoted(path.parent)}`"
    )
