"""Suggestions for unknown names: similar spelling, and the names of our fields in other libraries.

The latter come from Stable-Baselines3, CleanRL, Tianshou and similar libraries, with common
abbreviations.
"""

import difflib
from collections.abc import Collection, Iterable

_OTHERS: dict[str, tuple[str, ...]] = {
    "steps": (
        "total_timesteps", "n_timesteps", "num_timesteps", "total_steps", "timesteps", "max_steps",
        "num_env_steps", "total_env_steps", "max_timesteps",
    ),
    "num_envs": (
        "n_envs", "num_env", "training_num", "num_train_envs", "num_workers", "num_actors", "n_env",
    ),
    "episodes": ("n_episodes", "num_episodes", "max_episodes", "total_episodes"),
    "stop_at_return": ("reward_threshold", "stop_reward", "target_return", "target_reward"),
    "stop_patience": ("patience", "early_stopping", "max_no_improvement_evals"),
    "hooks": ("callback", "callbacks", "hook"),
    "hook": ("callback", "callbacks"),  # the option of the command line
    "wrapper": ("env_wrapper", "wrapper_class", "vec_env_wrapper"),
    "init_from": (
        "trained_agent", "pretrained", "pretrained_model", "load", "load_from", "load_path",
        "load_model", "warm_start", "restore_from", "resume_from",
    ),
    "init_buffer": ("load_replay_buffer", "load_buffer"),
    "log_info": ("info_keywords", "info_keys", "log_keys"),
    "probe": ("check_env", "env_check", "sanity_check"),
    "network": ("policy", "policy_kwargs", "model", "net"),
    "eval_environment": ("eval_env", "evaluation_env", "test_env"),
    "quiet": ("verbose", "silent", "progress_bar"),
    "seed": ("random_seed", "rng_seed", "random_state"),
    "threads": ("num_threads", "n_threads", "torch_threads", "num_cpus"),
    "eval_every": (
        "eval_freq", "eval_frequency", "evaluation_interval", "eval_interval", "evaluate_every",
    ),
    "eval_episodes": (
        "n_eval_episodes", "num_eval_episodes", "evaluation_episodes", "num_test_episodes",
    ),
    "eval_stochastic": ("eval_deterministic", "deterministic", "deterministic_eval"),
    "checkpoint_every": (
        "save_freq", "save_interval", "save_frequency", "checkpoint_freq", "save_every",
    ),
    "video_every": ("capture_video", "video_freq", "record_video", "capture_video_freq"),
    "video_every_episodes": ("episode_trigger", "video_every_n_episodes", "video_episodes"),
    "run_dir": (
        "log_dir", "logdir", "log_folder", "output_dir", "save_path", "save_dir", "tensorboard_log",
        "outdir", "out",
    ),
    "track": ("wandb", "tensorboard", "logger", "report_to"),
    "wandb_project": ("wandb_project_name", "project"),
    "vectorization": ("vec_env", "vec_env_type", "vec_env_cls", "vectorization_mode", "vec_type"),
    "env_kwargs": ("env_args", "environment_kwargs", "env_config", "make_kwargs"),
    "device": ("cuda", "use_cuda", "gpu"),
    "optimizer": ("use_rms_prop", "optimizer_class"),
    "compile": ("torch_compile", "jit"),
    "max_time": ("time_limit", "max_seconds", "timeout", "wall_time"),
    "gamma": ("discount", "discount_factor", "discounting"),
    "tau": ("polyak", "polyak_tau", "target_update_rate", "soft_update_tau", "rho"),
    "learning_rate": ("lr", "step_size", "optimizer_lr"),
    "actor_learning_rate": ("actor_lr", "pi_lr", "policy_lr", "lr_actor", "policy_learning_rate"),
    "critic_learning_rate": (
        "critic_lr", "q_lr", "qf_lr", "vf_lr", "lr_critic", "value_lr", "qf_learning_rate",
    ),
    "alpha_learning_rate": ("alpha_lr", "temperature_lr", "ent_coef_lr"),
    "learning_rate_schedule": (
        "anneal_lr", "lr_schedule", "lr_decay", "linear_lr_decay", "use_linear_lr_decay",
    ),
    "initial_alpha": ("alpha", "ent_coef", "temperature", "init_temperature", "entropy_alpha"),
    "learn_alpha": (
        "autotune", "auto_alpha", "auto_entropy", "automatic_entropy_tuning", "learn_temperature",
    ),
    "policy_delay": (
        "policy_frequency", "update_actor_freq", "policy_freq", "actor_update_interval",
        "policy_update_delay",
    ),
    "num_critics": ("n_critics", "n_qf", "num_q", "num_qs"),
    "batch_size": ("sample_batch_size", "replay_batch_size"),
    "buffer_size": (
        "replay_size", "memory_size", "replay_buffer_size", "capacity", "memory_capacity",
        "buffer_capacity",
    ),
    "learning_starts": (
        "start_timesteps", "start_steps", "update_after", "warmup_steps", "min_buffer_size",
        "start_timestep",
    ),
    "updates_per_step": (
        "gradient_steps", "train_freq", "train_frequency", "update_per_step", "utd", "utd_ratio",
        "replay_ratio", "update_every", "updates_per_env_step",
    ),
    "exploration_noise": ("action_noise", "expl_noise", "act_noise", "noise_std", "noise_sigma"),
    "target_policy_noise": ("policy_noise", "target_noise", "smoothing_noise"),
    "target_noise_clip": ("noise_clip",),
    "hidden_sizes": (
        "net_arch", "hidden_dims", "hidden_dim", "hidden_size", "hidden_layers", "layers", "hidden",
    ),
    "activation": ("activation_fn", "nonlinearity", "act_fn"),
    "n_steps": (
        "num_steps", "nsteps", "horizon", "rollout_length", "rollout_steps", "rollout_len",
        "step_per_collect",
    ),
    "num_epochs": (
        "n_epochs", "update_epochs", "repeat_per_collect", "epochs", "ppo_epochs", "train_iters",
        "k_epochs", "train_pi_iters", "train_v_iters",
    ),
    "minibatch_size": (
        "num_minibatches", "nminibatches", "num_mini_batch", "mini_batch_size", "minibatches",
        "batch_size",
    ),
    "rho_clip": ("rho_bar", "clip_rho_threshold", "vtrace_clip_rho_threshold"),
    "c_clip": ("c_bar", "clip_c_threshold", "vtrace_clip_c_threshold"),
    "gae_lambda": ("lam", "gae", "lambda_", "lmbda"),
    "trace_lambda": ("lambda_trace", "trace_decay", "lam"),
    "clip_range": (
        "clip_coef", "eps_clip", "clip_ratio", "clip_param", "cliprange", "clip_eps",
        "epsilon_clip",
    ),
    "value_clip_range": ("clip_range_vf", "clip_vloss", "value_clip", "vf_clip_param"),
    "entropy_coef": (
        "ent_coef", "entropy_coeff", "ent_weight", "entropy_weight", "entropy_cost",
        "entropy_bonus", "beta",
    ),
    "value_coef": ("vf_coef", "value_loss_coef", "vf_coeff", "critic_coef", "value_weight"),
    "max_grad_norm": (
        "grad_clip", "clip_grad", "gradient_clip", "max_gradient_norm", "grad_norm",
        "clip_grad_norm",
    ),
    "normalize_advantage": (
        "norm_adv", "advantage_normalization", "norm_advantage", "standardize_advantage",
        "advantage_norm",
    ),
    "normalize_observations": (
        "norm_obs", "normalize", "obs_norm", "normalise_observations", "norm_observation",
    ),
    "normalize_rewards": (
        "norm_reward", "rew_norm", "reward_normalization", "normalise_rewards", "return_norm",
    ),
    "clip_reward": ("reward_clip", "clip_rewards", "reward_clipping"),
    "optimizer_epsilon": ("adam_eps", "rms_prop_eps", "adam_epsilon", "eps", "rmsprop_eps"),
    "initial_log_std": ("log_std_init", "init_log_std"),
    "target_kl": ("max_kl", "kl_target", "desired_kl"),
    "shared_torso": ("share_features_extractor", "vf_share_layers", "shared_network"),
    "frame_skip": ("frameskip", "action_repeat", "skip"),
    "frame_stack": ("framestack", "n_stack", "num_stack", "frames_stack", "stack_size"),
    "sticky_actions": ("repeat_action_probability", "sticky_prob", "sticky_action_probability"),
    "life_loss_ends": (
        "episodic_life", "terminal_on_life_loss", "episode_life", "terminate_on_life_loss",
    ),
    "a2c": ("a3c", "advantage_actor_critic"),
    "impala": ("vtrace", "v_trace"),
    "reinforce": ("vpg", "pg", "policy_gradient"),
    "noop_max": ("noops", "no_op_max", "max_noops"),
}  # fmt: skip


