"""Another environment like the given one: for evaluations, videos and the start-up probe.

An id is made, or a function called, again. An object is made again from its spec, and a wrapper of
a vector environment is copied; `trial` then checks whether the copy is the same environment.
"""

import copy
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv, VectorWrapper
from gymnasium.vector.utils import batch_space

from footlight.environments.autoreset import has_rows
from footlight.environments.foreign import Translated
from footlight.environments.naming import name_of_function
from footlight.environments.user_function import make_env
from footlight.environments.wrappers import RECORDERS, recorders, without_recorders
from footlight.errors import UserError, describe_error
from footlight.trees import named_leaves
from footlight.types import Array

Make = Callable[[], gymnasium.Env[Any, Any]]

_REMEDY = "give a function that makes one, or an id"
_RENDERERS = (*RECORDERS, gymnasium.wrappers.vector.HumanRendering)


def remake_env(env: gymnasium.Env[Any, Any], render_mode: str | None) -> Make:
    """A function that makes another environment like `env`. Raises `UserError` if there is none."""
    spec = env.spec
    if spec is None or spec.entry_point is None:
        raise UserError(
            "the environment was given as an object without a spec and cannot be made again - "
            f"{_REMEDY}"
        )
    plain, left_out = _spec_without(spec, "render_mode"), recorders(env)
    plain.additional_wrappers = tuple(
        each for each in plain.additional_wrappers if each.name not in left_out
    )
    silent = [wrapper.name for wrapper in plain.additional_wrappers if wrapper.kwargs is None]
    if silent:
        raise UserError(
            f"the environment cannot be made again - {silent[0]} does not record its arguments - "
            f"{_REMEDY}"
        )

    def make_again() -> gymnasium.Env[Any, Any]:
        return gymnasium.make(plain, disable_env_checker=True, **_asked(render_mode))

    make_again.__name__ = spec.id
    return make_again


def remake_row(source: VectorEnv[Any, Any, Any], render_mode: str | None) -> Make:
    """A function that makes a single environment like the rows of a vector environment.

    Raises `UserError` if there is none.
    """
    _base(source, 0, render_mode)  # raises if it is impossible
    if isinstance(source, VectorWrapper) or not has_rows(source):
        return lambda: SingleRow(_wrapped(source, _base(source, 1, render_mode), 1))
    return _row(source.unwrapped, render_mode)


def remake_rows(source: VectorEnv[Any, Any, Any], num_envs: int) -> VectorEnv[Any, Any, Any] | None:
    """Another vector environment with as many rows; None if rows can be seeded one by one."""
    return None if has_rows(source) else _wrapped(source, _base(source, num_envs, None), num_envs)


def _row(base: Any, render_mode: str | None) -> Make:
    """How to make one of the environments of Gymnasium's sync and async vector environments."""
    spec = base.spec
    if render_mode is None or spec is None or spec.entry_point is None:
        make_row: Make = base.env_fns[0]
        return make_row
    left_out = "wrappers", "num_envs", "vectorization_mode", "vector_kwargs"
    plain = _spec_without(spec, *left_out, "render_mode", "max_episode_steps")
    wrappers = spec.kwargs.get("wrappers") or ()
    # `make_vec` may repeat the time limit among the arguments of the class
    asked = _asked(render_mode) | {
        name: spec.kwargs[name] for name in ("max_episode_steps",) if name in spec.kwargs
    }

    def make_drawn() -> gymnasium.Env[Any, Any]:
        env = gymnasium.make(plain, disable_env_checker=True, **asked)
        for wrapper in wrappers:
            env = wrapper(env)
        return env

    return make_drawn


