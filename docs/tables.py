"""Rewrite the tables of config fields in the documentation from the docstrings: `make docs`.

A table stands between two comments of which the first names what it lists: an algorithm, or the id
of an environment with a config, then its fields, each with the symbol that the page uses for it:

    <!-- fields ppo: gamma (γ), n_steps (T), num_epochs -->
    <!-- end of fields -->

or lists the fields of all algorithms that can change during a run:

    <!-- schedulable fields -->
    <!-- end of fields -->
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from footlight.algorithms import ALGORITHMS
from footlight.algorithms import config_class as algorithm_config
from footlight.config.fields import describe_value, fields
from footlight.environments.make import config_class

FOLDER = Path(__file__).parent
TABLE = re.compile(
    r"^<!-- fields (?P<source>\S+): (?P<names>[^>]+?) -->\n(?P<table>.*?)^<!-- end of fields -->$",
    re.DOTALL | re.MULTILINE,
)
SCHEDULABLE = re.compile(
    r"^<!-- schedulable fields -->\n(?P<table>.*?)^<!-- end of fields -->$",
    re.DOTALL | re.MULTILINE,
)
NAME = re.compile(r"\b[a-z]+(_[a-z]+)+\b")


def default(value: Any) -> str:
    """A default as it can be typed, large numbers with commas."""
    if isinstance(value, float):
        return f"{value:g}".replace("e-0", "e-")
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return describe_value(value)


def rows(source: str, names: str) -> Iterator[str]:
    """The rows of a table; `names` are separated by commas, with symbols in parentheses."""
    found = algorithm_config(source) if source in ALGORITHMS else config_class(source)
    members = fields(found)
    yield "| field | default | meaning |"
    yield "| --- | --- | --- |"
    for entry in " ".join(names.split()).split(", "):
        name, _, symbol = entry.partition(" (")
        symbol = f" {symbol.removesuffix(')')}" if symbol else ""
        field = members[name]
        meaning = NAME.sub(r"`\g<0>`", field.help).replace("|", "\\|").replace("*", "\\*")
        meaning += " *Can change during a run.*" * field.is_schedulable
        yield f"| `{name}`{symbol} | {default(field.default)} | {meaning} |"


def schedulable_rows() -> Iterator[str]:
    """The rows of the table of fields that can change during a run."""
    yield "| algorithm | fields |"
    yield "| --- | --- |"
    for algorithm in ALGORITHMS:
        members = fields(algorithm_config(algorithm)).values()
        names = ", ".join(f"`{field.name}`" for field in members if field.is_schedulable)
        yield f"| `{algorithm}` | {names or 'none'} |"


def rewritten(text: str) -> str:
    """A page with all its tables up to date."""

    def replace(match: re.Match[str]) -> str:
        found = match.groupdict()
        source = found.get("source")
        made = schedulable_rows() if source is None else rows(source, found["names"])
        table = "\n".join(made)
        opening = match[0][: match.start("table") - match.start()]
        return f"{opening}\n{table}\n\n<!-- end of fields -->"

    return SCHEDULABLE.sub(replace, TABLE.sub(replace, text))


def main() -> int:
    """Rewrite all pages; print those that changed."""
    for page in sorted(FOLDER.glob("*.md")):
        before = page.read_text(encoding="utf-8")
        if (after := rewritten(before)) != before:
            page.write_text(after, encoding="utf-8")
            print(page.name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
