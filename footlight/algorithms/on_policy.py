"""What the on-policy algorithms share besides equations: one network for policy and values, acting,
and the optimizer's step. A function of an `algorithm` is a method of the classes that say so, as in
`act = sample_or_mode`."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from footlight.algorithms.network_source import call_source, naming_part
from footlight.algorithms.protocol import PolicyState
from footlight.algorithms.settings import Entropy, OptimizerSettings
from footlight.ambient import computes
from footlight.equations.draws import Draw, Normal
from footlight.equations.optimizers import Memory
from footlight.errors import UserError
from footlight.networks.bodies import ActorCritic, Architecture
from footlight.networks.cnn import choose_torso
from footlight.networks.combined import encoded_leaves, leaf_torso
from footlight.networks.flat import Network, as_tensors
from footlight.networks.heads import Head, head_for
from footlight.networks.members import require_parameters
from footlight.trees import map_leaves
from footlight.types import Array, BoxAction, Decision, Diagnosis, Spaces

NetworkSource = Callable[[Any, Any], nn.Module]
"""Called with observation space and action space. Either its `forward(observation)` returns
`(output, value)`, or it has the parts `actor(observation)` -> output and `critic(observation)` ->
value, or only one of them (the other is the default). output [B, H]: logits of discrete actions (of
all choices side by side), or means of continuous ones in [-1, 1], with raw log standard deviations
behind them for a state-dependent head. value: [B] or [B, 1]."""


@dataclass(frozen=True)
class Networks:
    """Architectures; their parameters are in the state."""

    actor_critic: Network
    head: Head
    separate: bool
    """Whether the values are computed from the parameters of parts called `critic`, and the policy
    from none of them."""
    trains: dict[str, list[bool]] = field(default_factory=dict)
    """By loss, which of the parameters it depends on, where two optimizers share them."""

    @property
    def policy(self) -> Network:
        """Policy and values in one."""
        return self.actor_critic


class ActorCriticAlgorithm(Protocol):
    """What the methods here need of an algorithm."""

    @property
    def networks(self) -> Networks:
        """Its architectures."""


class ActorCriticState(Protocol):
    """What the states of the on-policy algorithms have in common."""

    actor_critic: Tensor  # [P]


class OptimizedState(ActorCriticState, Protocol):
    """What the states of those with one optimizer have in common."""

    optimizer: Memory
    progress: Tensor  # [1], share of the run that is over


def build_networks(
    config: Any, spaces: Spaces, network: NetworkSource | None = None, **changes: Any
) -> Networks:
    """Policy and values: the default network, or the user's own.

    changes: arguments of the default `ActorCritic`.

    Raises `UserError` for a module of the user's that does not fit.
    """
    head = head_for(spaces.action, config.action_head)
    is_box, one_std = isinstance(spaces.action, BoxAction), config.action_head == "gaussian"
    num_log_std = spaces.action.size if is_box and one_std else 0
    num_raw_log_std = spaces.action.size if is_box and not one_std else 0
    default_network = ActorCritic(
        spaces.observation_shape, head.num_outputs - num_log_std, architecture_of(config, spaces),
        shared=config.shared_torso, num_log_std=num_log_std, num_raw_log_std=num_raw_log_std,
        initial_log_std=config.initial_log_std, **changes,
    )  # fmt: skip
    pixels = sees_pixels(config, spaces)
    if network is None:
        networks = Networks(
            Network([default_network], precision=config.precision, on_images=pixels),
            head,
            not config.shared_torso,
        )
        networks.actor_critic.keep_outputs_in_fp32(example(spaces))
        return networks
    user_network = _UserNetwork(call_source(network, spaces), default_network)
    require_parameters(user_network, type(user_network.network).__name__)
    actor_critic = Network([user_network], precision=config.precision, on_images=pixels)
    networks = Networks(actor_critic, head, separate=False)
    check_output_shapes(networks, spaces, default_network.num_values)
    return replace(networks, separate=_are_separate(networks.actor_critic, example(spaces)))


@runtime_checkable
class _ScalingNorm(Protocol):
    """A config that says whether layer normalization learns a scale and a shift."""

    norm_affine: bool


def architecture_of(config: Any, spaces: Spaces) -> Architecture:
    """The shape of the network that a config asks for."""
    affine = config.norm_affine if isinstance(config, _ScalingNorm) else True
    leaves = encoded_leaves(spaces)
    if leaves:
        torso = config.torso  # which is chosen leaf by leaf
    else:
        only = spaces.observation[""]
        torso = choose_torso(config.torso, only.shape, only.dtype)
    return Architecture(
        config.hidden_sizes,
        config.activation,
        "layer" if config.layer_norm else "none",
        config.initialization,
        affine,
        torso=torso,
        leaves=leaves,
    )


def sees_pixels(config: Any, spaces: Spaces) -> bool:
    """Whether observations go through convolutions."""
    leaves = spaces.observation
    if encoded_leaves(spaces):
        return any(leaf_torso(config.torso, leaf) != "mlp" for leaf in leaves.values())
    return choose_torso(config.torso, leaves[""].shape, leaves[""].dtype) != "mlp"


def rows_of(observation_TE: Any) -> Any:
    """Observations [T, E, ...] -> [T * E, ...], leaf by leaf."""
    return map_leaves(lambda leaf_TE: leaf_TE.flatten(0, 1), observation_TE)


def sample_or_mode(
    algorithm: ActorCriticAlgorithm, policy: PolicyState, memory: None, observation: Array,
    stream: np.random.Generator | None,
) -> tuple[Decision, None]:  # fmt: skip
    """Actions [E, A] as drawn: the policy's mode, or a sample if a random stream is given."""
    networks = algorithm.networks
    output = networks.actor_critic.infer(policy.parameters, observation)
    output_EH = output[0] if isinstance(output, tuple) else output
    head = networks.head
    return Decision(
        head.mode(output_EH) if stream is None else head.sample(output_EH, stream)
    ), None


