"""Rewrite what the documentation takes from the code, between pairs of comments: `make docs`.

A table of config fields. The first comment names an algorithm, or the id of an environment with a
config, then the fields, each with the symbol that the page uses for it:

    <!-- fields ppo: gamma (γ), n_steps (T), num_epochs -->
    <!-- end of fields -->

The fields of all algorithms that can change during a run:

    <!-- schedulable fields -->
    <!-- end of schedulable fields -->

The spaces that an algorithm accepts, found by asking it; without a name, those of all algorithms:

    <!-- spaces sac -->
    <!-- end of spaces -->

The source of a function or method, with its docstring:

    <!-- source footlight/algorithms/sac.py:SAC.update_critic -->
    <!-- end of source -->

The checks of the doctor, and the columns of `diagnostics.jsonl`:

    <!-- checks -->
    <!-- end of checks -->

    <!-- diagnostics -->
    <!-- end of diagnostics -->
"""

import ast
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces as gym

from footlight.algorithms import ALGORITHMS, find
from footlight.algorithms import config_class as algorithm_config
from footlight.config.fields import describe_value, fields
from footlight.doctor.catalog import CATALOG
from footlight.doctor.remedies import shown
from footlight.environments.make import config_class
from footlight.environments.spaces import describe, require_actions
from footlight.errors import UserError
from footlight.runs.quantities import PER_NETWORK, QUANTITIES

FOLDER = Path(__file__).parent
MARKER = re.compile(
    r"^<!-- (?P<kind>fields|schedulable fields|spaces|source|checks|diagnostics)"
    r"(?P<argument>[^>]*?) -->\n"
    r"(?P<body>.*?)^<!-- end of (?P=kind) -->$",
    re.DOTALL | re.MULTILINE,
)
NAME = re.compile(r"\b[a-z]+(_[a-z]+)+\b")
VECTOR = gym.Box(-1, 1, (3,))
CONTINUOUS, CHOICE = gym.Box(-2, 2, (1,)), gym.Discrete(3)
ACTIONS: dict[str, gym.Space[Any]] = {
    "Box with finite bounds": CONTINUOUS,
    "Box without bounds": gym.Box(-np.inf, np.inf, (1,)),
    "Discrete": CHOICE,
    "MultiDiscrete": gym.MultiDiscrete([3, 2]),
    "MultiBinary": gym.MultiBinary(4),
    "Dict or Tuple": gym.Dict({"turn": CHOICE}),
}
OBSERVATIONS: dict[str, gym.Space[Any]] = {
    "Box of numbers": VECTOR,
    "images (Box of uint8)": gym.Box(0, 255, (84, 84, 3), np.uint8),
    "Discrete, MultiDiscrete, MultiBinary": gym.MultiDiscrete([3, 2]),
    "Dict and Tuple of these": gym.Dict({"position": VECTOR, "room": CHOICE}),
    "Text, Graph, Sequence": gym.Sequence(VECTOR),
}


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


def accepts(
    algorithm: str, observation: gym.Space[Any], action: gym.Space[Any], num_envs: int = 1
) -> bool:
    """Whether an algorithm can be built for these spaces and number of environments."""
    found: Any = find(algorithm)
    try:
        spaces = describe(observation, action)
        require_actions(spaces, found.ACTIONS, algorithm)
        found.create(algorithm_config(algorithm)(), spaces).init(num_envs)
    except UserError:
        return False
    return True


def verdict(is_accepted: bool) -> str:
    """A cell of the tables of spaces."""
    return "yes" if is_accepted else "no"


