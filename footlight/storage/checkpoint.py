"""Checkpoints: a state as a folder, and back. Tensors are safetensors, everything else is JSON.

Nothing is ever unpickled. A new folder is written under a temporary name, flushed to the disk and
renamed when it is complete, so that no reader sees a partial one. A folder that already exists gets
its new files beside the old ones until its manifest is replaced. The manifest's content is covered
by its own checksum, and every file by a SHA-256 in the manifest.
"""

import contextlib
import hashlib
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.numpy import load

from footlight.config.suggestions import closest
from footlight.errors import RemoteError, UserError, quoted
from footlight.storage import migration
from footlight.storage.files import (
    MAX_BYTES,
    describe_foreign,
    hash_file,
    read_file,
    user_path,
)
from footlight.storage.manifest import (
    FORMAT_VERSION,
    MANIFEST,
    NewerFormat,
    files_of,
    read_manifest,
    read_versioned,
)
from footlight.storage.writer import RingPosition, write
from footlight.trees import Leaf, packed, record_dtype
from footlight.types import Array

__all__ = [
    "FORMAT_VERSION",
    "MANIFEST",
    "NAME",
    "NewerFormat",
    "RingPosition",
    "Segments",
    "as_user_error",
    "copy_into",
    "damage",
    "find",
    "newest_first",
    "read_arrays",
    "read_manifest",
    "resolve_pointer",
    "write",
]

POINTERS = ("LATEST", "BEST")  # files beside the checkpoints of a run that name one of them
NAME = re.compile(r"step-\d{9,}(-\d+)?")  # the second number if a step was saved again
HEADER_BYTES = 1 << 20  # limit for the names and shapes of the arrays in a file
_FOLDERS = "give a run folder, a checkpoint or a saved agent"


class Segments:
    """The rows of a large array stored in several files, read and verified one after the other."""

    def __init__(self, folder: Path, files: list[str], digests: Mapping[str, Any]) -> None:
        self._folder, self._files, self._digests = folder, files, digests

    def __iter__(self) -> Iterator[Array]:
        """Yield the rows, in order. Raises `UserError`."""
        for name in self._files:
            yield _read(self._folder / name, self._digests, MAX_BYTES)["rows"]


def _similar(path: Path) -> str:
    """Suggest a neighbor of a path that does not exist, such as LATEST for LAST; nothing for a
    number, which is not a misspelling of another one."""
    if path.name.isdigit():
        return ""
    with contextlib.suppress(OSError):
        return closest(path.name, (each.name for each in path.parent.iterdir()))
    return ""


def find(
    path: Path,
    notify: Callable[[str], None] | None = None,
    groups: Collection[str] | None = None,
) -> Path:
    """Return the folder that holds the state: `path`, or a run folder's newest intact checkpoint.

    A checkpoint given by its own name is returned as it is. In a run folder damaged ones are
    skipped, with a message to `notify`.
    groups: those that will be read; None: all. A damaged buffer does not affect a policy.
    Raises `UserError`.
    """
    path = resolve_pointer(path)
    if path.exists() and not path.is_dir():
        raise UserError(f"{path} is {describe_foreign(path)} - {_FOLDERS}")
    if (path / MANIFEST).exists():
        return path
    if not path.is_dir():
        raise UserError(f"there is no folder {path}{_similar(path) or f' - {_FOLDERS}'}")
    folders = newest_first(path)
    if not folders:
        raise UserError(_explain_missing(path))
    faults: list[str] = []
    for folder in folders:
        fault = damage(folder, groups)
        if fault is None:
            if faults and notify is not None:
                notify(f"{faults[0]}\nusing {folder.name}, the newest intact checkpoint")
            return folder
        faults.append(fault)
    raise UserError(
        f"{faults[0]}\nno other checkpoint of {path} is intact - restore the folder from a copy"
    )


def _explain_missing(path: Path) -> str:
    """Explain why a folder has no checkpoint, and what to do."""
    if any(path.glob("*.jsonl")) or (path / "checkpoints").is_symlink():
        return f"{path} has nothing to load - its checkpoints are gone - restore them from a copy"
    if (path / "config.json").is_file():
        remedy = f"wait, or start it again: --run-dir {quoted(path)}"
        return f"{path} has nothing to load - it has saved no checkpoint yet - {remedy}"
    if (inside := run_inside(path)) is not None:
        return f"{path} is not a run folder - it contains runs - give one of them, such as {inside}"
    return f"{path} has nothing to load - it is not a run folder - {_FOLDERS}"


def run_inside(path: Path) -> Path | None:
    """The last run folder in a folder of runs such as `runs/Pendulum-v1`; None without one."""
    levels = ("*", "*/*", "*/*/*", "*/*/*/*")  # runs/ALE/Breakout-v5/ALGORITHM/NNN
    found = (sorted(path.glob(f"{level}/checkpoints")) for level in levels)
    return next((folders[-1].parent for folders in found if folders), None)


def newest_first(run_dir: Path) -> list[Path]:
    """The checkpoints of a run folder. One without a manifest was being removed."""
    if (run_dir / "checkpoints").is_symlink():
        return []  # it could lead anywhere
    found = [
        folder
        for folder in (run_dir / "checkpoints").glob("step-*")
        if NAME.fullmatch(folder.name) and (folder / MANIFEST).exists() and not folder.is_symlink()
    ]
    numbers = {folder: [int(number) for number in folder.name.split("-")[1:]] for folder in found}
    return sorted(found, key=lambda folder: numbers[folder], reverse=True)


