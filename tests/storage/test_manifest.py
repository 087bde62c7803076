"""Manifests: formats, checksum and damage."""

from pathlib import Path

import pytest
from saved import rewrite, saved

from footlight.errors import UserError
from footlight.storage import checkpoint


def test_newer_format_is_rejected(tmp_path: Path) -> None:
    folder = saved(tmp_path / "a")
    rewrite(folder, format_version=checkpoint.FORMAT_VERSION + 1, footlight="9.0")
    newer = checkpoint.FORMAT_VERSION + 1
    message = (
        rf"has format {newer}, written by footlight '9\.0' - .* reads formats up to {newer - 1} - "
        "upgrade footlight"
    )
    for read in (
        lambda: checkpoint.read_manifest(folder),
        lambda: checkpoint.read_arrays(folder, "agent"),
    ):
        with pytest.raises(UserError, match=message):
            read()


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "3", "{}", '{"format_version": "new"}', '{"format_version": null}', "\udcff"],
)
def test_invalid_manifest_is_rejected(tmp_path: Path, text: str) -> None:
    folder = saved(tmp_path / "a")
    (folder / checkpoint.MANIFEST).write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(UserError, match=r"manifest\.json is invalid: "):
        checkpoint.read_manifest(folder)
