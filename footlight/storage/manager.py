"""The checkpoints of a run: each under a name of its own, the newest and the best pointed at, old ones removed."""

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


class Rotation:
    """Writes checkpoints into a run folder. Only one process may do so at a time."""

    def __init__(self, run_dir: Path, keep: int) -> None:
        self.folder, self._keep = run_dir / "checkpoints", keep
        self.newest: Path | None = None
        """What was written or read last: the next one may share files with it."""

    def create(self) -> None:
        """Make the folder of a new run's checkpoints. It is never made again: a run whose folder is deleted has failed."""
        make_folder(self.folder)

    def go_on_from(self, folder: Path) -> None:
        """Take `folder` for the newest. What is newer was found damaged: it is put aside as `damaged-...`, and stays there."""
        self.newest = folder
        for newer in checkpoint.newest_first(self.folder.parent):
            if newer == folder:
                return
            with contextlib.suppress(OSError):
                newer.rename(newer.with_name(f"damaged-{newer.name}-{os.urandom(2).hex()}"))

    def save(
        self, step: int, groups: Mapping[str, Mapping[str, Array]], manifest: Mapping[str, Any],
        spans: Mapping[str, Mapping[str, checkpoint.RingPosition]], best_step: int | None,
    ) -> Path:  # fmt: skip
        """Write a checkpoint, then the pointers to it, and only then remove what is too old, but for those of `best_step`.

        Raises `StorageFault`.
        """
        if self.folder.is_symlink():
            raise StorageFault(
                f"{self.folder} is a link - a run writes into its own folder only - put the folder itself there"
            )
        plain = f"step-{step:09d}"
        found = [
            re.fullmatch(rf"{plain}(?:-(\d+))?", path.name)
            for path in self.folder.glob(f"{plain}*")
        ]
        taken = [int(match[1] or 0) for match in found if match]
        name = (
            f"{plain}-{1 + max(taken)}" if taken else plain
        )  # what is there stays until this one is whole
        folder = self.folder / name
        checkpoint.write(folder, groups, manifest, spans, self.newest)
        self.newest = folder
        replace_text(self.folder / "LATEST", name + "\n")
        if best_step == step:
            replace_text(self.folder / "BEST", name + "\n")
        with contextlib.suppress(OSError):  # what is too old may go with the next one
            self._remove_old(best_step)
        return folder

    def _remove_old(self, best_step: int | None) -> None:
        """Remove all but the newest ones and the best, and what killed processes have left. Links are left alone."""
        found = checkpoint.newest_first(self.folder.parent)
        if self.newest not in found:
            return  # something is wrong with this folder: nothing is removed
        best = [path for path in found if int(path.name.split("-")[1]) == best_step]
        kept = {path.name for path in [*found[: self._keep], *best[:1]]}
        for path in self.folder.iterdir():
            if path.is_symlink():
                continue
            if path.name.startswith(".") and path.name.endswith(".tmp"):
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink()
            elif checkpoint.NAME.fullmatch(path.name) and path.name not in kept:
                (path / checkpoint.MANIFEST).unlink(
                    missing_ok=True
                )  # from here on no reader takes it for a checkpoint
                shutil.rmtree(path, ignore_errors=True)
