"""How several environments are stepped: one after the other, in processes, or natively. What is faster is measured.

A measurement decides which kind a run uses, never what a kind does: the choice is written into `config.json`, a resumed run keeps
it, and two runs with the same choice are equal. Environments to be measured are thrown away; their seeds are of a stream of
their own, and their random actions, too.
"""

import time
from collections.abc import Callable
from itertools import cycle
from typing import Literal

import gymnasium
import numpy as np
from gymnasium.vector import VectorEnv

from footlight.environments.atari import AtariGame
from footlight.environments.make import Environments, EnvironmentSource, make
from footlight.environments.native import cores
from footlight.errors import EnvironmentFault, UserError
from footlight.types import Array, BoxAction

Vectorization = Literal["auto", "sync", "async", "native"]

SECONDS = 0.1  # of a measurement
WARM_UP_STEPS = 10
MEASURED_ENVS = 8  # at most, of those whose pace for each does not depend on how many there are
SLOW_STEP = 0.5e-3  # seconds; below, messages between processes cost more than they save
MARGIN = 1.1  # by which another kind must beat sync, which alone starts each episode from a seed of its own at no cost


def choose(source: EnvironmentSource, num_envs: int | None, asked: Vectorization, notice: Callable[[str], None]) -> Vectorization:
    """The kind in force. "auto" is measured where there is a choice; `notice` is told what was chosen, and why.

    One environment is always "sync". A vector environment stays as it is, which is called "auto". Raises `UserError`.
    """
    if isinstance(source, VectorEnv):
        if asked != "auto":
            raise UserError(
                f"vectorization is {asked!r} - the given vector environment is used as it is - leave it at auto, "
                "or give an id or a function"
            )
        return "auto"
    if isinstance(source, gymnasium.Env) or num_envs in (None, 1):
        return "sync"
    if asked != "auto":
        return asked
    if isinstance(source, AtariGame):
        return "native"  # C++ throughout: there is nothing to measure
    assert num_envs is not None
    rates = measure(source, num_envs)
    rival = max(rates, key=lambda kind: rates[kind])
    chosen = rival if rates[rival] > MARGIN * rates["sync"] else "sync"
    others = "".join(f"; {kind} {_rounded(rate)}" for kind, rate in rates.items() if kind != chosen)
    notice(f"{num_envs} environments: {chosen} ({_rounded(rates[chosen])} steps/s{others})")
    return chosen


def measure(source: EnvironmentSource, num_envs: int) -> dict[Vectorization, float]:
    """Environment steps per second of each kind that there is and that might be worth it. Raises `UserError`."""
    few = min(num_envs, MEASURED_ENVS)
    rates: dict[Vectorization, float] = {"sync": _rate(make(source, 0, few, "measurement", vectorization="sync"))}
    kinds: list[tuple[Vectorization, int]] = [("native", num_envs)]
    if rates["sync"] < 1 / SLOW_STEP and cores() >= 2:
        kinds.append(("async", few))
    for kind, count in kinds:
        try:
            rates[kind] = _rate(make(source, 0, count, "measurement", vectorization=kind))
        except UserError:
            continue  # there is none of this kind
    return rates


def _rate(environments: Environments) -> float:
    """Steps per second under random actions; 0 where one fails, which is then said when it fails in the run."""
    actions = cycle(_random_actions(environments))
    try:
        environments.reset()
        for _ in range(WARM_UP_STEPS):
            environments.step(next(actions))
        steps, started = 0, time.perf_counter()
        while (seconds := time.perf_counter() - started) < SECONDS:
            valid = environments.step(next(actions)).valid
            steps += environments.num_envs if valid is None else int(np.count_nonzero(valid))
        return steps / seconds
    except EnvironmentFault:
        return 0.0
    finally:
        environments.close()


def _random_actions(environments: Environments) -> list[Array]:
    generator, space = np.random.default_rng(0), environments.spaces.action
    shape = (16, environments.num_envs, space.size)
    if isinstance(space, BoxAction):
        return [space.to_environment(unit_EA) for unit_EA in generator.uniform(-1, 1, shape).astype(np.float32)]
    return [space.to_environment(choice_EA) for choice_EA in generator.integers(0, space.sizes, shape)]


def _rounded(rate: float) -> str:
    """Three digits: there is no more in a tenth of a second."""
    return f"{float(f'{rate:.3g}'):,.0f}"
