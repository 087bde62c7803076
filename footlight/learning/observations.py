"""Observations as users and environments pass them, checked and converted to batches of arrays."""

from typing import Any

import numpy as np
import torch

from footlight.environments.checks import all_finite
from footlight.errors import UserError, counted
from footlight.trees import named_leaves, options_at, packed, stray_choice
from footlight.types import Array, Spaces


def as_batch(observation: Any, spaces: Spaces, num_envs: int | None = None) -> Array:
    """Convert one observation or a batch to an array [E, *observation shape] in the stored dtype;
    those of a Dict or Tuple space, as dicts or tuples of arrays, to records [E].

    num_envs: how many there must be; None: any number.

    Raises `UserError` for what training refuses from an environment: another shape, NaN and
    infinity, numbers that an integer space cannot hold, and choices that are not among the options.
    """
    if spaces.has_leaves:
        array = _as_records(observation, spaces)
    else:
        array = _as_array(observation, spaces.observation_shape, np.dtype(spaces.observation_dtype))
        if spaces.choices:
            _require_options(observation, array, spaces.choices[""])
    if num_envs is not None and len(array) != num_envs:
        raise UserError(
            f"got {counted(len(array), 'observation')} - this agent has num_envs={num_envs} - "
            "pass one for each environment"
        )
    return array


def _require_options(
    observation: Any, array: Array, choices: tuple[range, ...], what: str = "observation"
) -> None:
    """Raise `UserError` for a choice that is not among its options. array: that of `_as_array`."""
    index = stray_choice(array, choices)
    if index is not None:
        component = _component(observation, array, index, what)
        options = options_at(index, array.shape[1:], choices)
        raise UserError(
            f"{component} is {array[index]} - the policy knows {options} - check its source"
        )


def _component(observation: Any, array: Array, index: tuple[int, ...], what: str) -> str:
    """Name the number at an index of the batch `array` that an observation became."""
    shown = index if np.ndim(observation) == array.ndim else index[1:]
    return f"{what}[{', '.join(map(str, shown))}]" if shown else what


def _given(observation: Any, array: Array, index: tuple[int, ...]) -> Any:
    """The number as it was given; in the stored dtype it may have overflowed."""
    return _converted(observation, "observation").reshape(array.shape)[index]


def _as_array(
    observation: Any, wanted: tuple[int, ...], dtype: np.dtype[Any], what: str = "observation"
) -> Array:
    array = observation if type(observation) is np.ndarray else _converted(observation, what)
    if array.dtype != dtype:
        array = _as_stored(array, dtype, what)
    if array.shape == wanted:
        array = array[None]
    elif array.shape[1:] != wanted or array.ndim == 0:
        raise UserError(
            f"the {what} has shape {array.shape} - the policy expects {wanted}, or a batch of these"
        )
    if array.dtype.kind == "f" and not all_finite(array):
        index = tuple(np.argwhere(~np.isfinite(array))[0].tolist())
        component = _component(observation, array, index, what)
        raise UserError(
            f"{component} is {_given(observation, array, index)} - the policy needs finite float32 "
            "numbers - check its source"
        )
    return array


def _converted(observation: Any, what: str) -> Array:
    try:
        if isinstance(observation, torch.Tensor):
            observation = observation.detach().cpu()
        return np.asarray(observation)
    except ValueError as error:
        raise UserError(
            f"the {what} is not an array - {error} - pass numbers of one shape"
        ) from error


def _as_records(observation: Any, spaces: Spaces) -> Array:
    """Records [E] of one observation or of a batch, of which records are returned as they are."""
    dtype = np.dtype(spaces.observation_dtype)
    if isinstance(observation, np.ndarray) and observation.dtype == dtype:
        return observation.reshape(-1)
    leaves = spaces.observation
    given = named_leaves(observation, leaves)
    if given.keys() != leaves.keys():
        found, wanted = (", ".join(map(repr, names)) or "none" for names in (given, leaves))
        raise UserError(
            f"the observation has the parts {found} - the policy expects {wanted} - pass it as the "
            "environment gives it"
        )
    arrays = {}
    for name, leaf in leaves.items():
        what = f"observation's part {name}"
        arrays[name] = _as_array(given[name], leaf.shape, np.dtype(leaf.dtype), what)
        _require_options(given[name], arrays[name], leaf.choices, what)
    try:
        return np.asarray(packed(arrays, dtype, (len(next(iter(arrays.values()))),)))
    except ValueError as error:
        raise UserError(f"the observation's parts do not belong together - {error}") from error


def is_batch(observation: Any, spaces: Spaces) -> bool:
    """Whether these are observations [E, ...], and not a single one."""
    if not spaces.has_leaves:
        is_array = isinstance(observation, np.ndarray)
        rank = observation.ndim if is_array else np.ndim(observation)
        return rank > len(spaces.observation_shape)
    if isinstance(observation, np.ndarray | np.void):
        return observation.ndim > 0
    name, leaf = next(iter(spaces.observation.items()))
    return np.ndim(named_leaves(observation, (name,))[name]) > len(leaf.shape)


def _as_stored(array: Array, dtype: np.dtype[Any], what: str) -> Array:
    """Convert to the stored dtype. Raises `UserError` if it cannot represent the numbers."""
    if array.dtype.kind not in "biuf":
        raise UserError(
            f"the {what} has dtype {array.dtype} - the policy needs numbers of {dtype} - "
            "convert it first"
        )
    # A number too large for float32 becomes infinite, which is refused
    with np.errstate(over="ignore", invalid="ignore"):
        stored = array.astype(dtype)
    if dtype.kind in "iu" and not np.array_equal(stored, array):
        index = tuple(np.argwhere(stored != array)[0])
        component = f"{what}[{', '.join(map(str, index))}]" if index else what
        raise UserError(
            f"{component} is {array[index]} - the policy's observations are {dtype} - "
            "pass them as trained on"
        )
    return stored
