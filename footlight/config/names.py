"""The names of config classes at the top of the package: each algorithm's file has a `Config`."""

CONFIGS = {
    "a2c": "A2CConfig", "actor-critic": "ActorCriticConfig", "ddpg": "DDPGConfig",
    "ppo": "PPOConfig", "reinforce": "ReinforceConfig", "sac": "SACConfig",
    "replay-actor-critic": "ReplayActorCriticConfig", "stream-ac": "StreamACConfig",
    "td3": "TD3Config",
}  # fmt: skip
"""By algorithm; `footlight.SACConfig` is `footlight.algorithms.sac.Config`."""


def config_name(config: object) -> str | None:
    """The class of a config and its algorithm in words; None if it is none of these classes."""
    folder, _, module = type(config).__module__.rpartition(".")
    algorithm = module.replace("_", "-")
    is_ours = folder == "footlight.algorithms" and type(config).__name__ == "Config"
    if not is_ours or algorithm not in CONFIGS:
        return None
    return f"a footlight.{CONFIGS[algorithm]}, for {algorithm}"
