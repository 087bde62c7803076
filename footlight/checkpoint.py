"""A state -> a folder -> the same state. Tensors are safetensors, everything else is strict JSON; nothing is ever unpickled.

A folder is written under another name, flushed to the disk, and renamed when it is whole: no reader ever sees half of one.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save_file

from footlight.errors import StorageFault, UserError
from footlight.types import Array

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
_DTYPES = {
    "BOOL": "?", "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4", "U64": "<u8", "I64": "<i8",
    "F16": "<f2", "F32": "<f4", "F64": "<f8",
}  # fmt: skip


def write(folder: Path, groups: Mapping[str, Mapping[str, Array]], manifest: Mapping[str, Any]) -> None:
    """Write `groups` of named arrays, one file `GROUP.safetensors` each, and the manifest. Raises `StorageFault`."""
    temporary, old = (folder.with_name(f".{folder.name}.{os.getpid()}.{end}") for end in ("tmp", "old"))
    try:
        shutil.rmtree(temporary, ignore_errors=True)  # of a process of this number that was killed
        temporary.mkdir(parents=True)
        files = {}
        for group, arrays in groups.items():
            path = temporary / f"{group}.safetensors"
            save_file({name: np.asarray(array, order="C") for name, array in arrays.items()}, path)
            files[path.name] = {"bytes": path.stat().st_size, "sha256": _sha256(path)}
            _flush(path)
        text = json.dumps({"format_version": FORMAT_VERSION, **manifest, "files": files}, indent=1, allow_nan=False)
        write_text(temporary / MANIFEST, text)
        _flush(temporary)
        if folder.exists():
            folder.rename(old)
        temporary.rename(folder)
        _flush(folder.parent)
        shutil.rmtree(old, ignore_errors=True)
    except (OSError, SafetensorError, StorageFault) as error:
        if old.exists() and not folder.exists():
            old.rename(folder)
        shutil.rmtree(temporary, ignore_errors=True)
        reason = getattr(error, "strerror", None) or error
        raise StorageFault(f"cannot write {folder} - {reason} - what was there before is kept") from error


def write_text(path: Path, text: str) -> None:
    """Replace a small file as a whole: a reader finds the old one or the new one. Raises `StorageFault`."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text)
        _flush(temporary)
        temporary.replace(path)
        _flush(path.parent)
    except OSError as error:
        raise StorageFault(f"cannot write {path} - {error.strerror} - free some space") from error


def find(path: Path) -> Path:
    """The folder that holds the state: `path` itself, or the newest checkpoint of a run folder. Raises `UserError`."""
    if (path / MANIFEST).is_file():
        return path
    if not path.is_dir():
        raise UserError(f"there is no folder {path} - give a run folder, a checkpoint or a saved agent")
    pointer = path / "checkpoints" / "LATEST"
    if not pointer.is_file():
        kind = "the run has saved no checkpoint yet" if (path / "config.json").is_file() else "it is no run folder"
        raise UserError(f"{path} holds nothing to load - {kind} - give a run folder, a checkpoint or a saved agent")
    name = pointer.read_text().strip()
    folder = path / "checkpoints" / name
    if Path(name).name != name or not (folder / MANIFEST).is_file():
        raise UserError(f"{pointer} names {name!r} - there is no such checkpoint beside it")
    return folder


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a checkpoint. Raises `UserError` for a broken one or one of a newer format."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        version = int(manifest["format_version"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder / MANIFEST} cannot be read - {type(error).__name__}: {error}") from error
    if version > FORMAT_VERSION:
        raise UserError(f"{folder} has format {version} - this footlight knows up to {FORMAT_VERSION} - upgrade footlight")
    return dict(manifest)


def read_arrays(folder: Path, group: str, mapped: bool = False) -> dict[str, Array]:
    """One file of a checkpoint, after its hash was checked. Raises `UserError`.

    `mapped`: as read-only views of the file, for what may be too large to be in memory twice.
    """
    path = folder / f"{group}.safetensors"
    try:
        recorded = read_manifest(folder)["files"][path.name]["sha256"]
        if _sha256(path) != recorded:
            raise UserError(f"{path} is damaged - its SHA-256 is not the one in the manifest")
        return _mapped(path) if mapped else dict(load_file(path))
    except (OSError, KeyError, ValueError, SafetensorError) as error:
        raise UserError(f"{path} cannot be read - {type(error).__name__}: {error}") from error


def _mapped(path: Path) -> dict[str, Array]:
    """The arrays of a safetensors file: the length of a header in 8 bytes, the header in JSON, the numbers."""
    with safe_open(path, "numpy"):  # checks that the header and the file fit
        pass
    whole = np.memmap(path, np.uint8, "r")
    start = 8 + int.from_bytes(whole[:8].tobytes(), "little")
    header = json.loads(whole[8:start].tobytes())
    arrays = {}
    for name, entry in header.items():
        if name != "__metadata__":
            low, high = entry["data_offsets"]
            arrays[name] = whole[start + low : start + high].view(_DTYPES[entry["dtype"]]).reshape(entry["shape"])
    return arrays


def copy_into(target: Mapping[str, Array], saved: Mapping[str, Array], folder: Path) -> None:
    """Fill the arrays of `target` in place. Raises `UserError` before anything is changed if names, shapes or dtypes differ."""
    for name in {**target, **saved}:
        mine, theirs = target.get(name), saved.get(name)
        if mine is None or theirs is None or mine.shape != theirs.shape or mine.dtype != theirs.dtype:
            shown = [f"{a.dtype}{list(a.shape)}" if a is not None else "missing" for a in (theirs, mine)]
            raise UserError(f"{folder}: {name} is {shown[0]} - this agent wants {shown[1]}")
    for name, array in target.items():
        array[...] = saved[name]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
