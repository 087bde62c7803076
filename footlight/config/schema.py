"""Annotated types as schemas: validation, conversion and description of values.

The one engine behind config fields, the JSON files of a run and the rows of its logs, so that a bad
value is reported in the same sentence whatever its source. Nothing here imports torch or NumPy.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    NotRequired,
    Required,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from footlight.config.suggestions import closest

MAX_INTEGER = 2**63 - 1  # the largest that NumPy and safetensors hold
_MAX_DIGITS = 100  # of an integer with an exponent: 1e999999999 would exhaust memory


@dataclass(frozen=True)
class Range:
    """The numbers from `low` to `high`; `open_low` and `open_high` exclude the end itself."""

    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False
    open_high: bool = False

    def __contains__(self, value: float) -> bool:
        above = value > self.low if self.open_low else value >= self.low
        below = value < self.high if self.open_high else value <= self.high
        return above and below and math.isfinite(value)

    def __str__(self) -> str:
        low, high = (
            f"{end:g}" if isinstance(end, float) else str(end) for end in (self.low, self.high)
        )
        if self.high == math.inf:
            return f"> {low}" if self.open_low else f">= {low}"
        return f"in {'(' if self.open_low else '['}{low}, {high}{')' if self.open_high else ']'}"


class Schedulable:
    """Marks, in an annotation, a field that may change during a run."""


SCHEDULABLE = Schedulable()

Fraction = Annotated[float, Range(0, 1)]
Positive = Annotated[float, Range(0, open_low=True)]
OptionalPositive = Annotated[float | None, Range(0, open_low=True)]
NonNegative = Annotated[float, Range(0)]
Count = Annotated[int, Range(1)]
CountOrZero = Annotated[int, Range(0)]
LayerSizes = Annotated[tuple[int, ...], Range(1)]
OptionalLayerSizes = Annotated[tuple[int, ...] | None, Range(1)]


def violations(
    value: Any, schema: Any, name: str = "", limits: Range | None = None
) -> Iterator[str]:
    """Yield one message per violation of the annotated type `schema`; none if `value` is valid.

    A typed dict allows its own keys only. A tuple may be a list, which is all that JSON has.
    name: of the value, with dots before the keys of nested objects. limits: of its numbers.
    """
    origin, arguments = get_origin(schema), get_args(schema)
    if origin in (Annotated, NotRequired, Required):
        yield from violations(value, arguments[0], name, _limits(arguments[1:], limits))
    elif is_typeddict(schema) and isinstance(value, dict):
        yield from _key_violations(value, schema, name)
    elif origin is dict and isinstance(value, dict):
        for key, item in value.items():
            yield from violations(item, arguments[1], _nested(name, key), limits)
    elif origin is list and isinstance(value, list):
        for item in value:
            yield from violations(item, arguments[0], name, limits)
    elif not _fits(value, schema, limits):
        yield mismatch(name or "it", value, schema, limits)


def _limits(metadata: tuple[Any, ...], outer: Range | None) -> Range | None:
    """The range in the metadata of an annotation, or else that of the annotation around it."""
    return next((each for each in metadata if isinstance(each, Range)), outer)


def _key_violations(value: Mapping[str, Any], schema: Any, name: str) -> Iterator[str]:
    hints = get_type_hints(schema, include_extras=True)
    for key in value.keys() - hints.keys():
        yield f"{_nested(name, key)} is not a known key"
    for key in sorted(schema.__required_keys__ - value.keys()):
        yield f"{_nested(name, key)} is missing"
    for key in hints.keys() & value.keys():
        yield from violations(value[key], hints[key], _nested(name, key))


def _fits(value: Any, schema: Any, limits: Range | None) -> bool:
    origin, arguments = get_origin(schema), get_args(schema)
    if schema is Any:
        return True
    if origin in (Union, UnionType):
        return any(not any(violations(value, option, "", limits)) for option in arguments)
    if origin is Literal:
        return any(type(value) is type(option) and value == option for option in arguments)
    if origin is tuple:
        return isinstance(value, tuple | list) and not any(
            any(violations(item, arguments[0], "", limits)) for item in value
        )
    if isinstance(value, bool):
        return schema is bool
    if isinstance(value, int | float) and schema in (int, float):
        if isinstance(value, int) and abs(value) > MAX_INTEGER:
            return False
        fits_type = schema is float or isinstance(value, int)
        return fits_type and value in (limits or Range())
    return schema in (str, NoneType) and isinstance(value, schema)


def mismatch(name: str, value: Any, schema: Any, limits: Range | None = None) -> str:
    """Return the message for a value that does not match the annotated type."""
    if isinstance(value, int) and abs(value) > MAX_INTEGER:
        return f"{name} is {value!r:.40} - integers reach {MAX_INTEGER} - give a smaller one"
    is_list = isinstance(value, tuple | list) and get_origin(schema) is tuple
    shown = describe_value(value) if is_list else repr(value)
    must_be = f"it must be {describe_type(schema, limits)}"
    return f"{name} is {shown:.40} - {must_be}{_hint(value, schema)}"


def _hint(value: Any, schema: Any) -> str:
    """A suggestion for a misspelled word, or for one in a list of words."""
    given = value if isinstance(value, tuple | list) else [value]
    words = [word for word in _literals(schema) if isinstance(word, str)]
    wrong = [each for each in given if isinstance(each, str) and each not in words]
    return next((hint for each in wrong if (hint := closest(each, words))), "")


def _literals(schema: Any) -> Iterator[Any]:
    """The words that an annotated type allows."""
    if get_origin(schema) is Literal:
        yield from get_args(schema)
    else:
        for part in get_args(schema):
            yield from _literals(part)


def _nested(name: str, key: str) -> str:
    return f"{name}.{key:.40}" if name else f"{key:.40}"


def convert(value: Any, schema: Any) -> Any:
    """Return `value` in the annotated type; text is read as the command line writes it.

    Raises `ValueError`, `TypeError` or `OverflowError` for what cannot be read as this type. Ranges
    are not checked.
    """
    value = plain(value)
    origin, arguments = get_origin(schema), get_args(schema)
    if origin in (Union, UnionType):
        return _convert_union(value, arguments)
    if origin is Literal:
        if value in arguments:
            return value
    elif schema is NoneType:
        # The command line reads what may be a list as one
        word = value[0] if isinstance(value, list) and len(value) == 1 else value
        if value is None or (isinstance(word, str) and word.lower() == "none"):
            return None
    elif schema is bool:
        word = str(value).lower()
        if isinstance(value, bool | str) and word in ("true", "false"):
            return word == "true"
    elif origin is tuple:
        if isinstance(value, list | tuple | str):
            items = _items(value, arguments[0])
            return () if items == ["none"] else tuple(convert(x, arguments[0]) for x in items)
    elif schema is str:
        return str(value)
    elif schema is int and not isinstance(value, bool):
        return _exact_integer(value)
    elif schema is float and not isinstance(value, bool):
        return float(value)
    raise ValueError(value)


def _convert_union(value: Any, options: tuple[Any, ...]) -> Any:
    # None comes first: `none` is also text, and text accepts any value.
    for option in sorted(options, key=lambda option: option is not NoneType):
        try:
            return convert(value, option)
        except (TypeError, ValueError, OverflowError):
            continue
    raise ValueError(value)


def plain(value: Any) -> Any:
    """Convert NumPy scalars, arrays and tensors to Python numbers, strings or lists.

    Other values are returned unchanged.
    """
    to_list = getattr(value, "tolist", None)
    return to_list() if callable(to_list) else value


def _items(value: Any, kind: Any) -> list[Any]:
    """The items of a list of this kind, which may be typed as `64 64`, `64,64` or `[64, 64]`."""
    given = [value] if isinstance(value, str) else value
    if kind is str and not isinstance(value, str):
        return list(given)  # separate strings, which may contain spaces and commas
    if all(isinstance(item, str) for item in given):
        return _words(" ".join(given).strip())  # a shell may have separated them
    parts = (_words(item.strip()) if isinstance(item, str) else [item] for item in given)
    return [item for part in parts for item in part]


def _words(text: str) -> list[str]:
    """The words of a list as text. Raises `ValueError` for unmatched brackets and empty items."""
    if text[:1] in tuple("[("):
        if text[-1] != {"[": "]", "(": ")"}[text[0]]:
            raise ValueError(text)
        text = text[1:-1]
    text = text.strip().removesuffix(",")
    words = re.split(r"\s*,\s*|\s+", text) if text else []
    if any(not word or set(word) & set("[]()") for word in words):
        raise ValueError(text)
    return words


def _exact_integer(value: Any) -> int:
    """Convert `value` to an integer if it is one, such as 1e6 as text or float."""
    if isinstance(value, int):
        return value
    if not isinstance(value, float | str):
        raise ValueError(value)
    try:
        number = Decimal(value)  # exact, where a float has 53 bits
    except InvalidOperation as error:
        raise ValueError(value) from error
    is_short = number.is_finite() and number.adjusted() <= _MAX_DIGITS
    if not is_short or number != number.to_integral_value():
        raise ValueError(value)
    return int(number)


def describe_type(schema: Any, limits: Range | None = None) -> str:
    """Describe an annotated type as a help page does, with the range of its numbers."""
    origin, arguments = get_origin(schema), get_args(schema)
    within = f" {limits}" if limits is not None else ""
    if origin in (Annotated, NotRequired, Required):
        return describe_type(arguments[0], _limits(arguments[1:], limits))
    if origin in (Union, UnionType):
        return " or ".join(describe_type(option, limits) for option in arguments)
    if origin is Literal:
        words = ", ".join(map(str, arguments))
        return f"one of {words}" if len(arguments) > 1 else words
    if origin in (tuple, list) and get_origin(arguments[0]) is Literal:
        return "any of " + ", ".join(map(str, get_args(arguments[0])))
    if origin in (tuple, list):
        item = describe_type(arguments[0]).removeprefix("a ").removeprefix("an ")
        return f"a list of {item if item == 'text' else item + 's'}{within}"
    if origin is dict or is_typeddict(schema):
        return "an object"
    numbers = {float: "a number", int: "an integer"}
    if schema in numbers:
        return numbers[schema] + within
    return {bool: "true or false", str: "text", NoneType: "none"}.get(schema, str(schema))


def describe_value(value: Any) -> str:
    """Describe a value as it is written on the command line."""
    if isinstance(value, list | tuple):
        return " ".join(map(str, value)) or "none"
    return str(value).lower() if isinstance(value, bool) or value is None else str(value)
