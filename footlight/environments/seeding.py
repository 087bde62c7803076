"""Everything that is random in a block of the user's own code, seeded and restored."""

import contextlib
import random
from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
import torch

from footlight.config.fields import Range, integer
from footlight.contexts import closing
from footlight.environments.source import EnvironmentLike, EnvironmentSource

MAX_SEED = 2**32 - 1  # that NumPy's global generator takes


@contextlib.contextmanager
def seeded(env: EnvironmentLike | EnvironmentSource, seed: int) -> Iterator[Any]:
    """Seed everything random inside the block, and close the environment after it.

    env: an id, an environment or vector environment, or a function that makes an environment.
    seed: at most 2**32 - 1.

    Inside the block, the global generators of Python, NumPy and torch start from `seed`, and so do
    the spaces of the environment and its first `reset()`, unless that is given a seed of its own.
    Afterwards the generators continue from where they were, and the environment is closed. Equal
    seeds give equal numbers, on one machine and with one number of threads. Raises `UserError`.

        with footlight.seeded("Pendulum-v1", seed=1) as env:
            observation, _ = env.reset()                # as env.reset(seed=1)
            action = env.action_space.sample()
    """
    seed = integer("seed", seed, Range(0, MAX_SEED))
    source = EnvironmentSource.of(env).configured()
    made = source.make_one() if source.instance is None else source.instance
    with closing(made), _generators_restored(), _first_reset_seeded(made, seed):
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        for space in _spaces(made):
            space.seed(seed)
        yield made


@contextlib.contextmanager
def _generators_restored() -> Iterator[None]:
    """Restore the global generators of Python, NumPy and torch after the block."""
    ours, arrays = random.getstate(), np.random.get_state()
    devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices):
        try:
            yield
        finally:
            random.setstate(ours)
            np.random.set_state(arrays)


@contextlib.contextmanager
def _first_reset_seeded(env: Any, seed: int) -> Iterator[None]:
    """Pass `seed` to the first `reset()` of the environment, which stays the object that it is."""
    reset = env.reset

    def reset_with_seed(**given: Any) -> Any:
        vars(env).pop("reset", None)
        return reset(**{"seed": seed, **given})

    vars(env)["reset"] = reset_with_seed
    try:
        yield
    finally:
        vars(env).pop("reset", None)


def _spaces(env: Any) -> list[gymnasium.Space[Any]]:
    found = [env.action_space, env.observation_space]
    if isinstance(env, gymnasium.vector.VectorEnv):
        found += [env.single_action_space, env.single_observation_space]
    return found
