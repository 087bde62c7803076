"""References to a user's own code, FILE.py:NAME, as typed and as recorded with a run."""

import ast
import contextlib
import hashlib
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from footlight.config.suggestions import closest
from footlight.errors import UserError, place_of
from footlight.storage.files import read_file, user_path

MAX_SOURCE_BYTES = 16 << 20
loaded: set[str] = set()
"""The paths of the files that have been loaded."""
_FILE = re.compile(r"\.py(:|$)")


@dataclass(frozen=True)
class Reference:
    """A name in a file of the user's. One is made only where loading the file is allowed:
    `consent.given` and `consent.recorded`."""

    use: str
    """algorithm, environment, network, wrapper, hook or eval_environment."""
    path: str
    """Absolute, without links."""
    name: str
    sha256: str
    """Digest of the whole file."""

    @property
    def file(self) -> str:
        """The file's own name, for messages."""
        return Path(self.path).name

    def record(self) -> dict[str, str]:
        """The entry in `config.json`."""
        return asdict(self)


def is_reference(text: object) -> bool:
    """Whether this is text that names a file: FILE.py:NAME, or FILE.py alone."""
    return isinstance(text, str) and _FILE.search(text) is not None


def split(text: str) -> tuple[Path, str]:
    """The file of a reference and the name in it. Raises `UserError` if either is missing."""
    file, _, name = text.rpartition(":") if not text.endswith(".py") else (text, "", "")
    path = user_path(file).resolve()
    if not path.is_file():
        others = sorted(other.name for other in path.parent.glob("*.py"))
        hint = closest(path.name, others) or " - check the path"
        raise UserError(f"there is no file {file} (in {path.parent}){hint}")
    if not name:
        example = next(iter(_names_in(path)), "NAME")
        has = ", ".join(_names_in(path)) or "no class and no function"
        raise UserError(f"{text} names a file only - it has {has} - write {file}:{example}")
    return path, name


def digest(path: Path) -> tuple[bytes, str]:
    """Content and SHA-256 of a file. Raises `UserError`."""
    content = read_file(path, MAX_SOURCE_BYTES)
    return content, hashlib.sha256(content).hexdigest()


def place_in_loaded(error: BaseException) -> str:
    """Where in the loaded files an exception came from, as ` (FILE, line N)`; empty if nowhere."""
    return next((where for path in sorted(loaded) if (where := place_of(error, Path(path)))), "")


def _names_in(path: Path) -> Iterator[str]:
    """Public classes and functions at the top of a file, which is parsed, not run."""
    with contextlib.suppress(SyntaxError, ValueError):
        for statement in ast.parse(digest(path)[0]).body:
            if isinstance(statement, ast.ClassDef | ast.FunctionDef) and statement.name[0] != "_":
                yield statement.name
