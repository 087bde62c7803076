"""The commands about many run folders: `footlight runs` and `footlight clean`."""

import argparse
import dataclasses
import json
import time
from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from footlight.errors import counted, printable, quoted
from footlight.instruments.progress_text import number_text
from footlight.machine import format_bytes
from footlight.runs.states import DEFAULT, KINDS, STATES
from footlight.storage.files import user_path

if TYPE_CHECKING:
    from footlight.runs.cleaning import Removable
    from footlight.runs.listing import RunInfo

AddCommand = Callable[[str, str], argparse.ArgumentParser]

_SORT_KEYS: dict[str, Callable[["RunInfo"], Any]] = {
    "path": lambda info: 0,  # in the order in which they are found
    "algorithm": lambda info: info.algorithm,
    "environment": lambda info: info.environment,
    "seed": lambda info: info.seed,
    "steps": lambda info: info.step,
    "state": lambda info: info.state,
    "last": lambda info: info.last_return,
    "best": lambda info: info.best_return,
    "age": lambda info: -info.changed,
    "size": lambda info: info.bytes,
}
"""The columns of the table, and what it is sorted by."""
_LEFT = ("path", "algorithm", "environment", "state", "note", "kind", "run", "what")
_DIR = f"folder in which to look, at any depth (default: {DEFAULT}, where `train` puts its runs)"


def add_runs(add_command: AddCommand) -> None:
    """Add the options of `footlight runs`."""
    text = "list all runs below a folder: steps, state, returns of evaluations, age and size"
    runs = add_command("runs", text)
    runs.add_argument("dir", metavar="DIR", nargs="?", default=DEFAULT, help=_DIR)
    several = "; may be given several times"
    algorithm = f"list only runs of this algorithm{several}"
    runs.add_argument("--algorithm", metavar="NAME", action="append", help=algorithm)
    environment = f"list only runs in this environment, or in all that match, as 'ALE/*'{several}"
    runs.add_argument("--environment", metavar="NAME", action="append", help=environment)
    state = f"list only runs in this state: {', '.join(STATES)}{several}"
    runs.add_argument("--state", metavar="STATE", choices=STATES, action="append", help=state)
    column = f"sort by a column: {', '.join(_SORT_KEYS)} (default: path)"
    runs.add_argument("--sort", metavar="COLUMN", choices=_SORT_KEYS, default="path", help=column)
    reverse = "in descending order; unknown values come last in either order"
    runs.add_argument("--reverse", action="store_true", help=reverse)
    runs.add_argument("--json", action="store_true", help="print one JSON object")
    runs.epilog = (
        "States: running, a process trains in it now; finished, stopped, fault, diverged or "
        "failed, as it has ended; interrupted, it was killed and `footlight resume` continues it; "
        "agent, a saved agent of a hand-written loop; damaged, the note says what is wrong. last "
        "and best are mean returns of evaluations; age is the time since the last change. Symbolic "
        "links are not followed, and hidden folders are skipped."
    )


def add_clean(add_command: AddCommand) -> None:
    """Add the options of `footlight clean`."""
    text = "show what could be deleted from the runs below a folder, and delete it on demand"
    clean = add_command("clean", text)
    # In this order: a folder after the kinds would be parsed as one of them.
    clean.usage = "footlight clean [DIR] [--delete WHAT [WHAT ...]]"
    clean.add_argument("dir", metavar="DIR", nargs="?", default=DEFAULT, help=_DIR)
    kinds = "; ".join(f"{kind}: {what}" for kind, what in KINDS.items())
    clean.add_argument(
        "--delete", metavar="WHAT", nargs="+", choices=KINDS, action="extend", default=[],
        help=f"delete these (default: only show what there is). {kinds}",
    )  # fmt: skip
    clean.epilog = (
        "Runs in progress, damaged runs, saved agents and folders that are not runs are left "
        "alone, and symbolic links are not followed. Without --delete, a buffer in an older "
        "checkpoint is counted in both kinds."
    )


