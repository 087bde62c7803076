"""Write a checkpoint: one file per group of arrays, large rings in segments, the manifest last."""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save

from footlight.errors import StorageFault, UserError
from footlight.storage.files import replace_text, write_bytes
from footlight.storage.manifest import (
    FORMAT_VERSION,
    MANIFEST,
    checksum,
    files_of,
    read_manifest,
    read_versioned,
)
from footlight.storage.system import flush_folder, link
from footlight.trees import leaves_of
from footlight.types import Array

SEGMENT_BYTES = 16 << 20  # of a ring in one file; a smaller ring is one file


class RingPosition(NamedTuple):
    """The position of a ring buffer of rows, counted from the start of the run.

    Row n is at n % (rows of the ring).
    """

    stable: int
    """Rows before it will not change until they are overwritten."""
    written: int
    """Number of rows ever written."""


def write(
    folder: Path, groups: Mapping[str, Mapping[str, Array]], manifest: Mapping[str, Any],
    rings: Mapping[str, Mapping[str, RingPosition]] | None = None, previous: Path | None = None,
) -> None:  # fmt: skip
    """Write `groups` of named arrays, one file `GROUP.safetensors` each, and the manifest.

    rings: by group and name, the arrays that are rings of rows. Large ones are written in segments,
    and segments in which nothing has changed since `previous`, an earlier checkpoint of the same
    run, are linked instead of written again.
    Raises `StorageFault`.
    """
    exists = (folder / MANIFEST).is_file()
    place = folder if exists else folder.with_name(f".{folder.name}.tmp")
    # A tag keeps the new files beside those of the manifest that is still in force.
    writer = _Writer(place, f"-{os.urandom(4).hex()}" if exists else "", previous)
    try:
        if not exists:
            shutil.rmtree(place, ignore_errors=True)  # left by a process that was killed
            place.mkdir()
        for group, arrays in groups.items():
            writer.add(group, arrays, (rings or {}).get(group, {}))
        content = {"format_version": FORMAT_VERSION, **manifest, **writer.manifest_entries()}
        text = json.dumps({**content, "checksum": checksum(content)}, indent=1, allow_nan=False)
        if exists:
            flush_folder(place)
            replace_text(place / MANIFEST, text)
            return _remove(
                path for path in place.glob("*.safetensors") if path.name not in writer.files
            )
        write_bytes(place / MANIFEST, text.encode())
        flush_folder(place)
        place.rename(folder)
        flush_folder(folder.parent)
    except (OSError, SafetensorError, StorageFault) as error:
        if exists:
            _remove(place / name for name in writer.files)
        else:
            shutil.rmtree(place, ignore_errors=True)
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise StorageFault(
            f"cannot write {folder} - {reason} - the previous content is kept"
        ) from error


def remove_group(folder: Path, group: str) -> None:
    """Remove a group of arrays from a checkpoint, which keeps the others.

    A kill leaves the checkpoint with the group or without it, and perhaps files that no manifest
    names. Raises `UserError` for another format and for a damaged manifest, and `StorageFault`.
    """
    manifest, version = read_versioned(folder)
    if version != FORMAT_VERSION:  # the arrays of which have other names
        raise UserError(f"{folder} has format {version} - it cannot be changed - leave it as it is")
    kept = {*manifest["groups"], *manifest["segments"]} - {group}
    removed = {*files_of(manifest, {group})} - {*files_of(manifest, kept)}
    content = dict(manifest)
    for key, names in (("groups", {group}), ("segments", {group}), ("files", removed)):
        content[key] = {name: each for name, each in manifest[key].items() if name not in names}
    if records := {k: v for k, v in content.pop("records", {}).items() if k != group}:
        content["records"] = records
    text = json.dumps({**content, "checksum": checksum(content)}, indent=1, allow_nan=False)
    replace_text(folder / MANIFEST, text)
    _remove(folder / name for name in removed)


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        with contextlib.suppress(OSError):
            path.unlink()


