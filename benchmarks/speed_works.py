"""The works that `speed.py` measures: algorithm, environment, hyperparameters and targets."""

import math
from dataclasses import dataclass
from typing import Any

from report import PEERS as TRAINED_PEERS

from footlight.algorithms import config_class
from footlight.config.fields import build
from footlight.config.presets import preset

PEERS = {**TRAINED_PEERS, "rltools": ("sac",)}
LIMITS = ("stepping", "update", "products")
"""What a loop is made of, each alone (`speed_limits.py`)."""
Targets = dict[str, float]  # peer -> how many times as fast
LOG_EVERY = 1_000  # updates between two lines of footlight's metrics, which show its speed
VARIANTS: dict[str, dict[str, Any]] = {
    "tqc": {
        "critic": "quantile",
        "num_quantiles": 25,
        "dropped_quantiles": 2,
        "actor_rule": "mean",
    },
    "crossq": {
        "norm": "batch-renorm",
        "norm_after_activation": True,
        "normalize_input": True,
        "target_network": False,
        "policy_delay": 3,
        "delay_targets": False,
        "learning_rate": 1e-3,
        "adam_beta1": 0.5,
    },
    "droq": {
        "dropout": 0.01,
        "norm": "layer",
        "normalize_actor": False,
        "actor_rule": "minimum",  # SBX's; the paper's is the mean
        "updates_per_step": 20,
        "policy_delay": 20,
        "delay_targets": False,
    },
}
"""All in which variants of SAC differ from it, with SBX's values."""
PRESETS = {
    "sac": 1_000, "td3": 1_000, "tqc": 1_000, "crossq": 1_000, "td7": 500, "xqc": 500,
    "flashsac": 500, "simba": 250, "droq": 150, "redq": 50,
}  # fmt: skip
"""Steps to time of each off-policy method with its preset for HalfCheetah-v5: their costs differ
by a factor of more than a hundred."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """One thing to train, and the ratios to each peer that footlight must and aims to reach."""

    algorithm: str
    environment: str
    fields: dict[str, Any]
    """The hyperparameters, the same for every library; others are equal or do not affect speed."""
    threads: int
    warmup: int
    """Steps before the clock starts."""
    window: int
    """Steps timed."""
    must: Targets
    aim: Targets
    rollout: int = 1
    """Steps, of all environments together, between two bursts of updates."""
    updates: int = 1
    """Updates of a burst."""

    @property
    def log_every(self) -> int:
        """Steps between two lines of footlight's metrics."""
        return max(LOG_EVERY // self.updates, self.rollout)

    def whole(self, steps: float) -> int:
        """The next number of steps after which a rollout ends and footlight writes a line."""
        unit = math.lcm(self.log_every, self.rollout)
        return max(1, math.ceil(steps / unit)) * unit

    def has(self, library: str) -> bool:
        """Return whether `library` can do it.

        A peer needs the algorithm, fp32, and a target. A hand-written loop is measured beside
        peers only, and makes no Atari games. RLtools takes a minute to compile for each size: it
        is where a target names it.
        """
        if library in ("footlight", "limits"):
            return True
        if not (self.must or self.aim):
            return False
        if library == "agent":
            return not self.environment.startswith("ALE/")
        if library == "rltools":
            return library in {**self.must, **self.aim}
        is_fp32 = self.fields.get("precision", "fp32") == "fp32"
        return is_fp32 and self.algorithm in PEERS[library]

    def suits(self, cpu_flags: str) -> bool:
        """Return whether a processor with these flags has instructions for its precision.

        Without them, bf16 takes several times as long as fp32.
        """
        is_fp32 = self.fields.get("precision", "fp32") == "fp32"
        return is_fp32 or "amx_bf16" in cpu_flags or "avx512_bf16" in cpu_flags

    def __str__(self) -> str:
        sizes, fields = self.fields["hidden_sizes"], self.fields
        if self.rollout == 1:
            count = f"{self.updates} x " if self.updates > 1 else ""
            size = f"{count}batch {fields['batch_size']}"
        else:
            size = f"{fields['num_envs']} x {fields['n_steps']} steps"
        precision = " bf16" if fields.get("precision") == "bf16" else ""
        return f"{self.algorithm} {self.environment} {len(sizes)}x{sizes[0]} {size}{precision}"


def off_policy(
    algorithm: str,
    hidden_sizes: tuple[int, ...],
    batch_size: int,
    *,
    environment: str = "Pendulum-v1",
    changes: dict[str, Any] | None = None,
    warmup: int = 2_000,
    **rest: Any,
) -> Work:
    """One update a step from a replay, or what `changes` say."""
    fields: dict[str, Any] = {"hidden_sizes": hidden_sizes, "batch_size": batch_size}
    fields |= {"learning_starts": 100, "buffer_size": 1_000_000, "updates_per_step": 1}
    fields |= changes or {}
    return Work(
        algorithm=algorithm, environment=environment, fields=fields, warmup=warmup,
        updates=fields["updates_per_step"], **rest,
    )  # fmt: skip


def large(algorithm: str, must: Targets, aim: Targets) -> Work:
    """Networks of 2x256, two threads."""
    return off_policy(
        algorithm, (256, 256), 256, threads=2, warmup=1_000, window=3_000, must=must, aim=aim
    )


def cheetah(algorithm: str, threads: int) -> Work:
    """HalfCheetah-v5 with networks of 2x256."""
    return off_policy(
        algorithm, (256, 256), 256, environment="HalfCheetah-v5", threads=threads, warmup=1_000,
        window=2_000, must={"sb3": 2.5, "sbx": 1.4}, aim={"sb3": 4.0, "sbx": 2.0},
    )  # fmt: skip


def small(algorithm: str, must: Targets, aim: Targets) -> Work:
    """Networks of 2x64, one thread."""
    return off_policy(algorithm, (64, 64), 100, threads=1, window=10_000, must=must, aim=aim)


def variant(algorithm: str, warmup: int = 1_000, window: int = 2_000) -> Work:
    """A variant of SAC with two critics and networks of 2x256, two threads."""
    changes = {"num_critics": 2, "actor_hidden_sizes": (256, 256), **VARIANTS[algorithm]}
    return off_policy(
        algorithm, (256, 256), 256, changes=changes, threads=2, warmup=warmup, window=window,
        must={"sbx": 1.2}, aim={"sbx": 1.5},
    )  # fmt: skip


def with_preset(algorithm: str) -> Work:
    """HalfCheetah-v5 with the preset of footlight, one thread."""
    environment, window = "HalfCheetah-v5", PRESETS[algorithm]
    fields = preset(algorithm, environment)[1] | {"learning_starts": 100}
    fields.pop("steps", None)
    if algorithm == "td7":
        fields["use_checkpoints"] = False  # the same updates, but not in blocks between episodes
    config = build(config_class(algorithm), fields)
    fields |= {"hidden_sizes": config.hidden_sizes, "batch_size": config.batch_size}
    return Work(
        algorithm=algorithm, environment=environment, fields=fields, threads=1,
        updates=int(config.updates_per_step), warmup=100 + window // 2, window=window, must={},
        aim={},
    )  # fmt: skip


def cart_pole(algorithm: str, fields: dict[str, Any], **rest: Any) -> Work:
    """Rollouts of CartPole-v1, networks of 2x64, one thread."""
    fields = {"hidden_sizes": (64, 64), **fields}
    return Work(algorithm=algorithm, environment="CartPole-v1", fields=fields, threads=1, **rest)


def a2c(num_envs: int, warmup: int, window: int, must: Targets, aim: Targets) -> Work:
    """One update on each rollout of 5 steps of each environment."""
    fields, rollout = {"num_envs": num_envs, "n_steps": 5}, 5 * num_envs
    return cart_pole(
        "a2c", fields, warmup=warmup, window=window, rollout=rollout, must=must, aim=aim
    )


def ppo(num_envs: int, must: Targets, aim: Targets) -> Work:
    """10 epochs of minibatches of 64 on 4 rollouts of 2048 steps per environment, after 2."""
    rollout = 2048 * num_envs
    fields = {"num_envs": num_envs, "n_steps": 2048, "minibatch_size": 64, "num_epochs": 10}
    updates = 10 * rollout // 64
    times = {"warmup": 2 * rollout, "window": 4 * rollout, "rollout": rollout, "updates": updates}
    return cart_pole("ppo", fields, must=must, aim=aim, **times)


def games(num_envs: int, must: Targets, aim: Targets, precision: str = "fp32") -> Work:
    """A2C on Breakout from pixels, with the convolutions and the settings of the paper."""
    fields = {
        "num_envs": num_envs,
        "n_steps": 5,
        "torso": "nature",
        "hidden_sizes": (512,),
        "activation": "relu",
        "shared_torso": True,
        "optimizer": "rmsprop-tf",
        "optimizer_epsilon": 1e-5,
        "entropy_coef": 0.01,
        "value_coef": 0.25,
        "clip_reward": 1.0,
        "life_loss_ends": True,
        "precision": precision,
    }
    times = {"warmup": 4_000, "window": 20_000, "rollout": 5 * num_envs}
    return Work(
        algorithm="a2c",
        environment="ALE/Breakout-v5",
        fields=fields,
        threads=2,
        must=must,
        aim=aim,
        **times,
    )


WORKS = {
    "sac-256": large("sac", must={"sb3": 2.5, "sbx": 1.4}, aim={"sb3": 4.0, "sbx": 2.0}),
    "sac-64": small("sac", must={"sb3": 6.0, "sbx": 2.3}, aim={"rltools": 1.0}),
    "td3-256": large("td3", must={"sb3": 2.5}, aim={"sb3": 4.0}),
    "td3-64": small("td3", must={"sb3": 6.0}, aim={"sb3": 10.0}),
    "ddpg-256": large("ddpg", must={"sb3": 2.5}, aim={"sb3": 4.0}),
    "ddpg-64": small("ddpg", must={"sb3": 6.0}, aim={"sb3": 10.0}),
    **{
        f"{algorithm}-cheetah-{threads}": cheetah(algorithm, threads)
        for algorithm in ("sac", "td3")
        for threads in (1, 2)
    },
    "tqc-256": variant("tqc"),
    "crossq-256": variant("crossq"),
    "droq-256": variant("droq", warmup=250, window=300),
    "a2c-1": a2c(1, 5_000, 40_000, must={"sb3": 6.0}, aim={"sb3": 15.0}),
    "a2c-8": a2c(8, 5_000, 200_000, must={"sb3": 3.0}, aim={"sb3": 6.0}),
    "a2c-64": a2c(64, 8_000, 1_000_000, must={"sb3": 4.0}, aim={"sb3": 8.0}),
    "ppo-8": ppo(8, must={"sb3": 8.0, "sbx": 2.5}, aim={"sb3": 15.0}),
    "a2c-breakout": games(16, must={"sb3": 1.8}, aim={"sb3": 3.0}),
    "a2c-breakout-bf16": games(16, must={}, aim={"sb3": 3.0}, precision="bf16"),
    **{f"{algorithm}-preset": with_preset(algorithm) for algorithm in PRESETS},
}
