"""Hyperparameters of footlight's off-policy algorithms as those of Stable-Baselines3 and SBX, for
`peers.py`. SB3's TQC and CrossQ are in sb3-contrib; SBX's DroQ is its SAC with other values.

Runs in the peers' interpreter. Every function removes the fields that it translates from `given`;
the peer has no counterpart for the rest. Some of what the peers do has no field here either:

* The decay rates and the epsilon of Adam are those of actor and critics; the peers' temperature
  keeps Adam's usual ones.
* SBX's layer normalization has an epsilon of 1e-6 instead of 1e-5.
"""

import math
from typing import Any

from hyperparameters import Fields, drop_unsaid

ADAM = ("adam_beta1", "adam_beta2", "optimizer_epsilon")
UNSAID: Fields = {
    "activation": "relu",
    "body": "mlp",
    "norm": "none",
    "normalize_input": False,
    "norm_after_activation": False,
    "dropout": 0.0,
    "unit_weights": "none",
    "precision": "fp32",
    "critic": "scalar",
    "target_rule": "minimum",
    "actor_rule": "minimum",
    "target_network": True,
    "target_actor": False,
    "sample_with_replacement": True,
    "prioritization": "none",
    "priority_exponent": None,
    "importance_exponent": 0.4,
    "max_normalized_return": None,
    "learning_rate_schedule": "constant",
    "final_learning_rate": 0.0,
    "optimizer": "adam",
    "adam_beta1": 0.9,
    "adam_beta2": 0.999,
    "optimizer_epsilon": 1e-8,
    "weight_decay": 0.0,
    "max_grad_norm": None,
    "warmup": "uniform",
    "log_std": "clamped",
    "hold_noise": False,
    "policy_delay": 1,
}
"""What the peers' off-policy algorithms do without a word for it."""
UNSAID_OF_VARIANT: dict[str, Fields] = {
    "tqc": {"critic": "quantile", "actor_rule": "mean"},
    "crossq": {
        "norm": "batch-renorm",
        "normalize_input": True,
        "norm_after_activation": True,
        "target_network": False,
        "adam_beta1": 0.5,
    },
}
"""Where these algorithms differ from it."""
UNSAID_OF_LIBRARY: dict[str, Fields] = {
    "sb3": {"initialization": "pytorch", "normalize_actor": True, "delay_targets": True},
    "sbx": {"delay_targets": False},
}
"""Where the libraries differ from each other."""
ENTROPY = ("crossq", "droq", "sac", "tqc")
"""The algorithms with a temperature."""


def off_policy(
    library: str, algorithm: str, env: Any, given: Fields
) -> tuple[Fields, tuple[float, float, float]]:
    """The arguments of an algorithm, and the learning rates of actor, critic and temperature."""
    unsaid = UNSAID | UNSAID_OF_LIBRARY[library] | UNSAID_OF_VARIANT.get(algorithm, {})
    drop_idle(given, unsaid)
    rate = given.pop("learning_rate", 3e-4)
    actor_rate, critic_rate, alpha_rate = (
        given.pop(f"{name}_learning_rate", None) or rate for name in ("actor", "critic", "alpha")
    )
    names = ["buffer_size", "learning_starts", "batch_size", "gamma", "n_steps"]
    options: Fields = {
        "learning_rate": actor_rate,
        "train_freq": 1,
        "gradient_steps": round(env.num_envs * given.pop("updates_per_step", 1)),
        "policy_kwargs": network(library, algorithm, given, unsaid),
    }
    if library == "sbx":
        options["qf_learning_rate"] = critic_rate
        if algorithm in ENTROPY and alpha_rate != actor_rate:  # which SBX has for both
            given["alpha_learning_rate"] = alpha_rate
    if algorithm in ENTROPY:
        options |= temperature(env.action_space.shape, given)
        names += ["policy_delay"] if library == "sbx" or algorithm == "crossq" else []
    else:
        options["action_noise"] = make_noise(env.action_space.shape, given)
        if algorithm == "td3":
            names += ["policy_delay", "target_policy_noise", "target_noise_clip"]
    names += ["tau"] if algorithm != "crossq" else []
    names += ["dropped_quantiles"] if algorithm == "tqc" else []
    words = {"dropped_quantiles": "top_quantiles_to_drop_per_net"}
    options |= {words.get(name, name): given.pop(name) for name in names if name in given}
    drop_unsaid(given, unsaid)
    return options, (actor_rate, critic_rate, alpha_rate)


