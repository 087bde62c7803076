"""Finding algorithms by name, and classes of a user's own."""

import inspect
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import pytest
from variants import VARIANTS

from footlight.algorithms import ALGORITHMS, config_class, find, name_of
from footlight.algorithms.sac import SAC, Config
from footlight.config.fields import fields
from footlight.errors import UserError


@dataclass(frozen=True)
class Parts:
    config: Config
    networks: Any


class Own(Parts):
    """Inherits two of its names, and declares others without values."""

    ACTIONS = ("box",)
    METRICS: Any
    create = init = buffer = policy = act = updates = None


@pytest.mark.parametrize("name", sorted(ALGORITHMS))
def test_found_class_has_the_name_and_its_module_the_config(name: str) -> None:
    found = find(name)
    assert name_of(found) == ("sac" if name in VARIANTS else name)
    assert config_class(found) is sys.modules[found.__module__].Config
    assert issubclass(config_class(name), config_class(found))


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_changes_defaults_and_adds_no_field(name: str) -> None:
    ours, sac = fields(config_class(name)), fields(config_class("sac"))
    assert ours.keys() == sac.keys()
    changed = {field for field in ours if ours[field].default != sac[field].default}
    given = {*inspect.get_annotations(config_class(name))}
    assert changed <= given
    for field in ours.values():
        same = sac[field.name]
        assert (field.type, field.range, field.help) == (same.type, same.range, same.help)
        assert field.is_schedulable == same.is_schedulable


def test_class_is_returned_as_it_is() -> None:
    assert find(SAC) is SAC
    assert find(Own) is Own
    assert name_of(Own) == "Own"
    assert config_class(Own) is Config


def test_misspelled_name_suggests_the_closest() -> None:
    with pytest.raises(UserError, match=r"unknown algorithm 'sax'.*sac.* - there are a2c"):
        find("sax")


def test_missing_names_are_listed() -> None:
    class Half:
        METRICS = ()
        config: Config

    with pytest.raises(UserError, match="Half has no `networks`, `create`, `init`") as caught:
        find(Half)
    assert "`config`" not in str(caught.value).partition(" - ")[0]


def test_config_without_an_annotation_is_an_error() -> None:
    class Silent(Own):
        config: "Nowhere"  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(UserError, match="annotate the field"):
        config_class(Silent)


def test_listing_imports_no_torch() -> None:
    program = "import sys, footlight.algorithms; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
