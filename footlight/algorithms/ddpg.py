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
from torch.func import grad_and_value

from footlight.algorithms.deterministic_policy import (
    DeterministicConfig,
    act_deterministically,
    diagnose_deterministic,
    explore_with_noise,
    new_deterministic_state,
)
from footlight.algorithms.deterministic_policy import DeterministicState as State
from footlight.algorithms.off_policy import (
    Networks,
    NetworkSource,
    build_networks,
    new_memory,
    replay_buffer,
)
from footlight.algorithms.prioritized import new_priorities, td_loss
from footlight.algorithms.protocol import Noise, Outcome, PolicyState
from footlight.config.fields import check
from footlight.equations.optimizers import polyak_
from footlight.equations.returns import td_target
from footlight.networks.bodies import DeterministicActor
from footlight.networks.heads import Bounded
from footlight.types import Batch, Spaces


@dataclass(frozen=True, kw_only=True)
class Config(DeterministicConfig):
    """Hyperparameters of DDPG."""

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
        networks = build_networks(config, spaces, DeterministicActor, Bounded(), 1, network)
        return cls(config, networks, spaces)

    # Methods of a deterministic policy that explores with noise
    init = new_deterministic_state
    buffer = replay_buffer
    memory = new_memory
    act = act_deterministically
    explore = explore_with_noise
    diagnose = diagnose_deterministic

    def policy(self, state: State) -> PolicyState:
        """The actor."""
        return PolicyState(state.actor)

    @property
    def updates(self) -> Mapping[str, Callable[[State, Batch, Noise], Outcome]]:
        """All updates are the same."""
        return {"critic_and_actor": self.update_critic_and_actor}

    def update_critic_and_actor(self, state: State, batch: Batch, noise: Noise) -> Outcome:
        """One step of everything (algorithm 1)."""
        config, networks = self.config, self.networks

        # Critic, eq. 4 and 5: y = r + gamma Q'(s', mu'(s'))
        next_action_BA = networks.actor(state.target_actor, batch.next_observation)
        next_q_NB = networks.critic(state.target_critic, batch.next_observation, next_action_BA)
        target_q_B = td_target(batch.reward, batch.discount, next_q_NB[0])

        def critic_loss(critic_P: Tensor) -> tuple[Tensor, Tensor]:
            q_NB = networks.critic(critic_P, batch.observation, batch.action)
            return td_loss(config, batch, state.progress, q_NB - target_q_B), q_NB

        gradient_P, (loss, q_NB) = grad_and_value(critic_loss, has_aux=True)(state.critic)
        norm = config.make_optimizer().step(
            state.critic, gradient_P, state.critic_optimizer,
            config.rate_of_critic, state.progress,
        )  # fmt: skip
        priorities_B = new_priorities(config, q_NB - target_q_B)
        critic_metrics = {
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
        norm = config.make_optimizer().step(
            state.actor, gradient_P, state.actor_optimizer,
            config.rate_of_actor, state.progress,
        )  # fmt: skip
        polyak_(state.target_critic, state.critic, config.tau)
        polyak_(state.target_actor, state.actor, config.tau)
        metrics = {**critic_metrics, "actor_loss": loss, "actor_gradient_norm": norm}
        return Outcome(metrics, priorities_B)
