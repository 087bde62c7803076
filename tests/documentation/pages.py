"""The pages of the documentation, cut into blocks."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(
    r"^```(?P<language>\w*)(?: [^`\n]*)?\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE
)
SPAN = re.compile(r"`([^`\n]+)`")


class Block(NamedTuple):
    """A fenced block of a page and where it begins."""

    page: str
    line: int
    language: str
    text: str

    @property
    def name(self) -> str:
        return f"{self.page}:{self.line}"


def page_name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def blocks(path: Path) -> Iterator[Block]:
    """The fenced blocks of a page, in order."""
    text = path.read_text(encoding="utf-8")
    for match in FENCE.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        yield Block(page_name(path), line, match["language"], match["text"])


def prose(text: str) -> str:
    """A page without its fenced blocks; lines keep their numbers."""
    return FENCE.sub(lambda match: "\n" * match[0].count("\n"), text)


def python_blocks() -> list[Block]:
    return [block for path in PAGES for block in blocks(path) if block.language == "python"]


def shell_lines(text: str) -> Iterator[str]:
    """The `footlight` lines of a block, with indented lines joined and comments removed."""
    joined = re.sub(r"\n +", " ", re.sub(r" *#.*$", "", text, flags=re.MULTILINE))
    yield from (line for line in joined.splitlines() if line.startswith("footlight "))


def is_synopsis(line: str) -> bool:
    """Whether a line describes a command, with placeholders, and is not one to type."""
    return bool(re.search(r"\[|\||\.\.\.|\b(?!RUN_DIR\b)[A-Z]{4,}\b", line))


def commands() -> list[tuple[str, str]]:
    """Place and text of every `footlight` line in a block."""
    unmarked = [b for path in PAGES for b in blocks(path) if b.language != "python"]
    return [(block.name, line) for block in unmarked for line in shell_lines(block.text)]


def mentions() -> list[tuple[str, str]]:
    """Place and text of every command that the text names, often without its arguments."""
    found = []
    for path in PAGES:
        text = prose(path.read_text(encoding="utf-8"))
        for number, line in enumerate(text.splitlines(), 1):
            spans = [span for span in SPAN.findall(line) if span.startswith("footlight ")]
            found += [(f"{page_name(path)}:{number}", span) for span in spans]
    return found
