"""Runs of the on-policy algorithms, and for each a mistake that a comparison has to notice."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from on_policy_history import History, Transition

# Few binary digits, so that what the library stores in float32 is exact
COMMON: dict[str, Any] = {"gamma": 15 / 16, "hidden_sizes": (8, 6), "initialization": "pytorch"}
DEFAULTS: dict[str, dict[str, Any]] = {
    "a2c": {"learning_rate": 2**-7},
    "impala": {"learning_rate": 2**-6, "n_steps": 4, "num_epochs": 2},
    "ppo": {"learning_rate": 2**-6, "n_steps": 8, "minibatch_size": 8, "num_epochs": 2},
    "reinforce": {
        "gamma": 3 / 4, "learning_rate": 2**-7, "num_steps": 36, "episodes_per_update": 4,
    },
    "actor-critic": {"actor_learning_rate": 2**-8, "critic_learning_rate": 2**-7},
    "stream-ac": {"num_envs": 1},
    "replay-actor-critic": {
        "learning_rate": 2**-7, "n_steps": 4, "critic_updates_per_actor": 2, "batch_size": 8,
        "learning_starts": 10, "buffer_size": 40,
    },
}  # fmt: skip
Wrong = Callable[[History], History] | dict[str, Any]


@dataclass(frozen=True, eq=False)
class Case:
    """A run and its options, and what the comparison has to notice: other options, or a history."""

    algorithm: str
    actions: str
    wrong: Wrong
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def stores_rounded_returns(self) -> bool:
        """Whether sums of rewards that are no short binary numbers are kept in float32."""
        return self.algorithm == "reinforce" and self.options.get("normalize_rewards", False)

    def __str__(self) -> str:
        words = [f"{name}={value}" for name, value in self.options.items()]
        return " ".join([self.algorithm, self.actions, *words])


def case(algorithm: str, actions: str, wrong: Wrong, /, **options: Any) -> Case:
    """A case, with its options as keywords."""
    return Case(algorithm, actions, wrong, options)


def bootstrap_at_terminations(history: History) -> History:
    """Every end is a truncation."""
    return replaced(history, lambda step: {"terminated": False, "truncated": ended(step)})


def cut_at_truncations(history: History) -> History:
    """Every end is a termination."""
    return replaced(history, lambda step: {"terminated": ended(step), "truncated": False})


def ignore_truncations(history: History) -> History:
    """A truncation is no end: the next episode's rewards count as well."""
    return replaced(history, lambda step: {"truncated": False})


def bootstrap_from_present(history: History) -> History:
    """At an end, V(s) instead of V(s')."""

    def change(step: Transition) -> dict[str, Any]:
        return {"next_observation": step.observation} if ended(step) else {}

    return replaced(history, change)


def ended(step: Transition) -> bool:
    return step.terminated or step.truncated


def replaced(history: History, change: Callable[[Transition], dict[str, Any]]) -> History:
    """The history, each transition with these changes."""
    return [[step and step._replace(**change(step)) for step in steps] for steps in history]


