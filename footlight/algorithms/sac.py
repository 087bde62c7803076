"""Soft actor-critic: a stochastic policy that is paid for its entropy (Haarnoja et al. 2018, arXiv:1812.05905).

Departures from the paper: squared errors without the factor 1/2; the temperature is learned in log alpha, without the factor
alpha in its gradient. `policy_delay` and `target_actor` are options that the paper does not have. Actions live in [-1, 1]^A, so
`target_entropy` and the log-probabilities are those of the squashed action before rescaling.

Shape letters: B batch, N critics, A action dimensions, E environments, P parameters.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.func import grad_and_value

from footlight.algorithms.off_policy import Networks, NetworkSource, build_networks, uniform_warmup
from footlight.algorithms.settings import Normalization
from footlight.buffers.frames import FrameReplay, replay_for
from footlight.buffers.replay import Replay
from footlight.config.fields import (
    Count,
    CountOrZero,
    Fraction,
    LayerSizes,
    NonNegative,
    OptionalPositive,
    Positive,
    check,
)
from footlight.equations.distributions import (
    AnyArray,
    clamped_log_std,
    rescaled_log_std,
    squashed_gaussian,
)
from footlight.equations.exploration import ornstein_uhlenbeck
from footlight.equations.optimizers import Adam, adam_step, polyak_
from footlight.equations.returns import td_target
from footlight.networks.bodies import Activation, Architecture, GaussianActor
from footlight.networks.heads import squashed_assessment
from footlight.networks.initialization import Initialization
from footlight.types import Array, Assessment, Batch, Spaces

ACTIONS = ("box",)
POLICY = "actor"
METRICS = (
    "critic_loss", "critic_gradient_norm", "q_mean", "target_q_mean", "actor_loss", "actor_gradient_norm", "entropy", "alpha",
)  # fmt: skip
"""critic_loss: squared TD error, summed over critics; the gradients' norms; q_mean, target_q_mean: Q(s, a) and its
target, both in units of discounted return; actor_loss: alpha log pi - Q; entropy: nats per action, an estimate;
alpha: the temperature."""


@dataclass(frozen=True, kw_only=True)
class Config(Normalization):
    """Hyperparameters of SAC."""

    gamma: Fraction = 0.99
    """Discount per environment step."""
    tau: Fraction = 0.005
    """Fraction of the online network moved into the target network at each update."""
    learning_rate: Positive = 3e-4
    """Learning rate of actor, critics and temperature."""
    actor_learning_rate: OptionalPositive = None
    """Learning rate of the actor; none: automatic, learning_rate."""
    critic_learning_rate: OptionalPositive = None
    """Learning rate of the critics; none: automatic, learning_rate."""
    alpha_learning_rate: OptionalPositive = None
    """Learning rate of the temperature; none: automatic, learning_rate."""
    learn_alpha: bool = True
    """Tune the temperature alpha automatically, so that the policy's entropy approaches
    target_entropy."""
    initial_alpha: Positive = 1.0
    """Initial temperature, or the constant temperature if learn_alpha is false: the reward that
    one nat of entropy is worth."""
    target_entropy: float | None = None
    """Target of the policy's entropy, in nats; none: automatic, minus the number of action
    dimensions."""
    log_std: Literal["clamped", "rescaled"] = "clamped"
    """How the policy's log standard deviation is bounded: clamped to [-20, 2], or rescaled by
    tanh to [-5, 2]."""
    target_actor: bool = False
    """Draw next actions from a target network of the actor instead of the actor itself."""
    policy_delay: Count = 1
    """Critic updates per update of the actor, the temperature and the target networks."""
    num_critics: Count = 2
    """Number of critics, whose minimum is the target."""
    n_steps: Count = 1
    """Steps of n-step returns: rewards summed before bootstrapping."""
    batch_size: Count = 256
    """Transitions per minibatch."""
    buffer_size: Count = 1_000_000
    """Capacity of the replay buffer in transitions; for images, in frames over all environments."""
    sample_with_replacement: bool = True
    """Draw the transitions of a minibatch independently; false: all different, as random.sample draws them."""
    learning_starts: CountOrZero = 1_000
    """Environment steps before the first update."""
    warmup: Literal["uniform", "walk", "policy"] = "uniform"
    """Actions before learning_starts: uniform (random), walk (an Ornstein-Uhlenbeck process with
    theta 0.15 and sigma 0.5, which keeps a direction for a while), or policy (of the untrained
    policy)."""
    updates_per_step: NonNegative = 1.0
    """Gradient updates per environment step, counting the steps of all environments."""
    hidden_sizes: LayerSizes = (256, 256)
    """Widths of the hidden layers of actor and critics; none: no hidden layers."""
    activation: Activation = "relu"
    """Activation after each hidden layer."""
    layer_norm: bool = False
    """Layer normalization before each activation."""
    initialization: Initialization = "pytorch"
    """Initial weights: pytorch, kaiming (normal; last layer uniform in ±3e-3) or orthogonal."""

    def __post_init__(self) -> None:
        check(self)


@dataclass
class State:
    """Everything that changes while SAC learns."""

    actor: Tensor  # [P]
    critic: Tensor  # [P], all N critics
    target_critic: Tensor
    target_actor: Tensor | None
    log_alpha: Tensor  # [1]
    actor_adam: Adam
    critic_adam: Adam
    alpha_adam: Adam
    walk: Array  # [E, A], where the random walks of the warm-up stand


def build(config: Config, spaces: Spaces, network: NetworkSource | None = None) -> Networks:
    """Actor and critics: ours, or the user's own."""
    architecture = Architecture(
        config.hidden_sizes, config.activation, config.layer_norm, config.initialization
    )
    return build_networks(spaces, GaussianActor, config.num_critics, architecture, network)


