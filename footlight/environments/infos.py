"""What is kept of the `info` dicts that environments return: that of an episode's last step."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

LIFE_LOST = "footlight.life_lost"
"""Key of an info: an episode ends here for learning, while the game continues."""
MAX_KEPT = 64  # numbers of an array, or characters of a text
NO_INFO: Mapping[str, Any] = MappingProxyType({})


def last_infos(
    info: Mapping[str, Any], envs: Sequence[int], same_step: bool
) -> list[dict[str, Any]] | None:
    """The infos of some environments from that of a vector environment, in whose dicts each value
    is an array [E, ...] and a mask with an underscore before its name says for which it holds.

    same_step: whether the last info of an episode is that of the next one's reset, with the last
    one inside as `final_info`.

    None if there is nothing in any of them: thousands of environments need no dict each.
    """
    if same_step:
        final = info.get("final_info", {})
        info = final if isinstance(final, Mapping) else {}
    return [_info_of(env, info) for env in envs] if info else None


def _info_of(env: int, info: Mapping[Any, Any]) -> dict[str, Any]:
    masks = {f"_{name}" for name in info}
    found = {}
    for name, value in info.items():
        holds = info.get(f"_{name}")
        if name in masks or (isinstance(holds, np.ndarray) and not holds[env]):
            continue
        if isinstance(value, Mapping):
            found[name] = _info_of(env, value)
        elif isinstance(value, np.ndarray) and value.ndim:
            found[name] = value[env]
    return found


def kept_info(info: Mapping[Any, Any]) -> dict[str, Any]:
    """The part of an `info` that can be logged: flags, numbers, short texts, small arrays (as
    lists), lists and dicts of these."""
    plain = {
        key: _plain(value)
        for key, value in info.items()
        if isinstance(key, str) and key != LIFE_LOST
    }
    return {key: value for key, value in plain.items() if value is not None}


def _plain(value: Any) -> Any:
    """The value for a log; None where it is none."""
    if isinstance(value, Mapping):
        return kept_info(value) or None
    if isinstance(value, np.ndarray | np.generic):
        is_small = value.dtype.kind in "biuf" and value.size <= MAX_KEPT
        return value.tolist() if is_small else None
    if isinstance(value, list | tuple):
        rows = [_plain(row) for row in value[:MAX_KEPT]]
        return rows if len(value) <= MAX_KEPT and None not in rows else None
    if isinstance(value, str):
        return value if len(value) <= MAX_KEPT else None
    return value if isinstance(value, bool | int | float) else None
