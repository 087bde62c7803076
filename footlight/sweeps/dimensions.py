"""What a sweep searches: for each field a list of choices, or a range of numbers."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import UnionType
from typing import Any, Union, get_args, get_origin

import numpy as np

from footlight.config.fields import Field
from footlight.errors import UserError

_KEYS = {"low", "high", "log", "count"}
LARGEST = 1e15  # which a float still tells from its neighbors
MAX_COUNT = 1_000


@dataclass(frozen=True)
class Choices:
    """A field that takes one of several values."""

    name: str
    values: tuple[Any, ...]

    @property
    def examples(self) -> tuple[Any, ...]:
        """Values that all have to be valid."""
        return self.values

    def grid(self) -> tuple[Any, ...]:
        """All values."""
        return self.values

    def draw(self, stream: np.random.Generator) -> Any:
        """One of the values, all with the same probability."""
        return self.values[int(stream.integers(len(self.values)))]

    def to_json(self) -> list[Any]:
        """As in the file of a sweep."""
        return [*self.values]


@dataclass(frozen=True)
class Between:
    """A field that takes any number from `low` to `high`, both of them included."""

    name: str
    low: float
    high: float
    log: bool = False
    """Whether the logarithms are what is uniform."""
    count: int | None = None
    """How many numbers a grid has."""
    is_integer: bool = False

    @property
    def examples(self) -> tuple[Any, ...]:
        """Values that all have to be valid."""
        return self.low, self.high

    def grid(self) -> tuple[Any, ...]:
        """`count` numbers at equal distances. Integers may be fewer."""
        assert self.count is not None
        spaced = np.geomspace if self.log else np.linspace
        return tuple(dict.fromkeys(map(self._number, spaced(self.low, self.high, self.count))))

    def draw(self, stream: np.random.Generator) -> Any:
        """A number, uniform in the range or in its logarithm."""
        # An integer owns the numbers that are rounded to it, also at both ends
        margin = 0.5 if self.is_integer else 0.0
        low, high = self.low - margin, self.high + margin
        if self.log:
            return self._number(math.exp(stream.uniform(math.log(low), math.log(high))))
        return self._number(stream.uniform(low, high))

    def _number(self, number: float) -> Any:
        number = min(max(float(number), self.low), self.high)
        return round(number) if self.is_integer else number

    def to_json(self) -> dict[str, Any]:
        """As in the file of a sweep."""
        found: dict[str, Any] = {"low": self.low, "high": self.high}
        return (
            found
            | ({"log": True} if self.log else {})
            | ({} if self.count is None else {"count": self.count})
        )


Dimension = Choices | Between


def dimension(name: str, given: Any, field: Field | None, where: str) -> Dimension:
    """What `given` says of a field; None: of the algorithm. Raises `UserError`.

    where: the file, for messages.
    """
    if isinstance(given, list):
        return _choices(name, given, where)
    if not isinstance(given, Mapping) or not {"low", "high"} <= given.keys():
        raise UserError(
            f"{where}: {name} is {given!r:.80} - give a list of choices, or "
            "{ low = ..., high = ... } - a value that is the same in all trials belongs in [values]"
        )
    if unknown := given.keys() - _KEYS:
        raise UserError(
            f"{where}: {name} has {min(unknown)!r} - a range has low, high, log and count - "
            "leave it out"
        )
    return _between(name, given, field, where)


def _choices(name: str, given: list[Any], where: str) -> Choices:
    values = tuple(tuple(each) if isinstance(each, list) else each for each in given)
    labels = [label(each) for each in values]
    if not values or len({*labels}) < len(labels):
        what = "is an empty list" if not values else "has the same choice twice"
        raise UserError(f"{where}: {name} {what} - give each choice once")
    return Choices(name, values)


def _between(name: str, given: Mapping[str, Any], field: Field | None, where: str) -> Between:
    low, high, log, count = (given.get(key) for key in ("low", "high", "log", "count"))
    for key, number in (("low", low), ("high", high)):
        is_number = isinstance(number, int | float) and not isinstance(number, bool)
        if number is None or not is_number or not abs(number) <= LARGEST:
            raise UserError(f"{where}: {name}.{key} is {number!r:.80} - give a number")
    if log is not None and not isinstance(log, bool):
        raise UserError(f"{where}: {name}.log is {log!r:.80} - give true or false")
    if count is not None and (type(count) is not int or not 2 <= count <= MAX_COUNT):
        raise UserError(
            f"{where}: {name}.count is {count!r:.80} - give an integer from 2 to {MAX_COUNT:,}"
        )
    assert isinstance(low, int | float)
    assert isinstance(high, int | float)
    if not low < high:
        raise UserError(
            f"{where}: {name} has low {low:g} and high {high:g} - low must be below high - "
            "swap them, or give a list of choices"
        )
    if log and low <= 0:
        raise UserError(f"{where}: {name} has low {low:g} and log - a logarithm needs low > 0")
    is_union = field is not None and get_origin(field.type) in (Union, UnionType)
    types = get_args(field.type) if field is not None and is_union else (field and field.type,)
    is_integer = int in types and float not in types
    if not is_integer and float not in types:
        raise UserError(f"{where}: {name} is not a number - give a list of choices")
    if is_integer and not (float(low).is_integer() and float(high).is_integer()):
        raise UserError(f"{where}: {name} has low {low:g} and high {high:g} - it is an integer")
    exact: Any = int if is_integer else float
    return Between(name, exact(low), exact(high), bool(log), count, is_integer)


def plain(value: Any) -> Any:
    """A choice as Optuna takes it: lists as text."""
    return label(value) if isinstance(value, tuple) else value


def label(value: Any) -> str:
    """A value as text: as JSON, so that different values have different texts."""
    return value if isinstance(value, str) else json.dumps(value)
