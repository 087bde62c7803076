"""Ranges, and how types and values read in messages."""

from typing import Any, Literal

import pytest

from footlight.config.fields import (
    Range,
    describe_type,
    describe_value,
)
from footlight.config.schema import convert
from footlight.streams import MAX_SEED


@pytest.mark.parametrize(
    ("limits", "inside", "outside", "text"),
    [
        (Range(0, 1), [0, 0.5, 1], [-0.1, 1.1], "in [0, 1]"),
        (Range(0, 1, open_low=True), [0.1, 1], [0], "in (0, 1]"),
        (Range(0, 1, open_high=True), [0, 0.9], [1], "in [0, 1)"),
        (Range(1), [1, 1e300], [0], ">= 1"),
        (Range(0, open_low=True), [1e-300], [0, -1], "> 0"),
    ],
)
def test_ranges(limits: Range, inside: list[float], outside: list[float], text: str) -> None:
    assert all(value in limits for value in inside)
    assert not any(
        value in limits for value in [*outside, float("nan"), float("inf"), float("-inf")]
    )
    assert str(limits) == text


def test_range_shows_integers_in_full() -> None:
    assert str(Range(0, MAX_SEED)) == f"in [0, {MAX_SEED}]"


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (float, "a number"),
        (int, "an integer"),
        (bool, "true or false"),
        (str, "text"),
        (int | None, "an integer or none"),
        (tuple[int, ...], "a list of integers"),
        (tuple[Literal["a", "b"], ...], "any of a, b"),
        (Literal["a", "b"], "one of a, b"),
        (float | Literal["auto"], "a number or auto"),
    ],
)
def test_types_in_words(annotation: Any, text: str) -> None:
    assert describe_type(annotation) == text


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("64 32", (64, 32)),
        ("64,32", (64, 32)),
        ("64,64", (64, 64)),
        ("64 64", (64, 64)),
        ("[64, 32]", (64, 32)),
        ("(64,)", (64,)),
        (["[64,", "32]"], (64, 32)),
        (["64", 32], (64, 32)),
        ("[]", ()),
        ("[64, 32", None),
        ("64]", None),
        ("(64]", None),
        ("64,,32", None),
        ("[64][32]", None),
        ("[", None),
    ],
)
def test_lists_as_text(value: Any, expected: tuple[int, ...] | None) -> None:
    if expected is not None:
        assert convert(value, tuple[int, ...]) == expected
        return
    with pytest.raises(ValueError, match=r"64|\["):
        convert(value, tuple[int, ...])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ((64, 32), "64 32"),
        ((), "none"),
        (True, "true"),
        (None, "none"),
        (0.5, "0.5"),
        ("auto", "auto"),
    ],
)
def test_values_in_words(value: Any, text: str) -> None:
    assert describe_value(value) == text