def drop_idle(given: Fields, unsaid: Fields) -> None:
    """Remove the fields that have no effect beside the others."""
    found = unsaid | given
    idle = {
        "num_quantiles": found["critic"] != "quantile",
        "dropped_quantiles": found["critic"] != "quantile",
        "num_bins": found["critic"] != "categorical",
        "bin_bound": found["critic"] != "categorical",
        "subset_size": found["target_rule"] != "subset",
        "normalize_input": found["norm"] == "none",
        "norm_after_activation": found["norm"] == "none",
        "normalize_actor": found["norm"] == "none",
        "tau": not found["target_network"],
        "delay_targets": not found["target_network"] or found["policy_delay"] == 1,
        "target_entropy": not found.get("learn_alpha", True),
        "target_entropy_per_action": not found.get("learn_alpha", True),
        "alpha_learning_rate": not found.get("learn_alpha", True),
    }
    for name, is_idle in idle.items():
        if is_idle:
            given.pop(name, None)


def network(library: str, algorithm: str, given: Fields, unsaid: Fields) -> Fields:
    """`policy_kwargs`: the networks, and their optimizer where it is not the peer's usual one."""
    sizes = list(given.pop("hidden_sizes", (256, 256)))
    actor_sizes = given.pop("actor_hidden_sizes", None)
    policy: Fields = {
        "net_arch": sizes if actor_sizes is None else {"pi": list(actor_sizes), "qf": sizes}
    }
    # SBX's TQC trains two critics whatever their number is said to be
    if (library, algorithm) != ("sbx", "tqc") or given.get("num_critics") == 2:
        policy |= {"n_critics": given.pop("num_critics")} if "num_critics" in given else {}
    if algorithm == "tqc" and "num_quantiles" in given:
        policy["n_quantiles"] = given.pop("num_quantiles")
    if library == "sbx":
        policy |= regularization(algorithm, given)
    if any(given.get(name, unsaid[name]) != unsaid[name] for name in ADAM):
        beta1, beta2, epsilon = (given.pop(name, unsaid[name]) for name in ADAM)
        names = {"b1": beta1, "b2": beta2} if library == "sbx" else {"betas": (beta1, beta2)}
        policy["optimizer_kwargs"] = names | {"eps": epsilon}
    return policy


def regularization(algorithm: str, given: Fields) -> Fields:
    """Normalization and dropout in SBX's networks."""
    policy: Fields = {}
    if given.get("dropout"):
        policy["dropout_rate"] = given.pop("dropout")
    if algorithm == "crossq":
        if "normalize_actor" in given:
            policy["batch_norm_actor"] = given.pop("normalize_actor")
    elif given.get("norm") == "layer" and given.get("normalize_actor") is False:
        policy["layer_norm"] = True  # which is that of the critics
        del given["norm"], given["normalize_actor"]
    return policy


def temperature(action_shape: tuple[int, ...], given: Fields) -> Fields:
    """The temperature of maximum-entropy algorithms, and the entropy that it aims at."""
    alpha, per_action = given.pop("initial_alpha", 1.0), given.pop("target_entropy_per_action", -1)
    target = given.pop("target_entropy", None)
    if target is None and per_action != -1:
        target = per_action * math.prod(action_shape)
    return {
        "ent_coef": f"auto_{alpha}" if given.pop("learn_alpha", True) else float(alpha),
        "target_entropy": "auto" if target is None else float(target),
    }


def make_noise(shape: tuple[int, ...], given: Fields) -> Any:
    """The exploration noise of TD3 and DDPG."""
    import numpy as np
    from stable_baselines3.common.noise import NormalActionNoise, OrnsteinUhlenbeckActionNoise

    mean, sigma = np.zeros(shape), np.full(shape, float(given.pop("exploration_noise", 0.1)))
    theta = given.pop("ou_theta", 0.15)
    if given.pop("exploration", "gaussian") == "gaussian":
        return NormalActionNoise(mean, sigma)
    return OrnsteinUhlenbeckActionNoise(mean, sigma, theta=theta, dt=1.0)


def set_learning_rates(model: Any, actor: float, critic: float, alpha: float) -> None:
    """Set a learning rate for each of SB3's optimizers, which SB3 overwrites at every update."""
    optimizers = {model.actor.optimizer: actor, model.critic.optimizer: critic}
    if getattr(model, "ent_coef_optimizer", None) is not None:
        optimizers[model.ent_coef_optimizer] = alpha
    for optimizer, rate in optimizers.items():
        for group in optimizer.param_groups:
            group["lr"] = rate
    model._update_learning_rate = lambda optimizers: None
