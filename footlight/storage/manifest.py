"""The manifest of a checkpoint: strict JSON under a checksum, with the SHA-256 of every file."""

import hashlib
import json
import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from footlight.errors import UserError
from footlight.storage import migration, schemas
from footlight.storage.files import read_json

FIRST_VERSION, FORMAT_VERSION = 2, 3
MANIFEST = "manifest.json"
MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {2: migration.upgrade_manifest}
"""By format, the upgrade of a manifest to the next format. Reading applies all later ones."""
_FILE = re.compile(r"[\w-][\w.-]*\.safetensors", re.ASCII)


class NewerFormat(UserError):
    """Written by a later footlight: not damaged, and not to be skipped."""


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read the manifest of a checkpoint, upgraded to the current format.

    Raises `UserError` if it is invalid, `NewerFormat` if a later footlight wrote it.
    """
    return read_versioned(folder)[0]


def read_versioned(folder: Path) -> tuple[dict[str, Any], int]:
    """The manifest in the current format, and the format in which it was written."""
    path = folder / MANIFEST
    manifest = read_json(path)
    version = manifest.get("format_version")
    if type(version) is not int or version < 1:
        raise UserError(
            f"{path} is invalid: format_version is {version!r} - restore it from a copy"
        )
    if version > FORMAT_VERSION:
        writer = manifest.get("footlight", "?")
        raise NewerFormat(
            f"{folder} has format {version}, written by footlight {writer!r:.40} - "
            f"this footlight reads formats up to {FORMAT_VERSION} - upgrade footlight"
        )
    if version < FIRST_VERSION:
        raise UserError(
            f"{folder} has format {version}, of an unreleased footlight - train the agent again"
        )
    if manifest.pop("checksum", None) != checksum(manifest):
        raise UserError(
            f"{path} is damaged - its checksum does not match its content - restore it from a copy"
        )
    for older in range(version, FORMAT_VERSION):
        manifest = MIGRATIONS[older](manifest)
    schemas.require(manifest, schemas.Manifest, path)
    manifest = migration.upgrade_layer_norm(manifest)
    _require_consistent_files(manifest, path)
    return manifest, version


def _require_consistent_files(manifest: Mapping[str, Any], path: Path) -> None:
    for name in manifest["files"]:
        if not _FILE.fullmatch(name):
            raise UserError(
                f"{path} is invalid: {name!r} is not the name of a checkpoint's file - "
                "restore it from a copy"
            )
    used = files_of(manifest, {*manifest["groups"], *manifest["segments"]})
    if missing := {*used} - {*manifest["files"]}:
        raise UserError(
            f"{path} is invalid: {min(missing)!r} has no checksum - restore it from a copy"
        )


def files_of(manifest: Mapping[str, Any], groups: Collection[str]) -> list[str]:
    """The names of all files that hold these groups."""
    files = [file for group, file in manifest["groups"].items() if group in groups]
    for group, rings in manifest["segments"].items():
        if group in groups:
            files += [file for ring in rings.values() for file in ring["files"]]
    return files


def checksum(content: Mapping[str, Any]) -> str:
    """SHA-256 of a manifest without its checksum, independent of its layout."""
    return hashlib.sha256(
        json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    ).hexdigest()
