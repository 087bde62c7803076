"""A state -> a folder -> the same state. Tensors are safetensors, everything else is strict JSON; nothing is ever unpickled.

A new folder is written under another name, flushed to the disk, and renamed when it is whole: no reader ever sees half of one.
A folder that exists gets its new files beside the old ones, until its manifest is replaced. What stands in the manifest is
covered by its own checksum, and every file by a SHA-256 in the manifest.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from footlight.errors import StorageFault, UserError, quoted
from footlight.storage import migration, schemas
from footlight.storage.files import (
    MOST_BYTES,
    describe_foreign,
    flush,
    hash_file,
    read_file,
    read_json,
    replace_text,
    user_path,
    write_bytes,
)
from footlight.types import Array

FIRST_VERSION, FORMAT_VERSION = 2, 3
MANIFEST = "manifest.json"
SEGMENT_BYTES = 16 << 20  # of a ring in one file; a smaller ring is written whole
POINTERS = ("LATEST", "BEST")  # files beside the checkpoints of a run that name one of them
_FILE = re.compile(r"[\w-][\w.-]*\.safetensors", re.ASCII)
NAME = re.compile(r"step-\d{9,}(-\d+)?")  # the second number where a step was saved again
HEADER_BYTES = 1 << 20  # that names and shapes of arrays may take in a file


class NewerFormat(UserError):
    """Written by a later footlight: no damage, and nothing to pass over."""


class Span(NamedTuple):
    """How far a ring of rows has come, counted from the start of the run; row n lies at n % (rows of the ring)."""

    stable: int
    """Rows before it will not change until they are overwritten."""
    written: int
    """Rows ever written."""


class Segments:
    """The rows of a large array, which lie in several files: read, and checked, one after the other."""

    def __init__(self, folder: Path, files: list[str], records: Mapping[str, Any]) -> None:
        self._folder, self._files, self._records = folder, files, records

    def __iter__(self) -> Iterator[Array]:
        """The rows, in order. Raises `UserError`."""
        for name in self._files:
            yield _read(self._folder / name, self._records, MOST_BYTES)["rows"]


def write(
    folder: Path, groups: Mapping[str, Mapping[str, Array]], manifest: Mapping[str, Any],
    spans: Mapping[str, Mapping[str, Span]] | None = None, previous: Path | None = None,
) -> None:  # fmt: skip
    """Write `groups` of named arrays, one file `GROUP.safetensors` each, and the manifest. Raises `StorageFault`.

    spans: by group and name, the arrays that are rings of rows. Large ones are written in segments, and those in which nothing
    has changed since `previous`, an earlier checkpoint of the same run, are not written again but linked.
    """
    again = (folder / MANIFEST).is_file()
    place = folder if again else folder.with_name(f".{folder.name}.tmp")
    writer = _Writer(
        place, f"-{os.urandom(4).hex()}" if again else "", previous
    )  # beside the files that are still in force
    try:
        if not again:
            shutil.rmtree(place, ignore_errors=True)  # of a process that was killed
            place.mkdir()
        for group, arrays in groups.items():
            writer.add(group, arrays, (spans or {}).get(group, {}))
        content = {"format_version": FORMAT_VERSION, **manifest, **writer.record()}
        text = json.dumps({**content, "checksum": _checksum(content)}, indent=1, allow_nan=False)
        if again:
            flush(place)
            replace_text(place / MANIFEST, text)
            return _remove(
                path for path in place.glob("*.safetensors") if path.name not in writer.files
            )
        write_bytes(place / MANIFEST, text.encode())
        flush(place)
        place.rename(folder)
        flush(folder.parent)
    except (OSError, SafetensorError, StorageFault) as error:
        if again:
            _remove(place / name for name in writer.files)
        else:
            shutil.rmtree(place, ignore_errors=True)
        reason = getattr(error, "strerror", None) or error
        raise StorageFault(
            f"cannot write {folder} - {reason} - what was there before is kept"
        ) from error


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        with contextlib.suppress(OSError):
            path.unlink()


class _Writer:
    """The files of one folder, as they are written."""

    def __init__(self, place: Path, tag: str, previous: Path | None) -> None:
        self._place, self._tag, self._previous = place, tag, previous
        self._before: dict[str, Any] = {}
        if previous is not None:
            with contextlib.suppress(
                UserError
            ):  # it is gone, or damaged: everything is written anew
                self._before = read_manifest(previous)
        self.files: dict[str, dict[str, Any]] = {}
        self._groups: dict[str, str] = {}
        self._segments: dict[str, dict[str, Any]] = {}

    def record(self) -> dict[str, Any]:
        """What the manifest has to say about the files."""
        return {"files": self.files, "groups": self._groups, "segments": self._segments}

    def add(self, group: str, arrays: Mapping[str, Array], spans: Mapping[str, Span]) -> None:
        large = {name for name in spans if arrays[name].nbytes > SEGMENT_BYTES}
        small = {
            name: np.asarray(array, order="C")
            for name, array in arrays.items()
            if name not in large
        }
        self._groups[group] = self._write(f"{group}{self._tag}.safetensors", small)
        self._segments[group] = {
            name: self._add_ring(group, name, arrays[name], spans[name]) for name in sorted(large)
        }

    def _add_ring(self, group: str, name: str, array: Array, span: Span) -> dict[str, Any]:
        rows = max(1, SEGMENT_BYTES // array[:1].nbytes)
        before = self._before.get("segments", {}).get(group, {}).get(name)
        changed = _changed(len(array), 0 if before is None else before["stable"], span.written)
        files = []
        for number, start in enumerate(range(0, len(array), rows)):
            part = array[start : start + rows]
            file = f"{group}-{name}-{number:05d}{self._tag}.safetensors"
            kept = (
                before is not None
                and not changed(start, start + len(part))
                and self._link(before["files"][number], file)
            )
            files.append(file if kept else self._write(file, {"rows": np.ascontiguousarray(part)}))
        return {"files": files, "stable": span.stable}

    def _link(self, old: str, new: str) -> bool:
        """Whether a file of the previous checkpoint could be given a second name here; some file systems have no such thing."""
        assert self._previous is not None
        try:
            os.link(self._previous / old, self._place / new, follow_symlinks=False)
        except OSError:
            return False
        self.files[new] = self._before["files"][old]
        return True

    def _write(self, name: str, arrays: dict[str, Array]) -> str:
        data = save(arrays)
        self.files[name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        write_bytes(self._place / name, data)
        return name


def _changed(length: int, since: int, written: int) -> Callable[[int, int], bool]:
    """Whether any of the rows numbered `since` to `written` lies in [start, stop) of a ring of this length."""
    first, last = (
        (0, length)
        if written - since >= length
        else (since % length, since % length + written - since)
    )
    return lambda start, stop: (
        first < last and ((first < stop and start < last) or start < last - length)
    )


def find(
    path: Path, say: Callable[[str], None] | None = None, groups: Collection[str] | None = None
) -> Path:
    """The folder that holds the state: `path` itself, or the newest whole checkpoint of a run folder. Raises `UserError`.

    A checkpoint that is given by its own name is taken as it is. In a run folder a damaged one is passed over, and `say` told.
    `groups`: those that will be read, where not all are; a damaged buffer does not make a policy worse.
    """
    path = pointed(path)
    if path.exists() and not path.is_dir():
        raise UserError(
            f"{path} is {describe_foreign(path)} - give a run folder, a checkpoint or a saved agent"
        )
    if (path / MANIFEST).exists():
        return path
    if not path.is_dir():
        raise UserError(
            f"there is no folder {path} - give a run folder, a checkpoint or a saved agent"
        )
    folders = newest_first(path)
    if not folders:
        if any(path.glob("*.jsonl")) or (path / "checkpoints").is_symlink():
            raise UserError(
                f"{path} holds nothing to load - its checkpoints are gone - restore them from a copy"
            )
        if (path / "config.json").is_file():
            begin = f"wait, or begin it again: --run-dir {quoted(path)}"
            raise UserError(
                f"{path} holds nothing to load - it has saved no checkpoint yet - {begin}"
            )
        if (inside := _run_inside(path)) is not None:
            raise UserError(
                f"{path} is not a run folder - it contains runs - give one of them, such as {inside}"
            )
        raise UserError(
            f"{path} contains nothing to load - it is not a run folder - give a run folder, a checkpoint or a saved agent"
        )
    faults: list[str] = []
    for folder in folders:
        fault = damage(folder, groups)
        if fault is None:
            if faults and say is not None:
                say(
                    f"{faults[0]}\ngoing on with {folder.name}, the newest checkpoint that is whole"
                )
            return folder
        faults.append(fault)
    raise UserError(
        f"{faults[0]}\nno other checkpoint of {path} is whole - restore the folder from a copy"
    )


def _run_inside(path: Path) -> Path | None:
    """The last of the run folders in a folder of runs, such as `runs` or `runs/Pendulum-v1`; None if there is none."""
    levels = ("*", "*/*", "*/*/*", "*/*/*/*")  # runs/ALE/Breakout-v5/ALGORITHM/NNN
    found = (sorted(path.glob(f"{level}/checkpoints")) for level in levels)
    return next((folders[-1].parent for folders in found if folders), None)


def newest_first(run_dir: Path) -> list[Path]:
    """The checkpoints of a run folder. One without a manifest was on its way out, or is none."""
    folders = [
        folder for folder in (run_dir / "checkpoints").glob("step-*") if NAME.fullmatch(folder.name)
    ]
    if (run_dir / "checkpoints").is_symlink():
        return []  # it could lead anywhere
    whole = [
        folder for folder in folders if (folder / MANIFEST).exists() and not folder.is_symlink()
    ]
    return sorted(
        whole,
        key=lambda folder: [int(number) for number in folder.name.split("-")[1:]],
        reverse=True,
    )


def pointed(pointer: Path) -> Path:
    """The checkpoint that a file `LATEST` or `BEST` names; any other path as it is. Raises `UserError`."""
    pointer = user_path(pointer)
    if pointer.name not in POINTERS or not pointer.is_file():
        return pointer
    name = read_file(pointer, 200).decode(errors="replace").strip()
    folder = pointer.parent / name
    if Path(name).name != name or not (folder / MANIFEST).is_file():
        raise UserError(
            f"{pointer} names {name!r} - there is no such checkpoint beside it - give the run folder instead"
        )
    return folder


def damage(folder: Path, groups: Collection[str] | None = None) -> str | None:
    """What is wrong with a checkpoint, in words: every file of these groups, or of all, is compared with the manifest.

    None: it is whole. Raises `NewerFormat`.
    """
    try:
        manifest = read_manifest(folder)
        for name in manifest["files"] if groups is None else _files_of(manifest, groups):
            _require_intact(folder / name, manifest["files"][name], *hash_file(folder / name))
    except NewerFormat:
        raise
    except UserError as error:
        return str(error)
    return None


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a checkpoint, in today's format. Raises `UserError` for a broken one or one of a newer format."""
    return _read_versioned(folder)[0]


