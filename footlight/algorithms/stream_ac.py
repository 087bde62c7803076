"""Streaming actor-critic with eligibility traces: one update per step from the last transition,
nothing stored (Elsayed, Vasan & Mahmood 2024, arXiv:2410.14606, algorithm 2).

Four things make learning from single steps stable: a step size that cannot overshoot (ObGD), sparse
initial weights, layer normalization without learned scale, and running statistics of observations
and rewards. Actor and critic have no layer in common. The trace of an episode ends with it,
whichever way it ends; a time limit bootstraps from the true last state all the same. Departures
from the paper: a step's observation is added to the statistics after the step, so that acting
changes nothing; variances are divided by n, and that of the discounted return is taken around its
mean; time is not part of the observation.

Shape letters: A action dimensions or choices, P parameters.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, final

import torch
from torch import Tensor

from footlight.algorithms.on_policy import (
    Networks,
    NetworkSource,
    build_networks,
    diagnose_actor_critic,
    entropy_draws,
    sample_or_mode,
)
from footlight.algorithms.protocol import Noise, Outcome, PolicyState
from footlight.algorithms.settings import Normalization
from footlight.buffers.rollout import Rollout
from footlight.config.fields import (
    SCHEDULABLE,
    Fraction,
    LayerSizes,
    NonNegative,
    OptionalPositive,
    Positive,
    check,
)
from footlight.equations.draws import Draw
from footlight.equations.gradients import grad
from footlight.equations.optimizers import bounded_step_size
from footlight.equations.returns import td_target
from footlight.errors import UserError
from footlight.networks.bodies import Activation
from footlight.networks.cnn import Torso
from footlight.networks.heads import ContinuousHead
from footlight.networks.initialization import Initialization
from footlight.trees import map_leaves
from footlight.types import Array, RolloutBatch, Spaces

LOG_SOFTPLUS_0 = -0.3665  # log(softplus(0)) = log(log 2): a standard deviation of 0.693


@dataclass(frozen=True, kw_only=True)
class Config(Normalization):
    """Hyperparameters of streaming AC(lambda). The paper uses these for all of its environments."""

    gamma: Fraction = 0.99
    """Discount per environment step."""
    trace_lambda: Fraction = 0.8
    """Decay rate of the eligibility traces, besides gamma; 0: one-step actor-critic."""
    actor_step_size: Positive = 1.0
    """The actor's step size before the bound."""
    critic_step_size: Positive = 1.0
    """The critic's step size before the bound."""
    actor_kappa: Positive = 3.0
    """How far the actor's steps stay below the bound; larger is more careful."""
    critic_kappa: Positive = 2.0
    """How far the critic's steps stay below the bound; larger is more careful."""
    entropy_coef: Annotated[NonNegative, SCHEDULABLE] = 0.01
    """Weight of the entropy bonus in the actor's gradient."""
    normalize_observations: bool = True
    """Normalize observations by their running mean and standard deviation, clipped to ±10."""
    normalize_rewards: bool = True
    """Divide rewards by the running standard deviation of the discounted return."""
    clip_normalized_reward: OptionalPositive = None
    """Clip normalized rewards to plus and minus this, in standard deviations of the discounted
    return; none: off, as in the paper."""
    torso: Torso = "auto"
    """Layers before the hidden ones: nature (convolutions of Mnih et al. 2015), small
    (convolutions 16-32-32, 5x5/2) or mlp (no convolutions). auto: nature for uint8 images of at
    least 36 x 36, otherwise mlp."""
    hidden_sizes: LayerSizes = (128, 128)
    """Widths of the hidden layers of actor and critic, after the convolutions if there are any;
    none: no hidden layers."""
    activation: Activation = "leaky-relu"
    """Activation after each hidden layer."""
    layer_norm: bool = True
    """Layer normalization before each activation, without learned scale and shift."""
    initialization: Initialization = "sparse"
    """Initial weights: pytorch, kaiming, orthogonal or sparse (nine tenths are 0)."""
    action_head: ContinuousHead = "state-dependent-gaussian"
    """Distribution of continuous actions: gaussian, state-dependent-gaussian or squashed-gaussian.
    Discrete ones are categorical."""
    initial_log_std: float = LOG_SOFTPLUS_0
    """Log standard deviation of continuous actions at the start, in half action ranges; the default
    is that of a standard deviation of softplus(0), which the paper's network begins with."""
    shared_torso = norm_affine = False
    precision = "fp32"
    return_restarts_at_end: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check(self)


@dataclass
class State:
    """Everything that changes while the agent learns."""

    actor_critic: Tensor  # [P], the actor's parameters and the critic's
    trace: Tensor  # [P], of both


