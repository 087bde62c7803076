"""Wrappers around an environment: those that change rewards, and recorders of files."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

import gymnasium
from gymnasium.vector import VectorEnv
from gymnasium.wrappers import vector

REWARD_WRAPPERS = (
    gymnasium.RewardWrapper,
    gymnasium.wrappers.NormalizeReward,
    gymnasium.vector.VectorRewardWrapper,
    vector.NormalizeReward,
)
RECORDERS = gymnasium.wrappers.RecordVideo, vector.RecordVideo


class InWorker(ABC):
    """An environment in a process of its own, which calls functions there by name."""

    @abstractmethod
    def call_remote(self, name: str, *given: Any) -> Any:
        """Call the function of this name there."""


@runtime_checkable
class HasEnvs(Protocol):
    """An object with single environments in `envs`."""

    envs: Sequence[Any]


def chain(env: Any, row: int = 0) -> Iterator[Any]:
    """Yield an environment and what it wraps, outermost first; of a vector environment one row."""
    visited: set[int] = set()
    while id(env) not in visited:  # an environment may refer back to its wrapper
        visited.add(id(env))
        yield env
        inner = getattr(env, "__dict__", {}).get("env")
        rows = getattr(env, "envs", None)
        if isinstance(inner, gymnasium.Env | VectorEnv):
            env = inner
        elif isinstance(env, VectorEnv) and isinstance(rows, list | tuple) and row < len(rows):
            env = rows[row]
        else:
            return


def reward_wrappers(env: Any) -> list[str]:
    """Names of the wrappers that change rewards."""
    if isinstance(env, InWorker):
        return list(env.call_remote("reward_wrappers"))
    return [type(layer).__name__ for layer in chain(env) if isinstance(layer, REWARD_WRAPPERS)]


def single_envs(environments: Any) -> Sequence[Any]:
    """The environment objects behind serial environments; none behind a vector environment."""
    return environments.envs if isinstance(environments, HasEnvs) else ()


def first_instance(environments: Any) -> Any:
    """The environment object behind the first of serial or vector environments."""
    return next(instances(environments))[0]


def without_recorders(env: Any) -> Any:
    """The environment without wrappers that write files of its (training) episodes."""
    outside, inside = None, env
    while isinstance(inside, gymnasium.Wrapper | gymnasium.vector.VectorWrapper):
        if _is_recorder(inside):
            if outside is None:
                env = inside.env
            else:
                outside.env = inside.env
        else:
            outside = inside
        inside = inside.env
    return env


def recorders(env: Any) -> list[str]:
    """Names of the wrappers that write files of an environment's episodes."""
    return [type(layer).__name__ for layer in chain(env) if _is_recorder(layer)]


def _is_recorder(layer: Any) -> bool:
    """Whether it is Gymnasium's `RecordVideo` or the `Monitor` of Stable-Baselines3."""
    return isinstance(layer, RECORDERS) or (
        type(layer).__name__ == "Monitor" and hasattr(layer, "results_writer")
    )


def instances(environments: Any) -> Iterator[tuple[Any, int]]:
    """The instances behind serial or vector environments, with the row of each environment.

    Also those of Gymnasium's own classes.
    """
    if isinstance(environments, gymnasium.Env):
        yield environments, 0
    elif isinstance(environments, VectorEnv):
        yield from ((environments, row) for row in range(environments.num_envs))
    elif envs := single_envs(environments):
        yield from ((env, 0) for env in envs)
    else:
        yield from ((environments.env, row) for row in range(environments.num_envs))
