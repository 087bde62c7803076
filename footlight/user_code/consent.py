"""Consent to load a user's own file: given by naming the file, remembered on the user's side.

A run folder may be from a stranger, so nothing in it counts as consent. Allowed is a use of a
name in a file of one content, as `environment: MyEnv in /home/me/mine.py, SHA-256 ...`: another
function of the same file could do anything with arguments from the folder.
"""

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from footlight.config.schema import violations
from footlight.errors import StorageFault, UserError, quoted, warn
from footlight.machine import user_folder
from footlight.storage.files import read_json, replace_text, user_path
from footlight.storage.system import lock_file
from footlight.user_code.reference import Reference, digest, split

FORMAT_VERSION = 1
MAX_VERSIONS = 50  # remembered of each file
_this_process: set[Reference] = set()  # where the file of consents cannot be written


def store() -> Path:
    """The file of consents, in the user's configuration folder."""
    return user_folder("XDG_CONFIG_HOME", ".config") / "allowed.json"


def given(text: str, use: str) -> Reference:
    """The reference that the user has typed, which is consent. Raises `UserError`."""
    path, name = split(text)
    reference = Reference(use, str(path), name, digest(path)[1])
    _remember([reference])
    return reference


def recorded(entry: Mapping[str, str], folder: Path | str) -> Reference:
    """The reference that the run in `folder` has recorded, with the digest of today's file.

    Raises `UserError` unless the user has allowed that.
    """
    use, path, name = (entry[key] for key in ("use", "path", "name"))
    what = f"{folder} was made with the {use.replace('_', ' ')} {name} of {path}"
    option = f"--{use.replace('_', '-')}"
    if not Path(path).is_file():
        raise UserError(f"{what} - there is no such file - name yours: {option} FILE.py:{name}")
    reference = Reference(use, path, name, digest(Path(path))[1])
    if reference not in _allowed():
        was_allowed = any((known.path, known.name) == (path, name) for known in _allowed())
        why = "it has changed since you allowed it" if was_allowed else "you have not allowed it"
        raise UserError(
            f"{what} - {why}, and loading it runs it - read it; if you trust it, say so:\n"
            f"--allow-code {quoted(path)}, or name it again: {option} {quoted(f'{path}:{name}')}"
        )
    return reference


def allow(files: str | Path | Sequence[str | Path], entries: Iterable[Mapping[str, str]]) -> None:
    """Remember that `entries`, of a run, may use these files as they are now.

    Raises `UserError` for a file that the run does not name.
    """
    files, known = [files] if isinstance(files, str | Path) else files, [*entries]
    for file in files:
        path = user_path(file).resolve()
        own = [entry for entry in known if entry["path"] == str(path)]
        if not own:
            names = ", ".join(dict.fromkeys(entry["path"] for entry in known)) or "none"
            raise UserError(
                f"the run does not name the file {path} - it names {names} - allow one of these"
            )
        if not path.is_file():
            raise UserError(f"there is no file {path} - it cannot be allowed - check the path")
        sha256 = digest(path)[1]
        _remember([Reference(entry["use"], str(path), entry["name"], sha256) for entry in own])


def _allowed() -> set[Reference]:
    """All consents. Raises `UserError` if their file is damaged."""
    return {*_this_process, *_stored(store())}


def _stored(path: Path) -> list[Reference]:
    """The consents in the file, the oldest first. Raises `UserError` if it is damaged."""
    if not path.exists():
        return []
    content = read_json(path)
    entries: Any = content.get("allowed")
    is_valid = content.get("format_version") == FORMAT_VERSION and not [
        *violations(entries, list[dict[str, str]], "allowed")
    ]
    if not is_valid or any(each.keys() != Reference.__annotations__.keys() for each in entries):
        raise UserError(f"{path} is invalid - it holds what you have allowed - remove it")
    return [Reference(**entry) for entry in entries]


def _remember(references: Sequence[Reference]) -> None:
    """Add consents to the file of the user's; a notice if it cannot be written."""
    _this_process.update(references)
    path = store()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(path.with_suffix(".lock")):
            known = _stored(path)
            new = [reference for reference in references if reference not in known]
            if not new:
                return
            entries = [reference.record() for reference in _newest([*known, *new])]
            content = {"format_version": FORMAT_VERSION, "allowed": entries}
            replace_text(path, json.dumps(content, indent=2) + "\n")
    except (OSError, StorageFault, UserError) as error:
        warn(f"your consent is not remembered: {error}")


def _newest(references: Sequence[Reference]) -> Iterator[Reference]:
    """Without the oldest versions of files that have changed very often."""
    versions: dict[str, dict[str, None]] = {}
    for each in references:
        of_file = versions.setdefault(each.path, {})
        of_file.pop(each.sha256, None)
        of_file[each.sha256] = None
    kept = {path: [*of_file][-MAX_VERSIONS:] for path, of_file in versions.items()}
    return (each for each in references if each.sha256 in kept[each.path])


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Wait until no other process changes the file."""
    with path.open("a") as file:
        lock_file(file.fileno(), wait=True)
        yield
