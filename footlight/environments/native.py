"""Native vector environments: Gymnasium's own, in NumPy, and EnvPool's, in C++."""

import importlib
import warnings
from collections.abc import Mapping
from types import MappingProxyType, ModuleType
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv

from footlight.environments.spaces import describe
from footlight.errors import UserError
from footlight.machine import cores
from footlight.types import Array, BoxAction, Spaces

Step = tuple[Array, Array, Array, Array, dict[str, Any]]


def make_native(
    single: gymnasium.Env[Any, Any],
    name: str,
    num_envs: int,
    kwargs: Mapping[str, Any] = MappingProxyType({}),
) -> VectorEnv[Any, Any, Any]:
    """`num_envs` environments like `single`, made from the id `name`. Raises `UserError` if none.

    kwargs: the arguments of `single` besides those registered with its id.

    Gymnasium's own come before EnvPool's, so that installing EnvPool changes no run that was
    possible before.
    """
    spec = gymnasium.registry.get(single.spec.id) if single.spec is not None else None
    if spec is not None and spec.vector_entry_point is not None and not spec.additional_wrappers:
        try:
            envs = gymnasium.make_vec(
                spec, num_envs, vectorization_mode="vector_entry_point", **kwargs
            )
        except (gymnasium.error.Error, ImportError, TypeError, ValueError) as error:
            given = f" with {', '.join(kwargs)}" if kwargs else ""
            raise UserError(
                f"{name} has a native version that cannot be made{given} - {error} - use sync or "
                "async"
            ) from error
        if type(envs.action_space) is gymnasium.spaces.MultiDiscrete:
            envs.action_space = Unchecked(envs.action_space)
        return envs
    pool, lacking = _import_envpool()
    if pool is not None and kwargs:
        lacking = "EnvPool does not take the arguments of Gymnasium's"
    elif pool is not None and spec is not None:
        if spec.id in pool.list_all_envs():
            settings: dict[str, Any] = {}
            if spec.max_episode_steps is not None:
                settings["max_episode_steps"] = spec.max_episode_steps
            spaces = describe(single.observation_space, single.action_space)
            return EnvPool(pool, spec.id, num_envs, spaces, settings)
        lacking = "EnvPool does not know it"
    raise UserError(
        f"{name} has no native version - gymnasium has none, and {lacking} - use sync or async"
    )


class Unchecked(gymnasium.spaces.MultiDiscrete):
    """An action space that contains whatever it is asked for.

    CartPole's vector version asserts at each step that its space contains the actions, which takes
    a tenth of the time of A2C's whole step. Footlight's actions come from this very space.
    """

    def __init__(self, space: gymnasium.spaces.MultiDiscrete) -> None:
        super().__init__(space.nvec, dtype=space.dtype, start=space.start)

    def contains(self, x: Any) -> bool:
        """True."""
        return True


class EnvPool(VectorEnv[Array, Array, Array]):
    """EnvPool behind Gymnasium's interface.

    An ended environment resets at its next step (NEXT_STEP). Seeds are given when a pool is made
    and ignored by its `reset`, so a reset with seeds makes a new pool. EnvPool
    differs from Gymnasium in two ways: at the time limit it says truncated even if that step also
    terminates, and the random numbers behind the first states are others.
    """

    metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012 - as Gymnasium has it
    takes_seed_for_each = True

    def __init__(
        self, module: ModuleType, name: str, num_envs: int, like: Spaces, settings: dict[str, Any]
    ) -> None:
        self.num_envs, self._module, self._name = num_envs, module, name
        self._settings = {**settings, "num_envs": num_envs, "num_threads": min(num_envs, cores())}
        with _no_warnings():
            spec = module.make_spec(name, **self._settings)
            self.single_observation_space = spec.gymnasium_observation_space
            self.single_action_space = spec.gymnasium_action_space
            self.observation_space = gymnasium.vector.utils.batch_space(
                self.single_observation_space, num_envs
            )
            self.action_space = gymnasium.vector.utils.batch_space(
                self.single_action_space, num_envs
            )
        if not _alike(describe(self.single_observation_space, self.single_action_space), like):
            raise UserError(
                f"EnvPool's {name} has other spaces than gymnasium's - a policy trained in one "
                "cannot act in the other"
            )
        self._pool: Any = None

    def reset(
        self, *, seed: Any = None, options: dict[str, Any] | None = None
    ) -> tuple[Array, dict[str, Any]]:
        """Begin an episode in each; `seed` is one for each."""
        if seed is not None or self._pool is None:
            self.close_extras()
            seeds = [int(number) for number in seed or range(self.num_envs)]
            with _no_warnings():
                self._pool = self._module.make_gymnasium(self._name, seed=seeds, **self._settings)
                return self._pool.reset()[0], {}
        return self._pool.reset()[0], {}

    def step(self, actions: Array) -> Step:
        """Step all; those that ended with their last step begin their next episode instead."""
        observation, reward, terminated, truncated, _ = self._pool.step(
            np.asarray(actions, self.single_action_space.dtype)
        )
        return observation, reward, terminated, truncated, {}

    def close_extras(self, **kwargs: Any) -> None:
        """End the threads of the pool."""
        if self._pool is not None:
            self._pool.close()


def _import_envpool() -> tuple[ModuleType | None, str]:
    """Import EnvPool: the module, or why there is none."""
    try:
        with _no_warnings():
            return importlib.import_module("envpool"), ""
    except ModuleNotFoundError as error:
        if error.name == "envpool":
            return None, 'EnvPool is not installed (pip install "footlight[envpool]")'
        return None, f"EnvPool cannot be imported ({error})"
    except Exception as error:  # such as a missing system library
        return None, f"EnvPool cannot be imported ({error})"


def _alike(one: Spaces, other: Spaces) -> bool:
    if (
        one.observation_shape != other.observation_shape
        or one.observation_dtype != other.observation_dtype
    ):
        return False
    if isinstance(one.action, BoxAction) and isinstance(other.action, BoxAction):
        return bool(
            one.action.shape == other.action.shape
            and np.allclose(one.action.low, other.action.low)
            and np.allclose(one.action.high, other.action.high)
        )
    return (
        not isinstance(one.action, BoxAction)
        and not isinstance(other.action, BoxAction)
        and (
            (one.action.sizes, one.action.starts, one.action.shape)
            == (other.action.sizes, other.action.starts, other.action.shape)
        )
    )


def _no_warnings() -> warnings.catch_warnings:
    """EnvPool's import and its spaces warn of rounding; nobody can do anything about it."""
    return warnings.catch_warnings(action="ignore")
