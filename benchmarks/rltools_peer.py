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
from typing import Any

SETTINGS = {
    "ACTOR_NUM_LAYERS": 3,  # the last one included
    "CRITIC_NUM_LAYERS": 3,
    "GAMMA": 0.99,
    "ALPHA": 1.0,
    "OPTIMIZER_ALPHA": 3e-4,
    "OPTIMIZER_EPSILON": 1e-8,
    "STEP_LIMIT": 10_000_000,  # a constant of the program, never reached
}
"""The values that footlight has by default, and what no field says."""


def arguments_of(fields: dict[str, Any]) -> dict[str, Any]:
    """footlight's fields as RLtools' arguments. Exits where it has no word for one."""
    given = dict(fields)
    width, *others = given.pop("hidden_sizes")
    batch_size, updates = given.pop("batch_size"), given.pop("updates_per_step")
    found = {"ACTOR_HIDDEN_DIM": width, "CRITIC_HIDDEN_DIM": width}
    found |= {"ACTOR_BATCH_SIZE": batch_size, "CRITIC_BATCH_SIZE": batch_size}
    found["N_WARMUP_STEPS"] = given.pop("learning_starts")
    found["REPLAY_BUFFER_CAP"] = given.pop("buffer_size")
    if given or others != [width] or updates != 1:
        sys.exit(f"error: rltools has no word for {fields}")
    return {**SETTINGS, **found}


def speed(
    environment: str, seed: int, warmup: int, window: int, fields: dict[str, Any], **job: Any
) -> dict[str, float]:
    """Steps, updates and seconds from step `warmup` to step `warmup + window`.

    One step of its loop is one of the environment and, past the warm-up, one update.
    """
    import gymnasium
    import numpy as np
    from rltools import SAC

    def make() -> Any:
        low, high = np.float32(-1), np.float32(1)
        env = gymnasium.wrappers.RescaleAction(gymnasium.make(environment), low, high)
        env.reset(seed=seed)
        return env

    name = "footlight_benchmark"  # of the folder of the compiled program
    library = SAC(make, enable_evaluation=False, interface_name=name, **arguments_of(fields))
    state = library.State(seed)
    for _ in range(warmup):
        state.step()
    start = time.perf_counter()
    for _ in range(window):
        state.step()
    return {"steps": window, "updates": window, "seconds": time.perf_counter() - start}


def main() -> None:
    """Read the command line, run, print one JSON line, alone: the program in C++ prints, too."""
    job = json.loads(sys.argv[1])
    for variable in ("MKL_NUM_THREADS", "OMP_NUM_THREADS"):
        os.environ[variable] = str(job["threads"])
    answers = os.dup(1)
    os.dup2(2, 1)
    os.write(answers, f"{json.dumps(speed(**job))}\n".encode())


if __name__ == "__main__":
    main()