_DIFFERENT = {
    "verbose": "the opposite",
    "progress_bar": "the opposite",
    "num_minibatches": "in steps rather than their number",
    "nminibatches": "in steps rather than their number",
    "num_mini_batch": "in steps rather than their number",
    "polyak": "1 minus that",
    "rho": "1 minus that",
    "train_freq": "updates for each environment step",
    "train_frequency": "updates for each environment step",
    "update_every": "updates for each environment step",
    "gradient_steps": "updates for each environment step",
    "deterministic": "the opposite",
    "eval_deterministic": "the opposite",
    "deterministic_eval": "the opposite",
}
"""Names whose footlight counterpart takes a different value."""


def translate(name: str, known: Collection[str]) -> str | None:
    """The known name that is called `name` in other libraries; None if there is none."""
    return next(
        (field for field, others in _OTHERS.items() if name in others and field in known), None
    )


def difference(name: str) -> str:
    """How the counterpart of another library's `name` differs, or the empty string."""
    return _DIFFERENT.get(name, "")


def closest(word: str, known: Iterable[str]) -> str:
    """`" - did you mean 'x'?"` for the known name closest to `word`, or the empty string.

    It matches regardless of case and dashes, by the name in other libraries, or by spelling.
    """
    names = {_normal(name): name for name in known}
    asked = _normal(word)
    found, note = asked if asked in names else translate(asked, names), difference(asked)
    if found is None:
        cutoff = 0.66 if len(asked) <= 4 else 0.75  # one letter is a large part of a short word
        found, note = (
            next(iter(difflib.get_close_matches(asked, names, n=1, cutoff=cutoff)), None),
            "",
        )
    if found is None:
        return ""
    return f" - did you mean {names[found]!r}{f' ({note})' if note else ''}?"


def _normal(name: str) -> str:
    return name.lstrip("-").replace("-", "_").lower()