def runs(options: argparse.Namespace) -> int:
    """List the runs below a folder."""
    from footlight.runs.listing import list_runs

    top, now = user_path(options.dir), time.time()
    found = _sorted(filter(_filter(options), list_runs(top)), options.sort, options.reverse)
    if options.json:
        rows = [
            {
                **dataclasses.asdict(info),
                "path": _below(top, info.path),
                "age_s": now - info.changed,
            }
            for info in found
        ]
        print(json.dumps({"dir": str(top), "runs": rows}, allow_nan=False))
        return 0
    if not found:
        is_filtered = options.algorithm or options.environment or options.state
        print(printable(f"no runs in {top}{' match' if is_filtered else ''}"))
        return 0
    _print_table(
        [*_SORT_KEYS, *(["note"] if any(info.note for info in found) else [])],
        [
            [
                _below(top, info.path),
                info.algorithm or "-",
                info.environment or "-",
                "-" if info.seed is None else str(info.seed),
                f"{info.step:,}/{'-' if info.steps is None else format(info.steps, ',')}",
                info.state,
                "-" if info.last_return is None else number_text(info.last_return),
                "-" if info.best_return is None else number_text(info.best_return),
                _duration(now - info.changed) if info.changed else "-",
                format_bytes(info.bytes),
                info.note,
            ]
            for info in found
        ],
    )
    print(f"{counted(len(found), 'run')}, {format_bytes(sum(info.bytes for info in found))}")
    return 0


def _filter(options: argparse.Namespace) -> Callable[["RunInfo"], bool]:
    """A function that tells whether a run is to be listed."""

    def is_wanted(info: "RunInfo") -> bool:
        given = (
            (options.algorithm, info.algorithm),
            (options.environment, info.environment),
            (options.state, info.state),
        )
        return all(
            patterns is None or any(fnmatchcase(name or "", pattern) for pattern in patterns)
            for patterns, name in given
        )

    return is_wanted


def _sorted(found: Iterable["RunInfo"], column: str, reverse: bool) -> list["RunInfo"]:
    key = _SORT_KEYS[column]
    infos = [*found]
    known = [info for info in infos if key(info) is not None]
    unknown = [info for info in infos if key(info) is None]
    if column == "path":
        return known[::-1] if reverse else known
    return sorted(known, key=key, reverse=reverse) + unknown


def clean(options: argparse.Namespace) -> int:
    """Show what can be deleted from the runs below a folder, or delete it."""
    from footlight.runs import cleaning

    top = user_path(options.dir)
    found, faults = cleaning.clean_all(top, options.delete)
    if found:
        _print_removable(top, found, bool(options.delete))
    elif not faults:
        print(printable(f"nothing to delete in {top}"))
    cleaning.require_none(faults)
    return 0


def _print_removable(top: Path, found: Sequence["Removable"], is_deleted: bool) -> None:
    _print_table(
        ["kind", "size", "run", "what"],
        [
            [each.kind, format_bytes(each.bytes), _below(top, each.run), ", ".join(each.names)]
            for each in found
        ],
    )
    sizes = {
        kind: sum(each.bytes for each in found if each.kind == kind)
        for kind in KINDS
        if any(each.kind == kind for each in found)
    }
    if is_deleted:
        print(f"deleted {format_bytes(sum(sizes.values()))}")
        return
    for kind, size in sizes.items():
        print(f"{kind}: {format_bytes(size)}, {KINDS[kind]}")
    command = f"footlight clean {quoted(top)} --delete {' '.join(sizes)}"
    print(printable(f"nothing was deleted; to delete all of it: {command}"))


def _below(top: Path, path: Path) -> str:
    return path.relative_to(top).as_posix()


def _print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under the names of their columns; cells beyond the columns are left out."""
    lines = [columns, *([cell.replace("\n", "?") for cell in row] for row in rows)]
    widths = [max(len(line[index]) for line in lines) for index in range(len(columns))]
    for line in lines:
        cells = [
            f"{cell:<{width}}" if column in _LEFT else f"{cell:>{width}}"
            for cell, width, column in zip(line, widths, columns, strict=False)
        ]
        print(printable("  ".join(cells).rstrip()))


def _duration(seconds: float) -> str:
    """A duration in its largest unit, as `3 h`."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
