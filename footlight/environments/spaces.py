"""Describe the spaces of an environment, and refuse those that are not supported."""

from typing import Any

import gymnasium
import numpy as np

from footlight.errors import UserError
from footlight.types import BoxAction, DiscreteAction, Spaces

_FITTING = {
    "box": "any algorithm but replay-actor-critic",
    "discrete": "actor-critic, a2c, ppo, reinforce, replay-actor-critic or stream-ac",
    "several": "actor-critic, a2c, ppo, reinforce or stream-ac",
}


def describe(observation_space: gymnasium.Space[Any], action_space: gymnasium.Space[Any]) -> Spaces:
    """The spaces of one environment. Raises `UserError` for a kind that is not supported."""
    if not isinstance(observation_space, gymnasium.spaces.Box):
        found, remedy = _kind(observation_space), _to_box(observation_space)
        raise UserError(
            f"the observation space is {found} - footlight takes Box observations - {remedy}"
        )
    if observation_space.shape == ():
        raise UserError(
            "observations are single numbers, of shape () - footlight takes arrays - wrap the "
            "environment in gymnasium.wrappers.ReshapeObservation with shape (1,)"
        )
    action = _action(action_space)
    integer = np.issubdtype(observation_space.dtype, np.integer)
    return Spaces(
        observation_shape=tuple(observation_space.shape),
        observation_dtype=str(observation_space.dtype) if integer else "float32",
        action=action,
    )


def difference(one: Any, other: Any, observation_bounds: bool = True) -> str | None:
    """Describe how two environments' spaces differ (shape, dtype, bounds); None if they do not.

    observation_bounds: whether to compare the bounds of observations, which nothing is rescaled to.
    """
    for what in ("observation", "action"):
        first, second = (getattr(env, f"{what}_space") for env in (one, other))
        alike = first == second
        if what == "observation" and not observation_bounds:
            alike = alike or (first.shape, first.dtype) == (second.shape, second.dtype)
        if not alike:
            return f"{what}s are {_shown(first)} in one and {_shown(second)} in the other"
    return None


def require_actions(spaces: Spaces, kinds: tuple[str, ...], algorithm: str) -> None:
    """Raise `UserError` if `algorithm` does not support the kind of action space."""
    if isinstance(spaces.action, BoxAction):
        have, shown = "box", f"continuous (Box of {spaces.action.size})"
    else:
        sizes = spaces.action.sizes
        have, shown = "several", f"{len(sizes)} discrete choices"
        if len(sizes) == 1:
            have, shown = "discrete", f"Discrete({sizes[0]})"
    fitting = {"box": ("box",), "discrete": ("discrete", "single"), "several": ("discrete",)}[have]
    if not set(fitting) & set(kinds):
        wanted = "continuous actions" if "box" in kinds else "one discrete choice a step"
        raise UserError(
            f"{algorithm} needs {wanted} - this environment's are {shown} - take {_FITTING[have]}"
        )


def _action(space: gymnasium.Space[Any]) -> BoxAction | DiscreteAction:
    if isinstance(space, gymnasium.spaces.Box):
        return _box_action(space)
    if isinstance(space, gymnasium.spaces.Discrete):
        return DiscreteAction(
            sizes=(int(space.n),), starts=(int(space.start),), dtype=str(space.dtype)
        )
    if isinstance(space, gymnasium.spaces.MultiDiscrete):
        sizes, starts = (tuple(map(int, array.flatten())) for array in (space.nvec, space.start))
    elif isinstance(space, gymnasium.spaces.MultiBinary):
        sizes = (2,) * int(np.prod(space.shape))
        starts = (0,) * len(sizes)
    else:
        raise UserError(
            f"the action space is {_kind(space)} - footlight takes Box, Discrete, MultiDiscrete "
            "and MultiBinary actions"
        )
    return DiscreteAction(
        sizes=sizes, starts=starts, shape=tuple(space.shape), dtype=str(space.dtype)
    )


def _box_action(space: gymnasium.spaces.Box) -> BoxAction:
    if not np.issubdtype(space.dtype, np.floating):
        raise UserError(
            f"the action space is a Box of {space.dtype} - footlight takes Box actions of floating "
            "point"
        )
    infinite = np.argwhere(~(np.isfinite(space.low) & np.isfinite(space.high)))
    if len(infinite):
        where = ", ".join(str(index.tolist()) for index in infinite[:3])
        raise UserError(
            f"the action space has no finite bounds in dimension {where} - actions are rescaled to "
            "the bounds - wrap it in gymnasium.wrappers.TransformAction with the identity and a "
            "Box that has bounds"
        )
    if not space.low.size or np.any(space.low >= space.high):
        raise UserError(
            f"the action space {space} leaves nothing to choose - low must be below high in each "
            "dimension"
        )
    return BoxAction(low=space.low.copy(), high=space.high.copy())


def _shown(space: gymnasium.Space[Any]) -> str:
    """A space in a line: large ones by their extreme bounds."""
    if isinstance(space, gymnasium.spaces.Box) and space.low.size > 3:
        return f"Box({space.low.min()}, {space.high.max()}, {space.shape}, {space.dtype})"
    return " ".join(str(space).split())


def _to_box(space: Any) -> str:
    """How to turn other observations into a Box, with wrappers that support them."""
    if not isinstance(space, gymnasium.spaces.Space):
        return "give the environment an observation_space, such as gymnasium.spaces.Box"
    if _can_flatten(space):
        return "wrap the environment in gymnasium.wrappers.FlattenObservation"
    if isinstance(space, gymnasium.spaces.Dict):
        good = [name for name, part in space.items() if _can_flatten(part)]
        bad = ", ".join(
            f"{name!r} ({type(part).__name__})" for name, part in space.items() if name not in good
        )
        if good:
            filtered = f"gymnasium.wrappers.FilterObservation(env, {good})"
            return (
                f"{bad} cannot be flattened, so leave that out first: "
                f"gymnasium.wrappers.FlattenObservation({filtered})"
            )
    return (
        "it cannot be flattened to a fixed size: turn it into an array with "
        "gymnasium.wrappers.TransformObservation(env, function, gymnasium.spaces.Box(...))"
    )


def _can_flatten(space: gymnasium.Space[Any]) -> bool:
    """Whether FlattenObservation turns it into a Box; text, graphs and sequences it cannot."""
    try:
        return isinstance(gymnasium.spaces.utils.flatten_space(space), gymnasium.spaces.Box)
    except NotImplementedError:  # a class of space that Gymnasium does not know
        return False


def _kind(space: Any) -> str:
    if isinstance(space, gymnasium.Space):
        return f"a {type(space).__name__}"
    return f"not a Gymnasium space ({space!r:.80})"
