"""Values of JSON files that may be of any type, size and depth."""

import contextlib
import math
from collections.abc import Mapping
from typing import Any


def plain(value: Any, depth: int = 0) -> Any:
    """A value of a JSON file, not too large, deep or long to be shown and compared."""
    if isinstance(value, dict):
        if depth > 5:
            return "{…}"
        items = [*value.items()][:400]
        return {key[:100]: plain(each, depth + 1) for key, each in items}
    if isinstance(value, list):
        return [plain(each, depth + 1) for each in value[:100]] if depth <= 5 else "[…]"
    if isinstance(value, str):
        return value if len(value) <= 300 else f"{value[:300]}…"
    if isinstance(value, int) and abs(value) > 1 << 64:
        return f"{value:.3g}" if abs(value) < 10**300 else "a huge integer"
    return value


def word(value: Any, otherwise: str) -> str:
    """A text of a JSON file; another one for anything else."""
    return value if isinstance(value, str) and value else otherwise


def as_number(value: Any) -> float | None:
    """A finite number of a JSON file; None for anything else."""
    if type(value) not in (int, float):
        return None
    with contextlib.suppress(OverflowError):
        if math.isfinite(value):
            return float(value)
    return None


def mapping(value: Any) -> Mapping[str, Any]:
    """An object of a JSON file; an empty one for anything else."""
    return value if isinstance(value, dict) else {}