def init(config: Config, networks: Networks, spaces: Spaces, num_envs: int) -> State:
    """The state before the first step."""
    actor, critic = networks.actor.initial.clone(), networks.critic.initial.clone()
    log_alpha = torch.tensor([np.log(config.initial_alpha)], dtype=torch.float32)
    return State(
        actor=actor,
        critic=critic,
        target_critic=critic.clone(),
        target_actor=actor.clone() if config.target_actor else None,
        log_alpha=log_alpha,
        actor_adam=Adam.zeros_like(actor),
        critic_adam=Adam.zeros_like(critic),
        alpha_adam=Adam.zeros_like(log_alpha),
        walk=np.zeros((num_envs, networks.num_actions), np.float32),
    )


def buffer(config: Config, spaces: Spaces, num_envs: int) -> Replay | FrameReplay:
    """Where transitions wait for their updates."""
    return replay_for(spaces, num_envs, config)


def act(
    config: Config,
    networks: Networks,
    actor_P: Tensor,
    observation: Array,
    stream: np.random.Generator | None,
) -> Array:
    """Actions [E, A] in [-1, 1]: the mode tanh(mean), or a sample where a random stream is given."""
    mean_EA, raw_log_std_EA = networks.actor.infer(actor_P, observation)
    if stream is None:
        return np.tanh(mean_EA)
    std_EA = np.exp(bounded(config, raw_log_std_EA))
    return np.tanh(mean_EA + std_EA * stream.standard_normal(mean_EA.shape, dtype=np.float32))


def explore(
    config: Config,
    networks: Networks,
    state: State,
    observation: Array,
    stream: np.random.Generator,
    num_steps: int,
) -> Array:
    """Actions for collecting experience: samples of the policy."""
    if config.warmup == "walk" and num_steps < config.learning_starts:
        state.walk[:] = ornstein_uhlenbeck(
            state.walk, stream.standard_normal(state.walk.shape, dtype=np.float32), 0.15, 0.5
        )
        return np.minimum(np.maximum(state.walk, -1), 1)
    random_EA = uniform_warmup(config, networks, len(observation), stream, num_steps)
    return (
        act(config, networks, state.actor, observation, stream) if random_EA is None else random_EA
    )


def episode_ended(state: State, ended_E: Array) -> None:
    """A new episode's random walk starts at 0."""
    state.walk[ended_E] = 0


def bounded(config: Config, raw_log_std: AnyArray) -> AnyArray:
    """The log standard deviation within its bounds."""
    return (
        clamped_log_std(raw_log_std)
        if config.log_std == "clamped"
        else rescaled_log_std(raw_log_std)
    )


