"""TD7: TD3 with learned embeddings of states and actions, prioritized replay and checkpoints of the
policy (Fujimoto et al. 2023, arXiv:2306.02451).

There are three generations of the encoders. The current ones learn in each update; actor and
critics see the embeddings of the fixed ones, and their targets those of the target ones. Every
`copy_interval` updates each generation is copied to the next. The fixed encoder of states lies in
the vector of the actor, since what acts is made of both.

Departures from the paper: Huber's loss has the usual constant, 1/2 less than in the authors' code
where it is linear, with the same gradient. With several environments an assessment counts the
episodes of all of them that began after the last update.

Shape letters: B batch, N critics, A action dimensions, E environments, P parameters, Z numbers of
an embedding.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, final

import torch
from torch import Tensor

from footlight.algorithms.deterministic_policy import (
    TargetPolicySmoothing,
    act_deterministically,
    explore_with_noise,
    new_noise_memory,
)
from footlight.algorithms.embedded_networks import (
    EmbeddedNetworks,
    EmbeddedNetworksConfig,
    build_embedded_networks,
)
from footlight.algorithms.exploration import ExplorationNoise
from footlight.algorithms.network_source import NetworkSource
from footlight.algorithms.prioritized import new_priorities, td_loss
from footlight.algorithms.protocol import Noise, Outcome, PolicyState
from footlight.algorithms.settings import (
    Normalization,
    OffPolicyOptimizer,
    PolicyCheckpoints,
    Priorities,
    ReplayAndUpdates,
)
from footlight.buffers.assessed import AssessedReplay, Occasion
from footlight.buffers.frames import replay_for
from footlight.buffers.prioritized import Prioritization, prioritized
from footlight.config.fields import Count, CountOrZero, Fraction, check
from footlight.equations.draws import Draw, Normal
from footlight.equations.gradients import grad_and_value
from footlight.equations.optimizers import Memory as OptimizerMemory
from footlight.equations.returns import td_target
from footlight.errors import UserError
from footlight.networks.flat import Observed
from footlight.types import Batch, Diagnosis, Minibatch, Spaces

NO_TARGET_YET = 1e8  # extremes before the first target: finite, as the whole state is


@dataclass(frozen=True, kw_only=True)
class Config(
    TargetPolicySmoothing, Normalization, OffPolicyOptimizer, ReplayAndUpdates, Priorities,
    PolicyCheckpoints, EmbeddedNetworksConfig, ExplorationNoise,
):  # fmt: skip
    """Hyperparameters of TD7."""

    gamma: Fraction = 0.99
    """Discount per environment step."""
    learning_starts: CountOrZero = 25_000
    """Environment steps before the first assessment, or the first update without checkpoints."""
    warmup: Literal["uniform", "policy"] = "uniform"
    """Actions before learning_starts: uniform (random), or policy (of the untrained policy)."""
    prioritization: Prioritization = "lap"
    """Probability of drawing a transition: none (uniform), proportional (to the critics' last
    error; the loss is weighted), or lap (large errors more often; Huber loss)."""
    policy_delay: Count = 2
    """Updates of encoders and critics per update of the actor."""
    copy_interval: Count = 250
    """Updates between two copies of all networks to their targets."""

    def __post_init__(self) -> None:
        check(self)


@dataclass
class State:
    """Everything that changes while TD7 learns."""

    state_encoder: Tensor  # [P], current
    action_encoder: Tensor  # [P], current
    actor: Tensor  # [P], of the fixed encoder of states, then the actor's own
    fixed_action_encoder: Tensor
    critic: Tensor  # [P], all N critics
    target_actor: Tensor  # with the target encoder of states
    target_action_encoder: Tensor
    target_critic: Tensor
    checkpoint: Tensor | None  # the best actor so far, with its encoder
    state_encoder_optimizer: OptimizerMemory
    action_encoder_optimizer: OptimizerMemory
    actor_optimizer: OptimizerMemory
    critic_optimizer: OptimizerMemory
    extremes: Tensor  # [2], smallest and largest target so far
    value_range: Tensor  # [2], the same at the last copy: what next values are clipped to
    progress: Tensor  # [1], share of the run that is over


@final
@dataclass(frozen=True)
class TD7:
    """The algorithm, bound to its config and networks."""

    config: Config
    networks: EmbeddedNetworks
    spaces: Spaces

    ACTIONS: ClassVar[tuple[str, ...]] = ("box",)
    METRICS: ClassVar[tuple[str, ...]] = (
        "encoder_loss", "critic_loss", "critic_gradient_norm", "q_mean", "target_q_mean",
        "actor_loss", "actor_gradient_norm",
    )  # fmt: skip
    """encoder_loss: squared error of the predicted embedding; critic_loss: Huber's loss of the TD
    error, summed over critics; the gradients' norms; q_mean, target_q_mean: Q(s, a) and its target,
    both in units of discounted return; actor_loss: minus the mean value of the actor's actions."""

    @classmethod
    def create(cls, config: Config, spaces: Spaces, network: NetworkSource | None = None) -> "TD7":
        """With the built-in networks. Raises `UserError` for a `network` of the user's."""
        if network is not None:
            raise UserError(
                "td7 takes no network of your own - its actor and critics have to take the "
                "embeddings of its encoders - set hidden_sizes and embedding_size, or take td3"
            )
        return cls(config, build_embedded_networks(config, spaces), spaces)

    memory, act, explore = new_noise_memory, act_deterministically, explore_with_noise

    def init(self, num_envs: int) -> State:
        """The state before the first step, with the same encoders in all generations."""
        networks, optimizer = self.networks, self.config.make_optimizer()
        actor, critic = networks.actor.initial.clone(), networks.critic.initial.clone()
        action_encoder = networks.action_encoder.initial.clone()
        state_encoder = networks.encoder_of(actor).clone()
        return State(
            state_encoder=state_encoder,
            action_encoder=action_encoder,
            actor=actor,
            fixed_action_encoder=action_encoder.clone(),
            critic=critic,
            target_actor=actor.clone(),
            target_action_encoder=action_encoder.clone(),
            target_critic=critic.clone(),
            checkpoint=actor.clone() if self.config.use_checkpoints else None,
            state_encoder_optimizer=optimizer.init(state_encoder),
            action_encoder_optimizer=optimizer.init(action_encoder),
            actor_optimizer=optimizer.init(actor),
            critic_optimizer=optimizer.init(critic),
            extremes=torch.tensor([NO_TARGET_YET, -NO_TARGET_YET]),
            value_range=torch.zeros(2),
            progress=torch.zeros(1),
        )

    def buffer(self, num_envs: int) -> AssessedReplay:
        """Replay by priority, whose updates wait for assessments."""
        config = self.config
        replay = prioritized(replay_for(self.spaces, num_envs, config), config.prioritization)
        return AssessedReplay(replay, num_envs, config)

    def policy(self, state: State) -> PolicyState:
        """The best actor so far, with its encoder."""
        return PolicyState(state.actor if state.checkpoint is None else state.checkpoint)

    def collecting_policy(self, state: State) -> PolicyState:
        """The current actor, with the fixed encoder."""
        return PolicyState(state.actor)

    def diagnose(self, state: State, observation: Observed) -> Diagnosis:
        """min_N Q(s, a) of the evaluated policy's action a, and a."""
        networks = self.networks
        action_EA = networks.actor(self.policy(state).parameters, observation)
        z_s_EZ = networks.state_encoder(networks.encoder_of(state.actor), observation)
        z_sa_EZ = networks.action_encoder(state.fixed_action_encoder, z_s_EZ, action_EA)
        q_NE = networks.critic(state.critic, observation, action_EA, z_s_EZ, z_sa_EZ)
        return Diagnosis(value=q_NE.amin(0), mean=action_EA, values=q_NE.T)

    def draws(self, batch: Batch) -> Mapping[str, Draw]:
        """Noise of target policy smoothing."""
        return {"next_action": Normal(batch.action.shape)}

    @property
    def updates(self) -> Mapping[str, Callable[[State, Any, Noise], Outcome]]:
        """Of everything, or of all but the actor; copies to the targets, and to the checkpoint."""
        return {
            "critic_and_actor": self.update_critic_and_actor, "critic": self.update_critic,
            Occasion.COPY.value: self.copy, Occasion.CHECKPOINT.value: self.save_checkpoint,
        }  # fmt: skip

    eager = frozenset(each.value for each in Occasion)

    def update_for(self, due: Minibatch | Occasion) -> str:
        """Every `policy_delay`th update includes the actor."""
        if isinstance(due, Occasion):
            return due.value
        return "critic" if (due.number + 1) % self.config.policy_delay else "critic_and_actor"

    def update_encoders(self, state: State, batch: Batch) -> Tensor:
        """The current encoders, eq. 4: z_sa predicts z_s' of the next state. Return the loss."""
        config, networks, optimizer = self.config, self.networks, self.config.make_optimizer()
        next_z_BZ = networks.state_encoder(state.state_encoder, batch.next_observation)

        def encoder_loss(state_P: Tensor, action_P: Tensor) -> Tensor:
            z_s_BZ = networks.state_encoder(state_P, batch.observation)
            z_sa_BZ = networks.action_encoder(action_P, z_s_BZ, batch.action)
            loss: Tensor = (z_sa_BZ - next_z_BZ).square().mean()
            return loss

        of_both = grad_and_value(encoder_loss, argnums=(0, 1))
        (state_P, action_P), loss = of_both(state.state_encoder, state.action_encoder)
        rate = config.learning_rate, state.progress
        optimizer.step(state.state_encoder, state_P, state.state_encoder_optimizer, *rate)
        optimizer.step(state.action_encoder, action_P, state.action_encoder_optimizer, *rate)
        return loss

    def target(self, state: State, batch: Batch, noise: Noise) -> Tensor:
        """y = r + gamma clip(min_N Q'(s', a', z_s', z_s'a')), eq. 6 to 8, with smoothed a'."""
        config, networks, following = self.config, self.networks, batch.next_observation
        z_s_BZ = networks.state_encoder(networks.encoder_of(state.target_actor), following)
        action_BA = networks.actor(state.target_actor, following, z_s_BZ)
        action_BA = config.smooth(action_BA, noise["next_action"])
        z_sa_BZ = networks.action_encoder(state.target_action_encoder, z_s_BZ, action_BA)
        q_NB = networks.critic(state.target_critic, following, action_BA, z_s_BZ, z_sa_BZ)
        low, high = state.value_range
        return td_target(batch.reward, batch.discount, q_NB.amin(0).clamp(low, high))

    def update_critic(self, state: State, batch: Batch, noise: Noise) -> Outcome:
        """The encoders, then the critics on the embeddings of the fixed ones, with LAP."""
        config, networks = self.config, self.networks
        encoder_loss = self.update_encoders(state, batch)
        target_q_B = self.target(state, batch, noise)
        state.extremes[0:1].copy_(torch.minimum(state.extremes[0:1], target_q_B.min()))
        state.extremes[1:2].copy_(torch.maximum(state.extremes[1:2], target_q_B.max()))
        z_s_BZ = networks.state_encoder(networks.encoder_of(state.actor), batch.observation)
        z_sa_BZ = networks.action_encoder(state.fixed_action_encoder, z_s_BZ, batch.action)

        def critic_loss(critic_P: Tensor) -> tuple[Tensor, Tensor]:
            q_NB = networks.critic(critic_P, batch.observation, batch.action, z_s_BZ, z_sa_BZ)
            return td_loss(config, batch, state.progress, q_NB - target_q_B), q_NB

        gradient_P, (loss, q_NB) = grad_and_value(critic_loss, has_aux=True)(state.critic)
        norm = config.make_optimizer().step(
            state.critic, gradient_P, state.critic_optimizer,
            config.rate_of_critic, state.progress,
        )  # fmt: skip
        metrics = {"encoder_loss": encoder_loss, "critic_loss": loss, "critic_gradient_norm": norm}
        metrics |= {"q_mean": q_NB.mean(), "target_q_mean": target_q_B.mean()}
        return Outcome(metrics, new_priorities(config, q_NB - target_q_B))

    def update_critic_and_actor(self, state: State, batch: Batch, noise: Noise) -> Outcome:
        """One step of everything."""
        config, networks = self.config, self.networks
        of_critic = self.update_critic(state, batch, noise)
        z_s_BZ = networks.state_encoder(networks.encoder_of(state.actor), batch.observation)

        # Deterministic policy gradient, eq. 9; the encoders have none
        def actor_loss(actor_P: Tensor) -> Tensor:
            action_BA = networks.actor(actor_P, batch.observation, z_s_BZ)
            z_sa_BZ = networks.action_encoder(state.fixed_action_encoder, z_s_BZ, action_BA)
            q_NB = networks.critic(state.critic, batch.observation, action_BA, z_s_BZ, z_sa_BZ)
            return -q_NB.mean()

        gradient_P, loss = grad_and_value(actor_loss)(state.actor)
        trained_P = 1 - networks.actor.mask("encoder", gradient_P.device)  # for weight decay
        norm = config.make_optimizer().step(
            state.actor, gradient_P, state.actor_optimizer,
            config.rate_of_actor, state.progress, trained_P,
        )  # fmt: skip
        metrics = {**of_critic.metrics, "actor_loss": loss, "actor_gradient_norm": norm}
        return Outcome(metrics, of_critic.priorities)

    def copy(self, state: State, batch: Batch, noise: Noise) -> Outcome:
        """Each generation becomes the next: current, fixed, target."""
        state.target_actor.copy_(state.actor)  # and so the fixed encoder of states
        state.target_critic.copy_(state.critic)
        state.target_action_encoder.copy_(state.fixed_action_encoder)
        self.networks.encoder_of(state.actor).copy_(state.state_encoder)
        state.fixed_action_encoder.copy_(state.action_encoder)
        state.value_range.copy_(state.extremes)
        return Outcome({})

    def save_checkpoint(self, state: State, batch: Batch, noise: Noise) -> Outcome:
        """The current policy has become the best one."""
        assert state.checkpoint is not None
        state.checkpoint.copy_(state.actor)
        return Outcome({})
