"""Schemas of JSON files and their violations."""

from pathlib import Path
from typing import Any

import pytest

from footlight.errors import UserError
from footlight.storage import schemas


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"bytes": 1, "sha256": "x"}, None),
        ({"bytes": 1}, "sha256 is missing"),
        ({"bytes": True, "sha256": "x"}, "bytes is True"),
        ({"bytes": 1.0, "sha256": "x"}, "bytes is 1.0"),
        ({"bytes": 1, "sha256": "x", "y": 2}, "y is not a known key"),
        ([], r"it is \[\] - it must be an object"),
    ],
)
def test_forms(value: Any, words: str | None, tmp_path: Path) -> None:
    if words is None:
        schemas.require(value, schemas.FileDigest, tmp_path)
    else:
        with pytest.raises(UserError, match=words):
            schemas.require(value, schemas.FileDigest, tmp_path)
