"""Configs that share groups of fields by inheritance."""

from dataclasses import dataclass

import pytest

from footlight.config.fields import (
    Count,
    Fraction,
    NonNegative,
    Positive,
    Range,
    build,
    check,
    fields,
)
from footlight.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Group:
    """Fields that several configs share."""

    width: Count = 64
    """Units."""
    rate: Positive = 1e-3
    """Step size."""


@dataclass(frozen=True, kw_only=True)
class Other:
    """A second group."""

    scale: NonNegative = 1.0
    """Scale."""


@dataclass(frozen=True, kw_only=True)
class Shared(Other, Group):
    """A config of two groups, with a default and a help text of its own."""

    decay: Fraction = 0.5
    """Decay."""
    rate: Positive = 7e-4
    scale: Fraction = 0.25
    """Scale, at most 1."""

    def __post_init__(self) -> None:
        check(self)


def test_own_fields_come_before_inherited_ones() -> None:
    found = fields(Shared)
    assert set(list(found)[:3]) == {"decay", "rate", "scale"}
    assert list(found)[3:] == ["width"]


def test_inherited_fields_keep_their_docstrings_unless_overridden() -> None:
    found = fields(Shared)
    assert found["width"].help == "Units."
    assert (found["rate"].help, found["rate"].default) == ("Step size.", 7e-4)
    assert (found["scale"].help, found["scale"].range) == ("Scale, at most 1.", Range(0, 1))
    assert (fields(Group)["rate"].default, fields(Other)["scale"].help) == (1e-3, "Scale.")


def test_inherited_fields_are_validated() -> None:
    assert build(Shared, {"width": "8", "decay": "0.1"}) == Shared(width=8, decay=0.1)
    for name, given in (("width", 0), ("rate", 0), ("scale", 1.5)):
        with pytest.raises(UserError, match=f"{name} is "):
            build(Shared, {name: given})
