"""Choose how several environments are stepped: sequentially, in processes, or natively.

`sync` and `async` give the same numbers, `native` has numbers of its own. So whether a run is
native depends on the id and the number of environments alone; only between sync and async do the
cores count. The same command gives the same run everywhere.

Environment steps per second under random actions, each the best of 7 alternating rounds of 0.25 s;
in parentheses what the rule takes. 2 cores of an AMD EPYC, shared with other work, Python 3.11,
Gymnasium 1.4, 2026-11-26:

    environment      envs     sync    async     native
    CartPole-v1         2  106,442   18,086     55,070   (sync)
    CartPole-v1         4   61,197   13,965     52,399   (sync)
    CartPole-v1         8   59,724   17,098    104,637   (native)
    CartPole-v1        64  118,102   14,795  1,059,998   (native)
    Pendulum-v1         4   48,932    7,134          -   (sync)
    Pendulum-v1         8   91,951   14,523          -   (sync)
    Acrobot-v1         16   34,548   14,397          -   (sync)
    LunarLander-v3      8   37,149   10,671          -   (sync)
    LunarLander-v3     16   36,539   12,315          -   (sync)
    HalfCheetah-v5      4   30,154    9,789          -   (sync)
    HalfCheetah-v5      8   30,841    9,884          -   (sync)
    Humanoid-v5         4    3,799    3,276          -   (sync; async from 4 cores on)
    Humanoid-v5         8    2,732    5,459          -   (sync; async from 4 cores on)
    CarRacing-v3        4      111      101          -   (sync; async from 4 cores on)
"""

from collections.abc import Callable
from typing import Literal

from gymnasium.envs.registration import EnvSpec

from footlight.environments.processes import why_no_processes
from footlight.environments.source import EnvironmentLike, EnvironmentSource
from footlight.errors import UserError
from footlight.machine import cores

Vectorization = Literal["auto", "sync", "async", "native"]

NATIVE_ENVS = 6  # from this many on, CartPoleVectorEnv is faster than single environments
NATIVE = "gymnasium.envs.classic_control.cartpole:CartPoleVectorEnv"
ASYNC_CORES = 4  # processes pay off for slow environments: one core is for the policy
# Cost of a step by the start of the entry point; the first that matches counts
COSTS = {
    "gymnasium.envs.box2d.car_racing": "slow",  # 9 ms
    "gymnasium.envs.mujoco.humanoid": "slow",  # 0.3 ms
    "gymnasium.envs.box2d.": "cheap",
    "gymnasium.envs.classic_control.": "cheap",
    "gymnasium.envs.mujoco.": "cheap",
}


def choose(
    environment: EnvironmentLike | EnvironmentSource,
    num_envs: int | None,
    asked: Vectorization,
    notify: Callable[[str], None],
) -> Vectorization:
    """The vectorization to use; "auto" is decided by rule.

    `notify` is called with the choice and its reason. One environment is always "sync". A vector
    environment is used as it is, which is called "auto". Raises `UserError`.
    """
    source = EnvironmentSource.of(environment)
    if source.is_vector:
        if asked != "auto":
            raise UserError(
                f"vectorization is {asked!r} - the given vector environment is used as it is - "
                "leave it at auto, or give an id or a function"
            )
        return "auto"
    if source.is_object or num_envs in (None, 1):
        return "sync"
    if asked != "auto":
        return asked
    if source.is_atari:
        return "native"
    chosen, why = _rule(source, num_envs)
    notify(f"{num_envs} environments: {chosen} ({why})")
    return chosen


def _rule(source: EnvironmentSource, num_envs: int) -> tuple[Vectorization, str]:
    """What "auto" chooses, and why."""
    spec = source.spec
    if (
        source.is_plain_id  # the native class might not take arguments
        and spec is not None
        and spec.vector_entry_point == NATIVE
        and not spec.additional_wrappers
    ):
        if num_envs >= NATIVE_ENVS:
            return "native", "Gymnasium steps all in one NumPy expression"
        return "sync", f"one after the other; native is faster from {NATIVE_ENVS} on"
    cost = _cost(spec)
    if cost == "cheap":
        return "sync", "one after the other: a step takes less time than a message to a process"
    if cost is None:
        return (
            "sync",
            "one after the other; vectorization async if a step takes more than about 0.5 ms",
        )
    if cores() < ASYNC_CORES:
        return "sync", f"one after the other: processes are faster from {ASYNC_CORES} cores on"
    if (reason := why_no_processes()) is not None:
        return "sync", f"one after the other: processes cannot be started here, {reason}"
    return "async", "a step takes long: each has a process"


def _cost(spec: EnvSpec | None) -> str | None:
    """The cost class of a step; None if it is unknown."""
    entry = spec.entry_point if spec is not None else None
    if callable(entry):
        entry = f"{entry.__module__}:{getattr(entry, '__qualname__', '')}"
    return next(
        (cost for start, cost in COSTS.items() if entry is not None and entry.startswith(start)),
        None,
    )
