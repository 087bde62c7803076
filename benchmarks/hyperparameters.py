"""footlight's hyperparameters as those of Stable-Baselines3 and SBX, for `peers.py`: environments
and on-policy algorithms. The others are in `off_policy_hyperparameters.py`.

Runs in the peers' interpreter. Every function removes the fields that it translates from `given`;
the peer has no counterpart for the rest.
"""

import math
from collections.abc import Callable
from typing import Any

Fields = dict[str, Any]
ON_POLICY = ("a2c", "ppo")
ACTIVATIONS = {
    "relu": "ReLU",
    "tanh": "Tanh",
    "elu": "ELU",
    "gelu": "GELU",
    "silu": "SiLU",
    "leaky-relu": "LeakyReLU",
}
OPTIMIZERS = {"adam": "Adam", "rmsprop": "RMSprop"}
ATARI = "ALE/"
UNSAID: Fields = {
    "layer_norm": False,
    "shared_torso": False,
    "action_head": "gaussian",
    "actor_learning_rate": None,
    "critic_learning_rate": None,
    "final_entropy_coef": None,
    "target_kl": None,
    "value_clip_range": None,
    "max_normalized_return": None,
    "learning_rate_schedule": "constant",
    "final_learning_rate": 0.0,
    "torso": "mlp",
    "precision": "fp32",
    "adam_beta1": 0.9,
    "adam_beta2": 0.999,
    "weight_decay": 0.0,
}
"""What the peers' on-policy algorithms do without a word for it."""


def make_environments(environment: str, seed: int, given: Fields) -> Any:
    """The environments, stepped in turn, with clipped rewards and running statistics if configured.

    Atari games in a process each, which is faster; footlight's fields say how they are
    preprocessed.
    """
    if environment.startswith(ATARI):
        return make_games(environment, seed, given)
    from gymnasium.wrappers import ClipReward
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.vec_env import VecNormalize

    num_envs, limit = given.pop("num_envs", 1), given.pop("clip_reward", None)
    bounds = {"min_reward": -limit, "max_reward": limit} if limit is not None else None
    wrapper: Any = ClipReward if limit is not None else None
    env = make_vec_env(
        environment, n_envs=num_envs, seed=seed, wrapper_class=wrapper, wrapper_kwargs=bounds
    )
    observations = given.pop("normalize_observations", False)
    rewards = given.pop("normalize_rewards", False)
    reward_limit = given.pop("clip_normalized_reward", None)
    if not (observations or rewards):
        return env
    return VecNormalize(
        env,
        norm_obs=observations,
        norm_reward=rewards,
        clip_reward=math.inf if reward_limit is None else reward_limit,
        gamma=given["gamma"],
    )


def make_games(environment: str, seed: int, given: Fields) -> Any:
    """Atari games, preprocessed by the peer's own wrappers around one frame a step."""
    import ale_py
    import gymnasium
    from stable_baselines3.common.env_util import make_atari_env
    from stable_baselines3.common.vec_env import SubprocVecEnv, VecFrameStack

    gymnasium.register_envs(ale_py)
    stack = given.pop("frame_stack", 4)
    wrapper = {
        "noop_max": given.pop("noop_max", 30),
        "frame_skip": given.pop("frame_skip", 4),
        "screen_size": given.pop("screen_size", 84),
        "terminal_on_life_loss": given.pop("life_loss_ends", False),
        "clip_reward": given.pop("clip_reward", None) == 1.0,
    }
    game = {"frameskip": 1, "repeat_action_probability": given.pop("sticky_actions", 0.25)}
    count = given.pop("num_envs", 1)
    games = make_atari_env(
        environment, n_envs=count, seed=seed, wrapper_kwargs=wrapper, env_kwargs=game,
        vec_env_cls=SubprocVecEnv,
        vec_env_kwargs={"start_method": "fork"},
    )  # fmt: skip
    return VecFrameStack(games, n_stack=stack)