class _Writer:
    """The files of one folder as they are written."""

    def __init__(self, place: Path, tag: str, previous: Path | None) -> None:
        self._place, self._tag, self._previous = place, tag, previous
        self._old_manifest: dict[str, Any] = {}
        if previous is not None:
            with contextlib.suppress(UserError):  # missing or damaged: everything is written again
                self._old_manifest = read_manifest(previous)
        self.files: dict[str, dict[str, Any]] = {}
        self._groups: dict[str, str] = {}
        self._segments: dict[str, dict[str, Any]] = {}
        self._records: dict[str, dict[str, Any]] = {}

    def manifest_entries(self) -> dict[str, Any]:
        """The entries of the manifest that describe the files."""
        found = {"files": self.files, "groups": self._groups, "segments": self._segments}
        return found | ({"records": self._records} if self._records else {})

    def add(
        self, group: str, arrays: Mapping[str, Array], rings: Mapping[str, RingPosition]
    ) -> None:
        records = {name: array for name, array in arrays.items() if array.dtype.names is not None}
        labels = {name: name for name in rings}  # of their files; leaves have names of any kind
        if records:  # are written leaf by leaf
            self._records[group] = {
                name: {"leaves": [*leaves_of(array)], "axes": array.ndim}
                for name, array in records.items()
            }
            labels = {
                f"{name}.{leaf}" if name in records else name: f"{name}.{index}"
                for name in rings
                for index, leaf in enumerate(leaves_of(arrays[name]))
            }
            arrays, rings = _by_leaf(arrays, dict(arrays)), _by_leaf(arrays, dict(rings))
        large = {name for name in rings if arrays[name].nbytes > SEGMENT_BYTES}
        small = {
            name: np.asarray(array, order="C")
            for name, array in arrays.items()
            if name not in large
        }
        self._groups[group] = self._write(f"{group}{self._tag}.safetensors", small)
        self._segments[group] = {
            name: self._add_ring(group, name, arrays[name], rings[name], labels[name])
            for name in sorted(large)
        }

    def _add_ring(
        self, group: str, name: str, array: Array, position: RingPosition, label: str
    ) -> dict[str, Any]:
        rows = max(1, SEGMENT_BYTES // array[:1].nbytes)
        old = self._old_manifest.get("segments", {}).get(group, {}).get(name)
        old_stable = 0 if old is None else old["stable"]
        has_changed = _change_detector(len(array), old_stable, position.written)
        files = []
        for number, start in enumerate(range(0, len(array), rows)):
            part = array[start : start + rows]
            file = f"{group}-{label}-{number:05d}{self._tag}.safetensors"
            is_linked = (
                old is not None
                and not has_changed(start, start + len(part))
                and self._link(old["files"][number], file)
            )
            files.append(
                file if is_linked else self._write(file, {"rows": np.ascontiguousarray(part)})
            )
        return {"files": files, "stable": position.stable}

    def _link(self, old: str, new: str) -> bool:
        """Hard-link a file of the previous checkpoint; False if the file system cannot."""
        assert self._previous is not None
        try:
            link(self._previous / old, self._place / new)
        except OSError:
            return False
        self.files[new] = self._old_manifest["files"][old]
        return True

    def _write(self, name: str, arrays: dict[str, Array]) -> str:
        data = save(arrays)
        self.files[name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        write_bytes(self._place / name, data)
        return name


def _by_leaf(arrays: Mapping[str, Array], values: Mapping[str, Any]) -> dict[str, Any]:
    """The values by the names of arrays, where records become one for each of their leaves: arrays
    their leaves, anything else a copy for each."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        for leaf in leaves_of(arrays[name]):
            is_array = leaf and isinstance(value, np.ndarray)
            found[f"{name}.{leaf}" if leaf else name] = value[leaf] if is_array else value
    return found


def _change_detector(length: int, since: int, written: int) -> Callable[[int, int], bool]:
    """Return a test whether any of the rows `since` to `written` is in [start, stop) of a ring."""
    first, last = 0, length
    if written - since < length:
        first = since % length
        last = first + written - since
    return lambda start, stop: (
        first < last and ((first < stop and start < last) or start < last - length)
    )
