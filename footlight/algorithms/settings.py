"""Groups of hyperparameters that methods share. A method's `Config` names its groups, sets its own defaults, and adds its own."""

from dataclasses import dataclass
from typing import Annotated, Literal

from footlight.config import LayerSizes, NonNegative, OptionalPositive, Positive, Range
from footlight.networks.cnn import Torso
from footlight.networks.heads import ContinuousHead
from footlight.networks.initialisation import Initialisation
from footlight.networks.mlp import Activation
from footlight.networks.parameters import Precision


@dataclass(frozen=True, kw_only=True)
class Normalisation:
    """What happens to observations and rewards before they are learned from. Logged and evaluated returns stay raw."""

    normalize_observations: bool = False
    """Subtract the running mean of each component, divide by its running standard deviation, cut off at ±10."""
    normalize_rewards: bool = False
    """Divide by the running standard deviation of the discounted return."""
    clip_normalized_reward: OptionalPositive = 10.0
    """With normalize_rewards: clip what comes out at plus and minus this, in standard deviations of the discounted return;
    none: no clipping."""
    clip_reward: OptionalPositive = None
    """Cut rewards off at plus and minus this; none: as they are."""


@dataclass(frozen=True, kw_only=True)
class ActorCriticNetwork:
    """The network of an on-policy actor-critic."""

    torso: Torso = "auto"
    """What observations go through first: nature (convolutions of Mnih et al. 2015: 32 8x8/4, 64 4x4/2, 64 3x3/1), small
    (convolutions 16-32-32, 5x5/2) or mlp (nothing); auto: nature for pictures of bytes of at least 36 x 36, otherwise mlp."""
    hidden_sizes: LayerSizes = (64, 64)
    """Widths of the hidden layers, behind convolutions if there are any."""
    activation: Activation = "tanh"
    """Activation after each hidden layer."""
    layer_norm: bool = False
    """Layer normalisation before each activation."""
    initialisation: Initialisation = "orthogonal"
    """Initial weights: pytorch, kaiming (normal, last layer uniform in ±3e-3), orthogonal or sparse."""
    shared_torso: bool = False
    """Actor and critic share all hidden layers."""
    precision: Precision = "fp32"
    """What networks multiply in; bf16: products in bfloat16, everything that is kept or summed in fp32."""


@dataclass(frozen=True, kw_only=True)
class ContinuousActions:
    """How a policy draws continuous actions."""

    action_head: ContinuousHead = "gaussian"
    """Distribution of continuous actions: gaussian (one standard deviation, learned), state-dependent-gaussian, or
    squashed-gaussian (state-dependent, through tanh). Discrete actions are categorical."""
    initial_log_std: float = 0.0
    """Log standard deviation of continuous actions at the start, in half action ranges. A squashed-gaussian has it before
    the tanh; a network of your own starts as it comes, unless it leaves the log standard deviation out."""


@dataclass(frozen=True, kw_only=True)
class Descent:
    """How an on-policy method follows its gradient."""

    learning_rate: Positive = 3e-4
    """The optimiser's step size."""
    actor_learning_rate: OptionalPositive = None
    """Step size for the actor's own layers; none: learning_rate."""
    critic_learning_rate: OptionalPositive = None
    """Step size for the critic's own layers; none: learning_rate."""
    learning_rate_schedule: Literal["constant", "linear"] = "constant"
    """linear: the step sizes fall to 0 over the run."""
    optimizer: Literal["adam", "rmsprop", "rmsprop-tf"] = "adam"
    """Adam with betas 0.9 and 0.999, RMSprop with decay 0.99, or its TensorFlow form, which published values for Atari are for:
    the epsilon under the root, and a memory that begins at 1."""
    optimizer_epsilon: Positive = 1e-5
    """Added to the root of the second moment."""
    max_grad_norm: OptionalPositive = 0.5
    """Norm that the whole gradient is scaled down to where it is larger; none: no clipping."""


@dataclass(frozen=True, kw_only=True)
class Entropy:
    """What a policy is paid for staying undecided."""

    entropy_coef: NonNegative = 0.0
    """Weight of the policy's entropy in the loss."""
    final_entropy_coef: Annotated[float | None, Range(0)] = None
    """Weight of the entropy at the end of the run, approached linearly; none: entropy_coef throughout."""
