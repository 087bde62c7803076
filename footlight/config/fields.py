"""Configs: frozen dataclasses whose annotations hold the range and whose field docstrings hold the meaning.

Every value, wherever it comes from (command line, TOML, JSON, Python), passes through `build`, and every config checks
itself on construction with `check`. Nothing here imports torch.
"""

import ast
import dataclasses
import inspect
import math
import re
import textwrap
import types
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from footlight.config.suggestions import closest
from footlight.errors import UserError

T = TypeVar("T")

_MAX_DIGITS = 100  # of an integer with an exponent: 1e999999999 would exhaust memory


@dataclass(frozen=True)
class Range:
    """The numbers from `low` to `high`; `open_low` and `open_high` leave the end itself out."""

    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False
    open_high: bool = False

    def __contains__(self, value: float) -> bool:
        above = value > self.low if self.open_low else value >= self.low
        below = value < self.high if self.open_high else value <= self.high
        return above and below and value == value and abs(value) != math.inf

    def __str__(self) -> str:
        low, high = (
            f"{end:g}" if isinstance(end, float) else str(end) for end in (self.low, self.high)
        )
        if self.high == math.inf:
            return f"> {low}" if self.open_low else f">= {low}"
        return f"in {'(' if self.open_low else '['}{low}, {high}{')' if self.open_high else ']'}"


Fraction = Annotated[float, Range(0, 1)]
Positive = Annotated[float, Range(0, open_low=True)]
OptionalPositive = Annotated[float | None, Range(0, open_low=True)]
NonNegative = Annotated[float, Range(0)]
Count = Annotated[int, Range(1)]
CountOrZero = Annotated[int, Range(0)]
LayerSizes = Annotated[tuple[int, ...], Range(1)]


@dataclass(frozen=True)
class Field:
    """One field of a config, as the help page and the checks see it."""

    name: str
    type: Any
    default: Any
    range: Range | None
    help: str


@cache
def fields(config_class: Any) -> dict[str, Field]:
    """The fields of a config class, its own before inherited ones, with type, default, range and docstring."""
    hints = get_type_hints(config_class, include_extras=True)
    docs: dict[str, str] = {}
    for member in reversed(config_class.__mro__[:-1]):
        docs |= _docstrings(member)
    found = {}
    own = inspect.get_annotations(
        config_class
    )  # a method's own fields come before those of the groups it shares
    for field in sorted(dataclasses.fields(config_class), key=lambda field: field.name not in own):
        hint, limits = hints[field.name], None
        if get_origin(hint) is Annotated:
            hint, limits = (
                hint.__origin__,
                next((x for x in hint.__metadata__ if isinstance(x, Range)), None),
            )
        found[field.name] = Field(field.name, hint, field.default, limits, docs.get(field.name, ""))
    return found


def _docstrings(config_class: type) -> dict[str, str]:
    """The string written under each field of a class body, by field name."""
    try:
        body = ast.parse(textwrap.dedent(inspect.getsource(config_class))).body[0]
    except (OSError, TypeError):  # a class without a file, such as one typed into a console
        return {}
    assert isinstance(body, ast.ClassDef)
    docs = {}
    for before, after in zip(body.body, body.body[1:], strict=False):
        match before, after:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(
                value=ast.Constant(value=str(text))
            ):
                docs[name] = " ".join(text.split())
    return docs


def check(config: Any) -> None:
    """Raise `UserError` for the first field of `config` whose value has the wrong type or lies out of range."""
    members: Any = type(config)
    for field in fields(members).values():
        value = getattr(config, field.name)
        _require(_fits(value, field.type), field, value)
        items = value if isinstance(value, tuple) else (value,)
        if field.range is not None:
            _require(
                all(item is None or isinstance(item, str) or item in field.range for item in items),
                field,
                value,
            )


def build(config_class: type[T], values: Mapping[str, Any]) -> T:
    """A config from loosely typed values (text from a command line, numbers from TOML or JSON, Python objects).

    Raises `UserError` naming an unknown field with its closest match, or a value of the wrong type or range.
    """
    any_class: Any = config_class
    known = fields(any_class)
    for name in values:
        if name not in known:
            raise UserError(
                f"unknown field {name!r}{closest(name, known) or ' - see --help for all fields'}"
            )
    return config_class(**{name: convert(known[name], value) for name, value in values.items()})


def convert(field: Field, value: Any) -> Any:
    """`value` in the type of `field`; text is read as the command line writes it. Raises `UserError`."""
    value = plain(value)
    for option in _options(field.type):
        try:
            return _convert(option, value)
        except (TypeError, ValueError, OverflowError):
            continue
    _require(False, field, value)


def integer(name: str, value: Any, limits: Range) -> int:
    """Return `value` as an exact integer within `limits`; NumPy integers are accepted. Raises `UserError`."""
    value = plain(value)
    if isinstance(value, bool) or not isinstance(value, int) or value not in limits:
        raise UserError(f"{name} is {value!r} - it must be an integer {limits}")
    return value