def diagnose_actor_critic(
    algorithm: ActorCriticAlgorithm, state: ActorCriticState, observation: Tensor
) -> Diagnosis:
    """V(s), and the policy's distribution."""
    networks = algorithm.networks
    output_EH, value_E = networks.actor_critic(state.actor_critic, observation)
    return networks.head.diagnose(output_EH)._replace(value=value_E)


@computes
def action_values(networks: Networks, parameters_P: Tensor, observation: Array) -> Tensor:
    """Q of every action [E, A], on the CPU, of a network whose values are those of actions."""
    with torch.no_grad():  # `infer` may return the policy's output alone, where it uses NumPy
        tensors = as_tensors(observation, parameters_P.device)
        return networks.actor_critic(parameters_P, tensors)[1].cpu()


def entropy_draws(networks: Networks, num_rows: int) -> dict[str, Draw]:
    """Standard normal numbers for entropies without a closed form."""
    return {"entropy": Normal((num_rows, networks.head.noise_size))}


def optimizer_step(
    config: OptimizerSettings, networks: Networks, state: OptimizedState, gradient_P: Tensor
) -> Tensor:
    """One step of the state's optimizer against the gradient, in place. Return the gradient's
    norm."""
    rate = step_sizes(config, networks.actor_critic, gradient_P.device)
    return config.make_optimizer().step(
        state.actor_critic, gradient_P, state.optimizer, rate, state.progress
    )


def step_sizes(
    config: OptimizerSettings, network: Network, device: torch.device | None = None
) -> float | Tensor:
    """One step size for all parameters, or [P] where actor and critic have their own."""
    if config.actor_learning_rate is None and config.critic_learning_rate is None:
        return config.learning_rate
    critic_P = network.mask("critic", device)
    # An actor may have a log_std inside it
    actor_P = torch.maximum(network.mask("actor", device), network.mask("log_std", device))
    # Shared parameters belong to neither
    critic_P, actor_P = critic_P * (1 - actor_P), actor_P * (1 - critic_P)
    rate_P = config.learning_rate * (1 - critic_P - actor_P)
    return rate_P + config.rate_of_actor * actor_P + config.rate_of_critic * critic_P


