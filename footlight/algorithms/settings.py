"""Groups of hyperparameters that methods share. A method's `Config` names its groups, sets its own defaults, and adds its own."""

from dataclasses import dataclass
from typing import Annotated, Literal

from footlight.config.fields import LayerSizes, NonNegative, OptionalPositive, Positive, Range
from footlight.networks.bodies import Activation
from footlight.networks.cnn import Torso
from footlight.networks.flat import Precision
from footlight.networks.heads import ContinuousHead
from footlight.networks.initialization import Initialization

Optimizer = Literal["adam", "adamw", "rmsprop", "rmsprop-tf", "sgd"]


@dataclass(frozen=True, kw_only=True)
class Normalization:
    """What happens to observations and rewards before they are learned from. Logged and evaluated returns stay raw."""

    normalize_observations: bool = False
    """Normalize observations by their running mean and standard deviation, clipped to ±10."""
    normalize_rewards: bool = False
    """Divide by the running standard deviation of the discounted return."""
    clip_normalized_reward: OptionalPositive = 10.0
    """Clip normalized rewards to plus and minus this, in standard deviations of the discounted return;
    none: off."""
    clip_reward: OptionalPositive = None
    """Clip rewards to plus and minus this; none: off."""


@dataclass(frozen=True, kw_only=True)
class ActorCriticNetwork:
    """The network of an on-policy actor-critic."""

    torso: Torso = "auto"
    """Layers in front of the hidden ones: nature (convolutions of Mnih et al. 2015: 32 8x8/4, 64
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
    shared_torso: bool = False
    """Actor and critic share all hidden layers."""
    precision: Precision = "fp32"
    """Precision of matrix products in hidden layers: fp32 or bf16. Last layers, parameters,
    optimizer and sums are fp32 in either case."""


@dataclass(frozen=True, kw_only=True)
class ContinuousActions:
    """How a policy draws continuous actions."""

    action_head: ContinuousHead = "gaussian"
    """Distribution of continuous actions: gaussian (one learned standard deviation),
    state-dependent-gaussian, or squashed-gaussian (state-dependent, through tanh). Discrete actions
    are categorical."""
    initial_log_std: float = 0.0
    """Initial log standard deviation of continuous actions, in units of half the action range. A
    squashed-gaussian has it before the tanh; a network of your own is not changed."""


@dataclass(frozen=True, kw_only=True)
class Descent:
    """How an on-policy method follows its gradient."""

    learning_rate: Positive = 3e-4
    """Learning rate of the optimizer."""
    actor_learning_rate: OptionalPositive = None
    """Learning rate of the actor's own layers; none: automatic, learning_rate."""
    critic_learning_rate: OptionalPositive = None
    """Learning rate of the critic's own layers; none: automatic, learning_rate."""
    learning_rate_schedule: Literal["constant", "linear"] = "constant"
    """constant, or linear: decays to 0 over the run."""
    optimizer: Optimizer = "adam"
    """adam (betas 0.9 and 0.999), adamw (the same with decoupled weight decay), rmsprop (decay 0.99), rmsprop-tf (TensorFlow's
    form, which published values for Atari are for: epsilon under the root, and a memory that begins at 1), or sgd (plain gradient
    descent, no momentum)."""
    optimizer_epsilon: Positive = 1e-5
    """Added to the root of the second moment; sgd has none."""
    weight_decay: NonNegative = 0.0
    """Shrinks the parameters: weight_decay times each is added to its clipped gradient (an L2 penalty, as torch.optim.Adam has
    it), or, with adamw, learning_rate times weight_decay of each is subtracted beside the step."""
    max_grad_norm: OptionalPositive = 0.5
    """Maximum norm of the gradient; a larger one is scaled down to it. none: off."""


@dataclass(frozen=True, kw_only=True)
class Entropy:
    """What a policy is paid for staying undecided."""

    entropy_coef: NonNegative = 0.0
    """Weight of the entropy bonus in the loss."""
    final_entropy_coef: Annotated[float | None, Range(0)] = None
    """entropy_coef at the end of the run, approached linearly; none: off, entropy_coef is
    constant."""