def on_policy(library: str, algorithm: str, env: Any, given: Fields) -> Fields:
    """The arguments of A2C and PPO."""
    names = {name: name for name in ("n_steps", "gamma", "gae_lambda", "normalize_advantage")}
    names |= {"entropy_coef": "ent_coef", "value_coef": "vf_coef"}
    if algorithm == "ppo":
        names |= {"minibatch_size": "batch_size", "num_epochs": "n_epochs"}
        # SBX clips no values, and with a target KL it changes the learning rate instead of stopping
        names |= (
            {"value_clip_range": "clip_range_vf", "target_kl": "target_kl"}
            if library == "sb3"
            else {}
        )
    options = {word: given.pop(name) for name, word in names.items() if name in given}
    if "learning_rate" in given:
        is_linear = given.get("learning_rate_schedule") == "linear"
        if is_linear:
            del given["learning_rate_schedule"]
        options["learning_rate"] = schedule(given.pop("learning_rate"), 0.0 if is_linear else None)
    if "clip_range" in given:
        options["clip_range"] = schedule(
            given.pop("clip_range"), given.pop("final_clip_range", None)
        )
    if "max_grad_norm" in given:
        limit = given.pop("max_grad_norm")
        options["max_grad_norm"] = math.inf if limit is None else limit
    if (
        given.get("torso", "mlp") == "nature"
    ):  # what the peers' CnnPolicy is: convolutions, one layer behind them, all shared
        del given["torso"], given["shared_torso"]
        (features,) = given.pop("hidden_sizes")
        given |= {"hidden_sizes": [], "features": features}
    options["policy_kwargs"] = policy_arguments(library, env.action_space, given)
    if given.get("torso") == "auto" and len(env.observation_space.shape) == 1:
        given["torso"] = "mlp"  # which it means for vectors
    drop_unsaid(given, UNSAID)
    return options


def drop_unsaid(given: Fields, unsaid: Fields) -> None:
    """Remove the fields that have the values that a peer has anyway."""
    for name in [name for name, value in given.items() if name in unsaid and unsaid[name] == value]:
        del given[name]


def schedule(start: float, end: float | None) -> float | Callable[[float], float]:
    """A number, or a linear schedule; a peer's last rollout may end after the end of the run."""
    return start if end is None else lambda left: end + (start - end) * max(left, 0.0)


def policy_arguments(library: str, action_space: Any, given: Fields) -> Fields:
    """`policy_kwargs` of A2C and PPO: network, optimizer, the standard deviation at the start."""
    import numpy as np

    policy: Fields = {}
    if "hidden_sizes" in given:
        policy["net_arch"] = list(given.pop("hidden_sizes"))
    if "features" in given:
        policy["features_extractor_kwargs"] = {"features_dim": given.pop("features")}
    if "activation" in given:
        policy["activation_fn"] = activation_function(library, given.pop("activation"))
    if library == "sb3" and given.get("initialization") in ("orthogonal", "pytorch"):
        policy["ortho_init"] = given.pop("initialization") == "orthogonal"
    if "optimizer" in given and (library, given["optimizer"]) != ("sbx", "rmsprop"):
        policy |= optimizer_arguments(
            library, given.pop("optimizer"), given.pop("optimizer_epsilon")
        )
    if not hasattr(
        action_space, "high"
    ):  # words about continuous actions say nothing about discrete ones
        given.pop("action_head", None)
        given.pop("initial_log_std", None)
    elif "initial_log_std" in given and np.ptp(action_space.high - action_space.low) == 0:
        half_range = float(
            (action_space.high - action_space.low).flat[0] / 2
        )  # our unit; the peers' is the environment's
        policy["log_std_init"] = given.pop("initial_log_std") + math.log(half_range)
    return policy


def activation_function(library: str, name: str) -> Any:
    """torch has classes, flax has functions."""
    if library == "sb3":
        import torch

        return getattr(torch.nn, ACTIVATIONS[name])
    import flax.linen

    return getattr(flax.linen, name.replace("-", "_"))


def optimizer_arguments(library: str, name: str, epsilon: float) -> Fields:
    """The optimizer with its epsilon, as A2C's `use_rms_prop` and `rms_prop_eps` would set them."""
    if library == "sbx":
        return {"optimizer_kwargs": {"eps": epsilon}}  # Adam, as it is anyway
    import torch
    from stable_baselines3.common.sb2_compat.rmsprop_tf_like import RMSpropTFLike

    if name == "rmsprop-tf":
        return {
            "optimizer_class": RMSpropTFLike,
            "optimizer_kwargs": {"eps": epsilon, "alpha": 0.99},
        }
    return {
        "optimizer_class": getattr(torch.optim, OPTIMIZERS[name]),
        "optimizer_kwargs": {"eps": epsilon},
    }
