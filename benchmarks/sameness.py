"""Bitwise comparison of two runs: arrays and counters of their last checkpoints, and their logs."""

import contextlib
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from footlight.storage import checkpoint

GROUPS = ("policy", "agent", "buffer", "environments")
LOGS = ("metrics", "episodes", "evaluations", "histograms")
CLOCKS = {"seconds", "steps_per_second", "time_s"}
STORAGE = {"files", "groups", "segments", "checksum", "logs", "log_bytes", "machine"}
"""Keys of a manifest that may differ: file names, and digests of files that contain times."""


def arrays(folder: Path) -> dict[str, np.ndarray]:
    """Every array of a checkpoint, by group and name. Raises `UserError` where one is damaged."""
    return {
        f"{group}/{name}": array
        for group in GROUPS
        for name, array in sorted(checkpoint.read_arrays(folder, group).items())
    }


def counters(folder: Path) -> dict[str, Any]:
    """What else a checkpoint holds: its manifest, by dotted name, without clocks and `STORAGE`."""
    manifest = checkpoint.read_manifest(folder)
    return dict(_flat({name: value for name, value in manifest.items() if name not in STORAGE}))


def digest(folder: Path) -> str:
    """SHA-256 of a checkpoint's arrays (name, dtype, shape, bytes) and counters."""
    sha = hashlib.sha256()
    for name, array in arrays(folder).items():
        sha.update(
            f"{name} {array.dtype.str} {array.shape}\n".encode()
            + np.ascontiguousarray(array).tobytes()
        )
    sha.update(json.dumps(counters(folder), sort_keys=True).encode())
    return sha.hexdigest()


def differences(one: Path, other: Path) -> list[str]:
    """What differs between two run folders, a line each; none where they are the same run."""
    found = [
        f"{name}.jsonl: {line}" for name in LOGS for line in _log_differences(one, other, name)
    ]
    for name in ("result.json", "config.json"):
        pair = [dict(_flat(json.loads((run / name).read_text()))) for run in (one, other)]
        found += [f"{name}: {line}" for line in _field_differences(*pair)]
    folders = checkpoint.find(one), checkpoint.find(other)
    found += [f"manifest.json: {line}" for line in _field_differences(*map(counters, folders))]
    mine, theirs = map(arrays, folders)
    for name in sorted({**mine, **theirs}):
        a, b = mine.get(name), theirs.get(name)
        if a is None or b is None or (a.dtype, a.shape) != (b.dtype, b.shape):
            shown = ["missing" if x is None else f"{x.dtype}{list(x.shape)}" for x in (a, b)]
            found.append(f"{name}: {shown[0]}, then {shown[1]}")
        elif a.tobytes() != b.tobytes():
            unequal = np.frombuffer(a.tobytes(), np.uint8) != np.frombuffer(b.tobytes(), np.uint8)
            place = np.unravel_index(int(unequal.argmax()) // a.itemsize, a.shape)
            numbers = len(set((np.flatnonzero(unequal) // a.itemsize).tolist()))
            found.append(
                f"{name}{list(map(int, place))}: {a[place]!r}, then {b[place]!r} "
                f"({numbers} of {a.size} differ)"
            )
    return found


def _log_differences(one: Path, other: Path, name: str) -> Iterator[str]:
    texts = ["", ""]
    for index, run in enumerate((one, other)):
        with contextlib.suppress(FileNotFoundError):
            texts[index] = (run / f"{name}.jsonl").read_text()
    mine, theirs = (text.splitlines() for text in texts)
    for number, pair in enumerate(zip(mine, theirs, strict=False), 1):
        try:
            a, b = (list(_flat(json.loads(line))) for line in pair)
        except ValueError:
            yield f"line {number} is no JSON"
            return
        if a != b:
            yield f"line {number}: {'; '.join(_field_differences(dict(a), dict(b)))}"
            return
    if len(mine) != len(theirs):
        yield f"{len(mine)} lines, then {len(theirs)}"


def _field_differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    absent = "missing"
    return [
        f"{name} is {one.get(name, absent)!r}, then {other.get(name, absent)!r}"
        for name in sorted({**one, **other})
        if one.get(name, absent) != other.get(name, absent)
    ]


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of a JSON document by dotted name, in order, without `CLOCKS`."""
    if isinstance(value, dict) and value:
        for key, part in value.items():
            if key not in CLOCKS:
                yield from _flat(part, f"{name}.{key}" if name else key)
    else:
        yield name, value
