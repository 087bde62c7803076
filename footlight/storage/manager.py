"""The checkpoints of a run: write new ones, point to the newest and the best, remove old ones."""

import contextlib
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from footlight.errors import StorageFault
from footlight.storage import checkpoint
from footlight.storage.files import make_folder, replace_text
from footlight.types import Array


class CheckpointManager:
    """Writes checkpoints into a run folder. Only one process may do so at a time."""

    def __init__(self, run_dir: Path, keep: int) -> None:
        self.folder, self._keep = run_dir / "checkpoints", keep
        self.newest: Path | None = None
        """The checkpoint written or read last: the next one can share files with it."""

    def create(self) -> None:
        """Create the folder for the checkpoints of a new run.

        It is created once: a run whose folder is deleted has failed.
        """
        make_folder(self.folder)

    def resume_from(self, folder: Path) -> None:
        """Make `folder` the newest checkpoint.

        Newer ones were found damaged: they are renamed to `damaged-...` and never removed.
        """
        self.newest = folder
        for newer in checkpoint.newest_first(self.folder.parent):
            if newer == folder:
                return
            with contextlib.suppress(OSError):
                newer.rename(newer.with_name(f"damaged-{newer.name}-{os.urandom(2).hex()}"))

    def save(
        self,
        step: int,
        groups: Mapping[str, Mapping[str, Array]],
        manifest: Mapping[str, Any],
        spans: Mapping[str, Mapping[str, checkpoint.Span]],
        best_step: int | None,
    ) -> Path:
        """Write a checkpoint, then the pointers to it; only then remove old checkpoints.

        best_step: the step of the best checkpoint, which is kept. Raises `StorageFault`.
        """
        if self.folder.is_symlink():
            raise StorageFault(
                f"{self.folder} is a symbolic link - a run writes into its own folder only - "
                "put the folder itself there"
            )
        plain = f"step-{step:09d}"
        matches = [
            re.fullmatch(rf"{plain}(?:-(\d+))?", path.name)
            for path in self.folder.glob(f"{plain}*")
        ]
        taken = [int(match[1] or 0) for match in matches if match]
        # An earlier checkpoint of this step stays until the new one is complete.
        name = f"{plain}-{1 + max(taken)}" if taken else plain
        folder = self.folder / name
        checkpoint.write(folder, groups, manifest, spans, self.newest)
        self.newest = folder
        replace_text(self.folder / "LATEST", name + "\n")
        if best_step == step:
            replace_text(self.folder / "BEST", name + "\n")
        with contextlib.suppress(OSError):  # The next checkpoint tries again.
            self._remove_old(best_step)
        return folder

    def _remove_old(self, best_step: int | None) -> None:
        """Remove all but the newest and the best, and what killed processes have left.

        Symbolic links are ignored.
        """
        found = checkpoint.newest_first(self.folder.parent)
        if self.newest not in found:
            return  # Something is wrong with this folder: remove nothing.
        best = [path for path in found if int(path.name.split("-")[1]) == best_step]
        kept = {path.name for path in [*found[: self._keep], *best[:1]]}
        for path in self.folder.iterdir():
            if path.is_symlink():
                continue
            if path.name.startswith(".") and path.name.endswith(".tmp"):
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink()
            elif checkpoint.NAME.fullmatch(path.name) and path.name not in kept:
                # Without its manifest, no reader takes it for a checkpoint.
                (path / checkpoint.MANIFEST).unlink(missing_ok=True)
                shutil.rmtree(path, ignore_errors=True)
