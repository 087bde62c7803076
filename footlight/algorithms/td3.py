"""TD3: DDPG with twin critics, smoothed targets and delayed policy updates (Fujimoto et al. 2018,
arXiv:1802.09477).

Departures from the paper: none in the equations. Noise is measured in units of half an action
range, as actions live in [-1, 1]^A; the paper's environments have that range too.

Shape letters: B batch, N critics, A action dimensions, E environments, P parameters.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor

from footlight.algorithms.critics import Learned
from footlight.algorithms.deterministic_policy import (
    DeterministicConfig,
    TargetPolicySmoothing,
    act_deterministically,
    actor_and_statistics,
    diagnose_deterministic,
    explore_with_noise,
    new_deterministic_state,
    new_noise_memory,
)
from footlight.algorithms.deterministic_policy import DeterministicState as State
from footlight.algorithms.network_source import NetworkSource
from footlight.algorithms.off_policy import (
    Networks,
    build_networks,
    critics_of,
    delayed_update_for,
    delayed_updates,
    replay_buffer,
)
from footlight.algorithms.protocol import Noise, Outcome
from footlight.config.fields import Count, check
from footlight.equations.draws import Draw, Normal
from footlight.equations.gradients import grad_and_value
from footlight.equations.optimizers import follow_
from footlight.networks.bodies import DeterministicActor
from footlight.networks.heads import Bounded
from footlight.types import Batch, Spaces


@dataclass(frozen=True, kw_only=True)
class Config(TargetPolicySmoothing, DeterministicConfig):
    """Hyperparameters of TD3."""

    policy_delay: Count = 2
    """Critic updates per update of the actor and the target networks."""
    num_critics: Count = 2
    """Number of critics; the actor follows the first one."""

    def __post_init__(self) -> None:
        check(self)


@final
@dataclass(frozen=True)
class TD3:
    """The algorithm, bound to its config and networks."""

    config: Config
    networks: Networks
    spaces: Spaces

    ACTIONS: ClassVar[tuple[str, ...]] = ("box",)
    METRICS: ClassVar[tuple[str, ...]] = (
        "critic_loss", "critic_gradient_norm", "q_mean", "target_q_mean", "actor_loss",
        "actor_gradient_norm",
    )  # fmt: skip
    """critic_loss: squared TD error, summed over critics; the gradients' norms; q_mean,
    target_q_mean: Q(s, a) and its target, both in units of discounted return; actor_loss: minus the
    first critic's value of the actor's actions."""

    @classmethod
    def create(cls, config: Config, spaces: Spaces, network: NetworkSource | None = None) -> "TD3":
        """With the built-in actor and critics, or the user's `network`."""
        networks = build_networks(
            config, spaces, DeterministicActor, Bounded(), config.num_critics, network
        )
        return cls(config, networks, spaces)

    # Methods of a deterministic policy that explores with noise
    init = new_deterministic_state
    buffer = replay_buffer
    memory = new_noise_memory
    act = act_deterministically
    explore = explore_with_noise
    diagnose = diagnose_deterministic
    policy = actor_and_statistics
    critics = property(critics_of)

    def draws(self, batch: Batch) -> Mapping[str, Draw]:
        """Noise of target policy smoothing."""
        return {"next_action": Normal(batch.action.shape), **self.critics.draws()}

    updates = property(delayed_updates)  # update_critic_and_actor, and with a delay update_critic
    update_for = delayed_update_for

    def update_critic(self, state: State, batch: Batch, noise: Noise) -> Outcome:
        """Clipped double Q-learning, eq. 10: y = r + gamma min_N Q'(s', a')."""
        config, critics = self.config, self.critics
        next_actor = state.actor if state.target_actor is None else state.target_actor
        next_action_BA, _ = self.networks.actor.with_statistics(
            next_actor, state.actor_statistics, batch.next_observation
        )
        # Target policy smoothing, eq. 14
        next_action_BA = config.smooth(next_action_BA, noise["next_action"])

        def critic_loss(critic_P: Tensor) -> tuple[Tensor, Learned]:
            return critics.loss(critic_P, state, batch, next_action_BA, noise)

        gradient_P, (loss, learned) = grad_and_value(critic_loss, has_aux=True)(state.critic)
        norm = config.make_optimizer().step(
            state.critic, gradient_P, state.critic_optimizer,
            config.rate_of_critic, state.progress,
        )  # fmt: skip
        outcome = critics.take_(state, loss, norm, learned)
        if not config.delay_targets:
            follow_(state.target_critic, state.critic, config.tau)
        return outcome

    def update_critic_and_actor(self, state: State, batch: Batch, noise: Noise) -> Outcome:
        """One step of everything (algorithm 1)."""
        config, actor = self.config, self.networks.actor
        of_critic = self.update_critic(state, batch, noise)

        # Deterministic policy gradient, eq. 1, through the first critic
        def actor_loss(actor_P: Tensor) -> tuple[Tensor, Tensor]:
            action_BA, statistics_Q = actor.with_statistics(
                actor_P, state.actor_statistics, batch.observation, training=True
            )
            return -self.critics.first_q(state, batch.observation, action_BA).mean(), statistics_Q

        gradient_P, (loss, statistics_Q) = grad_and_value(actor_loss, has_aux=True)(state.actor)
        norm = config.make_optimizer().step(
            state.actor, gradient_P, state.actor_optimizer,
            config.rate_of_actor, state.progress,
        )  # fmt: skip
        actor.keep_(state.actor, state.actor_statistics, statistics_Q, config.unit_weights)
        if config.delay_targets:
            follow_(state.target_critic, state.critic, config.tau)
        follow_(state.target_actor, state.actor, config.tau)
        metrics = {**of_critic.metrics, "actor_loss": loss, "actor_gradient_norm": norm}
        return Outcome(metrics, of_critic.priorities)