def _base(
    source: VectorEnv[Any, Any, Any], num_envs: int, render_mode: str | None
) -> VectorEnv[Any, Any, Any]:
    """The innermost environment with this number of rows; 0 only checks that it can be made.

    Raises `UserError`.
    """
    base: Any = source.unwrapped
    if has_rows(source):
        same_step = base.metadata.get("autoreset_mode") == AutoresetMode.SAME_STEP
        # Rows are reset from outside; NEXT_STEP returns the last observation in its own step
        mode = AutoresetMode.NEXT_STEP if same_step else base.metadata.get("autoreset_mode")
        if num_envs == 0:
            return source
        row = _row(base, render_mode)
        make_row = partial(make_env, row, name_of_function(row), render_mode)
        makes = [lambda: without_recorders(make_row())] * num_envs
        return SyncVectorEnv(makes, autoreset_mode=mode)
    spec = source.spec
    if spec is None or spec.vector_entry_point is None:
        if isinstance(base, Translated):
            raise UserError(
                f"a {type(base.env).__name__} cannot be made again, so evaluations need an "
                "eval_environment - give one, or train in a function that makes an environment"
            )
        name = type(base).__name__
        raise UserError(
            f"the vector environment {name} has no spec and cannot be made again - {_REMEDY}"
        )
    if num_envs == 0:
        return source
    plain = _spec_without(spec, "num_envs", "vectorization_mode", "render_mode")
    return gymnasium.make_vec(
        plain, num_envs, vectorization_mode="vector_entry_point", **_asked(render_mode)
    )


def _wrapped(
    source: VectorEnv[Any, Any, Any], base: VectorEnv[Any, Any, Any], num_envs: int
) -> VectorEnv[Any, Any, Any]:
    """Wrap `base` in copies of all wrappers of `source`. Raises `UserError`."""
    if not isinstance(source, VectorWrapper):
        return base
    inner = _wrapped(source.env, base, num_envs)
    if isinstance(source, _RENDERERS):
        return inner
    name = type(source).__name__
    try:
        # A copy keeps the wrapper's state and arguments, whether or not it records them
        wrapper: Any = copy.deepcopy(
            source, {id(source.env): inner, id(source.unwrapped): inner.unwrapped}
        )
    except Exception as error:  # locks, files, handles: anything that cannot be copied
        raise UserError(
            f"the environment cannot be made again - {name} cannot be copied "
            f"({describe_error(error)}) - {_REMEDY}"
        ) from error
    for space in ("observation_space", "action_space"):
        if getattr(wrapper, f"_{space}", None) is not None:
            setattr(wrapper, space, batch_space(getattr(source, f"single_{space}"), num_envs))
    # Arrays of Gymnasium's own wrappers have a row for each environment
    if type(source).__module__.startswith("gymnasium."):
        for attribute, value in vars(wrapper).items():
            if isinstance(value, np.ndarray) and value.ndim and len(value) == source.num_envs:
                setattr(wrapper, attribute, value[:num_envs].copy())
    copied: VectorEnv[Any, Any, Any] = wrapper
    return copied


def _spec_without(spec: Any, *names: str) -> Any:
    """A copy of the spec without these arguments."""
    plain = copy.deepcopy(spec)
    for name in names:
        plain.kwargs.pop(name, None)
    return plain


def _asked(render_mode: str | None) -> dict[str, Any]:
    # Left out if None, since not every environment takes the argument
    return {} if render_mode is None else {"render_mode": render_mode}


class SingleRow(gymnasium.Env[Any, Any]):
    """A vector environment of one row as a single environment, with its vector wrappers."""

    def __init__(self, env: VectorEnv[Any, Any, Any]) -> None:
        self.env = env
        self.observation_space = env.single_observation_space
        self.action_space = env.single_action_space
        self.metadata, self.render_mode, self.spec = env.metadata, env.render_mode, env.spec

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin an episode."""
        observation, info = self.env.reset(seed=seed, options=options)
        return self._only_row(observation), info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Take one step. `reset` has to be called after the last one of an episode."""
        rows: Array = np.asarray(action, self.action_space.dtype)[None]
        observation, reward, terminated, truncated, info = self.env.step(rows)
        ends = bool(terminated[0]), bool(truncated[0])
        return self._only_row(observation), float(reward[0]), *ends, info

    def _only_row(self, observation: Any) -> Any:
        return _row_in(self.observation_space, named_leaves(observation))

    def render(self) -> Any:
        """The image of the row."""
        frames = self.env.render()
        return None if frames is None else frames[0]

    def close(self) -> None:
        """Close the vector environment."""
        self.env.close()


def _row_in(space: Any, leaves: Mapping[str, Any], name: str = "") -> Any:
    """The only row of an observation in this space, given the leaves of the observation."""
    if isinstance(space, gymnasium.spaces.Dict):
        return {key: _row_in(part, leaves, f"{name}.{key}") for key, part in space.items()}
    if isinstance(space, gymnasium.spaces.Tuple):
        return tuple(_row_in(part, leaves, f"{name}.{index}") for index, part in enumerate(space))
    return leaves[name.removeprefix(".")][0]