def assess(config: Config, networks: Networks, state: State, observation: Tensor) -> Assessment:
    """min_N Q(s, a) of the mode a, and the policy. Q counts the entropy of the states that follow: alpha H is their bonus."""
    mean_EA, raw_log_std_EA = networks.actor(state.actor, observation)
    assessment = squashed_assessment(mean_EA, bounded(config, raw_log_std_EA))
    value_E = networks.critic(state.critic, observation, assessment.mean).amin(0)
    return assessment._replace(value=value_E, bonus=state.log_alpha.exp() * assessment.entropy)


def noise_shape(config: Config, networks: Networks, batch: Batch) -> tuple[int, ...]:
    """Standard normal numbers that one update takes: for the next actions and for the new ones."""
    return (2, *batch.action.shape)


def variants(config: Config, networks: Networks) -> tuple[bool, ...]:
    """The forms that an update can take."""
    return (True, False) if config.policy_delay > 1 else (True,)


def variant(config: Config, update_index: int) -> bool:
    """Whether actor, temperature and targets move in this update."""
    return update_index % config.policy_delay == 0


def update(
    config: Config, networks: Networks, state: State, batch: Batch, noise: Tensor, policy_too: bool
) -> dict[str, Tensor]:
    """One gradient step (algorithm 1). Changes `state` in place and nothing else."""
    next_noise_BA, new_noise_BA = noise
    num_actions = new_noise_BA.shape[-1]
    alpha = state.log_alpha.exp()

    def sample(actor_P: Tensor, observation: Tensor, noise_BA: Tensor) -> tuple[Tensor, Tensor]:
        mean_BA, raw_log_std_BA = networks.actor(actor_P, observation)
        return squashed_gaussian(mean_BA, bounded(config, raw_log_std_BA), noise_BA)

    # Critics, eq. 5 and 6: y = r + gamma (min_N Q'(s', a') - alpha log pi(a' | s'))
    next_actor = state.actor if state.target_actor is None else state.target_actor
    next_action_BA, next_log_prob_B = sample(next_actor, batch.next_observation, next_noise_BA)
    next_q_NB = networks.critic(state.target_critic, batch.next_observation, next_action_BA)
    target_q_B = td_target(
        batch.reward, batch.discount, next_q_NB.amin(0) - alpha * next_log_prob_B
    )

    def critic_loss(critic_P: Tensor) -> tuple[Tensor, Tensor]:
        q_NB = networks.critic(critic_P, batch.observation, batch.action)
        return (q_NB - target_q_B).square().mean(1).sum(), q_NB

    gradient_P, (loss, q_NB) = grad_and_value(critic_loss, has_aux=True)(state.critic)
    norm = adam_step(
        state.critic,
        gradient_P,
        state.critic_adam,
        config.critic_learning_rate or config.learning_rate,
    )
    metrics = {
        "critic_loss": loss,
        "critic_gradient_norm": norm,
        "q_mean": q_NB.mean(),
        "target_q_mean": target_q_B.mean(),
    }
    if not policy_too:
        return metrics

    # Actor, eq. 7: the action is a function of the noise, so the gradient runs through Q
    def actor_loss(actor_P: Tensor) -> tuple[Tensor, Tensor]:
        action_BA, log_prob_B = sample(actor_P, batch.observation, new_noise_BA)
        q_NB = networks.critic(state.critic, batch.observation, action_BA)
        return (alpha * log_prob_B - q_NB.amin(0)).mean(), log_prob_B

    gradient_P, (loss, log_prob_B) = grad_and_value(actor_loss, has_aux=True)(state.actor)
    norm = adam_step(
        state.actor,
        gradient_P,
        state.actor_adam,
        config.actor_learning_rate or config.learning_rate,
    )

    # Temperature, eq. 18, in log alpha so that alpha stays positive: rises while the entropy is below its target
    if config.learn_alpha:
        target_entropy = (
            -float(num_actions) if config.target_entropy is None else config.target_entropy
        )
        gradient = -(log_prob_B + target_entropy).mean().reshape(1)
        adam_step(
            state.log_alpha,
            gradient,
            state.alpha_adam,
            config.alpha_learning_rate or config.learning_rate,
        )

    polyak_(state.target_critic, state.critic, config.tau)
    if state.target_actor is not None:
        polyak_(state.target_actor, state.actor, config.tau)
    return {
        **metrics,
        "actor_loss": loss,
        "actor_gradient_norm": norm,
        "entropy": -log_prob_B.mean(),
        "alpha": alpha.squeeze(),
    }
