"""Config fields that change during a run: which may, and an algorithm with other values."""

import copy
from collections.abc import Mapping
from typing import Any

from footlight.config.fields import convert, fields
from footlight.errors import UserError
from footlight.learning.blueprint import AnyAlgorithm


def scheduled(config: Any, values: Mapping[str, Any], name: str) -> dict[str, float]:
    """The new values of config fields as numbers.

    name: that of the algorithm, for messages. Raises `UserError` for fields that are not declared
    schedulable, and for values that are out of range.
    """
    known = fields(config.__class__)
    schedulable = [each for each, field in known.items() if field.is_schedulable]
    for each in values:
        if each not in schedulable:
            what = "is not a field of" if each not in known else "cannot change during a run of"
            names = ", ".join(schedulable) or "none"
            raise UserError(f"{each} {what} {name} - fields that can change: {names}")
    converted = {each: convert(known[each], value) for each, value in values.items()}
    for each, value in converted.items():
        if value is None:
            raise UserError(f"{each} cannot become none during a run - give a number")
    return converted


def with_values(algorithm: AnyAlgorithm, values: Mapping[str, Any]) -> AnyAlgorithm:
    """The algorithm with other values in its config, which may be tensors and are not checked."""
    config = copy.copy(algorithm.config)
    for name, value in values.items():
        object.__setattr__(config, name, value)  # of a frozen dataclass
    changed = copy.copy(algorithm)
    object.__setattr__(changed, "config", config)
    return changed
