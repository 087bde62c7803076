"""Config fields: frozen dataclasses whose annotations hold ranges and whose docstrings hold help.

Every value, wherever it comes from (command line, TOML, JSON, Python), passes through `build`, and
every config validates itself on construction with `check`. Nothing here imports torch.
"""

import ast
import dataclasses
import inspect
import math
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Self,
    TypeVar,
    get_args,
    get_origin,
    get_type_hints,
)

from footlight.config import schema
from footlight.config.schema import (
    SCHEDULABLE,
    Count,
    CountOrZero,
    Fraction,
    LayerSizes,
    NonNegative,
    OptionalLayerSizes,
    OptionalPositive,
    Positive,
    Range,
    Schedulable,
    describe_type,
    describe_value,
    plain,
)
from footlight.config.suggestions import closest
from footlight.errors import UserError

__all__ = [  # including everything that the author of a config needs
    "SCHEDULABLE",
    "Count",
    "CountOrZero",
    "Field",
    "Fraction",
    "KnownFields",
    "LayerSizes",
    "NonNegative",
    "OptionalLayerSizes",
    "OptionalPositive",
    "Positive",
    "Range",
    "build",
    "check",
    "closest_divisor",
    "convert",
    "describe_type",
    "describe_value",
    "fields",
    "integer",
    "plain",
]

T = TypeVar("T")


@dataclass(frozen=True)
class Field:
    """One field of a config, as the help page and the checks see it."""

    name: str
    type: Any
    default: Any
    range: Range | None
    help: str
    is_schedulable: bool
    """Whether it may change during a run."""


@cache
def fields(config_class: Any) -> dict[str, Field]:
    """The fields of a config class by name, its own before inherited ones."""
    hints = get_type_hints(config_class, include_extras=True)
    docs: dict[str, str] = {}
    for member in reversed(config_class.__mro__[:-1]):
        docs |= _docstrings(member)
    own = inspect.get_annotations(config_class)
    found = {}
    for field in sorted(dataclasses.fields(config_class), key=lambda field: field.name not in own):
        hint, limits, marked = hints[field.name], None, False
        if get_origin(hint) is Annotated:
            hint, *metadata = get_args(hint)
            limits = next((each for each in metadata if isinstance(each, Range)), None)
            marked = any(isinstance(each, Schedulable) for each in metadata)
        text = docs.get(field.name, "")
        found[field.name] = Field(field.name, hint, field.default, limits, text, marked)
    return found


def _docstrings(config_class: type) -> dict[str, str]:
    """The string written under each field of a class body, by field name."""
    try:
        body = ast.parse(textwrap.dedent(inspect.getsource(config_class))).body[0]
    except (OSError, TypeError):  # a class without a file, such as one typed into a console
        return {}
    assert isinstance(body, ast.ClassDef)
    docs = {}
    for statement, below in zip(body.body, body.body[1:], strict=False):
        match statement, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(
                value=ast.Constant(value=str(text))
            ):
                docs[name] = " ".join(text.split())
    return docs


def check(config: Any) -> None:
    """Raise `UserError` for the first field of `config` with a wrong type or out of range."""
    config_class: Any = type(config)
    for field in fields(config_class).values():
        value = getattr(config, field.name)
        if isinstance(value, list):  # valid in JSON only: a config is hashable
            raise UserError(schema.mismatch(field.name, value, field.type, field.range))
        for violation in schema.violations(value, field.type, field.name, field.range):
            raise UserError(violation)


def _require_known(names: Iterable[str], known: Iterable[str], others: Iterable[str] = ()) -> None:
    for name in names:
        if name not in known:
            hint = closest(name, [*known, *others]) or " - see --help for all fields"
            raise UserError(f"unknown field {name!r}{hint}")


class KnownFields:
    """Base of config classes: an unknown field is a `UserError` with the closest match."""

    if not TYPE_CHECKING:  # editors complete the fields from the dataclass's own signature

        def __new__(cls, *given: Any, **values: Any) -> Self:
            """Check the names before the dataclass does, whose error would be a `TypeError`."""
            _require_known(values, fields(cls))
            return super().__new__(cls)


def build(config_class: type[T], values: Mapping[str, Any], others: Iterable[str] = ()) -> T:
    """Build a config from loosely typed values: text, numbers from TOML or JSON, Python objects.

    Raises `UserError` for an unknown field (with the closest match among the fields and the names
    in `others`), or a wrong type or range.
    """
    any_class: Any = config_class
    known = fields(any_class)
    _require_known(values, known, others)
    return config_class(**{name: convert(known[name], value) for name, value in values.items()})


def convert(field: Field, value: Any) -> Any:
    """Return `value` in the type of `field`; text is read as the command line writes it.

    Raises `UserError`.
    """
    try:
        return schema.convert(value, field.type)
    except (TypeError, ValueError, OverflowError) as error:
        sentence = schema.mismatch(field.name, plain(value), field.type, field.range)
        raise UserError(sentence) from error


def integer(name: str, value: Any, limits: Range) -> int:
    """Return `value` as an integer within `limits`; NumPy integers are accepted.

    Raises `UserError`.
    """
    value = plain(value)
    for violation in schema.violations(value, int, name, limits):
        raise UserError(violation)
    return int(value)


def closest_divisor(size: int, near: int) -> int:
    """The divisor of `size` that is closest to `near`; not 1 if there is another one."""
    found = [n for k in range(1, math.isqrt(size) + 1) if size % k == 0 for n in (k, size // k)]
    return min((n for n in found if n > 1 or size == 1), key=lambda n: abs(n - near))