def resolve_pointer(pointer: Path) -> Path:
    """The checkpoint that a file `LATEST` or `BEST` names; any other path unchanged.

    Raises `UserError`.
    """
    pointer = user_path(pointer)
    if pointer.name not in POINTERS or not pointer.is_file():
        return pointer
    name = read_file(pointer, 200).decode(errors="replace").strip()
    folder = pointer.parent / name
    if Path(name).name != name or not (folder / MANIFEST).is_file():
        raise UserError(
            f"{pointer} names {name!r} - there is no such checkpoint beside it - "
            "give the run folder instead"
        )
    return folder


def damage(folder: Path, groups: Collection[str] | None = None) -> str | None:
    """Describe the damage of a checkpoint; None if it is intact.

    Every file of these groups, or of all, is compared with the manifest. Raises `NewerFormat`.
    """
    try:
        manifest = read_manifest(folder)
        for name in manifest["files"] if groups is None else files_of(manifest, groups):
            _require_intact(folder / name, manifest["files"][name], *hash_file(folder / name))
    except NewerFormat:
        raise
    except UserError as error:
        return str(error)
    return None


def read_arrays(folder: Path, group: str, max_bytes: int = MAX_BYTES) -> dict[str, Any]:
    """Read the arrays of one group, each file verified against the manifest.

    Arrays stored in several files are returned as `Segments`, records with such a leaf as a dict.
    max_bytes: limit for all arrays together, except segments. Raises `UserError`.
    """
    manifest, version = read_versioned(folder)
    if group not in manifest["groups"]:
        if group == "buffer":
            raise UserError(
                f"{folder} has no replay buffer - `footlight clean` has removed it - start a new "
                "run from its networks with --init-from"
            )
        raise UserError(
            f"{folder} has no {group} - this cannot be read from it - give another checkpoint"
        )
    digests = manifest["files"]
    file = folder / manifest["groups"][group]
    arrays: dict[str, Any] = _read(file, digests, max_bytes + HEADER_BYTES)
    if version < 3:
        arrays = migration.upgrade_arrays(arrays, group, manifest["algorithm"])
    segments = manifest["segments"].get(group, {})
    arrays |= {name: Segments(folder, ring["files"], digests) for name, ring in segments.items()}
    if records := manifest.get("records", {}).get(group):
        with as_user_error(folder):
            return _joined(arrays, records)
    return arrays


def _joined(arrays: dict[str, Any], records: Mapping[str, Any]) -> dict[str, Any]:
    """Join the leaves of records; those of which one is stored in several files stay a dict."""
    joined = dict(arrays)
    for name, entry in records.items():
        leaves = {leaf: joined.pop(f"{name}.{leaf}") for leaf in entry["leaves"]}
        joined[name] = leaves
        if not any(isinstance(each, Segments) for each in leaves.values()):
            axes = entry["axes"]
            shapes = {
                leaf: Leaf(shape=each.shape[axes:], dtype=str(each.dtype))
                for leaf, each in leaves.items()
            }
            lead = next(iter(leaves.values())).shape[:axes]
            joined[name] = packed(leaves, record_dtype(shapes), lead)
    return joined


def _read(path: Path, digests: Mapping[str, Any], max_bytes: int) -> dict[str, Array]:
    digest = digests[path.name]
    data = read_file(path, min(digest["bytes"], max_bytes))
    _require_intact(path, digest, len(data), hashlib.sha256(data).hexdigest())
    try:
        return dict(load(data))
    except (KeyError, ValueError, TypeError, SafetensorError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise UserError(f"{path} cannot be read - {reason} - restore it from a copy") from error


def _require_intact(path: Path, digest: Mapping[str, Any], size: int, sha256: str) -> None:
    """Raise `UserError` if a file of this size and hash is not the one in the manifest."""
    if size != digest["bytes"]:
        raise UserError(
            f"{path} is damaged - it has {size:,} bytes instead of {digest['bytes']:,} - "
            "restore it from a copy"
        )
    if sha256 != digest["sha256"]:
        raise UserError(
            f"{path} is damaged - its SHA-256 differs from the one in the manifest - "
            "restore it from a copy"
        )


@contextlib.contextmanager
def as_user_error(folder: Path) -> Iterator[None]:
    """Turn malformed-data errors raised in the block into `UserError`."""
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
        RemoteError,
    ) as error:
        reason = f"{type(error).__name__}: {error}"
        raise UserError(f"{folder} is inconsistent - {reason} - restore it from a copy") from error


def copy_into(target: Mapping[str, Array], saved: Mapping[str, Array], folder: Path) -> None:
    """Copy saved arrays into those of `target`, in place.

    Raises `UserError`, before anything is changed, if names, shapes or dtypes differ.
    """
    for name in {**target, **saved}:
        wanted, found = (_signature(arrays.get(name)) for arrays in (target, saved))
        if found != wanted or "missing" in (found, wanted):
            raise UserError(
                f"{folder}: {name} is {found} - this agent needs {wanted} - "
                "give the folder that belongs to it"
            )
    for name, array in target.items():
        array[...] = saved[name]


def _signature(array: Array | None) -> str:
    return "missing" if array is None else f"{array.dtype}{list(array.shape)}"