def entropy_weight(config: Entropy, progress: Tensor) -> float | Tensor:
    """The entropy's weight at this point of the run."""
    start, end = config.entropy_coef, config.final_entropy_coef
    return start if end is None else start + (end - start) * progress.squeeze()


class _UserNetwork(nn.Module):
    """The user's module, with the default network's part where it lacks one."""

    def __init__(self, network: nn.Module, default_network: ActorCritic) -> None:
        super().__init__()
        self.has_forward = type(network).forward is not nn.Module.forward
        if not self.has_forward and not (hasattr(network, "actor") or hasattr(network, "critic")):
            raise UserError(
                f"network returned {type(network).__name__} - it must have a "
                "forward(observation) that returns (output, value), or the parts `actor` and "
                "`critic`, or one of them"
            )
        self.network: Any = network
        self.num_values, self.log_std = default_network.num_values, default_network.log_std
        if not self.has_forward and not (hasattr(network, "actor") and hasattr(network, "critic")):
            self.ours = default_network  # a prefix of names in checkpoints, so it stays
            default_network.log_std = None

    @property
    def user_module(self) -> nn.Module | None:
        """The user's own module; None if no part of it acts."""
        own: nn.Module = self.network
        return own if self.has_forward or hasattr(own, "actor") else None

    def forward(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        if self.has_forward:
            output, value = self.network(observation)
        else:
            own = self.network
            output = own.actor(observation) if hasattr(own, "actor") else self.ours(observation)[0]
            value = own.critic(observation) if hasattr(own, "critic") else self.ours(observation)[1]
        if self.log_std is not None and output.shape[-1] == len(self.log_std):
            output = torch.cat([output, self.log_std.expand_as(output)], -1)
        return output, value.squeeze(-1) if self.num_values == 1 and value.dim() == 2 else value


def _are_separate(network: Network, observation: Any) -> bool:
    """Whether actor and critic share no parameter, and names tell which one each belongs to."""
    policy_P, value_P = map(network.selected, network.dependencies(observation))
    critic_P = network.mask("critic")
    return (
        bool(value_P.any())
        and not (policy_P * critic_P).any()
        and not (value_P * (1 - critic_P)).any()
    )


def example(spaces: Spaces) -> Any:
    """A batch of two observations, for shapes."""
    zeros = np.zeros((2, *spaces.observation_shape), spaces.observation_dtype)
    return as_tensors(zeros, torch.device("cpu"))


def _check_parts(module: nn.Module, observation: Any, values: str) -> None:
    """Call the parts of the user's module one by one, so that an error names the part."""
    if not isinstance(module, _UserNetwork) or module.has_forward:
        return
    outputs = "logits, or means of continuous actions, [B, H]"
    for name, returned in ("actor", outputs), ("critic", values):
        called_so = f"it is called as {name}(observation), and must return {returned}"
        with naming_part(name, called_so), torch.no_grad():
            if hasattr(module.network, name):
                _ = getattr(module.network, name)(observation).shape


def check_output_shapes(networks: Networks, spaces: Spaces, num_values: int) -> None:
    """Call the user's module once, so that wrong shapes are reported before training."""
    observation = example(spaces)
    wanted = (2, networks.head.num_outputs), (2,) if num_values == 1 else (2, num_values)
    values = "values [B]" if num_values == 1 else f"values [B, {num_values}]"
    _check_parts(networks.actor_critic.module, observation, values)
    called_so = f"it is called as forward(observation), and must return (output, value): {values}"
    with naming_part("forward", called_so), torch.no_grad():
        networks.actor_critic.keep_outputs_in_fp32(observation)
        output, value = networks.actor_critic(networks.actor_critic.initial, observation)
        shapes = tuple(output.shape), tuple(value.shape)
    for name, shape, want in zip(("actor", "critic"), shapes, wanted, strict=True):
        if shape != want:
            raise UserError(
                f"the network's {name} returns shape {shape} for 2 observations - "
                f"it must return {want}"
            )
