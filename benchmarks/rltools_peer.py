"""RLtools' side of `speed.py`: trains its SAC and prints one JSON line, as `peers.py` does.

    python benchmarks/rltools_peer.py '{"algorithm": "sac", "environment": "Pendulum-v1", ...}'

Runs in the peers' interpreter. RLtools compiles a C++ program for the sizes of a job, in a minute
or two; it keeps it in the system's folder for temporary files. The environment is Gymnasium's, in
Python, as for the other libraries; the products are MKL's where the package `mkl` is installed.
"""

import json
import os
import sys
import time
from functools import partial
from typing import Any

SETTINGS = {
    "ACTOR_NUM_LAYERS": 3,  # the last one included
    "CRITIC_NUM_LAYERS": 3,
    "GAMMA": 0.99,
    "ALPHA": 1.0,
    "OPTIMIZER_EPSILON": 1e-8,
    "STEP_LIMIT": 10_000_000,  # a constant of the program, never reached
}
"""The values that footlight has by default, and what no field says."""


def arguments_of(fields: dict[str, Any]) -> dict[str, Any]:
    """footlight's fields as RLtools' arguments. Exits where it has no word for one."""
    given = dict(fields)
    found: dict[str, Any] = {"OPTIMIZER_ALPHA": given.pop("learning_rate", 3e-4)}
    width, *others = given.pop("hidden_sizes")
    batch_size, updates = given.pop("batch_size"), given.pop("updates_per_step")
    found |= {"ACTOR_HIDDEN_DIM": width, "CRITIC_HIDDEN_DIM": width}
    found |= {"ACTOR_BATCH_SIZE": batch_size, "CRITIC_BATCH_SIZE": batch_size}
    found["N_WARMUP_STEPS"] = given.pop("learning_starts")
    found["REPLAY_BUFFER_CAP"] = given.pop("buffer_size")
    if given or others != [width] or updates != 1:
        sys.exit(f"error: rltools has no word for {fields}")
    return {**SETTINGS, **found}


def make(environment: str, seed: int) -> Any:
    """An environment whose actions are between -1 and 1."""
    import gymnasium
    import numpy as np

    low, high = np.float32(-1), np.float32(1)
    env = gymnasium.wrappers.RescaleAction(gymnasium.make(environment), low, high)
    env.reset(seed=seed)
    return env


def make_state(environment: str, seed: int, fields: dict[str, Any]) -> Any:
    """A training that has not begun."""
    from rltools import SAC

    name = "footlight_benchmark"  # of the folder of the compiled program
    factory = partial(make, environment, seed)
    library = SAC(factory, enable_evaluation=False, interface_name=name, **arguments_of(fields))
    return library.State(seed)


def speed(
    environment: str, seed: int, warmup: int, window: int, fields: dict[str, Any], **job: Any
) -> dict[str, Any]:
    """Steps, updates and seconds from step `warmup` to step `warmup + window`.

    One step of its loop is one of the environment and, past the warm-up, one update.
    """
    state = make_state(environment, seed, fields)
    for _ in range(warmup):
        state.step()
    start = time.perf_counter()
    for _ in range(window):
        state.step()
    return {"steps": window, "updates": window, "seconds": time.perf_counter() - start}


def reach(
    environment: str, seed: int, fields: dict[str, Any], wanted: float, every: int, episodes: int,
    limit: int, **job: Any,
) -> dict[str, Any]:  # fmt: skip
    """Train until an evaluation, `every` so many steps, has the wanted mean; the step of it."""
    state, env = make_state(environment, seed, fields), make(environment, seed)
    for step in range(1, limit + 1):
        state.step()
        if step % every == 0 and evaluate(state, env, seed, episodes) >= wanted:
            return {"steps": step}
    return {"steps": None}


def evaluate(state: Any, env: Any, seed: int, episodes: int) -> float:
    """The mean return of the deterministic policy, always in the same episodes."""
    total = 0.0
    for episode in range(episodes):
        observation, _ = env.reset(seed=1_000_000 + 1_000 * seed + episode)
        over = False
        while not over:
            action = state.action(observation)
            observation, reward, terminated, truncated, _ = env.step(action)
            total, over = total + float(reward), terminated or truncated
    return total / episodes


def main() -> None:
    """Read the command line, run, print one JSON line, alone: the program in C++ prints, too."""
    job = json.loads(sys.argv[1])
    for variable in ("MKL_NUM_THREADS", "OMP_NUM_THREADS"):
        os.environ[variable] = str(job["threads"])
    answers = os.dup(1)
    os.dup2(2, 1)
    answer = reach(**job) if "wanted" in job else speed(**job)
    os.write(answers, f"{json.dumps(answer)}\n".encode())


if __name__ == "__main__":
    main()
