"""Inspection and verification of run folders and checkpoints. Nothing in them is run."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.numpy import load

from footlight.errors import UserError, printable
from footlight.runs.folder import LOGS
from footlight.runs.read import read_lines
from footlight.storage import checkpoint, schemas
from footlight.storage.files import MAX_BYTES, parse_json, read_file, read_start
from footlight.storage.migration import upgrade_run_config


def inspect(path: Path, notify: Callable[[str], None] | None = None) -> dict[str, Any]:
    """Return the content of a checkpoint or saved agent as strict JSON.

    Of a run folder it is the newest intact checkpoint; `notify` gets a message if damaged ones were
    skipped. Raises `UserError`.
    """
    folder = checkpoint.find(path, notify)
    manifest = checkpoint.read_manifest(folder)
    groups = {group: dict(_shapes(folder, group, manifest)) for group in manifest["groups"]}
    checkpoints = [other.name for other in checkpoint.newest_first(path)] if folder != path else []
    omitted = "files", "groups", "segments"
    return {
        **{name: value for name, value in manifest.items() if name not in omitted},
        "path": str(folder),
        "bytes": sum(digest["bytes"] for digest in manifest["files"].values()),
        **({"checkpoints": checkpoints} if checkpoints else {}),
        "arrays": groups,
    }


def _shapes(
    folder: Path, group: str, manifest: Mapping[str, Any]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Dtype and shape of each array of a group, from the header; the number of segments."""
    path = folder / manifest["groups"][group]
    length = int.from_bytes(read_start(path, 8), "little")
    if length > checkpoint.HEADER_BYTES:
        raise UserError(
            f"{path} is damaged - its header would have {length:,} bytes - "
            "`footlight verify` checks all files"
        )
    try:
        header = parse_json(read_start(path, 8 + length)[8:])
        for name, entry in header.items():
            if name != "__metadata__":
                yield (
                    name,
                    {"dtype": str(entry["dtype"]), "shape": [int(size) for size in entry["shape"]]},
                )
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} is damaged - its header is invalid - `footlight verify` checks all files"
        ) from error
    for name, ring in manifest["segments"].get(group, {}).items():
        yield (
            name,
            {
                "files": len(ring["files"]),
                "bytes": sum(manifest["files"][file]["bytes"] for file in ring["files"]),
            },
        )


def describe(content: Mapping[str, Any]) -> str:
    """Format the result of `inspect` for people."""
    run: Mapping[str, Any] = content.get("run") or {}
    machine: Mapping[str, Any] = content.get("machine") or {}
    step, steps = content.get("step", "?"), run.get("steps", "?")
    at = f"step {step} of {steps} | {content.get('num_updates')} updates"
    lines = [
        content["path"],
        f"format {content['format_version']}, footlight {content.get('footlight')}, "
        f"{content['bytes']:,} bytes",
        f"{content.get('algorithm')} on {run.get('environment', '?')} | "
        f"preset {run.get('preset')} | seed {content.get('seed')}",
        at,
    ]
    if machine:
        versions = ", ".join(
            f"{name} {version}" for name, version in machine.get("versions", {}).items()
        )
        lines.append(f"{machine.get('cpu')} | {machine.get('threads')} threads | {versions}")
    if "resume" in run:
        lines.append(f"resume: {run['resume']}")
    lines += [
        f"{each['use'].replace('_', ' ')}: {each['name']} in {each['path']}"
        for each in run.get("code", [])
    ]
    if best := content.get("best"):
        lines.append(f"best evaluation: {best.get('mean_return')} at step {best.get('step')}")
    if "checkpoints" in content:
        lines.append(f"checkpoints: {', '.join(content['checkpoints'])}")
    lines += [
        "",
        "config: "
        + ", ".join(
            f"{name}={json.dumps(value)}" for name, value in content.get("config", {}).items()
        ),
    ]
    for group, arrays in content["arrays"].items():
        lines += ["", f"{group}:"]
        lines += [f"  {name:40s} {_size(array)}" for name, array in arrays.items()]
    return printable("\n".join(lines))


def _size(array: Mapping[str, Any]) -> str:
    if "files" in array:
        return f"{array['bytes']:,} bytes in {array['files']} files"
    return f"{array['dtype']} {array['shape']}"


def verify(path: Path) -> Iterator[tuple[str, str | None]]:
    """Yield every file of a run folder, checkpoint or saved agent, and its damage or None.

    Raises `UserError` if there is nothing to verify.
    """
    path = checkpoint.resolve_pointer(path)
    if (path / checkpoint.MANIFEST).exists():
        yield str(path), _fault(path)
        yield from _beside_agent(path)
        return
    if not (path / "config.json").exists() and not (path / "checkpoints").is_dir():
        checkpoint.find(path)  # raises an error that says what it is instead
    folders = checkpoint.newest_first(path)
    manifests: list[dict[str, Any]] = []  # of the intact ones, newest first
    for folder in folders:
        fault = _fault(folder)
        yield f"checkpoints/{folder.name}", fault
        manifests += [] if fault else [checkpoint.read_manifest(folder)]
    if not folders:
        yield "checkpoints", _missing(path)
    if folders:
        yield "checkpoints/LATEST", _pointer_fault(path / "checkpoints" / "LATEST", folders)
    if (path / "checkpoints" / "BEST").exists():
        yield "checkpoints/BEST", _pointer_fault(path / "checkpoints" / "BEST", folders)
    # A resume that was killed may have written a checkpoint with its options before config.json
    yield (
        "config.json",
        _json_fault(path / "config.json", [manifest.get("run") for manifest in manifests]),
    )
    for name, schema in (("machine.json", schemas.Machine), ("result.json", schemas.Result)):
        if (path / name).exists():
            yield name, _json_fault(path / name, [], schema)
    digests = manifests[0].get("logs", {}) if manifests else {}
    for log in LOGS:
        if (path / f"{log}.jsonl").exists() or digests.get(log, {"bytes": 0})["bytes"]:
            yield f"{log}.jsonl", _log_fault(path / f"{log}.jsonl", digests.get(log))
    for folder in _crash_folders(path):
        yield f"crash/{folder.name}", _crash_fault(folder)


