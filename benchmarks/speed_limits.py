"""What a training loop is made of, each part alone: no loop on the same cores is faster than these.

    python benchmarks/speed_limits.py '{"algorithm": "sac", "environment": "Pendulum-v1", ...}'

Prints a JSON line with three rates per second: `stepping`, environment steps under random actions,
with nothing around the environments; `update`, footlight's compiled updates; `products`, as many
times the matrix products and convolutions of an update, with nothing between them. The JSON
document is a job of `speed.py`.
"""

import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

SECONDS = 2.0  # timed for each part, or one burst of updates if that takes longer
WARMUP = 50  # updates that are not timed; enough for one of each name
BLOCK = 1_000  # random actions drawn before the clock starts, and used again and again
Fields = dict[str, Any]


def game_settings(fields: Fields) -> Fields:
    """Those of the fields that are the environment's."""
    from footlight.environments.atari import AtariConfig

    return {
        name: value for name, value in fields.items() if name in AtariConfig.__dataclass_fields__
    }


def rate(call: Callable[[], object], each: int = 1, seconds: float = SECONDS) -> float:
    """Calls per second, times `each`, after a few that are not timed."""
    for _ in range(3):
        call()
    count, start = 0, time.perf_counter()
    while True:
        call()
        count += 1
        if (passed := time.perf_counter() - start) >= seconds:
            return each * count / passed


def stepping(environment: str, fields: Fields, seconds: float = SECONDS) -> float:
    """Steps per second of the environments alone, of all of them together."""
    import gymnasium

    from footlight.environments.atari import AtariConfig, AtariGame

    count = fields.get("num_envs", 1)
    is_game = environment.startswith("ALE/")
    if is_game:
        envs: Any = AtariGame(environment, AtariConfig(**game_settings(fields))).vector(count)
    else:
        envs = gymnasium.make_vec(environment, count) if count > 1 else gymnasium.make(environment)
    envs.reset(seed=list(range(count)) if is_game else 0)
    envs.action_space.seed(0)
    actions = [envs.action_space.sample() for _ in range(BLOCK)]

    def block() -> None:
        for action in actions:
            *_, terminated, truncated, _ = envs.step(action)
            if count == 1 and (terminated or truncated):
                envs.reset()

    return rate(block, BLOCK * count, seconds)


def make_agent(
    algorithm: str, environment: str, threads: int, fields: Fields
) -> tuple[Any, Callable[[], None]]:
    """An agent, and a function that has it act and observe a transition that never changes."""
    import numpy as np

    import footlight
    from footlight.environments.make import configured, make_one

    settings = game_settings(fields)
    env, count = make_one(configured(environment, settings)), fields.get("num_envs", 1)
    fields = {name: value for name, value in fields.items() if name not in (*settings, "num_envs")}
    spaces = env.observation_space, env.action_space
    agent = footlight.Agent(
        algorithm, *spaces, num_envs=count, compile="on", threads=threads, **fields
    )
    observation = env.reset(seed=0)[0]
    is_one = count == 1
    seen = observation if is_one else np.repeat(observation[None], count, 0)
    reward: Any = 0.0 if is_one else np.zeros(count)
    over: Any = False if is_one else np.zeros(count, bool)

    def observe() -> None:
        agent.observe(seen, agent.act(seen, explore=True), reward, seen, over, over)

    return agent, observe


def update(
    agent: Any, observe: Callable[[], None], seconds: float = SECONDS
) -> tuple[float, Counter[str]]:
    """Updates per second, and how many of each name were made: whole bursts, without what is
    between them."""
    from footlight.algorithms.protocol import Choosing

    learner, algorithm = agent.learner, agent.algorithm
    make, only = learner.update, next(iter(algorithm.updates))
    names: Counter[str] = Counter()
    passed = 0.0

    def timed(due: Any, stream: Any) -> None:
        nonlocal passed
        start = time.perf_counter()
        make(due, stream)
        passed += time.perf_counter() - start
        names[algorithm.update_for(due) if isinstance(algorithm, Choosing) else only] += 1

    vars(learner)["update"] = timed
    while names.total() < WARMUP:
        observe()  # compiles, too
    passed = 0.0
    names.clear()
    while passed < seconds:
        observe()
    return names.total() / passed, names


def products_of(learner: Any, name: str) -> list[tuple[Any, list[Any], Fields]]:
    """The products that an update of this name makes: function, arguments, keyword arguments."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    aten = torch.ops.aten
    kinds = {aten.mm, aten.addmm, aten.bmm, aten.baddbmm, aten.convolution}
    kinds |= {aten.convolution_backward}
    found = []

    class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
        """Notes products and copies of their arguments."""

        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            if func.overloadpacket in kinds:
                copies = [arg.clone() if isinstance(arg, torch.Tensor) else arg for arg in args]
                found.append((func, copies, kwargs or {}))
            return func(*args, **(kwargs or {}))

    with Recorder():  # type: ignore[no-untyped-call]
        learner.try_out(name)
    return found


def products(learner: Any, name: str, seconds: float = SECONDS) -> float:
    """How many times per second the products of an update of this name can be made."""
    import torch

    from footlight.ambient import computing
    from footlight.learning.compilation import CompilerMissing, compile_in_place

    calls = products_of(learner, name)
    if not calls:
        return float("inf")

    def eager() -> list[torch.Tensor]:
        made = [func(*args, **kwargs) for func, args, kwargs in calls]
        flat = [one for each in made for one in (each if isinstance(each, tuple) else [each])]
        return [tensor for tensor in flat if tensor is not None]

    def again(*tensors: torch.Tensor) -> None:
        given, results = iter(tensors), iter(tensors[num_given:])
        for func, args, kwargs in calls:
            own = [next(given) if isinstance(arg, torch.Tensor) else arg for arg in args]
            made = func(*own, **kwargs)
            for one in made if isinstance(made, tuple) else [made]:
                if one is not None:
                    next(results).copy_(one)

    with computing(), torch.no_grad():
        given = [arg for _, args, _ in calls for arg in args if isinstance(arg, torch.Tensor)]
        num_given, call = len(given), eager
        try:  # as an update calls them: from C++, large ones in the same library
            call = compile_in_place(again, [*given, *eager()])  # type: ignore[assignment]
        except CompilerMissing as reason:
            print(f"products: {reason}", file=sys.stderr)
        return max(rate(call, seconds=seconds / 2), rate(eager, seconds=seconds / 2))


def limits(
    algorithm: str, environment: str, threads: int, fields: Fields, **job: Any
) -> dict[str, float]:
    """The three rates."""
    agent, observe = make_agent(algorithm, environment, threads, fields)
    updates, names = update(agent, observe)
    # Each name's products in the proportion in which the updates were made
    seconds = sum(
        count / names.total() / products(agent.learner, name) for name, count in names.items()
    )
    return {
        "stepping": stepping(environment, fields),
        "update": updates,
        "products": 1 / seconds,
    }


if __name__ == "__main__":
    print(json.dumps(limits(**json.loads(sys.argv[1]))))
