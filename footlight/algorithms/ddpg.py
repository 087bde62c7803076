"""DDPG: a deterministic actor that climbs its critic's gradient (Lillicrap et al. 2015, arXiv:1509.02971).

Departures from the paper: `exploration` may be Gaussian (the paper's walk is `ornstein-uhlenbeck` with exploration_noise 0.2);
actions enter the critic at its first layer, not at the second; no weight decay and no batch normalization.

Shape letters: B batch, N critics (always 1 here), A action dimensions, E environments, P parameters.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from torch import Tensor
from torch.func import grad_and_value

from footlight.algorithms.off_policy import (
    Networks,
    NetworkSource,
    assess,
    build_networks,
    uniform_warmup,
)
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
from footlight.equations.exploration import ornstein_uhlenbeck
from footlight.equations.optimizers import Adam, adam_step, polyak_
from footlight.equations.returns import td_target
from footlight.networks.bodies import Activation, Architecture, DeterministicActor
from footlight.networks.initialization import Initialization
from footlight.types import Array, Batch, Spaces

__all__ = ["assess"]  # shared with the other deterministic method

ACTIONS = ("box",)
POLICY = "actor"
METRICS = (
    "critic_loss", "critic_gradient_norm", "q_mean", "target_q_mean", "actor_loss", "actor_gradient_norm",
)  # fmt: skip
"""critic_loss: squared TD error; the gradients' norms; q_mean, target_q_mean: Q(s, a) and its target, both in units of
discounted return; actor_loss: minus the critic's value of the actor's actions."""


@dataclass(frozen=True, kw_only=True)
class Config(Normalization):
    """Hyperparameters of DDPG."""

    gamma: Fraction = 0.99
    """Discount per environment step."""
    tau: Fraction = 0.005
    """Fraction of the online network moved into the target network at each update."""
    learning_rate: Positive = 3e-4
    """Learning rate of actor and critic."""
    actor_learning_rate: OptionalPositive = None
    """Learning rate of the actor; none: automatic, learning_rate."""
    critic_learning_rate: OptionalPositive = None
    """Learning rate of the critic; none: automatic, learning_rate."""
    exploration: Literal["gaussian", "ornstein-uhlenbeck"] = "gaussian"
    """Exploration noise added to the actor's actions: independent at each step (gaussian), or an
    Ornstein-Uhlenbeck process."""
    exploration_noise: NonNegative = 0.1
    """Standard deviation of the noise (of its increments for ornstein-uhlenbeck), in units of
    half the action range."""
    ou_theta: Fraction = 0.15
    """Rate at which the Ornstein-Uhlenbeck process reverts to 0, per environment step."""
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
    warmup: Literal["uniform", "policy"] = "uniform"
    """Actions before learning_starts: uniform (random), or policy (of the untrained policy)."""
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
    """Everything that changes while DDPG learns."""

    actor: Tensor  # [P]
    critic: Tensor  # [P]
    target_actor: Tensor
    target_critic: Tensor
    actor_adam: Adam
    critic_adam: Adam
    exploration_noise: Array  # [E, A], where the walks stand


def build(config: Config, spaces: Spaces, network: NetworkSource | None = None) -> Networks:
    """Actor and critics: ours, or the user's own."""
    architecture = Architecture(
        config.hidden_sizes, config.activation, config.layer_norm, config.initialization
    )
    return build_networks(spaces, DeterministicActor, 1, architecture, network)


def init(config: Config, networks: Networks, spaces: Spaces, num_envs: int) -> State:
    """The state before the first step."""
    actor, critic = networks.actor.initial.clone(), networks.critic.initial.clone()
    return State(
        actor=actor,
        critic=critic,
        target_actor=actor.clone(),
        target_critic=critic.clone(),
        actor_adam=Adam.zeros_like(actor),
        critic_adam=Adam.zeros_like(critic),
        exploration_noise=np.zeros((num_envs, spaces.action.size), np.float32),
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
    """Actions [E, A] in [-1, 1]. The policy is deterministic: `stream` changes nothing."""
    action_EA: Array = networks.actor.infer(actor_P, observation)
    return action_EA


def explore(
    config: Config,
    networks: Networks,
    state: State,
    observation: Array,
    stream: np.random.Generator,
    num_steps: int,
) -> Array:
    """Actions for collecting experience: the policy's, plus noise, within the bounds."""
    random_EA = uniform_warmup(config, networks, len(observation), stream, num_steps)
    if random_EA is not None:
        return random_EA
    theta = (
        config.ou_theta if config.exploration == "ornstein-uhlenbeck" else 1.0
    )  # 1: a walk without memory is Gaussian noise
    normal_EA = stream.standard_normal(state.exploration_noise.shape, dtype=np.float32)
    state.exploration_noise[:] = ornstein_uhlenbeck(
        state.exploration_noise, normal_EA, theta, config.exploration_noise
    )
    action_EA = act(config, networks, state.actor, observation, None)
    return np.minimum(np.maximum(action_EA + state.exploration_noise, -1), 1)


def episode_ended(state: State, ended_E: Array) -> None:
    """A new episode's exploration noise starts at 0."""
    state.exploration_noise[ended_E] = 0


def noise_shape(config: Config, networks: Networks, batch: Batch) -> tuple[int, ...]:
    """An update of DDPG takes no random numbers."""
    return (0,)


def variants(config: Config, networks: Networks) -> tuple[bool, ...]:
    """The forms that an update can take."""
    return (True,)


def variant(config: Config, update_index: int) -> bool:
    """Every update is alike."""
    return True


def update(
    config: Config, networks: Networks, state: State, batch: Batch, noise: Tensor, policy_too: bool
) -> dict[str, Tensor]:
    """One gradient step (algorithm 1). Changes `state` in place and nothing else."""
    # Critic, eq. 4 and 5: y = r + gamma Q'(s', mu'(s'))
    next_action_BA = networks.actor(state.target_actor, batch.next_observation)
    next_q_NB = networks.critic(state.target_critic, batch.next_observation, next_action_BA)
    target_q_B = td_target(batch.reward, batch.discount, next_q_NB[0])

    def critic_loss(critic_P: Tensor) -> tuple[Tensor, Tensor]:
        q_NB = networks.critic(critic_P, batch.observation, batch.action)
        return (q_NB - target_q_B).square().mean(), q_NB

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

    # Actor, eq. 6: the deterministic policy gradient
    def actor_loss(actor_P: Tensor) -> Tensor:
        action_BA = networks.actor(actor_P, batch.observation)
        return -networks.critic(state.critic, batch.observation, action_BA).mean()

    gradient_P, loss = grad_and_value(actor_loss)(state.actor)
    norm = adam_step(
        state.actor,
        gradient_P,
        state.actor_adam,
        config.actor_learning_rate or config.learning_rate,
    )

    polyak_(state.target_critic, state.critic, config.tau)
    polyak_(state.target_actor, state.actor, config.tau)
    return {**metrics, "actor_loss": loss, "actor_gradient_norm": norm}
