"""Writing a report to a file."""

import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

from footlight.errors import StorageFault, UserError
from footlight.instruments.groups import HasFolder
from footlight.reports.page import render
from footlight.storage.files import user_path

SUFFIXES = (".html", ".htm")


def report(runs: Any, output: str | Path | None = None) -> Path:
    """Write what happened in runs to one page of HTML, and return its path.

    runs: run folders, folders of runs, `Run` objects, or one of these.
    output: the file, overwritten if it exists; None: `report.html` in the run's folder, or in the
        working directory for several runs.

    The page holds everything that it shows: it opens from the disk, and loads nothing. Runs may be
    in progress, and what is damaged in one is skipped, with a line on the page. Raises `UserError`,
    and `StorageFault` if the page cannot be written.

        footlight.report("runs/CartPole-v1", "cartpole.html")
    """
    folders = [*map(_folder, [runs] if isinstance(runs, str | os.PathLike | HasFolder) else runs)]
    is_run = len(folders) == 1 and (folders[0] / "config.json").exists()
    path = (folders[0] if is_run else Path()) / "report.html" if output is None else (
        user_path(output))  # fmt: skip
    _require_writable(path)
    _write(path, render(folders, link=lambda video: _relative(video, path)))
    return path


def _folder(run: Any) -> Path:
    folder = run.folder if isinstance(run, HasFolder) else run
    if not isinstance(folder, str | os.PathLike):
        raise UserError(f"{run!r:.60} is not a run - a report is about folders - give a run folder")
    return user_path(os.fspath(folder))


def _require_writable(path: Path) -> None:
    if path.suffix.lower() not in SUFFIXES:
        raise UserError(
            f"{path} cannot be written - its suffix is not one of {', '.join(SUFFIXES)} - "
            "choose one of them"
        )
    if not path.absolute().parent.is_dir():
        raise UserError(
            f"{path} cannot be written - the folder {path.parent} does not exist - create it first"
        )


def _write(path: Path, page: str) -> None:
    partial = path.with_name(f".{path.stem}.{os.getpid()}.html")
    try:  # under another name, then renamed: a link at `path` is replaced, not followed
        with partial.open("xb") as file:
            file.write(page.encode())
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise StorageFault(
            f"{path} cannot be written - {error.strerror or error} - choose another place"
        ) from None


def _relative(video: Path, page: Path) -> str | None:
    """The address of a video, seen from the page; None on another drive."""
    try:
        found = os.path.relpath(video.absolute(), page.absolute().parent)
    except ValueError:
        return None
    return quote(os.fsencode(Path(found).as_posix()))  # a name need not be text
