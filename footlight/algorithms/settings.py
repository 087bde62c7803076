"""Groups of hyperparameters that algorithms share. A `Config` names its groups, sets its own
defaults, and adds its own."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from footlight.buffers.prioritized import Prioritization
from footlight.config.fields import (
    SCHEDULABLE,
    Count,
    CountOrZero,
    Fraction,
    KnownFields,
    LayerSizes,
    NonNegative,
    OptionalPositive,
    Positive,
    Range,
)
from footlight.equations.optimizers import Kind, Optimizer, Schedule, StepSize
from footlight.networks.bodies import Activation
from footlight.networks.cnn import Torso
from footlight.networks.flat import Precision
from footlight.networks.heads import ContinuousHead
from footlight.networks.initialization import Initialization

Decay = Annotated[float, Range(0, 1, open_high=True)]


@dataclass(frozen=True, kw_only=True)
class Normalization(KnownFields):
    """Normalization and clipping of observations and rewards before learning. Logged and evaluated
    returns stay raw."""

    normalize_observations: bool = False
    """Normalize observations by their running mean and standard deviation, clipped to ±10."""
    normalize_rewards: bool = False
    """Divide rewards by the running standard deviation of the discounted return."""
    clip_normalized_reward: OptionalPositive = 10.0
    """Clip normalized rewards to plus and minus this, in standard deviations of the discounted
    return; none: off."""
    max_normalized_return: OptionalPositive = None
    """With normalize_rewards, divide rewards by more where needed, so that no discounted return so
    far exceeds this (FlashSAC: 5); none: off."""
    clip_reward: OptionalPositive = None
    """Clip rewards to plus and minus this; none: off."""
    return_restarts_at_end: ClassVar[bool] = False  # no field: see `stream_ac.py`


@dataclass(frozen=True, kw_only=True)
class HiddenLayers:
    """The layers of a network before its outputs."""

    torso: Torso = "auto"
    """Layers before the hidden ones: nature (convolutions of Mnih et al. 2015: 32 8x8/4, 64
    4x4/2, 64 3x3/1), small (convolutions 16-32-32, 5x5/2) or mlp (no convolutions). auto: nature
    for uint8 images of at least 36 x 36, otherwise mlp."""
    hidden_sizes: LayerSizes = (64, 64)
    """Widths of the hidden layers, after the convolutions if there are any; none: no hidden
    layers."""
    activation: Activation = "tanh"
    """Activation after each hidden layer."""
    layer_norm: bool = False
    """Layer normalization before each activation."""
    initialization: Initialization = "orthogonal"
    """Initial weights: pytorch, kaiming (normal; last layer uniform in ±3e-3), orthogonal or
    sparse."""
    precision: Precision = "fp32"
    """Precision of matrix products in hidden layers: fp32 or bf16. Last layers, parameters,
    optimizer and sums are fp32 in either case."""


@dataclass(frozen=True, kw_only=True)
class ActorCriticNetwork(HiddenLayers):
    """The network of an on-policy actor-critic."""

    shared_torso: bool = False
    """Actor and critic share all hidden layers."""


@dataclass(frozen=True, kw_only=True)
class ContinuousActions:
    """How a policy draws continuous actions."""

    action_head: ContinuousHead = "gaussian"
    """Distribution of continuous actions: gaussian (one learned standard deviation),
    state-dependent-gaussian, or squashed-gaussian (state-dependent, through tanh). Discrete actions
    are categorical."""
    initial_log_std: float = 0.0
    """Initial log standard deviation of continuous actions, in units of half the action range. A
    squashed-gaussian has it before the tanh; your own network is left unchanged."""


@dataclass(frozen=True, kw_only=True)
class OptimizerSettings:
    """Optimizer settings."""

    learning_rate: Annotated[Positive, SCHEDULABLE] = 3e-4
    """Learning rate of the optimizer."""
    actor_learning_rate: Annotated[OptionalPositive, SCHEDULABLE] = None
    """Learning rate of the actor's own layers; none: automatic, learning_rate."""
    critic_learning_rate: Annotated[OptionalPositive, SCHEDULABLE] = None
    """Learning rate of the critic's own layers; none: automatic, learning_rate."""
    learning_rate_schedule: Schedule = "constant"
    """constant, linear (decays over the run, to 0 or what final_learning_rate says) or cosine (the
    same along half a cosine)."""
    final_learning_rate: Fraction = 0.0
    """What the schedule leaves of the learning rate at the end of the run, as a share of it."""
    optimizer: Kind = "adam"
    """adam, adamw (the same with decoupled weight decay), rmsprop (decay 0.99), rmsprop-tf
    (TensorFlow's form, for which published Atari values were tuned: epsilon under the root, and a
    mean square that starts at 1), or sgd (plain gradient descent, no momentum)."""
    adam_beta1: Decay = 0.9
    """Decay rate of the first moment of adam and adamw."""
    adam_beta2: Decay = 0.999
    """Decay rate of the second moment of adam and adamw."""
    optimizer_epsilon: Positive = 1e-5
    """Added to the root of the second moment; sgd has none."""
    weight_decay: NonNegative = 0.0
    """L2 penalty: weight_decay times each parameter is added to its clipped gradient, as in
    torch.optim.Adam. With adamw it is decoupled: learning_rate times weight_decay times each
    parameter is subtracted from it."""
    max_grad_norm: OptionalPositive = 0.5
    """Maximum norm of the gradient; a larger one is scaled down to it. none: off."""

    @property
    def rate_of_actor(self) -> StepSize:
        """The effective `actor_learning_rate`."""
        own = self.actor_learning_rate
        return self.learning_rate if own is None else own

    @property
    def rate_of_critic(self) -> StepSize:
        """The effective `critic_learning_rate`."""
        own = self.critic_learning_rate
        return self.learning_rate if own is None else own

    def make_optimizer(self) -> Optimizer:
        """The optimizer that these settings describe."""
        return Optimizer(
            kind=self.optimizer, betas=(self.adam_beta1, self.adam_beta2),
            epsilon=self.optimizer_epsilon, weight_decay=self.weight_decay,
            max_grad_norm=self.max_grad_norm, schedule=self.learning_rate_schedule,
            final_share=self.final_learning_rate,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class OffPolicyOptimizer(OptimizerSettings):
    """Optimizer settings of an off-policy algorithm: one for the actor, one for the critics."""

    learning_rate: Annotated[Positive, SCHEDULABLE] = 3e-4
    """Learning rate of actor and critics, and of everything else that is learned."""
    actor_learning_rate: Annotated[OptionalPositive, SCHEDULABLE] = None
    """Learning rate of the actor; none: automatic, learning_rate."""
    critic_learning_rate: Annotated[OptionalPositive, SCHEDULABLE] = None
    """Learning rate of the critics; none: automatic, learning_rate."""
    optimizer_epsilon: Positive = 1e-8
    """Added to the root of the second moment; sgd has none."""
    max_grad_norm: OptionalPositive = None
    """Maximum norm of a gradient; a larger one is scaled down to it. none: off."""


@dataclass(frozen=True, kw_only=True)
class ReplayAndUpdates:
    """Replay and updates of an off-policy algorithm."""

    n_steps: Count = 1
    """Steps of n-step returns: rewards summed before bootstrapping."""
    batch_size: Count = 256
    """Transitions per minibatch."""
    buffer_size: Count = 1_000_000
    """Capacity of the replay buffer in transitions; for images, in frames over all environments."""
    sample_with_replacement: bool = True
    """Draw the transitions of a minibatch independently; false: all different, as random.sample
    draws them."""
    learning_starts: CountOrZero = 1_000
    """Environment steps before the first update."""
    updates_per_step: NonNegative = 1.0
    """Gradient updates per environment step, counting the steps of all environments."""


@dataclass(frozen=True, kw_only=True)
class OffPolicyReplay(ReplayAndUpdates):
    """Replay and updates of an off-policy algorithm whose targets follow slowly."""

    tau: Fraction = 0.005
    """Fraction of the online network moved into the target network at each update."""
    delay_targets: bool = True
    """Whether a policy_delay delays the target networks, too; false: those of the critics move at
    each update."""


@dataclass(frozen=True, kw_only=True)
class Priorities:
    """Which transitions are replayed more often."""

    prioritization: Prioritization = "none"
    """Probability of drawing a transition: none (uniform), proportional (to the critics' last
    error; the loss is weighted), or lap (large errors more often; Huber loss)."""
    priority_exponent: Annotated[float | None, Range(0, 1)] = None
    """Exponent of the error in the priority, from 0 (uniform) to 1; none: automatic, 0.6 with
    proportional, 0.4 with lap."""
    importance_exponent: Fraction = 0.4
    """With proportional, exponent of the weights in the loss at the start of the run: 0 ignores
    the unequal probabilities, 1 makes up for them. It rises linearly to 1 over the run."""

    @property
    def exponent_of_priority(self) -> float:
        """The effective `priority_exponent`."""
        automatic = 0.4 if self.prioritization == "lap" else 0.6
        return automatic if self.priority_exponent is None else self.priority_exponent


@dataclass(frozen=True, kw_only=True)
class Temperature:
    """The temperature alpha of maximum-entropy algorithms."""

    alpha_learning_rate: Annotated[OptionalPositive, SCHEDULABLE] = None
    """Learning rate of the temperature; none: automatic, learning_rate."""
    learn_alpha: bool = True
    """Tune the temperature alpha automatically, so that the policy's entropy approaches its
    target."""
    initial_alpha: Positive = 1.0
    """Initial temperature, or the constant temperature if learn_alpha is false: the reward that
    one nat of entropy is worth."""

    def rate_of_alpha(self, learning_rate: StepSize) -> StepSize:
        """The effective `alpha_learning_rate`, where that of all else is `learning_rate`."""
        return learning_rate if self.alpha_learning_rate is None else self.alpha_learning_rate


@dataclass(frozen=True, kw_only=True)
class PolicyCheckpoints:
    """When the policy is assessed, and which one is kept."""

    use_checkpoints: bool = True
    """Assess the policy in whole episodes between blocks of updates, and evaluate and save the
    best one so far; false: update after each step, and evaluate the current policy."""
    early_episodes: Count = 1
    """Episodes of an assessment at first."""
    late_episodes: Count = 20
    """Episodes of an assessment in the late phase."""
    late_phase_starts: CountOrZero = 750_000
    """Updates before the late phase."""
    late_phase_factor: Fraction = 0.9
    """What the smallest return of the best policy is multiplied by when the late phase begins."""


@dataclass(frozen=True, kw_only=True)
class Entropy:
    """Entropy bonus."""

    entropy_coef: Annotated[NonNegative, SCHEDULABLE] = 0.0
    """Weight of the entropy bonus in the loss."""
    final_entropy_coef: Annotated[float | None, Range(0)] = None
    """entropy_coef at the end of the run, approached linearly; none: off, entropy_coef is
    constant."""
