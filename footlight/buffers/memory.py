"""How much memory and disk there is, and what a buffer would take: known before anything is built."""

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
from footlight.machine import format_bytes
from footlight.storage.files import user_path
from footlight.trees import leaves_of
from footlight.types import Array

_CGROUP = Path("/sys/fs/cgroup")
_OWN_GROUPS = Path("/proc/self/cgroup")
_VERSION_2 = (
    "memory.max",
    "memory.current",
    "inactive_file",
)  # limit, usage, and what of it the kernel gives back
_VERSION_1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def available_bytes() -> int | None:
    """Memory that this process may still take: the system's, or less where a control group limits it; None if unknown."""
    known = [limit for limit in (_meminfo(), *_cgroups()) if limit is not None]
    return min(known) if known else None


def require_bytes(
    wanted: int, capacity: int, bytes_per_item: int, name: str = "buffer_size"
) -> None:
    """Raise `UserError` with the largest buffer that fits where `wanted` bytes do not."""
    free = available_bytes()
    if free is not None and wanted > free:
        raise UserError(
            _too_large(f"{name} {capacity:,} needs {format_bytes(wanted)}", free, bytes_per_item)
        )


def fill(target: Array, saved: Any) -> None:
    """Copy saved rows over all of `target`. `saved` is an array, or gives its parts one after the
    other, or is a mapping of such to the leaves of records.

    Raises `ValueError` where dtype, shape or number of rows are others.
    """
    if isinstance(saved, Mapping):
        leaves = leaves_of(target)
        if leaves.keys() != saved.keys():
            raise ValueError(f"leaves {[*saved]} were saved where {[*leaves]} are wanted")
        for name, leaf in leaves.items():
            fill(leaf, saved[name])
        return
    start = 0
    for part in (saved,) if isinstance(saved, np.ndarray) else saved:
        place = target if part is saved else target[start : start + len(part)]
        if place.shape != part.shape or place.dtype != part.dtype:
            raise ValueError(
                f"{part.dtype}{list(part.shape)} was saved where {place.dtype}{list(place.shape)} is wanted"
            )
        place[...] = part
        start += len(part) if part.ndim else 0
    if not isinstance(saved, np.ndarray) and start < len(target):
        raise ValueError(f"{start} rows were saved where {len(target)} are wanted")


def map_disk(folder: str, wanted: int, capacity: int, bytes_per_item: int) -> Array:
    """`wanted` zero bytes, uint8, on the disk of `folder`, in a file without a name that is gone when the process ends.

    Raises `UserError` with the largest buffer that fits where they do not.
    """
    folder = str(user_path(folder))
    if not Path(folder).is_dir():
        raise UserError(
            f"buffer_dir is {folder} - there is no such folder - make it, or name another one"
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
            f"buffer_dir {folder} cannot hold {format_bytes(wanted)} - {error.strerror} - name another one"
        ) from error


def _reserve(descriptor: int, size: int) -> None:
    """Take the blocks now: a disk that is full later kills a process that writes to mapped memory, with no error to catch."""
    if not hasattr(os, "posix_fallocate"):
        return
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):  # file systems that cannot
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
    """What is free in this process's own group and in each one around it, up to the root: any of them may have a limit."""
    own = {"": "/", "memory": "/"}  # where version 2 and the memory of version 1 have this process
    with contextlib.suppress(OSError):
        own |= {
            names: path
            for _, names, path in (
                line.split(":", 2) for line in _OWN_GROUPS.read_text().splitlines()
            )
        }
    for root, path, names in (
        (_CGROUP, own[""], _VERSION_2),
        (_CGROUP / "memory", own["memory"], _VERSION_1),
    ):
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
    try:  # pages of files count as used, but the kernel gives them back
        statistics = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    except OSError:
        statistics = {}
    return max(0, int(limit) - int(usage) + int(statistics.get(reclaimable, 0)))
