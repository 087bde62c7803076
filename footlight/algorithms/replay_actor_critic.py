"""Actor-critic with replay for the critic: a softmax actor that learns from the current rollout,
and a critic Q(s, .) that learns from everything seen.

The critic's targets are those of the actor's own policy, r + gamma sum_a' pi(a'|s') Q(s', a')
(expected Sarsa; Sutton & Barto 2018, section 6.6), so old transitions do no harm: a target uses the
current policy. Targets of Q-learning (`bootstrap` max; section 6.5) and epsilon-greedy exploration
(`exploration_epsilon`) are options. The actor ascends the gradient of sum_a pi(a|s) A(s, a) with
A(s, a) = Q(s, a) - sum_a pi(a|s) Q(s, a) on the states of the rollout.

Why a plainer version collapses (measured in docs/algorithms/replay-actor-critic.md): its critic
never learned or did not keep up, its actor followed Q(s, a), which is not an advantage, there was
no entropy bonus, values diverge without layer normalization, and clipped gradients muted the errors
of terminal steps.

Shape letters: B minibatch, T * E rollout, A actions, P parameters.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal, Self, final

import numpy as np
import torch
from torch import Tensor

from footlight.algorithms.exploration import epsilon_greedy
from footlight.algorithms.on_policy import (
    Networks,
    NetworkSource,
    action_values,
    build_networks,
    entropy_weight,
    example,
    rows_of,
    sample_or_mode,
    step_sizes,
)
from footlight.algorithms.prioritized import new_priorities, td_loss
from footlight.algorithms.protocol import Noise, Outcome, PolicyState
from footlight.algorithms.settings import (
    ActorCriticNetwork,
    Entropy,
    Normalization,
    OptimizerSettings,
    Priorities,
)  # fmt: skip
from footlight.buffers.mixed import ReplayAndRollout
from footlight.buffers.replay import ReplayPlan
from footlight.config.fields import (
    SCHEDULABLE,
    Count,
    CountOrZero,
    Fraction,
    LayerSizes,
    NonNegative,
    OptionalPositive,
    Positive,
    Range,
    check,
)  # fmt: skip
from footlight.equations.distributions import gather_q
from footlight.equations.gradients import grad
from footlight.equations.optimizers import Memory, polyak_
from footlight.equations.returns import symexp, symlog, td_target, weighted_mean
from footlight.errors import UserError
from footlight.networks.bodies import Activation
from footlight.types import Array, Decision, Diagnosis, DiscreteAction, MixedBatch, Part, Spaces


@dataclass(frozen=True, kw_only=True)
class Config(Normalization, ActorCriticNetwork, Entropy, Priorities, OptimizerSettings):
    """Hyperparameters of the actor-critic with replay."""

    gamma: Fraction = 0.99
    """Discount per environment step."""
    n_steps: Count = 16
    """Rollout length: steps of each environment per update of the actor."""
    critic_updates_per_actor: Count = 16
    """Critic updates per update of the actor."""
    batch_size: Count = 64
    """Transitions per minibatch of the critic."""
    buffer_size: Count = 300_000
    """Transitions kept for replay; of images, frames over all environments."""
    buffer_dir: str | None = None
    """Folder for a memory-mapped replay buffer of images on disk; none: off, they are kept in
    memory."""
    sample_with_replacement: bool = True
    """Draw the transitions of a minibatch independently; false: all different, as random.sample
    draws them."""
    learning_starts: CountOrZero = 1_000
    """Environment steps before the first update."""
    learning_rate: Annotated[Positive, SCHEDULABLE] = 5e-4
    """The optimizer's step size."""
    tau: Annotated[float | None, Range(0, 1, open_low=True)] = 0.005
    """Fraction of the online network moved into the critic's target network at each update;
    none: off, there is no target network."""
    actor_signal: Literal["advantage", "q"] = "advantage"
    """Signal of the policy gradient: the advantage of every action, or Q(s, a) of the action that
    was taken."""
    bootstrap: Literal["expected", "max"] = "expected"
    """Value that targets bootstrap from: the mean of Q(s', .) under the policy (expected: expected
    Sarsa) or its maximum (max: Q-learning)."""
    exploration_epsilon: Annotated[float | None, Range(0, 1), SCHEDULABLE] = None
    """Collect experience epsilon-greedily: a uniformly random action with this probability,
    otherwise the action with the largest Q(s, a); none: off, actions are sampled from the
    policy."""
    entropy_coef: Annotated[NonNegative, SCHEDULABLE] = 0.01
    """Weight of the entropy bonus in the actor's loss."""
    symlog_values: bool = False
    """Let the critic learn symlog(Q), which compresses large values of either sign."""
    q_regularizer: NonNegative = 0.0
    """Weight of the mean of Q(s, a) squared in the critic's loss: pulls values towards 0."""
    q_mean_coef: NonNegative = 0.0
    """Weight of the mean of Q(s, a) itself in the critic's loss: pushes the values of the actions
    taken down."""
    max_grad_norm: OptionalPositive = None
    """Maximum norm of a gradient; a larger one is scaled down to it. none: off, because scaling
    every minibatch to one norm mutes the rare, large errors of terminal steps: values of bad
    actions are then learned too high."""
    hidden_sizes: LayerSizes = (128, 128)
    """Widths of the hidden layers; none: no hidden layers."""
    activation: Activation = "relu"
    """Activation after each hidden layer."""
    layer_norm: bool = True
    """Layer normalization before each activation; without it the values of a long run grow
    without bound."""
    shared_torso: bool = True
    """Actor and critic share all hidden layers."""
    action_head = "gaussian"  # no field: actions are discrete here
    initial_log_std = 0.0

    def __post_init__(self) -> None:
        check(self)
        if self.exploration_epsilon is not None and self.actor_signal == "q":
            raise UserError(
                f"exploration_epsilon is {self.exploration_epsilon} with actor_signal q - "
                "that signal is for actions drawn from the policy, not chosen by the critic - "
                "use actor_signal advantage, or leave exploration_epsilon out"
            )