def _read_versioned(folder: Path) -> tuple[dict[str, Any], int]:
    """The manifest in today's format, and the format that it was written in."""
    path = folder / MANIFEST
    manifest = read_json(path)
    version = manifest.get("format_version")
    if type(version) is not int or version < 1:
        raise UserError(
            f"{path} is broken - its format_version is {version!r} - restore it from a copy"
        )
    if version > FORMAT_VERSION:
        writer = manifest.get("footlight", "?")
        raise NewerFormat(
            f"{folder} has format {version}, written by footlight {writer!r:.40} - this footlight knows up to {FORMAT_VERSION} - "
            "upgrade footlight"
        )
    if version < FIRST_VERSION:
        raise UserError(
            f"{folder} has format {version}, of a footlight that was never released - train it again"
        )
    if manifest.pop("checksum", None) != _checksum(manifest):
        raise UserError(
            f"{path} is damaged - its checksum does not fit its content - restore it from a copy"
        )
    for older in range(version, FORMAT_VERSION):
        manifest = MIGRATIONS[older](manifest)
    schemas.require(manifest, schemas.Manifest, path)
    for name in manifest["files"]:
        if not _FILE.fullmatch(name):
            raise UserError(
                f"{path} is broken - {name!r} is no name of a file of a checkpoint - restore it from a copy"
            )
    if missing := {*_files_of(manifest, {*manifest["groups"], *manifest["segments"]})} - {
        *manifest["files"]
    }:
        raise UserError(
            f"{path} is broken - {min(missing)!r} has no record - restore it from a copy"
        )
    return manifest, version


