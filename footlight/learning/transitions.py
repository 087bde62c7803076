"""Transitions as hand-written loops pass them, checked and converted to arrays."""

from typing import Any

import numpy as np

from footlight.environments.checks import all_finite
from footlight.errors import UserError
from footlight.learning.observations import as_batch
from footlight.types import Array, DiscreteAction, Spaces, Transition


def as_transition(given: tuple[Any, ...], spaces: Spaces, num_envs: int) -> Transition:
    """The fields of a `Transition`, of one environment or of several, as arrays [E, ...].

    Raises `UserError` for what does not fit the spaces, for another number of environments, and
    for what training refuses from an environment.
    """
    observation, action, reward, next_observation, terminated, truncated, valid = given
    return Transition(
        as_batch(observation, spaces, num_envs),
        _actions(action, spaces, num_envs),
        _rewards(reward, num_envs),
        as_batch(next_observation, spaces, num_envs),
        _flags("terminated", terminated, num_envs),
        _flags("truncated", truncated, num_envs),
        None if valid is None else _flags("valid", valid, num_envs),
    )


def _actions(given: Any, spaces: Spaces, num_envs: int) -> Array:
    """Actions [E, *shape]; those of a Box may exceed its bounds, and count as clipped."""
    wanted, action = spaces.action.shape, np.asarray(given)
    if action.ndim == len(wanted):
        action = action[None]
    if (
        action.ndim != len(wanted) + 1
        or action.shape[1:] != wanted
        or action.dtype.kind not in "biuf"
    ):
        raise UserError(
            f"the action is {given!r:.80} - this agent takes actions of shape {wanted}, or one for "
            "each environment - pass what was given to env.step"
        )
    if len(action) != num_envs:
        raise UserError(f"got {len(action)} transitions - this agent has num_envs={num_envs}")
    if not isinstance(spaces.action, DiscreteAction):
        is_known = all_finite(action)
    else:
        choice_EA = action.reshape(num_envs, -1) - spaces.action.starts
        is_known = not np.count_nonzero((choice_EA < 0) | (choice_EA >= spaces.action.sizes))
        is_known = is_known and (action.dtype.kind != "f" or not np.count_nonzero(action % 1))
    if not is_known:
        raise UserError(
            f"the action is {given!r:.80} - that is not an action of the space - pass what was "
            "given to env.step"
        )
    return action


def _rewards(given: Any, num_envs: int) -> Array:
    try:
        numbers = np.asarray(given)
        is_numeric = numbers.dtype.kind in "biuf"  # text could be converted, too
    except (TypeError, ValueError):
        is_numeric = False
    if not is_numeric:
        raise UserError(
            f"the reward is {given!r:.80} - rewards must be numbers, one for each environment - "
            "pass what env.step returned"
        )
    with np.errstate(over="ignore"):  # a number too large becomes infinite
        rewards = numbers.astype(np.float32).reshape(-1)
    if len(rewards) != num_envs:
        raise UserError(f"got {len(rewards)} rewards - this agent has num_envs={num_envs}")
    if not all_finite(rewards):
        raise UserError(
            f"the reward is {given!r:.80} - rewards must be finite float32 numbers - fix the "
            "environment, or the code that computes it"
        )
    return rewards


def _flags(name: str, given: Any, num_envs: int) -> Array:
    flags = np.asarray(given)
    if flags.dtype.kind != "b":
        # 0 and 1 are flags, too
        if flags.dtype.kind not in "iuf" or np.count_nonzero((flags != 0) & (flags != 1)):
            raise UserError(f"{name} is {given!r:.80} - it must be True or False")
        flags = flags.astype(bool)
    flags = flags.reshape(-1)
    if len(flags) != num_envs:
        raise UserError(f"got {len(flags)} of {name} - this agent has num_envs={num_envs}")
    return flags
