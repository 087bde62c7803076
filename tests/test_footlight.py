"""The names at the top of the package, imported on first use."""

import importlib
import random

import pytest

import footlight


def test_every_public_name_is_what_its_module_defines() -> None:
    assert set(footlight.__all__) == set(footlight._HOMES)
    assert footlight.__all__ == sorted(footlight.__all__)
    for name in footlight.__all__:
        home = importlib.import_module(footlight._HOMES[name])
        defined_as = "Config" if name.endswith("Config") else name
        assert getattr(footlight, name) is getattr(home, defined_as)
        assert name in dir(footlight)


def test_unknown_name_raises_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'footlight' has no attribute 'trian'"):
        footlight.trian  # noqa: B018


def test_first_use_of_a_name_does_not_draw_from_the_global_generator() -> None:
    random.seed(1)
    before = random.getstate()
    footlight.__getattr__("train")
    assert random.getstate() == before
