"""The peers' side of the benchmarks: trains Stable-Baselines3 or SBX and prints one JSON line.

Runs under the peers' interpreter and never imports footlight:

    python benchmarks/peers.py versions
    python benchmarks/peers.py speed sb3 '{"algorithm": "sac", "environment": "Pendulum-v1", ...}'
    python benchmarks/peers.py learn sbx '{"algorithm": "td3", "environment": "Pendulum-v1", ...}'
    python benchmarks/peers.py reach sbx '{"algorithm": "sac", "environment": "Pendulum-v1", ...}'

The JSON document is a job: the parameters of `speed`, `learn` and `reach`. Its `fields` are
footlight's hyperparameters, which `hyperparameters.py` and `off_policy_hyperparameters.py`
translate.
"""

import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from importlib import metadata
from typing import Any

from hyperparameters import ATARI, ON_POLICY, Fields, make_environments, on_policy
from off_policy_hyperparameters import off_policy, set_learning_rates

MODULES = {"sb3": "stable_baselines3", "sbx": "sbx"}
CONTRIBUTED = ("crossq", "tqc")
"""Those of SB3's algorithms that are in `sb3_contrib`."""
CLASSES = {"crossq": "CrossQ", "droq": "SAC"}
"""Classes that are not named like our algorithm, in capitals."""
PACKAGES = {
    "sb3": ("stable-baselines3", "sb3-contrib", "torch"),
    "sbx": ("sbx-rl", "jax"),
    "rltools": ("rltools", "mkl"),
}
SHARED = ("gymnasium", "numpy")


def versions() -> dict[str, dict[str, str]]:
    """The installed peers, each with the versions of the packages that matter for it."""
    found: dict[str, dict[str, str]] = {}
    for library, packages in PACKAGES.items():
        own = {package: _version(package) for package in packages + SHARED}
        if own[packages[0]]:
            found[library] = {package: version for package, version in own.items() if version}
    return found


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def class_of(library: str, algorithm: str) -> Any:
    """The peer's class for one of our algorithms."""
    is_contributed = library == "sb3" and algorithm in CONTRIBUTED
    module = importlib.import_module("sb3_contrib" if is_contributed else MODULES[library])
    return getattr(module, CLASSES.get(algorithm, algorithm.upper()))


def make_model(
    library: str, algorithm: str, environment: str, seed: int, threads: int, fields: Fields
) -> tuple[Any, Fields]:
    """The peer's model with the hyperparameters `fields`, and those of them that it lacks."""
    os.environ["NPROC"] = str(threads)  # the size of XLA's thread pool, read when JAX starts
    import torch

    torch.set_num_threads(threads)
    given = dict(fields)
    env = make_environments(environment, seed, given)
    model_class = class_of(library, algorithm)
    if algorithm in ON_POLICY:
        options = on_policy(library, algorithm, env, given)
        policy = "CnnPolicy" if environment.startswith(ATARI) else "MlpPolicy"
        return model_class(policy, env, seed=seed, device="cpu", **options), given
    options, rates = off_policy(library, algorithm, env, given)
    model = model_class("MlpPolicy", env, seed=seed, device="cpu", **options)
    if library == "sb3":
        set_learning_rates(model, *rates)
    return model, given


def updates_per_count(model: Any) -> int:
    """Gradient steps for each one that the model counts: PPO counts epochs."""
    rows = model.n_steps * model.n_envs if hasattr(model, "n_epochs") else 0
    return rows // model.batch_size if rows else 1


def speed(library: str, warmup: int, window: int, **job: Any) -> dict[str, float]:
    """Steps, updates and seconds of the whole loop from step `warmup` to step `warmup + window`.

    On-policy algorithms update after the last step of a rollout. Both marks are such steps, so
    between them there are as many rollouts as bursts of updates.
    """
    from stable_baselines3.common.callbacks import BaseCallback

    class Clock(BaseCallback):
        """Notes step, update and time at the first step of the window and at every one after it."""

        first: tuple[int, int, float] | None = None
        last: tuple[int, int, float]

        def _on_step(self) -> bool:
            if self.num_timesteps >= warmup:
                self.last = (self.num_timesteps, self.model._n_updates, time.perf_counter())
                self.first = self.first or self.last
            return True

    clock = Clock()
    model, left_out = make_model(library, **job)
    if left_out:
        sys.exit(f"error: {library} has no word for {left_out}")
    model.learn(warmup + window, callback=clock, log_interval=None)
    assert clock.first is not None
    steps, updates, seconds = (
        last - first for first, last in zip(clock.first, clock.last, strict=True)
    )
    return {"steps": steps, "updates": updates * updates_per_count(model), "seconds": seconds}


def learn(library: str, steps: int, points: list[int], episodes: int, **job: Any) -> Fields:
    """Train for `steps` steps; evaluate the deterministic policy at `points` and at the end."""
    from stable_baselines3.common.callbacks import BaseCallback

    left = sorted(point for point in points if point < steps)
    evaluations: list[Fields] = []

    def note(step: int) -> None:
        returns = evaluate(model, job["environment"], job["seed"], episodes)
        evaluations.append({"step": step, "returns": returns})

    class Curve(BaseCallback):
        """Evaluates whenever the next point is reached."""

        def _on_step(self) -> bool:
            while left and self.num_timesteps >= left[0]:
                note(left.pop(0))
            return True

    model, left_out = make_model(library, **job)
    model.learn(steps, callback=Curve(), log_interval=None)
    note(steps)
    return {"evaluations": evaluations, "left_out": left_out, "steps": model.num_timesteps}


def reach(library: str, wanted: float, every: int, episodes: int, limit: int, **job: Any) -> Fields:
    """Train until an evaluation, `every` so many steps, has the wanted mean; the step of it."""
    from stable_baselines3.common.callbacks import BaseCallback

    class Until(BaseCallback):
        """Ends the training there."""

        reached: int | None = None

        def _on_step(self) -> bool:
            if self.num_timesteps % every == 0:
                returns = evaluate(model, job["environment"], job["seed"], episodes)
                if sum(returns) / episodes >= wanted:
                    self.reached = self.num_timesteps
            return self.reached is None

    model, left_out = make_model(library, **job)
    if left_out:
        sys.exit(f"error: {library} has no word for {left_out}")
    until = Until()
    model.learn(limit, callback=until, log_interval=None)
    return {"steps": until.reached}


def evaluate(model: Any, environment: str, seed: int, episodes: int) -> list[float]:
    """Raw returns of the deterministic policy in another environment, always the same episodes."""
    import gymnasium

    env, returns = gymnasium.make(environment), []
    statistics = model.get_vec_normalize_env()
    for episode in range(episodes):
        observation, _ = env.reset(seed=1_000_000 + 1_000 * seed + episode)
        total, over = 0.0, False
        while not over:
            seen = observation if statistics is None else statistics.normalize_obs(observation)
            action, _ = model.predict(seen, deterministic=True)
            observation, reward, terminated, truncated, _ = env.step(action)
            total, over = total + float(reward), terminated or truncated
        returns.append(total)
    env.close()
    return returns


def main() -> None:
    """Read the command line, run, print one JSON line."""
    match sys.argv[1:]:
        case ["versions"]:
            answer: Fields = versions()
        case [("speed" | "learn" | "reach") as command, ("sb3" | "sbx") as library, job]:
            commands: dict[str, Callable[..., Fields]]
            commands = {"speed": speed, "learn": learn, "reach": reach}
            answer = commands[command](library, **json.loads(job))
        case _:
            sys.exit("usage: peers.py versions | (speed | learn | reach) (sb3 | sbx) JOB")
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