def plain(value: Any) -> Any:
    """Convert NumPy scalars, arrays and tensors to Python numbers, strings or lists; other values are returned unchanged."""
    to_list = getattr(value, "tolist", None)
    return to_list() if callable(to_list) else value


def _options(annotation: Any) -> tuple[Any, ...]:
    is_union = get_origin(annotation) in (Union, types.UnionType)
    # None first: `none` is text, too, and so is any other value
    return (
        tuple(sorted(get_args(annotation), key=lambda option: option is not type(None)))
        if is_union
        else (annotation,)
    )


def _convert(annotation: Any, value: Any) -> Any:
    if get_origin(annotation) is Literal:
        if value in get_args(annotation):
            return value
    elif annotation is type(None):
        if value is None or (isinstance(value, str) and value.lower() == "none"):
            return None
    elif annotation is bool:
        word = str(value).lower()
        if isinstance(value, bool | str) and word in ("true", "false"):
            return word == "true"
    elif get_origin(annotation) is tuple:
        if isinstance(value, list | tuple | str):
            kind = get_args(annotation)[0]
            items = _items(value, kind)
            return () if items == ["none"] else tuple(_convert(kind, plain(item)) for item in items)
    elif annotation is str:
        return str(value)
    elif annotation is int and not isinstance(value, bool):
        return _exact_integer(value)
    elif annotation is float and not isinstance(value, bool):
        return float(value)
    raise ValueError(value)


def _items(value: Any, kind: Any) -> list[Any]:
    """The items of a list of this kind, which may be typed as `64 64`, `64,64` or `[64, 64]`."""
    given = [value] if isinstance(value, str) else value
    if kind is str and not isinstance(
        value, str
    ):  # separate strings, which may contain spaces and commas
        return list(given)
    parts = [
        re.sub(r"[\[\](),]", " ", item).split() if isinstance(item, str) else [item]
        for item in given
    ]
    return [item for part in parts for item in part]


def _exact_integer(value: Any) -> int:
    """Convert `value` to an integer if it is one, such as 1e6 as text or float. Raises `ValueError`."""
    if isinstance(value, int):
        return value
    if not isinstance(value, float | str):
        raise ValueError(value)
    try:
        number = Decimal(value)  # exact, where a float has 53 bits
    except InvalidOperation as error:
        raise ValueError(value) from error
    if (
        not number.is_finite()
        or number.adjusted() > _MAX_DIGITS
        or number != number.to_integral_value()
    ):
        raise ValueError(value)
    return int(number)


def _fits(value: Any, annotation: Any) -> bool:
    if get_origin(annotation) in (Union, types.UnionType):
        return any(_fits(value, option) for option in get_args(annotation))
    if get_origin(annotation) is Literal:
        return value in get_args(annotation)
    if get_origin(annotation) is tuple:
        return isinstance(value, tuple) and all(
            _fits(item, get_args(annotation)[0]) for item in value
        )
    if annotation is float:
        return (
            isinstance(value, float | int) and not isinstance(value, bool) and math.isfinite(value)
        )
    if annotation is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, annotation)


def _require(good: bool, field: Field, value: Any) -> None:
    if not good:
        wanted = describe_type(field.type, field.range)
        shown = (
            " ".join(map(str, value))
            if get_origin(field.type) is tuple and isinstance(value, list | tuple)
            else value
        )
        raise UserError(f"{field.name} is {shown} - it must be {wanted}")


def describe_type(annotation: Any, limits: Range | None = None) -> str:
    """A type in the words of a help page, with the range of its numbers."""
    if get_origin(annotation) in (Union, types.UnionType):
        return " or ".join(describe_type(option, limits) for option in get_args(annotation))
    if get_origin(annotation) is Literal:
        words = ", ".join(map(str, get_args(annotation)))
        return f"one of {words}" if len(get_args(annotation)) > 1 else words
    within = f" {limits}" if limits is not None else ""
    if get_origin(annotation) is tuple and get_origin(get_args(annotation)[0]) is Literal:
        return "any of " + ", ".join(map(str, get_args(get_args(annotation)[0])))
    if get_origin(annotation) is tuple:
        item = describe_type(get_args(annotation)[0]).removeprefix("a ").removeprefix("an ")
        return f"a list of {item if item == 'text' else item + 's'}{within}"
    numbers = {float: "a number", int: "an integer"}
    if annotation in numbers:
        return numbers[annotation] + within
    names = {bool: "true or false", str: "text", type(None): "none"}
    return names.get(annotation, getattr(annotation, "__name__", str(annotation)))


def describe_value(value: Any) -> str:
    """A value as one would type it on the command line."""
    if isinstance(value, list | tuple):
        return " ".join(map(str, value)) or "none"
    return str(value).lower() if isinstance(value, bool) or value is None else str(value)


def closest_divisor(size: int, near: int) -> int:
    """The divisor of `size` that is closest to `near`; not 1, if there is another one."""
    found = [n for k in range(1, math.isqrt(size) + 1) if size % k == 0 for n in (k, size // k)]
    return min((n for n in found if n > 1 or size == 1), key=lambda n: abs(n - near))