CASES = [
    # Kinds of end and of action
    case("a2c", "box", bootstrap_at_terminations),
    case("a2c", "discrete", cut_at_truncations, num_envs=3),
    case("a2c", "multi-discrete", ignore_truncations, gae_lambda=0.75),
    case("a2c", "box", bootstrap_from_present, linked=True, n_steps=3, num_envs=1),
    case("a2c", "box", {"gamma": 1.0}, reset_steps=True, finish=True, num_steps=23),
    # Heads
    case("a2c", "box", {"entropy_coef": -0.1}, entropy_coef=0.1),
    case(
        "a2c", "box", {"entropy_coef": 0.0},
        action_head="state-dependent-gaussian", entropy_coef=0.1,
    ),
    case("a2c", "box", {"entropy_coef": 0.0}, action_head="squashed-gaussian", entropy_coef=0.1),
    case("a2c", "discrete", {"entropy_coef": -0.1}, entropy_coef=0.1),
    case("a2c", "box", {"value_coef": 1.0}, initial_log_std=2.5),  # beyond the bound
    # Networks
    case("a2c", "discrete", {"gae_lambda": 1.0}, gae_lambda=0.5, shared_torso=True),
    case("a2c", "box", {"activation": "tanh"}, activation="gelu", layer_norm=True),
    case("a2c", "discrete", {"value_coef": 1.0}, hidden_sizes=()),
    # Losses
    case("a2c", "box", {"normalize_advantage": False}, normalize_advantage=True),
    case("a2c", "box", {"value_coef": 0.5}, value_coef=2.0),
    case("a2c", "discrete", {"final_entropy_coef": None}, entropy_coef=0.5, final_entropy_coef=0.1),
    # Optimizers
    case("a2c", "box", {"optimizer": "adamw"}, optimizer="adam", weight_decay=0.125),
    case("a2c", "box", {"weight_decay": 0.0}, optimizer="adamw", weight_decay=0.125),
    case("a2c", "box", {"weight_decay": 0.0}, weight_decay=0.125),
    case("a2c", "box", {"optimizer": "rmsprop"}, optimizer="rmsprop-tf", weight_decay=0.125),
    case("a2c", "box", {"weight_decay": 0.0}, optimizer="sgd", weight_decay=0.125),
    case("a2c", "box", {"optimizer_epsilon": 1e-5}, optimizer_epsilon=0.25),
    case("a2c", "box", {"learning_rate_schedule": "constant"}, learning_rate_schedule="linear"),
    case("a2c", "box", {"max_grad_norm": 0.5}, max_grad_norm=None, optimizer="sgd"),
    case("a2c", "box", {"max_grad_norm": None}, max_grad_norm=0.125, optimizer="sgd"),
    case(
        "a2c", "box", {"critic_learning_rate": None},
        shared_torso=True, actor_learning_rate=2**-8, critic_learning_rate=2**-6,
    ),
    # Normalization
    case("a2c", "box", {"normalize_observations": False}, normalize_observations=True),
    case(
        "a2c", "box", {"clip_normalized_reward": None},
        normalize_rewards=True, clip_normalized_reward=0.5,
    ),
    case("a2c", "box", {"clip_reward": None}, clip_reward=0.5),
    # PPO
    case("ppo", "box", bootstrap_at_terminations, max_grad_norm=None),
    case("ppo", "discrete", {"clip_range": 0.2}, clip_range=0.015625),
    case(
        "ppo", "multi-discrete", {"final_clip_range": None},
        clip_range=0.0625, final_clip_range=0.001,
    ),
    case("ppo", "box", {"value_clip_range": None}, value_clip_range=0.03125),
    case("ppo", "box", {"target_kl": None}, target_kl=0.01, num_epochs=4),
    case("ppo", "box", {"normalize_advantage": True}, normalize_advantage=False, shared_torso=True),
    case("ppo", "box", {"entropy_coef": -0.1}, entropy_coef=0.1, action_head="squashed-gaussian"),
    case("ppo", "discrete", {"gae_lambda": 1.0}, reset_steps=True, finish=True, num_steps=22),
    case(
        "ppo", "box", {"normalize_rewards": False},
        normalize_rewards=True, normalize_observations=True,
    ),
    case(
        "ppo", "box", {"learning_rate_schedule": "constant"},
        learning_rate_schedule="linear", entropy_coef=0.5, final_entropy_coef=0.0,
    ),
    case("ppo", "box", {"objective": "clip"}, objective="spo", clip_range=0.03125),
    case(
        "ppo", "multi-discrete", {"final_clip_range": None},
        objective="spo", clip_range=0.0625, final_clip_range=0.001,
    ),
    case("ppo", "box", {"rpo_alpha": 0.0}, rpo_alpha=0.5),
    case(
        "ppo", "box", {"rpo_alpha": -0.25},
        rpo_alpha=0.25, objective="spo", action_head="state-dependent-gaussian",
    ),
    # IMPALA
    case("impala", "box", bootstrap_at_terminations, num_minibatches=2),
    case("impala", "discrete", cut_at_truncations, num_envs=3, num_minibatches=3),
    case("impala", "multi-discrete", ignore_truncations, trace_lambda=0.75),
    case("impala", "box", bootstrap_from_present, linked=True, n_steps=3, num_minibatches=2),
    case(
        "impala", "discrete", {"gamma": 1.0},
        num_envs=4, num_minibatches=2, reset_steps=True, finish=True, num_steps=22,
    ),
    case("impala", "box", {"rho_clip": 1.0}, rho_clip=1.0625, c_clip=0.5),
    case("impala", "discrete", {"c_clip": 1.0}, c_clip=0.875, n_steps=8),
    case("impala", "box", {"trace_lambda": 1.0}, trace_lambda=0.0),
    case("impala", "box", {"value_coef": 1.0}, normalize_advantage=True, shared_torso=True),
    case("impala", "box", {"normalize_advantage": False}, normalize_advantage=True),
    case(
        "impala", "box", {"entropy_coef": 0.0},
        entropy_coef=0.1, action_head="squashed-gaussian", num_minibatches=2,
    ),
    case(
        "impala", "box", {"learning_rate_schedule": "constant"},
        learning_rate_schedule="linear", entropy_coef=0.5, final_entropy_coef=0.0,
    ),
    case(
        "impala", "box", {"normalize_rewards": False}, normalize_rewards=True, optimizer="rmsprop",
    ),
    # REINFORCE
    case("reinforce", "box", cut_at_truncations),
    case("reinforce", "discrete", bootstrap_at_terminations, shared_torso=True),
    case("reinforce", "box", {"baseline": True}, baseline=False),
    case("reinforce", "multi-discrete", {"value_coef": 1.0}, num_envs=3, finish=True, num_steps=34),
    case("reinforce", "box", {"gamma": 1.0}, episodes_per_update=64, num_steps=340),  # chunks
    case(
        "reinforce", "box", {"entropy_coef": -0.1},
        entropy_coef=0.1, action_head="squashed-gaussian",
    ),
    case(
        "reinforce", "discrete", {"final_entropy_coef": None},
        entropy_coef=0.0, final_entropy_coef=1.0,
    ),
    case(
        "reinforce", "box", {"clip_normalized_reward": None},
        normalize_rewards=True, clip_normalized_reward=0.5, normalize_observations=True,
        reset_steps=True,
    ),
    # One-step actor-critic
    case("actor-critic", "box", bootstrap_at_terminations, num_envs=3),
    case("actor-critic", "discrete", cut_at_truncations, num_envs=1),
    case(
        "actor-critic", "multi-discrete", {"entropy_coef": 0.0}, entropy_coef=0.1, reset_steps=True,
    ),
    case(
        "actor-critic", "box", {"value_coef": 1.0},
        value_coef=0.25, action_head="squashed-gaussian",
    ),
    case(
        "actor-critic", "box", {"normalize_rewards": False},
        normalize_rewards=True, normalize_observations=True,
    ),
    # stream-ac
    case("stream-ac", "discrete", bootstrap_at_terminations),
    case("stream-ac", "box", ignore_truncations),
    case("stream-ac", "multi-discrete", {"trace_lambda": 0.8}, trace_lambda=0.0),
    case(
        "stream-ac", "box", {"entropy_coef": -0.1},
        entropy_coef=0.1, action_head="squashed-gaussian",
    ),
    case(
        "stream-ac", "box", {"actor_kappa": 3.0},
        actor_kappa=1.5, critic_kappa=4.0, action_head="gaussian",
    ),
    case(
        "stream-ac", "discrete", {"critic_step_size": 1.0},
        critic_step_size=2**-10, actor_step_size=2**-8,
    ),
    case(
        "stream-ac", "discrete", {"normalize_observations": True},
        normalize_observations=False, layer_norm=False,
    ),
    case("stream-ac", "box", {"return_restarts_at_end": False}, reset_steps=True),
    case(
        "stream-ac", "box", {"normalize_rewards": True}, normalize_rewards=False, activation="silu",
    ),
    # Actor-critic with replay
    case("replay-actor-critic", "discrete", bootstrap_at_terminations),
    case("replay-actor-critic", "discrete", cut_at_truncations, tau=None, num_envs=3),
    case(
        "replay-actor-critic", "discrete", {"bootstrap": "expected"},
        bootstrap="max", shared_torso=False,
    ),
    case("replay-actor-critic", "discrete", {"actor_signal": "advantage"}, actor_signal="q"),
    case(
        "replay-actor-critic", "discrete", {"symlog_values": False},
        symlog_values=True, reset_steps=True,
    ),
    case(
        "replay-actor-critic", "discrete", {"symlog_values": False},
        symlog_values=True, actor_signal="q",
    ),
    case("replay-actor-critic", "discrete", {"q_regularizer": 0.0}, q_regularizer=0.25),
    case("replay-actor-critic", "discrete", {"q_mean_coef": -0.25}, q_mean_coef=0.25),
    case("replay-actor-critic", "discrete", {"tau": 0.005}, tau=0.25, exploration_epsilon=0.25),
    case(
        "replay-actor-critic", "discrete", {"max_grad_norm": None},
        max_grad_norm=0.25, optimizer="sgd",
    ),
    case(
        "replay-actor-critic", "discrete", {"normalize_rewards": False},
        normalize_rewards=True, normalize_observations=True, sample_with_replacement=False,
    ),
    case(
        "replay-actor-critic", "discrete", {"learning_rate_schedule": "constant"},
        learning_rate_schedule="linear", final_entropy_coef=0.5, optimizer="rmsprop",
    ),
]  # fmt: skip
