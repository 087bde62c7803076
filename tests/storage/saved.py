"""A small checkpoint, and another manifest for it."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from footlight.storage import checkpoint
from footlight.storage.manifest import checksum

GROUPS = {
    "agent": {"actor": np.arange(6, dtype=np.float32), "count": np.array([3])},
    "buffer": {"rows": np.zeros((2, 3), np.uint8)},
}


def saved(folder: Path, **manifest: Any) -> Path:
    checkpoint.write(folder, GROUPS, {"step": 5, **manifest})
    return folder


def rewrite(folder: Path, **changes: Any) -> None:
    """Another manifest, with the checksum that it should have."""
    manifest = json.loads((folder / checkpoint.MANIFEST).read_text()) | changes
    del manifest["checksum"]
    (folder / checkpoint.MANIFEST).write_text(
        json.dumps({**manifest, "checksum": checksum(manifest)})
    )