def _files_of(manifest: Mapping[str, Any], groups: Collection[str]) -> list[str]:
    whole = [file for group, file in manifest["groups"].items() if group in groups]
    rings = [
        ring
        for group, rings in manifest["segments"].items()
        if group in groups
        for ring in rings.values()
    ]
    return whole + [file for ring in rings for file in ring["files"]]


MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {2: migration.upgrade_manifest}
"""By format: what makes a manifest of it one of the next. A checkpoint is read through all that come after its own."""


def read_arrays(folder: Path, group: str, most_bytes: int = MOST_BYTES) -> dict[str, Any]:
    """The arrays of one group, each file checked against the manifest; `Segments` for those that lie in several files.

    `most_bytes`: of all arrays together, but for segments, as far as that is known. Raises `UserError`.
    """
    manifest, version = _read_versioned(folder)
    if group not in manifest["groups"]:
        raise UserError(
            f"{folder} has no {group} - it is no checkpoint that this can be read from - give another"
        )
    records = manifest["files"]
    arrays: dict[str, Any] = _read(
        folder / manifest["groups"][group], records, most_bytes + HEADER_BYTES
    )
    if version < 3:
        arrays = migration.upgrade_arrays(arrays, group, manifest["algorithm"])
    segments = manifest["segments"].get(group, {})
    return arrays | {
        name: Segments(folder, ring["files"], records) for name, ring in segments.items()
    }


