"""The peers' side of the benchmarks: trains Stable-Baselines3 or SBX and prints one JSON line.

Runs under the peers' interpreter and never imports footlight:

    python benchmarks/peers.py versions
    python benchmarks/peers.py speed sb3 '{"algorithm": "sac", "environment": "Pendulum-v1", ...}'
    python benchmarks/peers.py learn sbx '{"algorithm": "td3", "environment": "Pendulum-v1", ...}'

The JSON document is a job: the parameters of `speed` and `learn`. Its `fields` are hyperparameters in the words of
footlight, which `make_model` translates.
"""

import importlib
import json
import os
import sys
import time
from importlib import metadata
from typing import Any

MODULES = {"sb3": "stable_baselines3", "sbx": "sbx"}
PACKAGES = {"sb3": ("stable-baselines3", "torch"), "sbx": ("sbx-rl", "jax")}
SHARED = ("gymnasium", "numpy")
Fields = dict[str, Any]


def versions() -> dict[str, dict[str, str]]:
    """The installed peers, each with the versions of the packages that matter for it."""
    found: dict[str, dict[str, str]] = {}
    for library, packages in PACKAGES.items():
        try:
            found[library] = {package: metadata.version(package) for package in packages + SHARED}
        except metadata.PackageNotFoundError:
            continue
    return found


def make_model(library: str, algorithm: str, environment: str, seed: int, threads: int, fields: Fields) -> tuple[Any, Fields]:
    """The peer's model with the hyperparameters `fields`, and those among them that the peer has no word for."""
    os.environ["NPROC"] = str(threads)  # the size of XLA's thread pool, read when JAX starts
    import torch
    from stable_baselines3.common.env_util import make_vec_env

    torch.set_num_threads(threads)
    given = dict(fields)
    num_envs = given.pop("num_envs", 1)
    env = make_vec_env(environment, n_envs=num_envs, seed=seed)
    rate = given.pop("learning_rate", 3e-4)
    actor_rate, critic_rate, alpha_rate = (
        given.pop(f"{name}_learning_rate", None) or rate for name in ("actor", "critic", "alpha")
    )
    names = ["buffer_size", "learning_starts", "batch_size", "tau", "gamma", "n_steps"]
    policy = {"net_arch": list(given.pop("hidden_sizes", (256, 256)))}
    if "num_critics" in given:
        policy["n_critics"] = given.pop("num_critics")
    updates = round(num_envs * given.pop("updates_per_step", 1))
    options: Fields = {"learning_rate": actor_rate, "train_freq": 1, "gradient_steps": updates, "policy_kwargs": policy}
    if library == "sbx":
        options["qf_learning_rate"] = critic_rate
    if algorithm == "sac":
        alpha = given.pop("initial_alpha", 1.0)
        options["ent_coef"] = f"auto_{alpha}" if given.pop("learn_alpha", True) else float(alpha)
        target_entropy = given.pop("target_entropy", None)
        options["target_entropy"] = "auto" if target_entropy is None else float(target_entropy)
        names += ["policy_delay"] if library == "sbx" else []
    else:
        options["action_noise"] = make_noise(env.action_space.shape, given)
        names += ["policy_delay", "target_policy_noise", "target_noise_clip"] if algorithm == "td3" else []
    options |= {name: given.pop(name) for name in names if name in given}
    model_class = getattr(importlib.import_module(MODULES[library]), algorithm.upper())
    model = model_class("MlpPolicy", env, seed=seed, device="cpu", **options)
    if library == "sb3":
        set_learning_rates(model, actor_rate, critic_rate, alpha_rate)
    return model, given


def make_noise(shape: tuple[int, ...], given: Fields) -> Any:
    """The exploration noise of TD3 and DDPG; takes its fields out of `given`."""
    import numpy as np
    from stable_baselines3.common.noise import NormalActionNoise, OrnsteinUhlenbeckActionNoise

    mean, sigma = np.zeros(shape), np.full(shape, float(given.pop("exploration_noise", 0.1)))
    theta = given.pop("ou_theta", 0.15)
    if given.pop("exploration", "gaussian") == "gaussian":
        return NormalActionNoise(mean, sigma)
    return OrnsteinUhlenbeckActionNoise(mean, sigma, theta=theta, dt=1.0)


def set_learning_rates(model: Any, actor: float, critic: float, alpha: float) -> None:
    """Give SB3's optimisers rates of their own; it has one for all, and writes it again before every update."""
    optimizers = {model.actor.optimizer: actor, model.critic.optimizer: critic}
    if getattr(model, "ent_coef_optimizer", None) is not None:
        optimizers[model.ent_coef_optimizer] = alpha
    for optimizer, rate in optimizers.items():
        for group in optimizer.param_groups:
            group["lr"] = rate
    model._update_learning_rate = lambda optimizers: None


def speed(library: str, warmup: int, window: int, **job: Any) -> dict[str, float]:
    """Steps, updates and seconds of the whole training loop between step `warmup` and step `warmup + window`."""
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
    model, _ = make_model(library, **job)
    model.learn(warmup + window, callback=clock, log_interval=None)
    assert clock.first is not None
    steps, updates, seconds = (last - first for first, last in zip(clock.first, clock.last, strict=True))
    return {"steps": steps, "updates": updates, "seconds": seconds}


def learn(library: str, steps: int, points: list[int], episodes: int, **job: Any) -> Fields:
    """Train for `steps` steps; evaluate the deterministic policy at each of `points` before the end, and at the end."""
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
    return {"evaluations": evaluations, "left_out": left_out}


def evaluate(model: Any, environment: str, seed: int, episodes: int) -> list[float]:
    """Raw returns of the deterministic policy in a separate environment; the same episodes at every call."""
    import gymnasium

    env, returns = gymnasium.make(environment), []
    for episode in range(episodes):
        observation, _ = env.reset(seed=1_000_000 + 1_000 * seed + episode)
        total, over = 0.0, False
        while not over:
            action, _ = model.predict(observation, deterministic=True)
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
        case [("speed" | "learn") as command, ("sb3" | "sbx") as library, job]:
            answer = {"speed": speed, "learn": learn}[command](library, **json.loads(job))
        case _:
            sys.exit("usage: peers.py versions | (speed | learn) (sb3 | sbx) JOB")
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
