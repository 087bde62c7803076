"""Trainings without a mistake, in which the doctor should find nothing."""

from doctor_faults import BASES, Training, changed


def _preset(name: str, steps: int, **fields: object) -> Training:
    algorithm, _, environment = name.partition("/")
    return Training(algorithm, environment, {"steps": steps, "preset": True, **fields})


_PRESETS = {
    "sac/Pendulum-v1": 10_000,
    "td3/Pendulum-v1": 20_000,
    "ddpg/Pendulum-v1": 20_000,
    "td7/Pendulum-v1": 10_000,
    "tqc/Pendulum-v1": 10_000,
    "crossq/Pendulum-v1": 8_000,
    "simba/Pendulum-v1": 8_000,
    "sac/MountainCarContinuous-v0": 50_000,
    "td3/MountainCarContinuous-v0": 50_000,
    "ddpg/MountainCarContinuous-v0": 50_000,
    "a2c/CartPole-v1": 500_000,
    "a2c/Acrobot-v1": 200_000,
    "a2c/Pendulum-v1": 500_000,
    "ppo/CartPole-v1": 100_000,
    "ppo/Acrobot-v1": 200_000,
    "ppo/Pendulum-v1": 200_000,
    "impala/CartPole-v1": 150_000,
    "actor-critic/CartPole-v1": 150_000,
    "actor-critic/Acrobot-v1": 150_000,
    "reinforce/CartPole-v1": 200_000,
    "reinforce/Acrobot-v1": 300_000,
    "stream-ac/CartPole-v1": 150_000,
    "stream-ac/Acrobot-v1": 150_000,
    "replay-actor-critic/CartPole-v1": 150_000,
    "replay-actor-critic/Acrobot-v1": 150_000,
    "sac-discrete/CartPole-v1": 30_000,
}
_SMALL = {"hidden_sizes": (64, 64), "gamma": 0.98, "batch_size": 64, "learning_rate": 1e-3}
HEALTHY: dict[str, Training] = {
    **{f"{name} without a mistake": training for name, training in BASES.items()},
    **{name: _preset(name, steps) for name, steps in _PRESETS.items()},
    # It begins to learn after 5,000 steps otherwise
    "xqc/Pendulum-v1": _preset("xqc/Pendulum-v1", 8_000, learning_starts=500),
    # Twenty updates per step: with the networks of the trainings above
    "droq/Pendulum-v1, small": _preset("droq/Pendulum-v1", 3_000, **_SMALL, learning_starts=500),
    "redq/Pendulum-v1, small": _preset("redq/Pendulum-v1", 3_000, **_SMALL, learning_starts=500),
    "sac/Pendulum-v1, 4 environments": changed(BASES["sac"], num_envs=4),
    "sac/Pendulum-v1, 5 steps": changed(BASES["sac"], n_steps=5),
    "td3/Pendulum-v1, normalized": changed(
        BASES["td3"], normalize_observations=True, normalize_rewards=True
    ),
    "ppo/CartPole-v1, 1 environment": changed(BASES["ppo"], num_envs=1, n_steps=256),
    "ppo/CartPole-v1, shared torso": changed(BASES["ppo"], shared_torso=True, activation="relu"),
}
"""By name."""
_LONG = {
    "sac/HalfCheetah-v5": 100_000,
    "td3/HalfCheetah-v5": 100_000,
    "td7/HalfCheetah-v5": 75_000,
    "crossq/HalfCheetah-v5": 100_000,
    "sac/Hopper-v5": 100_000,
    "sac/Walker2d-v5": 100_000,
    "tqc/Hopper-v5": 100_000,
    "ppo/HalfCheetah-v5": 500_000,
    "ppo/Hopper-v5": 500_000,
    "ppo/LunarLander-v3": 1_000_000,
    "sac/LunarLanderContinuous-v3": 100_000,
    "sac/BipedalWalker-v3": 200_000,
    "a2c/ALE/Breakout-v5": 1_000_000,
    "ppo/ALE/Breakout-v5": 1_000_000,
    "impala/ALE/Breakout-v5": 1_000_000,
}
LONG: dict[str, Training] = {name: _preset(name, steps) for name, steps in _LONG.items()}
"""Those that take an hour or more."""