@dataclass
class State:
    """Everything that changes while the agent learns."""

    actor_critic: Tensor  # [P]
    target: Tensor | None  # [P]
    # Two for one vector: the losses' gradients differ in magnitude and frequency
    actor_optimizer: Memory
    critic_optimizer: Memory
    progress: Tensor  # [1], share of the run that is over


@final
@dataclass(frozen=True)
class ReplayActorCritic:
    """The algorithm, bound to its config and networks."""

    config: Config
    networks: Networks
    spaces: Spaces

    ACTIONS: ClassVar[tuple[str, ...]] = ("single",)
    METRICS: ClassVar[tuple[str, ...]] = (
        "critic_loss", "critic_gradient_norm", "q_mean", "target_q_mean", "entropy",
        "advantage_std", "actor_gradient_norm",
    )  # fmt: skip
    """critic_loss: squared TD error; the gradients' norms, before clipping; q_mean,
    target_q_mean: Q(s, a) and its target in units of discounted return (of its symlog with
    symlog_values); entropy: nats per action; advantage_std: spread of A over actions, the
    actor's signal."""

    @classmethod
    def create(cls, config: Config, spaces: Spaces, network: NetworkSource | None = None) -> Self:
        """With the built-in policy and action values, or the user's `network`."""
        assert isinstance(spaces.action, DiscreteAction)
        networks = build_networks(config, spaces, network, num_values=sum(spaces.action.sizes))
        if not networks.actor_critic.initial.is_meta:
            of_policy, of_values = networks.actor_critic.dependencies(example(spaces))
            networks = replace(networks, trains={"actor": of_policy, "critic": of_values})
        return cls(config, networks, spaces)

    def init(self, num_envs: int) -> State:
        """The state before the first step."""
        parameters_P = self.networks.actor_critic.initial.clone()
        target_P = None if self.config.tau is None else parameters_P.clone()
        optimizer = self.config.make_optimizer()
        memories = optimizer.init(parameters_P), optimizer.init(parameters_P)
        return State(parameters_P, target_P, *memories, torch.zeros(1))

    def buffer(self, num_envs: int) -> ReplayAndRollout:
        """Replay for the critic, the rollout for the actor."""
        config, spaces = self.config, self.spaces
        plan = ReplayPlan(
            gamma=config.gamma, batch_size=config.batch_size, buffer_size=config.buffer_size,
            learning_starts=config.learning_starts, buffer_dir=config.buffer_dir,
            sample_with_replacement=config.sample_with_replacement,
        )  # fmt: skip
        return ReplayAndRollout(
            spaces, num_envs, plan, config.n_steps, config.critic_updates_per_actor,
            config.prioritization,
        )  # fmt: skip

    def policy(self, state: State) -> PolicyState:
        """The network that policy and values are in."""
        return PolicyState(state.actor_critic)

    act = sample_or_mode

    def explore(
        self, policy: PolicyState, memory: None, observation: Array,
        stream: np.random.Generator, num_steps: int,
    ) -> tuple[Decision, None]:  # fmt: skip
        """Actions [E, 1]: sampled from the policy, or epsilon-greedy with respect to Q."""
        epsilon = self.config.exploration_epsilon
        if epsilon is None:
            return self.act(policy, memory, observation, stream)
        q_EA = action_values(self.networks, policy.parameters, observation).numpy()
        return Decision(epsilon_greedy(q_EA, epsilon, stream)[:, None]), None

    def diagnose(self, state: State, observation: Tensor) -> Diagnosis:
        """V(s) = sum_a pi(a|s) Q(s, a), and the policy's probabilities."""
        config, networks = self.config, self.networks
        logits_EA, q_EA = networks.actor_critic(state.actor_critic, observation)
        diagnosis = networks.head.diagnose(logits_EA)
        q_EA = symexp(q_EA) if config.symlog_values else q_EA
        return diagnosis._replace(value=(diagnosis.probabilities * q_EA).sum(-1))

    @property
    def updates(self) -> Mapping[str, Callable[[State, MixedBatch, Noise], Outcome]]:
        """The critic learns from replay, the actor from the rollout."""
        return {"critic": self.update_critic, "actor": self.update_actor}

    def update_for(self, due: Part) -> str:
        """The update that learns from this part."""
        return "critic" if due is Part.REPLAY else "actor"

    def update_critic(self, state: State, batch: MixedBatch, noise: Noise) -> Outcome:
        """One gradient step towards the targets of expected Sarsa or Q-learning on a replay
        minibatch."""
        config, networks = self.config, self.networks
        target_P = state.actor_critic if state.target is None else state.target
        _, next_q_BA = networks.actor_critic(target_P, batch.next_observation)
        next_q_BA = symexp(next_q_BA) if config.symlog_values else next_q_BA
        if config.bootstrap == "max":
            next_value_B = next_q_BA.amax(-1)
        else:
            logits_BA, _ = networks.actor_critic(state.actor_critic, batch.next_observation)
            next_value_B = (logits_BA.softmax(-1) * next_q_BA).sum(-1)
        target_B = td_target(batch.reward, batch.discount, next_value_B)
        target_B = symlog(target_B) if config.symlog_values else target_B

        def loss(actor_critic_P: Tensor) -> tuple[Tensor, Tensor]:
            _, q_BA = networks.actor_critic(actor_critic_P, batch.observation)
            q_B = gather_q(q_BA, batch.action)
            penalty = config.q_regularizer * q_B.square().mean() + config.q_mean_coef * q_B.mean()
            return td_loss(config, batch, state.progress, (q_B - target_B)[None]) + penalty, q_B

        gradient_P, q_B = grad(loss, has_aux=True)(state.actor_critic)
        norm = self._step(state, gradient_P, state.critic_optimizer, "critic")
        if state.target is not None and config.tau is not None:
            polyak_(state.target, state.actor_critic, config.tau)
        metrics = {"q_mean": q_B.mean(), "target_q_mean": target_B.mean()}
        metrics |= {"critic_loss": (q_B - target_B).square().mean(), "critic_gradient_norm": norm}
        return Outcome(metrics, new_priorities(config, (q_B - target_B)[None]))

    def update_actor(self, state: State, batch: MixedBatch, noise: Noise) -> Outcome:
        """One step of the policy gradient on the current rollout."""
        config, networks = self.config, self.networks
        observation = rows_of(batch.rollout_observation)
        weight_B = batch.rollout_weight.flatten()

        def loss(actor_critic_P: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
            logits_BA, q_BA = networks.actor_critic(actor_critic_P, observation)
            q_BA = symexp(q_BA.detach()) if config.symlog_values else q_BA.detach()
            probability_BA = logits_BA.softmax(-1)
            advantage_BA = q_BA - (probability_BA.detach() * q_BA).sum(-1, keepdim=True)
            if config.actor_signal == "advantage":
                climbed_B = (probability_BA * advantage_BA).sum(-1)
            else:
                action_BA = batch.rollout_action.flatten(0, 1)
                climbed_B = networks.head.log_prob(logits_BA, action_BA) * gather_q(q_BA, action_BA)
            entropy = weighted_mean(networks.head.entropy(logits_BA, logits_BA), weight_B)
            policy_loss = -weighted_mean(climbed_B, weight_B)
            variance_B = (probability_BA * advantage_BA.square()).sum(-1)
            spread = weighted_mean(variance_B, weight_B).sqrt()
            aux = {"entropy": entropy, "advantage_std": spread.detach()}
            return policy_loss - entropy_weight(config, state.progress) * entropy, aux

        gradient_P, metrics = grad(loss, has_aux=True)(state.actor_critic)
        norm = self._step(state, gradient_P, state.actor_optimizer, "actor")
        return Outcome({**metrics, "actor_gradient_norm": norm})

    def _step(self, state: State, gradient_P: Tensor, memory: Memory, loss: str) -> Tensor:
        """One step for this loss, which leaves the other's own layers alone."""
        config, network, device = self.config, self.networks.actor_critic, gradient_P.device
        trains, rate = self.networks.trains[loss], step_sizes(config, network, device)
        trained_P = network.selected(trains, device) if config.weight_decay else None
        step, parameters_P = config.make_optimizer().step, state.actor_critic
        return step(parameters_P, gradient_P, memory, rate, state.progress, trained_P)
