"""Parts of run folders that can be deleted: what there is, how much it frees, and its deletion.

Each deletion begins with one step after which no reader finds the part: a rename to a hidden name,
or a new manifest. If the process is killed, the run is valid with the part or without it, and what
is left is found as `temporary`. Nothing is deleted in a folder whose lock a training holds, and
symbolic links are not followed.
"""

import contextlib
import itertools
import os
import re
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from footlight.errors import StorageFault, UserError, summarize_error, warn
from footlight.runs.folder import require_unused
from footlight.runs.listing import RunInfo, list_runs, summarize
from footlight.runs.lock import locked
from footlight.runs.states import DEFAULT, KINDS, Kind
from footlight.storage import checkpoint
from footlight.storage.manifest import FORMAT_VERSION, files_of, read_versioned
from footlight.storage.system import flush_folder
from footlight.storage.writer import remove_group

_TEMPORARY = re.compile(r"\.((config|machine|result)\.json|videos)\.tmp")
_VIDEO = re.compile(r"\.step-.*\.mp4")  # that is being recorded


@dataclass(frozen=True)
class Removable:
    """A part of a run folder that can be removed, or was."""

    kind: Kind
    """`temporary`, `incomplete`, `checkpoints`, `videos` or `buffers`."""
    run: Path
    """The run folder."""
    names: tuple[str, ...]
    """The files and folders, relative to the run folder: of `incomplete` that folder itself, and of
    `buffers` a pattern for the files in each checkpoint."""
    bytes: int
    """Space that the removal frees. Files with another hard link free nothing."""


def clean(folder: str | Path = DEFAULT, delete: Collection[Kind] = ()) -> list[Removable]:
    """Remove parts of the runs below a folder; without `delete`, only return what there is.

    delete: the kinds to remove, of those in `footlight clean --help`. Returns what was removed, or
    what can be: there a checkpoint and the buffer in it count both. Runs in progress and damaged
    ones are skipped with a notice; saved agents and folders that are not runs, without one.
    Raises `UserError` if `folder` cannot be read, and `StorageFault` if something could not be
    removed, after everything else is.
    """
    found, faults = clean_all(folder, delete)
    require_none(faults)
    return found


def clean_all(
    folder: str | Path, delete: Collection[Kind] = ()
) -> tuple[list[Removable], list[str]]:
    """Like `clean`; also returns why something could not be removed, in place of raising it."""
    if unknown := [kind for kind in delete if kind not in KINDS]:
        raise UserError(f"cannot delete {unknown[0]!r} - it must be one of {', '.join(KINDS)}")
    found, faults = list[Removable](), list[str]()
    for info in list_runs(folder):
        try:
            if info.state in ("running", "damaged"):
                raise UserError(info.note or "a training is running in it")
            found.extend(_delete(info, delete) if delete else _within(info, [*KINDS]))
        except UserError as error:
            warn(f"skipped {info.path}: {error}")
        except (OSError, StorageFault) as error:
            what = f"cannot clean {info.path} - {summarize_error(error)}"
            faults.append(f"{what} - check its permissions, and run it again")
    return found, faults


def require_none(faults: Sequence[str]) -> None:
    """Raise `StorageFault` with the first of these."""
    if faults:
        raise StorageFault("\n".join(faults[:3]))


def _within(info: RunInfo, kinds: Collection[Kind]) -> Iterator[Removable]:
    """What of these kinds can be removed from a run that is not in progress.

    Each kind is looked for when the one before it may have been removed. Raises `UserError` if
    nothing more should be, and `OSError`.
    """
    run = info.path
    if info.state == "agent":
        return
    if "incomplete" in kinds and _is_incomplete(run):
        yield Removable("incomplete", run, (".",), _freed([run]))
        return
    finders: dict[Kind, Callable[[Path], list[Path]]] = {
        "temporary": _temporary,
        "checkpoints": _older_checkpoints,
        "videos": _videos,
    }
    for kind, find in finders.items():
        if kind in kinds and (paths := find(run)):
            names = tuple(path.relative_to(run).as_posix() for path in paths)
            yield Removable(kind, run, names, _freed(paths))
    if "buffers" in kinds and info.state == "finished" and (buffers := _buffers(run)):
        patterns = [folder.relative_to(run) / "buffer*.safetensors" for folder in buffers]
        freed = _freed(itertools.chain(*buffers.values()))
        yield Removable("buffers", run, tuple(each.as_posix() for each in patterns), freed)


def _is_incomplete(run: Path) -> bool:
    """Whether a run has nothing that a new training would not overwrite."""
    try:
        require_unused(run)
    except UserError:
        return False
    return True


