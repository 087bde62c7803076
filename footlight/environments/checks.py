"""Check and convert observations and rewards that an environment returned."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from footlight.environments.episodes import ALL, EpisodeTracker
from footlight.errors import EnvironmentFault
from footlight.trees import named_leaves, options_at, stray_choice
from footlight.types import Array, Spaces

MAX_SUMMED_SIZE = 32  # up to this size Python's sum is faster than NumPy's isfinite
_TEXT = str, bytes
_LARGEST = float(np.finfo(np.float32).max)

Choices = Mapping[str, tuple[range, ...]]
"""Of each leaf whose numbers are choices, the options of each number: `Spaces.choices`."""


def all_finite(array: Array) -> bool:
    """Whether no number is NaN or infinite."""
    # A sum that is not finite tells nothing: it may have overflowed
    if array.size <= MAX_SUMMED_SIZE and math.isfinite(sum(array.ravel().tolist())):
        return True
    return np.count_nonzero(np.isfinite(array)) == array.size  # twice as fast as `all`


def is_valid(stored: Array, choices: tuple[range, ...]) -> bool:
    """Whether all numbers of a leaf are finite, and choices among their options."""
    if stored.dtype.kind == "f":
        return all_finite(stored)
    return stray_choice(stored, choices) is None


def require_valid(
    tracker: EpisodeTracker, env: int, name: str, stored: Array, choices: tuple[range, ...]
) -> None:
    """Raise `EnvironmentFault` unless the leaf of one observation `is_valid`."""
    if stored.dtype.kind == "f":
        tracker.check(env, name, stored)
    elif (index := stray_choice(stored, choices)) is not None:
        component = f"[{', '.join(map(str, index))}]" if index else ""
        options = options_at(index, stored.shape, choices)
        what = f"{name}{component} is {stored[index]}, its space says {options}"
        raise tracker.fault(env, what)


def as_observation(
    tracker: EpisodeTracker,
    env: int,
    observation: Any,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    choices: Choices,
) -> Array:
    """One observation in the stored dtype.

    Raises `EnvironmentFault` for another shape, for what the dtype cannot hold, for NaN, and for a
    choice that is not among its options.
    """
    if dtype.names is not None:
        return as_records(tracker, [env], observation, shape, dtype, choices)
    try:
        array = np.asarray(observation)
    except ValueError as error:
        raise tracker.fault(env, f"the observation is not an array: {error}") from error
    if array.shape != shape:
        raise tracker.fault(
            env,
            f"the observation has shape {array.shape}, its space says {shape} "
            f"(dtype {array.dtype})",
        )
    stored, options = as_stored(tracker, env, array, dtype), choices.get("", ())
    if not is_valid(stored, options):
        require_valid(tracker, env, "observation", stored, options)
    return stored


def as_records(
    tracker: EpisodeTracker,
    envs: Sequence[int] | Array,
    observation: Any,
    lead: tuple[int, ...],
    dtype: np.dtype[Any],
    choices: Choices,
) -> Array:
    """Observations of a Dict or Tuple space as records [*lead], each leaf checked and converted.

    `lead` is () for an observation of the one environment in `envs`, (E,) for those of all.
    Components that are not valid are faults of the environments in `envs` alone.
    """
    where = ALL if lead else int(envs[0])
    assert dtype.names is not None
    given, records = named_leaves(observation, dtype.names), np.zeros(lead, dtype)
    if given.keys() != {*dtype.names}:
        found, wanted = (", ".join(sorted(names)) for names in (given, dtype.names))
        raise tracker.fault(where, f"the observation has the parts {found}, its space {wanted}")
    for name in dtype.names:
        target = records[name]
        try:
            array = np.asarray(given[name])
        except ValueError as error:
            text = f"the observation's part {name} is not an array: {error}"
            raise tracker.fault(where, text) from error
        if array.shape != target.shape:
            text = f"the observation's part {name} has shape {array.shape}, its space says "
            raise tracker.fault(where, f"{text}{target.shape} (dtype {array.dtype})")
        target[...] = as_stored(tracker, where, array, target.dtype)
        options = choices.get(name, ())
        if not is_valid(target, options):
            for env in map(int, envs):
                one = target[env, ...] if lead else target
                require_valid(tracker, env, f"observation.{name}", one, options)
    return records


def as_observations(
    tracker: EpisodeTracker, observation: Any, spaces: Spaces, counted: Array | None = None
) -> Array:
    """A copy of the observations of all environments [E, ...] in the stored dtype.

    counted: mask [E] of those that are checked; None: all. Raises `EnvironmentFault`, for numbers
    that are not valid the fault of the first environment that has some.
    """
    num_envs, dtype = len(tracker.index), np.dtype(spaces.observation_dtype)
    envs = np.arange(num_envs) if counted is None else counted.nonzero()[0]
    if dtype.names is not None:
        return as_records(tracker, envs, observation, (num_envs,), dtype, spaces.choices)
    try:
        observed = np.asarray(observation)
    except (RuntimeError, TypeError, ValueError) as error:  # also of a tensor on another device
        raise tracker.fault(ALL, f"the observations are not an array: {error}") from error
    wanted = (num_envs, *spaces.observation_shape)
    if observed.shape != wanted:
        raise _misshapen(tracker, "observations", observed, wanted)
    stored, options = as_stored(tracker, ALL, observed, dtype), spaces.choices.get("", ())
    if not is_valid(stored, options):
        for env in envs.tolist():
            require_valid(tracker, env, "observation", stored[env, ...], options)
    return stored


def as_flags(tracker: EpisodeTracker, flags: Any, valid: Array | None) -> Array:
    """`terminated` or `truncated` [E] as a new array, False where not `valid`.

    Raises `EnvironmentFault` for what is not an array of that shape.
    """
    try:
        array = np.array(flags, bool)  # a copy: the environment may reuse its own
    except (RuntimeError, TypeError, ValueError) as error:
        what = f"terminated or truncated is not an array: {error}"
        raise tracker.fault(ALL, what) from error
    if array.shape != tracker.index.shape:
        raise _misshapen(tracker, "terminated and truncated", array, tracker.index.shape)
    return array if valid is None else array & valid


def _misshapen(
    tracker: EpisodeTracker, what: str, array: Array, wanted: tuple[int, ...]
) -> EnvironmentFault:
    return tracker.fault(ALL, f"the {what} have shape {array.shape}, expected {wanted}")


def as_stored(tracker: EpisodeTracker, env: int, observed: Array, dtype: np.dtype[Any]) -> Array:
    """A copy in the stored dtype. Raises `EnvironmentFault` for what that dtype cannot hold."""
    if observed.dtype == dtype:
        return observed.copy()
    if observed.dtype.kind not in "biuf":
        raise tracker.fault(
            env, f"the observation has dtype {observed.dtype}, its space says {dtype}"
        )
    # A number too large for the stored dtype becomes infinite, which is checked elsewhere
    with np.errstate(over="ignore", invalid="ignore"):
        stored = observed.astype(dtype)
    if dtype.kind in "iu" and not np.array_equal(stored, observed):
        number = observed[stored != observed][0]
        raise tracker.fault(
            env,
            f"the observation has dtype {observed.dtype} and {number} in it, its space says "
            f"{dtype}",
        )
    return stored


def as_rewards(tracker: EpisodeTracker, rewards: Any, valid: Array | None) -> tuple[Array, Array]:
    """The rewards of all environments as float64 and as float32; 0 where not `valid`.

    Raises `EnvironmentFault` for what is not a finite number.
    """
    try:
        given = np.asarray(rewards)
        if given.dtype.kind in "SUc":  # text would be parsed, complex numbers truncated
            raise TypeError(f"their dtype is {given.dtype}")
        exact = np.array(given, np.float64)
    except (RuntimeError, TypeError, ValueError) as error:
        raise tracker.fault(ALL, f"the rewards are not numbers: {error}") from error
    if exact.shape != tracker.total.shape:
        wanted = tracker.total.shape
        raise tracker.fault(ALL, f"the rewards have shape {exact.shape}, expected {wanted}")
    if valid is not None:
        exact[~valid] = 0
    if given.dtype == np.float32:
        rounded = exact.astype(np.float32)
    else:
        with np.errstate(over="ignore"):  # a number too large for float32 becomes infinite
            rounded = exact.astype(np.float32)
    if not all_finite(rounded):
        env = int(np.isfinite(rounded).argmin())
        raise tracker.fault(env, f"reward is {exact[env]}{_too_large(exact[env])}")
    return exact, rounded


def as_reward(tracker: EpisodeTracker, env: int, reward: Any) -> float:
    """One reward as a number that float32 can hold. Raises `EnvironmentFault`."""
    try:
        if isinstance(reward, _TEXT):  # which `float` would parse
            raise TypeError
        number = float(reward)
    except (TypeError, ValueError) as error:
        raise tracker.fault(env, f"the reward is {reward!r}, which is not a number") from error
    if not abs(number) <= _LARGEST:
        raise tracker.fault(env, f"reward is {number}{_too_large(number)}")
    return number


def _too_large(number: float) -> str:
    """The end of the message about a number, if it is finite but overflows float32."""
    return ", too large for float32" if np.isfinite(number) else ""


def as_stored_rows(
    tracker: EpisodeTracker, gathered: Array, dtype: np.dtype[Any], choices: Choices
) -> Array:
    """The observations of all environments in the stored dtype. Raises `EnvironmentFault`."""
    stored = gathered
    if gathered.dtype != dtype:
        with np.errstate(over="ignore"):  # a number too large becomes infinite
            stored = gathered.astype(dtype)
    # Checked for all together: checking each would cost as much as its step. Records have been
    # checked one by one
    options = choices.get("", ())
    if not is_valid(stored, options):
        for env in range(len(stored)):
            require_valid(tracker, env, "observation", stored[env, ...], options)
    return stored
