"""Attributes of an environment and its wrappers, layer by layer, to compare with a copy."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv, VectorEnv

from footlight.environments.attributes import INCOMPARABLE, plain
from footlight.environments.remake import SingleRow
from footlight.environments.wrappers import chain

# Attributes of an object that say nothing about its episodes
_STATES = {
    *("render_mode", "metadata", "_metadata", "isopen", "closed"),
    # How it was made, which is how its copy was made
    *("spec", "_cached_spec", "_saved_kwargs", "_ezpickle_args", "_ezpickle_kwargs"),
}
# Wrappers whose counters and returns are of the episodes so far, which a copy has not had
_COUNTING = (
    gymnasium.wrappers.RecordEpisodeStatistics,
    gymnasium.wrappers.vector.RecordEpisodeStatistics,
)
_TRANSPARENT = (
    SingleRow,
    gymnasium.wrappers.common.PassiveEnvChecker,
    gymnasium.wrappers.common.OrderEnforcing,
)


def layer_attributes(env: Any, row: int = 0) -> list[dict[str, Any]]:
    """The comparable attributes of each layer of an environment, in the form of `plain`."""
    layers = [
        layer
        for layer in chain(env, row)
        if not isinstance(layer, _TRANSPARENT)
        and not isinstance(layer, SyncVectorEnv | AsyncVectorEnv)
    ]
    found = []
    for layer in layers:
        rows = layer.num_envs if isinstance(layer, VectorEnv) else None
        attributes = _class_attributes(type(layer)) | getattr(layer, "__dict__", {})
        values = {
            name: plain(value)
            for name, value in attributes.items()
            if name not in _STATES
            and not _has_rows(value, rows)
            and not (isinstance(layer, _COUNTING) and _is_record(name))
        }
        found.append(
            {"class": type(layer).__name__}
            | {name: value for name, value in values.items() if value is not INCOMPARABLE}
        )
    return found


def _class_attributes(layer: type[Any]) -> dict[str, Any]:
    """Data in the body of a user's class: defaults, which an object may have replaced."""
    return {
        name: value
        for base in reversed(layer.__mro__)
        if not base.__module__.startswith(("gymnasium.", "builtins", "typing"))
        for name, value in vars(base).items()
        if not name.startswith("__") and not callable(value)
    }


def _is_record(name: str) -> bool:
    return name.startswith("episode_") or name.endswith("_queue")


def _has_rows(value: Any, rows: int | None) -> bool:
    """Whether it is an array with a row for each environment, of which a copy may have fewer."""
    return rows is not None and isinstance(value, np.ndarray) and value.shape[:1] == (rows,)


def same_items(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """The items that both have."""
    return {name: value for name, value in one.items() if name in other and other[name] == value}