def _temporary(run: Path) -> list[Path]:
    """What killed processes have left in a run folder."""
    found = [path for path in _inside(run) if _TEMPORARY.fullmatch(path.name)]
    found += [path for path in _inside(run / "videos") if _VIDEO.fullmatch(path.name)]
    for path in _inside(run / "checkpoints"):
        if path.name.startswith(".") and path.name.endswith(".tmp"):
            found.append(path)
        elif checkpoint.NAME.fullmatch(path.name) and path.is_dir():
            found += _left_in(path)
    return found


def _left_in(folder: Path) -> list[Path]:
    """What is left of a checkpoint that was being removed, or of arrays that it had."""
    if not (folder / checkpoint.MANIFEST).exists():
        return [folder]
    with contextlib.suppress(UserError):  # damaged: nothing is known of its files
        named = checkpoint.read_manifest(folder)["files"]
        kinds = ".safetensors", f".{checkpoint.MANIFEST}.tmp"
        files = (path for path in _inside(folder) if path.name.endswith(kinds))
        return [path for path in files if path.name not in named]
    return []


def _inside(folder: Path) -> list[Path]:
    """What a folder holds, without symbolic links; nothing if it is one, or does not exist."""
    if folder.is_symlink() or not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if not path.is_symlink())


def _older_checkpoints(run: Path) -> list[Path]:
    """All checkpoints but the newest and the best. Raises `UserError` if the newest is damaged."""
    folders = checkpoint.newest_first(run)
    kept = {folder.name for folder in folders[:1]}
    for pointer in checkpoint.POINTERS:
        with contextlib.suppress(UserError):
            kept.add(checkpoint.resolve_pointer(run / "checkpoints" / pointer).name)
    older = [folder for folder in folders if folder.name not in kept]
    if older and (fault := checkpoint.damage(folders[0])) is not None:
        raise UserError(f"its older checkpoints may be needed - {fault}")
    return older


def _videos(run: Path) -> list[Path]:
    return [run / "videos"] if _inside(run / "videos") else []


def _buffers(run: Path) -> dict[Path, list[Path]]:
    """By checkpoint, the files of its replay buffer."""
    found: dict[Path, list[Path]] = {}
    for folder in checkpoint.newest_first(run):
        with contextlib.suppress(UserError):  # damaged, or of another footlight
            manifest, version = read_versioned(folder)
            has_replay = "buffer_size" in manifest["config"]  # and not a rollout, which is small
            if version == FORMAT_VERSION and has_replay and "buffer" in manifest["groups"]:
                found[folder] = [folder / name for name in files_of(manifest, {"buffer"})]
    return found


def _freed(paths: Iterable[Path]) -> int:
    """The bytes that removing files and folders frees: of files without a name elsewhere."""
    names, files = Counter[tuple[int, int]](), dict[tuple[int, int], os.stat_result]()
    waiting = [*paths]
    while waiting:
        path = waiting.pop()
        if path.is_dir() and not path.is_symlink():
            waiting += path.iterdir()
        else:
            status = path.lstat()
            identity = status.st_dev, status.st_ino
            names[identity] += 1
            files[identity] = status
    return sum(each.st_size for key, each in files.items() if names[key] >= each.st_nlink)


def _delete(info: RunInfo, kinds: Collection[Kind]) -> Iterator[Removable]:
    """Remove these kinds from a run, and yield what was removed. Raises what `_within` raises,
    `UserError` if a training has begun in it, and `StorageFault`."""
    # Before the lock is taken, which creates its file in a folder that has none
    if not (present := {each.kind for each in _within(info, kinds)}):
        return
    run = info.path
    with locked(run):
        now = summarize(run, {*os.listdir(run)}, is_free=True)
        for each in _within(now, present) if now is not None else ():
            _remove(each)
            yield each


def _remove(part: Removable) -> None:
    run = part.run
    for path in (run / name for name in part.names):
        if part.kind == "incomplete":
            _remove_incomplete(run)
        elif part.kind == "buffers":
            remove_group(path.parent, "buffer")
        elif path.is_dir():
            # The name of a temporary one. A partly removed one could look like a checkpoint.
            hidden = path if path.name[0] == "." else path.with_name(f".{path.name}.tmp")
            if hidden != path:
                shutil.rmtree(hidden, ignore_errors=True)  # left by an earlier removal
                path.rename(hidden)
                flush_folder(path.parent)
            shutil.rmtree(hidden)
        else:
            path.unlink()


def _remove_incomplete(run: Path) -> None:
    """Remove a run that has no checkpoint: what is left after a kill is one, too, or hidden."""
    if (run / "checkpoints").is_dir():
        shutil.rmtree(run / "checkpoints")
    for path in _inside(run):
        if path.name != ".lock":
            path.unlink()
    if sys.platform != "win32":  # where a folder stays as long as a file in it is open, as the lock
        place = run.resolve()
        hidden = place.with_name(f".{place.name}.{os.getpid()}.tmp")  # as it was called at first
        place.rename(hidden)
        shutil.rmtree(hidden)
