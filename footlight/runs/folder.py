"""The run folder, written: what is said about a run goes into append-only JSON lines, the one source of truth."""

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from footlight.errors import StorageFault, UserError

FORMAT_VERSION = 1
LOGS = ("metrics", "episodes", "evaluations", "histograms")


def new_folder(run_dir: str | Path | None, environment: str, algorithm: str) -> Path:
    """Create the folder of a new run: `run_dir`, or `runs/ENVIRONMENT/ALGORITHM/NNN` with the next free number.

    Raises `UserError` where `run_dir` exists or nothing can be created there.
    """
    try:
        if run_dir is not None:
            folder = Path(run_dir)
            folder.mkdir(parents=True)
            return folder
        parent = Path("runs", _safe(environment), _safe(algorithm))
        parent.mkdir(parents=True, exist_ok=True)
        number = 1 + max((int(child.name) for child in parent.iterdir() if child.name.isdigit()), default=0)
        while True:
            try:
                (parent / f"{number:03d}").mkdir()
                return parent / f"{number:03d}"
            except FileExistsError:  # another run took the number in between
                number += 1
    except OSError as error:
        if run_dir is not None and isinstance(error, FileExistsError) and Path(run_dir).is_dir():
            raise UserError(
                f"{run_dir} exists - a run is never overwritten - choose another --run-dir, or `footlight resume {run_dir}`"
            ) from error
        raise UserError(f"cannot create the run folder {error.filename} - {error.strerror} - choose another --run-dir") from error


def _safe(name: str) -> str:
    """An environment id as a relative path without surprises."""
    parts = ["".join(c if c.isalnum() or c in "-_." else "-" for c in part).strip(".") for part in name.split("/")]
    return "/".join(part for part in parts if part) or "environment"


class RunFolder:
    """The open files of a run. Lines are written whole, and reach the operating system at each `flush`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._files: dict[str, IO[str]] = {}

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Write `config.json`, `machine.json` or `result.json` as a whole. Raises `StorageFault`."""
        try:
            temporary = self.path / f".{name}.{os.getpid()}.tmp"
            temporary.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n")
            temporary.replace(self.path / name)
        except OSError as error:
            raise _fault(self.path / name, error) from error

    def append(self, log: str, record: Mapping[str, Any]) -> None:
        """Add a line to one of `LOGS`. Raises `StorageFault`."""
        try:
            if log not in self._files:
                self._files[log] = (self.path / f"{log}.jsonl").open("a")
            self._files[log].write(json.dumps(record, allow_nan=False) + "\n")
        except OSError as error:
            raise _fault(self.path / f"{log}.jsonl", error) from error

    def flush(self) -> None:
        """Hand everything written so far to the operating system. Raises `StorageFault`."""
        for log, file in self._files.items():
            try:
                file.flush()
            except OSError as error:
                raise _fault(self.path / f"{log}.jsonl", error) from error

    def sizes(self) -> dict[str, int]:
        """Bytes in each log: where a resumed run cuts off what was written after its checkpoint."""
        self.flush()
        paths = {log: self.path / f"{log}.jsonl" for log in LOGS}
        return {log: path.stat().st_size if path.exists() else 0 for log, path in paths.items()}

    def cut(self, sizes: Mapping[str, int]) -> None:
        """Cut the logs back to `sizes()` of an earlier moment."""
        for log in LOGS:
            path = self.path / f"{log}.jsonl"
            try:
                if path.exists():
                    os.truncate(path, min(int(sizes.get(log, 0)), path.stat().st_size))
            except OSError as error:
                raise _fault(path, error) from error

    def close(self) -> None:
        """Close the files. What could not be written was said when it was flushed."""
        for file in self._files.values():
            with contextlib.suppress(OSError):
                file.close()
        self._files.clear()


def _fault(path: Path, error: OSError) -> StorageFault:
    return StorageFault(f"cannot write {path} - {error.strerror} - free some space, then `footlight resume {path.parent}`")