def _beside_agent(path: Path) -> Iterator[tuple[str, str | None]]:
    """The config and the logs in the folder of a saved agent."""
    if (file := path / "config.json").exists():
        run = None if _fault(path, []) else checkpoint.read_manifest(path).get("run")
        yield file.name, _json_fault(file, [run] if run else [])
    for file in filter(Path.exists, (path / f"{log}.jsonl" for log in LOGS)):
        yield file.name, _log_fault(file, None)


def _missing(path: Path) -> str:
    """Explain why a run folder has no checkpoint, and what to do."""
    try:
        return f"{checkpoint.find(path)} has just been written - verify again"
    except UserError as error:
        return str(error)


def unchecked(path: Path) -> list[str]:
    """Files that no checksum or schema covers: videos, plots, trackers' and foreign files."""
    path = checkpoint.resolve_pointer(path)
    if (path / checkpoint.MANIFEST).exists():
        return sorted(_foreign_files(path))
    known = {
        "config.json",
        "machine.json",
        "result.json",
        "checkpoints",
        "crash",
        *(f"{log}.jsonl" for log in LOGS),
    }
    found = [entry.name for entry in path.iterdir() if entry.name not in known]
    crash, checkpoints = path / "crash", path / "checkpoints"
    if crash.is_dir():
        found += [
            f"crash/{entry.name}" for entry in crash.iterdir() if entry not in _crash_folders(path)
        ]
    if checkpoints.is_dir():
        folders = checkpoint.newest_first(path)
        named = ("LATEST", "BEST", *(folder.name for folder in folders))
        found += [
            f"checkpoints/{entry.name}"
            for entry in checkpoints.iterdir()
            if entry.name not in named
        ]
        found += [
            f"checkpoints/{folder.name}/{name}"
            for folder in folders
            for name in _foreign_files(folder)
        ]
    # Hidden files are locks, and what killed processes leave.
    return sorted(name for name in found if not name.rpartition("/")[2].startswith("."))


def _foreign_files(folder: Path) -> list[str]:
    """Files in a checkpoint that its manifest does not name."""
    if _fault(folder, []) is not None:
        return []
    files = {checkpoint.MANIFEST, *checkpoint.read_manifest(folder)["files"]}
    files.update(name for name, _ in _beside_agent(folder))
    return [entry.name for entry in folder.iterdir() if entry.name not in files]


def _crash_folders(path: Path) -> list[Path]:
    """The crash folders of a run. One without its file was never completed."""
    return [
        folder
        for folder in sorted((path / "crash").glob("*"))
        if (folder / schemas.FAULT).exists() or (folder / checkpoint.MANIFEST).exists()
    ]


def _crash_fault(folder: Path) -> str | None:
    if (folder / checkpoint.MANIFEST).exists():  # a batch on which an agent diverged
        return _fault(folder)
    actions = folder / schemas.ACTIONS
    try:
        if schemas.read(folder / schemas.FAULT, schemas.Fault)["actions"] is not None:
            load(read_file(actions, MAX_BYTES))
    except UserError as error:
        return str(error)
    except (SafetensorError, LookupError, ValueError, TypeError) as error:
        return f"{actions} is damaged - {type(error).__name__}: {error} - restore it from a copy"
    return None


def _fault(folder: Path, groups: list[str] | None = None) -> str | None:
    try:
        return checkpoint.damage(folder, groups)
    except checkpoint.NewerFormat as error:
        return str(error)


def _pointer_fault(pointer: Path, folders: list[Path]) -> str | None:
    try:
        named = checkpoint.find(pointer)
    except UserError as error:
        return str(error)
    return (
        None
        if named in folders
        else f"{pointer} names {named.name} - it does not exist - "
        "`footlight resume` writes it again"
    )


def _json_fault(path: Path, expected: list[Any], schema: Any = schemas.Config) -> str | None:
    try:
        found = upgrade_run_config(schemas.read(path, schema))
    except UserError as error:
        return str(error)
    if not expected or found in expected:
        return None
    wrong = [name for name in {**expected[0], **found} if found.get(name) != expected[0].get(name)]
    return (
        f"{path} differs from the newest checkpoint in {', '.join(wrong)} - "
        "`footlight resume` writes it again"
    )


def _log_fault(path: Path, digest: Mapping[str, Any] | None) -> str | None:
    try:
        length = path.stat().st_size if path.exists() else 0
        if digest is not None:
            if length < digest["bytes"]:
                return (
                    f"{path} has {length:,} bytes - it had {digest['bytes']:,} at the newest "
                    "checkpoint - restore it from a copy"
                )
            start = read_start(path, digest["bytes"]) if digest["bytes"] else b""
            if hashlib.sha256(start).hexdigest() != digest["sha256"]:
                return (
                    f"{path} has changed since the newest checkpoint was written - "
                    "restore it from a copy"
                )
        read_lines(path)
    except OSError as error:
        return f"{path} cannot be read - {error.strerror} - check its permissions"
    except UserError as error:
        return str(error)
    return None
