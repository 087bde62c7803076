"""Available memory and disk space, checked before a buffer is allocated."""

import contextlib
import errno
import mmap
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from footlight.errors import UserError
from footlight.machine import format_bytes, num_runs
from footlight.storage.files import user_path
from footlight.trees import leaves_of
from footlight.types import Array

_CGROUP = Path("/sys/fs/cgroup")
_OWN_GROUPS = Path("/proc/self/cgroup")
# Control groups' files of limit and usage, and the key in memory.stat of what the kernel can
# reclaim
_VERSION_2 = ("memory.max", "memory.current", "inactive_file")
_VERSION_1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def available_bytes() -> int | None:
    """Memory that this process may still allocate; None if unknown.

    The system's free memory, or less if a control group limits it; of several runs beside each
    other, each may have its share.
    """
    known = [limit for limit in (_meminfo(), *_cgroups()) if limit is not None]
    return min(known) // num_runs() if known else None


def require_bytes(
    wanted: int, capacity: int, bytes_per_item: int, name: str = "buffer_size"
) -> None:
    """Raise `UserError`, which names the largest buffer that fits, if `wanted` bytes do not fit."""
    free = available_bytes()
    if free is not None and wanted > free:
        needs = f"{name} {capacity:,} needs {format_bytes(wanted)}"
        raise UserError(_too_large(needs, free, bytes_per_item))


def fill(target: Array, saved: Any) -> None:
    """Overwrite all of `target` with saved rows.

    `saved` is an array, an iterator over its consecutive parts, or a mapping of either by the
    leaves of records. Raises `ValueError` if dtype, shape or number of rows differ.
    """
    if isinstance(saved, Mapping):
        leaves = leaves_of(target)
        if leaves.keys() != saved.keys():
            raise ValueError(f"leaves {[*saved]} were saved, expected {[*leaves]}")
        for name, leaf in leaves.items():
            fill(leaf, saved[name])
        return
    start = 0
    for part in (saved,) if isinstance(saved, np.ndarray) else saved:
        place = target if part is saved else target[start : start + len(part)]
        if place.shape != part.shape or place.dtype != part.dtype:
            raise ValueError(
                f"{part.dtype}{list(part.shape)} was saved, "
                f"expected {place.dtype}{list(place.shape)}"
            )
        place[...] = part
        start += len(part) if part.ndim else 0
    if not isinstance(saved, np.ndarray) and start < len(target):
        raise ValueError(f"{start} rows were saved, expected {len(target)}")


def map_disk(folder: str, wanted: int, capacity: int, bytes_per_item: int) -> Array:
    """Map `wanted` zero bytes, uint8, on the disk of `folder`.

    They are in an unnamed file that disappears when the process ends. Raises `UserError`, which
    names the largest buffer that fits, if they do not fit.
    """
    folder = str(user_path(folder))
    if not Path(folder).is_dir():
        raise UserError(
            f"buffer_dir is {folder} - there is no such folder - create it, or name another one"
        )
    free = shutil.disk_usage(folder).free
    if wanted > free:
        needs = f"buffer_size {capacity:,} needs {format_bytes(wanted)} on the disk of {folder}"
        raise UserError(_too_large(needs, free, bytes_per_item))
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.truncate(wanted)
            _reserve(file.fileno(), wanted)
            return np.frombuffer(mmap.mmap(file.fileno(), wanted), np.uint8)
    except OSError as error:
        raise UserError(
            f"buffer_dir {folder} cannot hold {format_bytes(wanted)} - {error.strerror} - "
            "name another one"
        ) from error


def _reserve(descriptor: int, size: int) -> None:
    """Allocate the blocks on disk now.

    Writing to mapped memory on a full disk would kill the process, without an error to catch.
    """
    if not hasattr(os, "posix_fallocate"):
        return
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        # Not every file system supports it
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
            raise


def _too_large(needs: str, free: int, bytes_per_item: int) -> str:
    fits = max(0, int(free * 0.9) // max(bytes_per_item, 1))
    return f"{needs} - {format_bytes(free)} are free - the largest that fits is about {fits:,}"


def _meminfo() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    return next(
        (int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None
    )


def _cgroups() -> Iterator[int | None]:
    """Yield the free memory in this process's control group and in each enclosing one.

    Up to the root, since any of them may have a limit.
    """
    # Paths of this process's groups: "" in version 2, and the memory controller of version 1
    own = {"": "/", "memory": "/"}
    with contextlib.suppress(OSError):
        lines = _OWN_GROUPS.read_text().splitlines()
        own |= {names: path for _, names, path in (line.split(":", 2) for line in lines)}
    hierarchies = (
        (_CGROUP, own[""], _VERSION_2),
        (_CGROUP / "memory", own["memory"], _VERSION_1),
    )
    for root, path, names in hierarchies:
        inside = Path(path.lstrip("/"))
        for group in (inside, *inside.parents):
            yield _cgroup(root / group, *names)


def _cgroup(group: Path, limit_file: str, usage_file: str, reclaimable: str) -> int | None:
    try:
        limit, usage = ((group / name).read_text().strip() for name in (limit_file, usage_file))
    except OSError:
        return None
    if not limit.isdigit():
        return None
    try:  # cached pages of files count as used, but the kernel can reclaim them
        statistics = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    except OSError:
        statistics = {}
    return max(0, int(limit) - int(usage) + int(statistics.get(reclaimable, 0)))
