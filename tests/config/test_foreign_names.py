"""docs/coming-from.md: footlight's names exist, and the command line suggests the same ones."""

import re
from operator import attrgetter
from pathlib import Path

import pytest

import footlight
from footlight.algorithms import ALGORITHMS, config_class
from footlight.config.fields import fields
from footlight.config.options import Options
from footlight.config.suggestions import closest, difference

PAGE = Path(__file__).parents[2] / "docs" / "coming-from.md"
KNOWN = {name: [*fields(Options), *fields(config_class(name))] for name in ALGORITHMS}
NAME = re.compile(r"`([a-z_]+)`")
# Not options elsewhere: what holds the option, or what counts something else
NOT_OPTIONS = {
    "steps_per_epoch",
    "epochs",
    "learn",
    "make_vec_env",
    "policy_kwargs",
    "ac_kwargs",
}


def rows(kind: str) -> list[list[str]]:
    text = PAGE.read_text(encoding="utf-8")
    table = text.partition(f"<!-- names: {kind} -->")[2].partition("<!-- end of names -->")[0]
    lines = [line for line in table.splitlines() if "`" in line]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def translations() -> list[tuple[str, str]]:
    found = set()
    for ours, *others in rows("field"):
        for cell in others:
            found |= {(name, ours.strip("`")) for name in NAME.findall(cell)}
    return sorted((a, b) for a, b in found if a != b and a not in NOT_OPTIONS)


def test_every_field_of_the_table_exists() -> None:
    names = {cells[0].strip("`") for cells in rows("field")}
    assert len(names) > 30
    assert names <= {name for known in KNOWN.values() for name in known}


def test_every_option_in_place_of_a_callback_exists() -> None:
    names = {name for _, ours in rows("callback") for name in re.findall(r"`([a-z_]+)[`=]", ours)}
    assert {"stop_patience", "hooks", "network"} <= names
    assert names - {"hooks", "network"} <= {name for known in KNOWN.values() for name in known}


def test_every_function_of_the_table_exists() -> None:
    names = [cells[0].strip("`") for cells in rows("function")]
    assert len(names) >= 10
    for name in names:
        assert callable(attrgetter(name.removeprefix("footlight."))(footlight))


@pytest.mark.parametrize(("theirs", "ours"), translations())
def test_command_line_suggests_the_same_name(theirs: str, ours: str) -> None:
    """By an algorithm that has the field, and not the name itself."""
    having = [known for known in KNOWN.values() if ours in known and theirs not in known]
    suggestions = [closest(theirs, known) for known in having]
    assert having
    assert any(f"did you mean {ours!r}" in each for each in suggestions), suggestions


@pytest.mark.parametrize("name", ["polyak", "num_minibatches", "train_freq", "update_every"])
def test_counterpart_with_another_meaning_says_so(name: str) -> None:
    assert difference(name)
