"""The names of config classes at the top of the package: each algorithm's file has a `Config`."""

from typing import Any

from footlight.config.fields import fields
from footlight.errors import UserError

CONFIGS = {
    "a2c": "A2CConfig", "actor-critic": "ActorCriticConfig", "crossq": "CrossQConfig",
    "ddpg": "DDPGConfig", "droq": "DroQConfig", "flashsac": "FlashSACConfig",
    "impala": "IMPALAConfig", "ppo": "PPOConfig", "redq": "REDQConfig",
    "reinforce": "ReinforceConfig", "replay-actor-critic": "ReplayActorCriticConfig",
    "sac": "SACConfig", "sac-discrete": "SACDiscreteConfig", "simba": "SimBaConfig",
    "stream-ac": "StreamACConfig", "td3": "TD3Config", "tqc": "TQCConfig", "td7": "TD7Config",
    "xqc": "XQCConfig",
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


def values_of_config(
    config: Any, config_type: Any, algorithm: str, else_give: str = ""
) -> dict[str, Any]:
    """The fields of a config object. Raises `UserError` unless it is of the algorithm's class.

    else_give: what else the caller takes, for the message.
    """
    if not isinstance(config, config_type):
        wanted = f"footlight.{CONFIGS[algorithm]}" if algorithm in CONFIGS else config_type.__name__
        what = config_name(config) or f"{config!r:.80}"
        raise UserError(
            f"config is {what} - {algorithm} cannot be configured with it - give {wanted}(...)"
            f"{else_give}"
        )
    return {name: vars(config)[name] for name in fields(config_type)}