def _read(path: Path, records: Mapping[str, Any], most_bytes: int) -> dict[str, Array]:
    record = records[path.name]
    data = read_file(path, min(record["bytes"], most_bytes))
    _require_intact(path, record, len(data), hashlib.sha256(data).hexdigest())
    try:
        return dict(load(data))
    except (KeyError, ValueError, TypeError, SafetensorError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(
            f"{path} cannot be read - {type(error).__name__}: {error} - restore it from a copy"
        ) from error


def _require_intact(path: Path, record: Mapping[str, Any], size: int, sha256: str) -> None:
    """Raise `UserError` where a file of this size and hash is not the one in the manifest."""
    if size != record["bytes"]:
        raise UserError(
            f"{path} is damaged - it has {size:,} bytes, not {record['bytes']:,} - restore it from a copy"
        )
    if sha256 != record["sha256"]:
        raise UserError(
            f"{path} is damaged - its SHA-256 is not the one in the manifest - restore it from a copy"
        )


@contextlib.contextmanager
def fitting(folder: Path) -> Iterator[None]:
    """Raise `UserError` for what, in the context, turns out to lack something or to have another form than it should."""
    try:
        yield
    except UserError:
        raise
    except (
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        ArithmeticError,
        MemoryError,
        RuntimeError,
    ) as error:
        raise UserError(
            f"{folder} does not fit together - {type(error).__name__}: {error} - restore it from a copy"
        ) from error


def copy_into(target: Mapping[str, Array], saved: Mapping[str, Array], folder: Path) -> None:
    """Fill the arrays of `target` in place. Raises `UserError` before anything is changed if names, shapes or dtypes differ."""
    for name in {**target, **saved}:
        mine, theirs = target.get(name), saved.get(name)
        if (
            mine is None
            or theirs is None
            or mine.shape != theirs.shape
            or mine.dtype != theirs.dtype
        ):
            shown = [
                f"{a.dtype}{list(a.shape)}" if a is not None else "missing" for a in (theirs, mine)
            ]
            raise UserError(
                f"{folder}: {name} is {shown[0]} - this agent wants {shown[1]} - give the folder that belongs to it"
            )
    for name, array in target.items():
        array[...] = saved[name]


def _checksum(content: Mapping[str, Any]) -> str:
    """SHA-256 of a manifest without its checksum, however it is laid out."""
    return hashlib.sha256(
        json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    ).hexdigest()
