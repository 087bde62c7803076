"""Vector environments of SuperSuit and Stable-Baselines3 behind Gymnasium's interface.

Both follow an older interface: the spaces are those of one environment, `info` is a list, and an
environment whose episode has ended is reset within the same step, with its last observation in
`info["terminal_observation"]`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from footlight.environments.autoreset import HasSingleSpaces, OnDevice
from footlight.errors import UserError
from footlight.types import Array

_LAST = "terminal_observation"
_TIME_LIMIT = "TimeLimit.truncated"
_NORMALIZER = (
    "its statistics are not part of footlight's checkpoints - give the VecEnv inside it (`.venv`), "
    "with normalize_observations and normalize_rewards"
)


@runtime_checkable
class _HasSpaces(Protocol):
    observation_space: Any
    action_space: Any


@runtime_checkable
class _HasLayer(Protocol):
    venv: Any


@runtime_checkable
class _HasCopies(Protocol):
    vec_envs: Sequence[Any]


@runtime_checkable
class _HasAgents(Protocol):
    par_env: Any


def translated(environment: Any) -> VectorEnv[Any, Any, Any] | None:
    """A vector environment of another library as one of Gymnasium's; None for anything else.

    Raises `UserError` for those that do not report what an algorithm needs.
    """
    if isinstance(environment, VectorEnv):
        is_older = not isinstance(environment, HasSingleSpaces)
        return Agents(environment) if is_older and isinstance(environment, _HasSpaces) else None
    if not is_from(environment, "VecEnv", "stable_baselines3"):
        return None
    for layer in _layers(environment):
        name = type(layer).__name__
        if name == "VecNormalize":
            raise UserError(f"{name} cannot be trained in - {_NORMALIZER}")
        if isinstance(layer, VectorEnv):
            raise UserError(
                "SuperSuit's environments for Stable-Baselines3 do not tell time limits from "
                'terminations - make them with base_class="gymnasium"'
            )
    return BaselinesEnvironments(environment)


class Translated(VectorEnv[Any, Any, Any]):
    """What both have in common. The mode is theirs: they reset within the step of the end."""

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012

    def __init__(self, env: Any, spec: EnvSpec | None) -> None:
        self.env, self.num_envs, self.spec = env, int(env.num_envs), spec
        self.single_observation_space = env.observation_space
        self.single_action_space = env.action_space
        self.observation_space = batch_space(env.observation_space, self.num_envs)
        self.action_space = batch_space(env.action_space, self.num_envs)

    def _info(self, infos: Any, ended: Array) -> dict[str, Any]:
        """The infos of episodes that ended, as Gymnasium's vector environments report them."""
        if not ended.any():
            return {}
        final, last = np.full(self.num_envs, None), dict[str, Any]()
        for env in np.flatnonzero(ended).tolist():
            if not isinstance(infos, Sequence) or _LAST not in infos[env]:
                raise ValueError(
                    f"environment {env} has ended, and its info has no {_LAST!r}: the last "
                    "observation of the episode is lost"
                )
            final[env] = infos[env][_LAST]
            rest = {key: value for key, value in infos[env].items() if key != _LAST}
            last = self._add_info(last, rest, env)
        return {"final_obs": final, "_final_obs": ended, "final_info": last}

    def close(self, **kwargs: Any) -> None:
        """Close the environments."""
        self.env.close()


class OfTensors(Translated, ABC):
    """A vector environment of tensors: `tensors.TensorEnvironments`, which needs torch."""

    notify: Callable[[str], None]
    """Called once, if final observations are missing."""

    @abstractmethod
    def report_lost(self) -> None:
        """Say, once, what is done at time limits without the final observation."""

    @abstractmethod
    def has_own_state(self) -> bool:
        """Whether it tells its state."""

    @abstractmethod
    def own_state(self) -> dict[str, Array]:
        """A copy of its state, by name. Raises `UserError` for anything but tensors."""

    @abstractmethod
    def load_own_state(self, arrays: Mapping[str, Array]) -> None:
        """Continue from what `own_state` returned."""


def of_tensors(environment: Any) -> OfTensors | None:
    """The adapter of a vector environment of tensors; None for anything else.

    It is one if it has `num_envs` and a `device`. Raises `UserError` if it lacks something else.
    """
    plain = environment.unwrapped if isinstance(environment, gymnasium.Env) else environment
    if not isinstance(plain, OnDevice) or isinstance(plain, type | Translated):
        return None
    from footlight.environments.tensors import TensorEnvironments  # imports torch

    return TensorEnvironments(environment, plain)


class Agents(Translated):
    """PettingZoo's agents, which SuperSuit has made into one vector environment."""

    def __init__(self, env: Any) -> None:
        first = next(iter(env.vec_envs), env) if isinstance(env, _HasCopies) else env
        agents = first.par_env if isinstance(first, _HasAgents) else env
        name = (agents.metadata or {}).get("name")
        super().__init__(env, EnvSpec(name) if isinstance(name, str) else None)

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin an episode of all agents."""
        return self.env.reset(seed=seed, options=options)[0], {}

    def step(self, actions: Any) -> tuple[Any, Array, Array, Array, dict[str, Any]]:
        """Take a step with all agents."""
        observation, reward, terminated, truncated, infos = self.env.step(actions)
        terminated, truncated = np.asarray(terminated, bool), np.asarray(truncated, bool)
        return observation, reward, terminated, truncated, self._info(infos, terminated | truncated)


class BaselinesEnvironments(Translated):
    """A `VecEnv` of Stable-Baselines3."""

    def __init__(self, env: Any) -> None:
        try:
            spec = env.get_attr("spec", [0])[0]
        except Exception:  # an environment of another kind; it is only for the name
            spec = None
        # Without an entry point: what the id makes lacks the layers around it
        super().__init__(env, EnvSpec(spec.id) if isinstance(spec, EnvSpec) else None)

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin an episode in each environment, with seeds that follow from `seed`."""
        if seed is not None:
            self.env.seed(seed)
        return self.env.reset(), {}

    def step(self, actions: Any) -> tuple[Any, Array, Array, Array, dict[str, Any]]:
        """Take a step in each environment."""
        observation, reward, ended, infos = self.env.step(actions)
        ended = np.asarray(ended, bool)
        late = [isinstance(info, Mapping) and bool(info.get(_TIME_LIMIT)) for info in infos]
        truncated = ended & np.array(late, bool)
        return observation, reward, ended & ~truncated, truncated, self._info(infos, ended)


def is_from(environment: Any, name: str, package: str) -> bool:
    """Whether one of its classes has this name and comes from this package."""
    return any(
        kind.__name__ == name and kind.__module__.partition(".")[0] == package
        for kind in type(environment).__mro__
    )


def _layers(environment: Any) -> Iterator[Any]:
    """A `VecEnv` and what it wraps, outermost first."""
    yield environment
    while isinstance(environment, _HasLayer) and environment.venv is not environment:
        environment = environment.venv
        yield environment