@final
@dataclass(frozen=True)
class StreamAC:
    """The algorithm, bound to its config and networks."""

    config: Config
    networks: Networks
    spaces: Spaces

    ACTIONS: ClassVar[tuple[str, ...]] = ("box", "discrete")
    METRICS: ClassVar[tuple[str, ...]] = (
        "td_error", "value_mean", "entropy", "actor_step", "critic_step",
    )  # fmt: skip
    """td_error: its absolute value, in units of scaled reward; value_mean: V(s) in these units;
    entropy: nats per action; actor_step, critic_step: the step sizes that the bound left, at
    most actor_step_size and critic_step_size."""
    transient: ClassVar[tuple[str, ...]] = ("trace",)

    @classmethod
    def create(
        cls, config: Config, spaces: Spaces, network: NetworkSource | None = None
    ) -> "StreamAC":
        """With the built-in policy and value networks, or the user's `network`. Raises `UserError`
        if the user's share a parameter."""
        networks = build_networks(config, spaces, network)
        if not networks.separate:
            raise UserError(
                "stream-ac updates actor and critic separately - in this network they share "
                "parameters, or their names do not tell them apart - give it parts called `actor` "
                "and `critic` with no layer in common"
            )
        return cls(config, networks, spaces)

    def init(self, num_envs: int) -> State:
        """The state before the first step. Raises `UserError` for several environments: a stream is
        one."""
        if num_envs != 1:
            raise UserError(
                f"num_envs is {num_envs} - stream-ac learns from one stream of experience - "
                "use num_envs 1, or a2c"
            )
        parameters_P = self.networks.actor_critic.initial.clone()
        return State(parameters_P, torch.zeros_like(parameters_P))

    def buffer(self, num_envs: int) -> Rollout:
        """The last transition."""
        return Rollout(self.spaces, num_envs, self.config.gamma, n_steps=1)

    def policy(self, state: State) -> PolicyState:
        """The network that policy and values are in."""
        return PolicyState(state.actor_critic)

    act = sample_or_mode
    diagnose = diagnose_actor_critic

    def episode_ended(self, state: State, ended_E: Array) -> None:
        """Reset the trace: what follows does not depend on earlier steps."""
        if ended_E.any():
            state.trace.zero_()

    def draws(self, batch: RolloutBatch) -> Mapping[str, Draw]:
        """Noise of entropies without a closed form."""
        return entropy_draws(self.networks, 1)

    @property
    def updates(self) -> Mapping[str, Callable[[State, RolloutBatch, Noise], Outcome]]:
        """All updates are the same."""
        return {"step": self.update}

    def update(self, state: State, batch: RolloutBatch, noise: Noise) -> Outcome:
        """One step of actor and critic."""
        config, networks = self.config, self.networks
        observation, action_1A, reward, next_observation, discount = (
            map_leaves(lambda leaf: leaf[0], field) for field in batch[:5]
        )
        _, next_value = networks.actor_critic(state.actor_critic, next_observation)
        _, value = networks.actor_critic(state.actor_critic, observation)
        td_error = (td_target(reward, discount, next_value) - value).squeeze()

        # The two gradients of algorithm 2 in one: actor and critic share no parameter, so a sum
        # mixes nothing. The entropy's part has the sign of the error, with which the trace is
        # multiplied, so that entropy is always climbed.
        def climbed(actor_critic_P: Tensor) -> tuple[Tensor, Tensor]:
            output_1H, value_1 = networks.actor_critic(actor_critic_P, observation)
            log_prob, entropy = (
                networks.head.log_prob(output_1H, action_1A),
                networks.head.entropy(output_1H, noise["entropy"]),
            )
            return (
                value_1 + log_prob + config.entropy_coef * td_error.sign() * entropy
            ).squeeze(), entropy.squeeze()

        gradient_P, entropy = grad(climbed, has_aux=True)(state.actor_critic)
        trace_P = config.gamma * config.trace_lambda * state.trace + gradient_P

        # ObGD, algorithm 3, for each of the two on its own
        critic_P = networks.actor_critic.mask("critic", trace_P.device)
        actor_norm, critic_norm = (
            (trace_P * (1 - critic_P)).abs().sum(),
            (trace_P * critic_P).abs().sum(),
        )
        actor_step = bounded_step_size(
            config.actor_step_size, config.actor_kappa, td_error, actor_norm
        )
        critic_step = bounded_step_size(
            config.critic_step_size, config.critic_kappa, td_error, critic_norm
        )
        step_P = td_error * (actor_step * (1 - critic_P) + critic_step * critic_P) * trace_P
        is_finite = (
            td_error + actor_norm + critic_norm
        ).isfinite()  # otherwise the step is not taken
        state.actor_critic.copy_(
            torch.where(is_finite, state.actor_critic + step_P, state.actor_critic)
        )
        state.trace.copy_(torch.where(is_finite, trace_P, state.trace))
        metrics = {
            "td_error": td_error.abs(), "value_mean": value.squeeze(), "entropy": entropy,
            "actor_step": actor_step, "critic_step": critic_step,
        }  # fmt: skip
        return Outcome(metrics)
