"""The lessons: their cells, read from the scripts and from the executed notebooks."""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

from documentation.pages import ROOT

FOLDER = ROOT / "lessons"
SOURCES = sorted(FOLDER.glob("[0-9]-*.py"))
MARKER = re.compile(r"^# %%(?P<options>.*)$")


class Cell(NamedTuple):
    """A cell: "code" or "markdown", and its text."""

    kind: str
    text: str


def cells_of_script(text: str) -> list[Cell]:
    """The cells of a script in percent format, whose header is a comment of jupytext's."""
    cells: list[tuple[str, list[str]]] = []
    for line in text.splitlines():
        if match := MARKER.match(line):
            cells.append(("markdown" if "[markdown]" in match["options"] else "code", []))
        elif cells:
            kind, lines = cells[-1]
            lines.append(re.sub(r"^# ?", "", line) if kind == "markdown" else line)
    return [Cell(kind, "\n".join(lines).strip("\n")) for kind, lines in cells]


def read_notebook(path: Path) -> dict[str, Any]:
    """A notebook's JSON."""
    return dict(json.loads(path.read_text(encoding="utf-8")))


def cells_of_notebook(notebook: dict[str, Any]) -> list[Cell]:
    """The cells of a notebook, without outputs."""
    return [
        Cell(cell["cell_type"], "".join(cell["source"]).strip("\n")) for cell in notebook["cells"]
    ]
