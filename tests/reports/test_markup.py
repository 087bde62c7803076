"""HTML from values that may be hostile."""

import json
import math

import pytest
from reported_runs import HOSTILE, Page

from footlight.reports.markup import (
    MAX_TEXT,
    Html,
    capitalized,
    content_hash,
    element,
    embedded_json,
    escape,
    join,
    number,
    table,
)


def test_text_becomes_no_element_and_no_attribute() -> None:
    page = Page(element("p", HOSTILE, title=HOSTILE))
    assert page.tags == ["p"]
    assert page.attributes == [
        ("p", "title", HOSTILE.replace("\u2028", "?").replace("\u202e", "?"))
    ]
    assert page.text == page.attributes[0][2]


def test_html_is_not_escaped_again_and_none_is_left_out() -> None:
    assert join(element("b", "1 < 2"), None, "&") == "<b>1 &lt; 2</b>&amp;"
    assert element("i", class_="x", data_chart=None) == '<i class="x"></i>'


def test_long_texts_are_cut_off() -> None:
    assert len(escape("x" * 10 * MAX_TEXT)) == MAX_TEXT + 1


def test_json_ends_no_script_and_is_strict() -> None:
    text = embedded_json([HOSTILE, "<!--"])
    assert "<" not in text
    assert "\u2028" not in text
    assert json.loads(text) == [HOSTILE, "<!--"]
    with pytest.raises(ValueError, match="JSON compliant"):
        embedded_json(math.nan)


def test_content_hash_is_that_of_the_standard() -> None:
    # The example of the specification, https://www.w3.org/TR/CSP3/#external-hash's inline form
    expected = "'sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng='"
    assert content_hash("alert('Hello, world.');") == expected


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (math.nan, "–"), (math.inf, "–"), (1234567.0, "1,234,567"), (0.000123456,
     "0.0001235"), (1234.56, "1,234.6"), (-2.5, "-2.5")],
)  # fmt: skip
def test_numbers_have_few_digits(value: float | None, text: str) -> None:
    assert number(value) == text


def test_a_capital_letter_changes_nothing_else() -> None:
    assert capitalized("the KL of Adam") == "The KL of Adam"
    assert capitalized("") == ""


def test_tables_escape_their_cells() -> None:
    shown = table(["<a>"], [["<b>", Html("<i></i>")]])
    assert Page(shown).tags == ["div", "table", "thead", "tr", "th", "tbody", "tr", "td", "td", "i"]
