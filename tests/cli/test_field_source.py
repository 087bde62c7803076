"""Fields that are read from source are those of the imported classes."""

from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import pytest

from footlight.algorithms import ALGORITHMS, config_class
from footlight.cli.field_source import fields_in_source
from footlight.config.fields import fields
from footlight.config.options import Options
from footlight.environments.atari import AtariConfig

CLASSES = [
    *((f"footlight.algorithms.{name.replace('-', '_')}", "Config") for name in ALGORITHMS),
    ("footlight.config.options", "Options"),
    ("footlight.environments.atari", "AtariConfig"),
]


def imported(module: str, name: str) -> Any:
    if name == "Config":
        return config_class(module.rpartition(".")[2].replace("_", "-"))
    return {"Options": Options, "AtariConfig": AtariConfig}[name]


def words_of(annotation: Any) -> set[str]:
    """The words of a type that is imported."""
    if annotation is bool:
        return {"true", "false"}
    if get_origin(annotation) is Literal:
        return {str(word) for word in get_args(annotation)}
    parts = get_args(annotation)
    if get_origin(annotation) in (Annotated, tuple):
        return words_of(parts[0])
    found = {word for part in parts for word in words_of(part)}
    return found | {"none"} if found and type(None) in parts else found


@pytest.mark.parametrize(("module", "name"), CLASSES)
def test_fields_and_their_words(module: str, name: str) -> None:
    kind = imported(module, name)
    hints = get_type_hints(kind, include_extras=True)
    found = fields_in_source(module, name)
    assert found.keys() == fields(kind).keys()
    assert {field: set(words) for field, words in found.items()} == {
        field: words_of(hints[field]) for field in found
    }


def test_class_that_is_not_there_has_no_fields() -> None:
    assert fields_in_source("footlight.config.options", "Missing") == {}
