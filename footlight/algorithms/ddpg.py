"""DDPG: off-policy actor-critic with a deterministic policy (Lillicrap et al. 2015,
arXiv:1509.02971).

Departures from the paper: `exploration` may be Gaussian (the paper's walk is `ornstein-uhlenbeck`
with exploration_noise 0.2); actions enter the critic at its first layer, not at the second; no
weight decay and no batch normalization.

Shape letters: B batch, N critics (always 1 here), A action dimensions, E environments, P
parameters.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor

from footlight.algorithms.critics import Learned
from footlight.algorithms.deterministic_policy import (
    DeterministicConfig,
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
    replay_buffer,
)
from footlight.algorithms.protocol import Noise, Outcome
from footlight.config.fields import Count, check
from footlight.equations.draws import Draw
from footlight.equations.gradients import grad_and_value
from footlight.equations.optimizers import follow_
from footlight.networks.bodies import DeterministicActor
from footlight.networks.heads import Bounded
from footlight.types import Batch, Spaces


@dataclass(frozen=True, kw_only=True)
class Config(DeterministicConfig):
    """Hyperparameters of DDPG."""

    num_critics: Count = 1
    """Number of critics; the actor follows their mean."""

    def __post_init__(self) -> None:
        check(self)


@final
@dataclass(frozen=True)
class DDPG:
    """The algorithm, bound to its config and networks."""

    config: Config
    networks: Networks
    spaces: Spaces

    ACTIONS: ClassVar[tuple[str, ...]] = ("box",)
    METRICS: ClassVar[tuple[str, ...]] = (
        "critic_loss", "critic_gradient_norm", "q_mean", "target_q_mean", "actor_loss",
        "actor_gradient_norm",
    )  # fmt: skip
    """critic_loss: squared TD error; the gradients' norms; q_mean, target_q_mean: Q(s, a) and its
    target, both in units of discounted return; actor_loss: minus the critic's value of the actor's
    actions."""

    @classmethod
    def create(cls, config: Config, spaces: Spaces, network: NetworkSource | None = None) -> "DDPG":
        """With the built-in actor and critic, or the user's `network`."""
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
        """Those of the critics."""
        return self.critics.draws()

    @property
    def updates(self) -> Mapping[str, Callable[[State, Batch, Noise], Outcome]]:
        """All updates are the same."""
        return {"critic_and_actor": self.update_critic_and_actor}

    def update_critic_and_actor(self, state: State, batch: Batch, noise: Noise) -> Outcome:
        """One step of everything (algorithm 1)."""
        config, actor, critics = self.config, self.networks.actor, self.critics

        # Critic, eq. 4 and 5: y = r + gamma Q'(s', mu'(s'))
        next_actor = state.actor if state.target_actor is None else state.target_actor
        next_action_BA, _ = actor.with_statistics(
            next_actor, state.actor_statistics, batch.next_observation
        )

        def critic_loss(critic_P: Tensor) -> tuple[Tensor, Learned]:
            return critics.loss(critic_P, state, batch, next_action_BA, noise)

        gradient_P, (loss, learned) = grad_and_value(critic_loss, has_aux=True)(state.critic)
        norm = config.make_optimizer().step(
            state.critic, gradient_P, state.critic_optimizer,
            config.rate_of_critic, state.progress,
        )  # fmt: skip
        outcome = critics.take_(state, loss, norm, learned)

        # Actor, eq. 6: the deterministic policy gradient
        def actor_loss(actor_P: Tensor) -> tuple[Tensor, Tensor]:
            action_BA, statistics_Q = actor.with_statistics(
                actor_P, state.actor_statistics, batch.observation, training=True
            )
            return -critics.q(state, batch.observation, action_BA, True).mean(), statistics_Q

        gradient_P, (loss, statistics_Q) = grad_and_value(actor_loss, has_aux=True)(state.actor)
        norm = config.make_optimizer().step(
            state.actor, gradient_P, state.actor_optimizer,
            config.rate_of_actor, state.progress,
        )  # fmt: skip
        actor.keep_(state.actor, state.actor_statistics, statistics_Q, config.unit_weights)
        follow_(state.target_critic, state.critic, config.tau)
        follow_(state.target_actor, state.actor, config.tau)
        metrics = {**outcome.metrics, "actor_loss": loss, "actor_gradient_norm": norm}
        return Outcome(metrics, outcome.priorities)
