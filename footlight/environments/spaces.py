"""Spaces of an environment in footlight's own words, and what is said about those that do not fit."""

from typing import Any

import gymnasium
import numpy as np

from footlight.errors import UserError
from footlight.types import BoxAction, DiscreteAction, Spaces

_FITTING = {"box": "sac, td3 and ddpg", "discrete": "no algorithm of this version"}


def describe(observation_space: gymnasium.Space[Any], action_space: gymnasium.Space[Any]) -> Spaces:
    """The spaces of one environment. Raises `UserError` for a kind that is not supported."""
    if not isinstance(observation_space, gymnasium.spaces.Box):
        raise UserError(
            f"the observation space is {_kind(observation_space)} - footlight takes Box observations - "
            "wrap the environment in gymnasium.wrappers.FlattenObservation"
        )
    if isinstance(action_space, gymnasium.spaces.Discrete):
        action: BoxAction | DiscreteAction = DiscreteAction(size=int(action_space.n), start=int(action_space.start))
    elif isinstance(action_space, gymnasium.spaces.Box):
        action = _box_action(action_space)
    else:
        raise UserError(f"the action space is {_kind(action_space)} - footlight takes Box and Discrete actions")
    integer = np.issubdtype(observation_space.dtype, np.integer)
    return Spaces(
        observation_shape=tuple(observation_space.shape),
        observation_dtype=str(observation_space.dtype) if integer else "float32",
        action=action,
    )


def require_actions(spaces: Spaces, kind: str, algorithm: str) -> None:
    """Raise `UserError` where `algorithm` acts in another kind of action space."""
    have = "box" if isinstance(spaces.action, BoxAction) else "discrete"
    if have != kind:
        words = {"box": "continuous (Box)", "discrete": f"Discrete({spaces.action.size})"}
        raise UserError(
            f"{algorithm} needs {'continuous' if kind == 'box' else 'discrete'} actions - this environment's are {words[have]} - "
            f"for these there is {_FITTING[have]}"
        )


def _box_action(space: gymnasium.spaces.Box) -> BoxAction:
    if not np.issubdtype(space.dtype, np.floating):
        raise UserError(f"the action space is a Box of {space.dtype} - footlight takes Box actions of floating point")
    infinite = np.argwhere(~(np.isfinite(space.low) & np.isfinite(space.high)))
    if len(infinite):
        where = ", ".join(str(index.tolist()) for index in infinite[:3])
        raise UserError(
            f"the action space has no finite bounds in dimension {where} - actions are rescaled to the bounds - "
            "wrap the environment in gymnasium.wrappers.RescaleAction or give its Box bounds"
        )
    if not space.low.size or np.any(space.low >= space.high):
        raise UserError(f"the action space {space} leaves nothing to choose - low must be below high in each dimension")
    return BoxAction(low=space.low.copy(), high=space.high.copy())


def _kind(space: gymnasium.Space[Any]) -> str:
    return f"a {type(space).__name__}" if isinstance(space, gymnasium.Space) else f"no gymnasium space ({space!r})"
