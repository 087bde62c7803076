"""Describe the spaces of an environment, and refuse those that are not supported."""

import itertools
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import VectorActionWrapper, VectorEnv

from footlight.environments.wrappers import chain
from footlight.errors import UserError
from footlight.trees import Leaf
from footlight.types import BoxAction, DiscreteAction, Spaces

_FITTING = {
    "box": "any algorithm but replay-actor-critic and sac-discrete",
    "discrete": "actor-critic, a2c, impala, ppo, reinforce, replay-actor-critic, sac-discrete or "
    "stream-ac",
    "several": "actor-critic, a2c, impala, ppo, reinforce or stream-ac",
}
_CLIPPING = gymnasium.wrappers.ClipAction, gymnasium.wrappers.vector.ClipAction
_CHANGING = gymnasium.ActionWrapper, VectorActionWrapper


def spaces_of(env: Any) -> tuple[gymnasium.Space[Any], gymnasium.Space[Any]]:
    """The spaces of one observation and one action of a (vector) environment.

    `ClipAction` declares that every action is allowed. The bounds are then those that it clips to:
    actions within them are left as they are.
    """
    is_vector = isinstance(env, VectorEnv)
    observation = env.single_observation_space if is_vector else env.observation_space
    return observation, _clipped_action_space(env)


def _clipped_action_space(env: Any) -> gymnasium.Space[Any]:
    declared = space = _action_space(env)
    for layer, inner in itertools.pairwise(chain(env)):
        if _is_bounded(space):
            return space
        if isinstance(layer, _CLIPPING):
            space = _action_space(inner)
        elif isinstance(layer, _CHANGING) or _action_space(inner) != space:
            return declared  # what it makes of an action may need others
    return space


def _action_space(env: Any) -> gymnasium.Space[Any]:
    space = env.single_action_space if isinstance(env, VectorEnv) else env.action_space
    assert isinstance(space, gymnasium.Space)
    return space


def _is_bounded(space: gymnasium.Space[Any]) -> bool:
    if not isinstance(space, gymnasium.spaces.Box):
        return True
    return bool(np.isfinite(space.low).all() and np.isfinite(space.high).all())


def describe(observation_space: gymnasium.Space[Any], action_space: gymnasium.Space[Any]) -> Spaces:
    """The spaces of one environment. Raises `UserError` for a kind that is not supported."""
    return Spaces.of_leaves(_leaves(observation_space), _action(action_space))


def _leaves(space: gymnasium.Space[Any]) -> dict[str, Leaf]:
    """The leaves of an observation space by dotted name; "" if it is not a Dict or Tuple.

    Discrete leaves are stored as the numbers that the environment gives: the built-in networks turn
    them into one-hot vectors; a network of your own may embed them. Texts beside other leaves are
    left out, see `text_notices`.
    """
    found, texts = named_spaces(space), set(_texts(space))
    is_tree = isinstance(space, _TREES)
    num_leaves = _num_leaves(space) - len(texts)
    if texts != found.keys():
        found = {name: part for name, part in found.items() if name not in texts}
    for name, part in found.items():
        if not isinstance(part, _SUPPORTED):
            found_in = f"{_kind(space)} whose part {name!r} is " if is_tree else ""
            raise UserError(
                f"the observation space is {found_in}{_kind(part)} - footlight supports Box, "
                "Discrete, MultiDiscrete and MultiBinary observations, and Dict and Tuple of these "
                f"- {_remedy(space)}"
            )
    if not found or len(found) != num_leaves or ("" in found and is_tree):
        raise UserError(
            f"the observation space is {_kind(space)} whose parts have no names of their own: "
            f"{', '.join(map(repr, found)) or 'none'} - each part needs one, joined by dots where "
            "spaces are nested - rename them"
        )
    return {name: _leaf(part) for name, part in found.items()}


def text_notices(observation_space: gymnasium.Space[Any]) -> list[str]:
    """What to tell the user of texts that are left out."""
    return [
        f"{name!r} is text, and left out of the observations; if the task depends on it, turn it "
        "into numbers in a wrapper of your own"
        for name in _texts(observation_space)
    ]


def _texts(space: gymnasium.Space[Any]) -> list[str]:
    """The parts of a Dict or Tuple that are text: Gymnasium's, or a package's own such as
    MiniGrid's."""
    if not isinstance(space, _TREES):
        return []
    parts = named_spaces(space).items()
    return [name for name, part in parts if part.dtype == np.dtype(str)]


_TREES = (gymnasium.spaces.Dict, gymnasium.spaces.Tuple)
_SUPPORTED = (
    gymnasium.spaces.Box,
    gymnasium.spaces.Discrete,
    gymnasium.spaces.MultiDiscrete,
    gymnasium.spaces.MultiBinary,
)


