"""footlight's side of `speed.py`: runs a job and prints a JSON line, as `peers.py` does.

    python benchmarks/ours.py versions
    python benchmarks/ours.py train '{"algorithm": "sac", "environment": "Pendulum-v1", ...}'
    python benchmarks/ours.py agent '{"algorithm": "sac", "environment": "Pendulum-v1", ...}'

The JSON document is a job: the parameters of `train` and `agent`.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("footlight", "torch", "gymnasium", "numpy")
Fields = dict[str, Any]


def versions() -> dict[str, str]:
    """The versions of the packages that matter, and when the machine was tuned, if it was."""
    from footlight.config.tuning import tuning

    found = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    if (source := tuning().source) != "rule":
        found["tune-machine of"] = source
    return found


def train(
    algorithm: str,
    environment: str,
    seed: int,
    threads: int,
    warmup: int,
    window: int,
    fields: Fields,
    log_every: int,
) -> dict[str, float]:
    """The built-in loop, from its metrics: the slope from the first row after `warmup` to the last.

    An algorithm whose rollouts are longer than `LOG_EVERY` steps writes a row for each rollout, but
    some steps after its end; here it writes it at the end, so that between two rows there are as
    many rollouts as bursts of updates.
    """
    import footlight
    from footlight.config import options

    options.LOG_EVERY = log_every
    off: Fields = {
        "preset": False,
        "eval_every": 0,
        "eval_episodes": 0,
        "checkpoint_every": 0,
        "quiet": True,
    }
    machine: Fields = {"device": "cpu", "compile": "on", "threads": threads}
    with tempfile.TemporaryDirectory() as folder:
        run_dir = Path(folder) / "run"
        steps = warmup + window
        footlight.train(
            algorithm,
            environment,
            steps=steps,
            seed=seed,
            run_dir=run_dir,
            **off,
            **machine,
            **fields,
        )
        lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    marks = sorted(
        {line["step"]: line for line in reversed(lines) if line["step"] >= warmup}.items()
    )
    if len(marks) < 2:
        sys.exit(
            f"error: metrics.jsonl has {len(marks)} rows from step {warmup} on - a window needs two"
        )
    (_, first), (_, last) = marks[0], marks[-1]
    steps, updates, seconds = (last[name] - first[name] for name in ("step", "update", "time_s"))
    return {"steps": steps, "updates": updates, "seconds": seconds}


def agent(
    algorithm: str,
    environment: str,
    seed: int,
    threads: int,
    warmup: int,
    window: int,
    fields: Fields,
) -> dict[str, float]:
    """A loop written by hand around `footlight.Agent`, as the documentation shows it."""
    import gymnasium

    import footlight

    fields = dict(fields)
    num_envs = fields.pop("num_envs", 1)
    options: Fields = {"seed": seed, "compile": "on", "threads": threads, **fields}
    if num_envs > 1:
        envs = gymnasium.make_vec(environment, num_envs)
        spaces = envs.single_observation_space, envs.single_action_space
        learner = footlight.Agent(algorithm, *spaces, num_envs=num_envs, **options)
        return _vector_loop(learner, envs, warmup, warmup + window)
    env = gymnasium.make(environment)
    learner = footlight.Agent(algorithm, env.observation_space, env.action_space, **options)
    start, updates = 0.0, 0
    observation, _ = env.reset(seed=seed)
    for step in range(warmup + window):
        if step == warmup:
            start, updates = time.perf_counter(), learner.num_updates
        action = learner.act(observation, explore=True)
        next_observation, reward, terminated, truncated, _ = env.step(action)
        learner.observe(observation, action, reward, next_observation, terminated, truncated)
        observation = env.reset()[0] if terminated or truncated else next_observation
    seconds = time.perf_counter() - start
    return {"steps": window, "updates": learner.num_updates - updates, "seconds": seconds}


def _vector_loop(learner: Any, envs: Any, warmup: int, total_steps: int) -> dict[str, float]:
    """The loop for vector environments that reset in the step after an episode's last."""
    import numpy as np

    start, steps, updates = 0.0, 0, 0
    observation, _ = envs.reset(seed=0)
    ended = np.zeros(learner.num_envs, bool)
    while learner.num_steps < total_steps:
        if learner.num_steps >= warmup and not start:
            start, steps, updates = time.perf_counter(), learner.num_steps, learner.num_updates
        action = learner.act(observation, explore=True)
        next_observation, reward, terminated, truncated, _ = envs.step(action)
        learner.observe(
            observation, action, reward, next_observation, terminated, truncated, valid=~ended
        )
        observation, ended = next_observation, terminated | truncated
    seconds = time.perf_counter() - start
    return {
        "steps": learner.num_steps - steps,
        "updates": learner.num_updates - updates,
        "seconds": seconds,
    }


COMMANDS: dict[str, Callable[..., Fields]] = {
    "train": train,
    "agent": agent,
}


def main() -> None:
    """Read the command line, run, print one JSON line."""
    match sys.argv[1:]:
        case ["versions"]:
            answer: Fields = versions()
        case [("train" | "agent") as command, job]:
            answer = COMMANDS[command](**json.loads(job))
        case _:
            sys.exit("usage: ours.py versions | (train | agent) JOB")
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
