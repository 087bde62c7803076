"""The catalog: every entry is complete, and belongs to a check."""

import re
from pathlib import Path

import pytest

import footlight.doctor
from footlight.doctor.catalog import CATALOG, finding


def test_catalog_and_checks_have_the_same_names() -> None:
    files = Path(footlight.doctor.__file__).parent.glob("*_checks.py")
    used = {
        name for path in files for name in re.findall(r'"([a-z]+(?:-[a-z]+)+)"', path.read_text())
    } | {"diverged", "forgets"}
    assert used == CATALOG.keys()


@pytest.mark.parametrize("name", [*CATALOG])
def test_entry_is_a_line_each(name: str) -> None:
    found = finding(name, "warning", "1; at most 0", 10)
    for text in (found.title, found.meaning, found.remedy, found.source):
        assert text.strip()
        assert "\n" not in text
        assert not text.endswith(".")
    assert 0 < found.confidence < 1