def _parts(space: gymnasium.Space[Any]) -> list[tuple[Any, gymnasium.Space[Any]]]:
    """The parts of a Dict or Tuple space by name or position; [] for any other."""
    if isinstance(space, gymnasium.spaces.Dict):
        return list(space.spaces.items())
    return list(enumerate(space.spaces)) if isinstance(space, gymnasium.spaces.Tuple) else []


def named_spaces(space: gymnasium.Space[Any], prefix: str = "") -> dict[str, gymnasium.Space[Any]]:
    """The leaves of a Dict or Tuple space by dotted name; any other space is the one leaf ""."""
    if not isinstance(space, _TREES):
        return {prefix.removesuffix("."): space}
    found: dict[str, gymnasium.Space[Any]] = {}
    for name, part in _parts(space):
        found |= named_spaces(part, f"{prefix}{name}.")
    return found


def _num_leaves(space: gymnasium.Space[Any]) -> int:
    if not isinstance(space, _TREES):
        return 1
    return sum(_num_leaves(part) for _, part in _parts(space))


def _leaf(space: gymnasium.Space[Any]) -> Leaf:
    if isinstance(space, gymnasium.spaces.Box):
        is_integer = np.issubdtype(space.dtype, np.integer)
        dtype = str(space.dtype) if is_integer else "float32"
        return Leaf(shape=tuple(space.shape), dtype=dtype)
    choices: tuple[range, ...] = ()
    if isinstance(space, gymnasium.spaces.Discrete):
        choices = (range(int(space.start), int(space.start + space.n)),)
    elif isinstance(space, gymnasium.spaces.MultiDiscrete):
        sizes, starts = (array.flatten().tolist() for array in (space.nvec, space.start))
        choices = tuple(range(a, a + n) for n, a in zip(sizes, starts, strict=True))
    return Leaf(shape=tuple(space.shape or ()), dtype=str(space.dtype), choices=choices)


def difference(one: Any, other: Any, observation_bounds: bool = True) -> str | None:
    """Describe how two environments' spaces differ (shape, dtype, bounds); None if they do not.

    observation_bounds: whether to compare the bounds of observations, which nothing is rescaled to.
    """
    for what in ("observation", "action"):
        first, second = (getattr(env, f"{what}_space") for env in (one, other))
        alike = first == second
        if what == "observation" and not observation_bounds:
            alike = alike or _leaves(first) == _leaves(second)
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
            f"{algorithm} needs {wanted} - this environment's are {shown} - use {_FITTING[have]}"
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
            f"the action space is {_kind(space)} - footlight supports Box, Discrete, MultiDiscrete "
            "and MultiBinary actions"
        )
    return DiscreteAction(
        sizes=sizes, starts=starts, shape=tuple(space.shape), dtype=str(space.dtype)
    )


def _box_action(space: gymnasium.spaces.Box) -> BoxAction:
    if not np.issubdtype(space.dtype, np.floating):
        raise UserError(
            f"the action space is a Box of {space.dtype} - footlight supports Box actions "
            "of floating point"
        )
    infinite = np.argwhere(~(np.isfinite(space.low) & np.isfinite(space.high)))
    if len(infinite):
        where = ", ".join(str(index.tolist()) for index in infinite[:3])
        raise UserError(
            f"the action space has no finite bounds in dimension {where} - actions are rescaled to "
            "the bounds - leave out ClipAction, or wrap it in gymnasium.wrappers.TransformAction "
            "with the identity and a Box that has bounds"
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


def _remedy(space: Any) -> str:
    """How to leave out what is not supported, or to turn it into a Box."""
    if not isinstance(space, gymnasium.spaces.Space):
        return "give the environment an observation_space, such as gymnasium.spaces.Box"
    if isinstance(space, gymnasium.spaces.Dict):
        kept = [
            name
            for name, part in space.items()
            if all(isinstance(each, _SUPPORTED) for each in named_spaces(part).values())
        ]
        if kept:
            left_out = ", ".join(repr(name) for name in space if name not in kept)
            return (
                f"leave out {left_out}: wrap the environment in "
                f"gymnasium.wrappers.FilterObservation(env, {kept})"
            )
    return (
        "turn it into one of these with "
        "gymnasium.wrappers.TransformObservation(env, function, gymnasium.spaces.Box(...))"
    )


def _kind(space: Any) -> str:
    if isinstance(space, gymnasium.Space):
        return f"a {type(space).__name__}"
    return f"not a Gymnasium space ({space!r:.80})"
