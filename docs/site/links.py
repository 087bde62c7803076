"""Where the files of the repository lie in the site, and links between them.

Pages link to files as they lie in the repository, so that they work in an editor and on a forge.
In the site a page from outside `docs/` has a place of its own, and a source file is a page.
"""

import posixpath
import re
from collections.abc import Callable, Container
from pathlib import Path

ROOT = Path(__file__).parents[2]
PLACES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
    "benchmarks/README.md": "benchmarks.md",
}
"""Pages outside `docs/`, and where they are in the site. The README itself is not in it."""

LINK = re.compile(r"(!?\[(?:[^\[\]]|\[[^\]]*\])*\]\()\s*([^)\s]+)(\))")
FENCE = re.compile(r"^(?P<indent> *)(```+|~~~+).*?^(?P=indent)\2", re.DOTALL | re.MULTILINE)
TEXTS = (".txt", ".toml", ".py")


def place(path: str) -> str | None:
    """Where a file of the repository is in the site; None if it has no place there."""
    if path in PLACES:
        return PLACES[path]
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    if path.startswith("lessons/") and path.endswith(".ipynb"):
        return path.removesuffix(".ipynb") + ".md"
    if path.endswith(TEXTS):
        return f"source/{path}.md"
    return path if path.endswith((".png", ".svg", ".gif")) else None


def is_outside(target: str) -> bool:
    """Whether a link leads to the web, or stays on its page."""
    return bool(re.match(r"[a-z][a-z0-9+.-]*:|#|/", target))


def rewritten(text: str, path: str, at: str, beside: Container[str] = ()) -> tuple[str, set[str]]:
    """A page's text with its links as they are in the site, and the files that they name.

    path: of the page in the repository. at: its place in the site. beside: the files that are made
    beside it there.
    Raises `ValueError` for a link to a file that does not exist or has no place in the site.
    """
    named: set[str] = set()

    def replace(match: re.Match[str]) -> str:
        file, mark, anchor = match[2].partition("#")
        if is_outside(match[2]) or file in beside:
            return match[0]
        found = posixpath.normpath(posixpath.join(posixpath.dirname(path), file))
        there = place(found)
        if found.startswith("lessons/") and not (ROOT / found).exists():
            return match[1][1:].removesuffix("](")  # a notebook that is not executed yet
        if there is None or not (ROOT / found).exists():
            raise ValueError(f"{path}: the link {match[2]} leads to no page of the site")
        named.add(found)
        relative = posixpath.relpath(there, posixpath.dirname(at) or ".")
        return f"{match[1]}{relative}{mark}{anchor}{match[3]}"

    return outside_fences(LINK, replace, text), named


def outside_fences(
    pattern: re.Pattern[str], replace: Callable[[re.Match[str]], str], text: str
) -> str:
    """Substitute in a page, but not in its fenced blocks."""
    parts, last = [], 0
    for fence in FENCE.finditer(text):
        parts += [pattern.sub(replace, text[last : fence.start()]), fence[0]]
        last = fence.end()
    return "".join([*parts, pattern.sub(replace, text[last:])])


def anchor(heading: str, separator: str = "-") -> str:
    """The anchor of a heading, as forges make it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", separator)


def source_page(path: str) -> str:
    """A page that shows a text file of the repository."""
    language = {".py": "py", ".toml": "toml"}.get(Path(path).suffix, "text")
    text = (ROOT / path).read_text(encoding="utf-8")
    fence = "````" if "```" in text else "```"
    return f"---\nsearch:\n  exclude: true\n---\n\n# {path}\n\n{fence}{language}\n{text}{fence}\n"