def space_rows(algorithm: str) -> Iterator[str]:
    """The rows of the table of spaces: of one algorithm, or, without a name, of all."""
    if not algorithm:
        yield f"| algorithm | {' | '.join(ACTIONS)} | several environments |"
        yield "| --- " * (len(ACTIONS) + 2) + "|"
        for name in ALGORITHMS:
            answers = [accepts(name, VECTOR, action) for action in ACTIONS.values()]
            answers.append(accepts_several(name))
            shown = " | ".join(map(verdict, answers))
            yield f"| [`{name}`]({name}.md) | {shown} |"
        return
    usual = CONTINUOUS if accepts(algorithm, VECTOR, CONTINUOUS) else CHOICE
    yield "| | space | can I use it? |"
    yield "| --- | --- | --- |"
    for name, action in ACTIONS.items():
        yield f"| actions | {name} | {verdict(accepts(algorithm, VECTOR, action))} |"
    for name, observation in OBSERVATIONS.items():
        yield f"| observations | {name} | {verdict(accepts(algorithm, observation, usual))} |"
    yield f"| environments | several (`num_envs`) | {verdict(accepts_several(algorithm))} |"


def accepts_several(algorithm: str) -> bool:
    """Whether an algorithm learns from more than one environment."""
    return any(accepts(algorithm, VECTOR, action, 2) for action in (CONTINUOUS, CHOICE))


def source_rows(place: str) -> Iterator[str]:
    """A fenced block with the source of a function; `place` is FILE.py:FUNCTION or
    FILE.py:CLASS.METHOD."""
    file, _, names = place.partition(":")
    text = (FOLDER.parent / file).read_text(encoding="utf-8")
    body: Any = ast.parse(text)
    for name in names.split("."):
        body = next(node for node in body.body if getattr(node, "name", None) == name)
    first = min([body.lineno, *(each.lineno for each in body.decorator_list)])
    lines = text.splitlines()[first - 1 : body.end_lineno]
    yield f'```py title="{file}"'
    yield textwrap.dedent("\n".join(lines))
    yield "```"


def field_rows(argument: str) -> Iterator[str]:
    """The rows of a table of fields, from `ALGORITHM: FIELD (SYMBOL), FIELD, ...`."""
    source, _, names = argument.partition(": ")
    return rows(source, names)


def check_rows() -> Iterator[str]:
    """The rows of the table of the doctor's checks."""
    yield "| check | what is wrong | what it means | what to do | source |"
    yield "| --- | --- | --- | --- | --- |"
    for name, entry in CATALOG.items():
        remedy = "; ".join(shown(option, "`") for option in entry.remedy)
        source = entry.source.replace("|", "&#124;")
        yield f"| `{name}` | {entry.title} | {entry.meaning} | {remedy} | {source} |"


def diagnostic_rows() -> Iterator[str]:
    """The rows of the table of diagnostics."""
    yield "| column | meaning |"
    yield "| --- | --- |"
    checks = "".join(
        path.read_text(encoding="utf-8")
        for path in (FOLDER.parent / "footlight" / "doctor").glob("*_checks.py")
    )
    for prefix, quantities in ("", QUANTITIES), ("NETWORK.", PER_NETWORK):
        for name, quantity in quantities.items():
            unread = "" if f'"{name}"' in checks else " (no check reads it)"
            yield f"| `{prefix}{name}` | {quantity.meaning.replace('|', '&#124;')}{unread} |"


MAKERS: dict[str, Callable[[str], Iterator[str]]] = {
    "fields": field_rows,
    "schedulable fields": lambda argument: schedulable_rows(),
    "spaces": space_rows,
    "source": source_rows,
    "checks": lambda argument: check_rows(),
    "diagnostics": lambda argument: diagnostic_rows(),
}


def rewritten(text: str) -> str:
    """A page with everything between its markers up to date."""

    def replace(match: re.Match[str]) -> str:
        kind = match["kind"]
        made = "\n".join(MAKERS[kind](match["argument"].strip()))
        opening = match[0][: match.start("body") - match.start()]
        return f"{opening}\n{made}\n\n<!-- end of {kind} -->"

    return MARKER.sub(replace, text)


def main() -> int:
    """Rewrite all pages; print those that changed."""
    for page in sorted(FOLDER.rglob("*.md")):
        before = page.read_text(encoding="utf-8")
        if (after := rewritten(before)) != before:
            page.write_text(after, encoding="utf-8")
            print(page.relative_to(FOLDER))
    return 0


if __name__ == "__main__":
    sys.exit(main())
