"""What the reference implementations of the on-policy algorithms are made of.

Plain modules, distributions and optimizers of PyTorch, written from the papers and the documented
meaning of each option.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from recorder import Parameters
from torch import Tensor, nn
from torch.distributions import Categorical, Normal
from torch.distributions.transforms import TanhTransform

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "tanh": nn.Tanh, "relu": nn.ReLU, "elu": nn.ELU, "gelu": nn.GELU, "silu": nn.SiLU,
    "leaky-relu": nn.LeakyReLU,
}  # fmt: skip


class Batch(NamedTuple):
    """Transitions as tensors [B, ...], with the values and returns that hold for the update."""

    observation: Tensor
    action: Tensor
    noise: Tensor
    value: Tensor
    target: Tensor


class Spaces(NamedTuple):
    """Numbers in an observation, and either the `sizes` of the choices or `num_actions`."""

    num_inputs: int
    sizes: tuple[int, ...] = ()
    num_actions: int = 0


class ActorCritic(nn.Module):
    """A policy's outputs, and values, from separate networks or from two layers on one torso."""

    def __init__(self, config: Any, spaces: Spaces, num_values: int = 1) -> None:
        super().__init__()
        self.num_values = num_values
        one_std = bool(spaces.num_actions) and config.action_head == "gaussian"
        num_outputs = sum(spaces.sizes) + spaces.num_actions * (1 if one_std else 2)
        self.log_std = nn.Parameter(torch.zeros(spaces.num_actions)) if one_std else None
        if config.shared_torso:
            features = config.hidden_sizes[-1] if config.hidden_sizes else spaces.num_inputs
            self.torso = nn.Sequential(*hidden_layers(config, spaces.num_inputs))
            self.actor = nn.Sequential(nn.Linear(features, num_outputs))
            self.critic = nn.Sequential(nn.Linear(features, num_values))
        else:
            self.torso = nn.Sequential()
            self.actor = perceptron(config, spaces.num_inputs, num_outputs)
            self.critic = perceptron(config, spaces.num_inputs, num_values)

    def forward(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        features = self.torso(observation)
        output, value = self.actor(features), self.critic(features)
        if self.log_std is not None:
            output = torch.cat([output, self.log_std.expand_as(output)], dim=1)
        return output, value[:, 0] if self.num_values == 1 else value


def hidden_layers(config: Any, num_inputs: int) -> Iterator[nn.Module]:
    """Linear, layer norm if asked for, activation."""
    for size in config.hidden_sizes:
        yield nn.Linear(num_inputs, size)
        if config.layer_norm:
            affine = getattr(config, "norm_affine", True)
            yield nn.LayerNorm(size, elementwise_affine=affine)
        yield ACTIVATIONS[config.activation]()
        num_inputs = size


def perceptron(config: Any, num_inputs: int, num_outputs: int) -> nn.Sequential:
    """Hidden layers and a linear one."""
    features = config.hidden_sizes[-1] if config.hidden_sizes else num_inputs
    return nn.Sequential(*hidden_layers(config, num_inputs), nn.Linear(features, num_outputs))


class Policy:
    """The distribution over actions that a network's outputs stand for."""

    def __init__(self, config: Any, spaces: Spaces) -> None:
        self.sizes = list(spaces.sizes)
        self.squashed = not spaces.sizes and config.action_head == "squashed-gaussian"

    def log_prob(self, output: Tensor, action: Tensor) -> Tensor:
        """log pi(a|s); a squashed action is given before the tanh, its density is after it."""
        if self.sizes:
            choices = zip(self.categoricals(output), action.unbind(1), strict=True)
            return sum((one.log_prob(choice) for one, choice in choices), torch.zeros(len(output)))
        density = self.normal(output).log_prob(action)
        return (density - tanh_slope(action) if self.squashed else density).sum(1)

    def entropy(self, output: Tensor, noise: Tensor | None) -> Tensor:
        """In nats; of a squashed Gaussian the estimate from one sample, mean + std * noise."""
        if self.sizes:
            return sum((one.entropy() for one in self.categoricals(output)), torch.zeros(1))
        normal = self.normal(output)
        if not self.squashed:
            return normal.entropy().sum(1)
        assert noise is not None
        return (normal.entropy() + tanh_slope(normal.mean + normal.stddev * noise)).sum(1)

    def categoricals(self, output: Tensor) -> list[Categorical]:
        """One for each choice; their logits lie side by side."""
        return [Categorical(logits=logits) for logits in output.split(self.sizes, dim=1)]

    def normal(self, output: Tensor) -> Normal:
        """Log standard deviations are bounded to [-20, 2] (Haarnoja et al. 2018)."""
        mean, log_std = output.chunk(2, dim=1)
        return Normal(mean, log_std.clamp(-20, 2).exp())


def stack(rows: Sequence[Batch]) -> Batch:
    """One batch of batches of one row."""
    return Batch(*(torch.cat(parts) for parts in zip(*rows, strict=True)))


def as_tensor(numbers: Any) -> Tensor:
    """Numbers in float64, or choices as integers."""
    tensor = torch.from_numpy(np.asarray(numbers))
    return tensor.double() if tensor.is_floating_point() else tensor


def by_part(named: dict[str, Tensor], prefix: str = "") -> Parameters:
    """Parameters by the part of the network that they lie in, and their name there."""
    found: Parameters = {}
    for path, parameter in named.items():
        part, _, name = path.partition(".")
        found.setdefault(prefix + part, {})[name or "value"] = parameter.detach()
    return found


def tanh_slope(before: Tensor) -> Tensor:
    """log of the derivative of tanh."""
    return TanhTransform().log_abs_det_jacobian(before, before.tanh())


class TensorFlowRMSprop(torch.optim.Optimizer):
    """RMSprop as Mnih et al. 2016 ran it: g / sqrt(v + epsilon), with v = 1 at the start."""

    def __init__(self, parameters: Iterable[Any], **defaults: float) -> None:
        super().__init__(parameters, defaults)

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                gradient = parameter.grad + group["weight_decay"] * parameter.data
                v = self.state[parameter].get("v", torch.ones_like(parameter))
                self.state[parameter]["v"] = v = 0.99 * v + 0.01 * gradient**2
                parameter.data -= group["lr"] * gradient / (v + group["eps"]).sqrt()


def optimizer_for(config: Any, network: nn.Module) -> torch.optim.Optimizer:
    """The optimizer, with a learning rate of its own for the layers of actor and critic."""
    rates = {"actor": config.actor_learning_rate, "critic": config.critic_learning_rate}
    rates["log_std"] = rates["actor"]
    groups = [
        {"params": [parameter], "lr": rates.get(name.split(".")[0]) or config.learning_rate}
        for name, parameter in network.named_parameters()
    ]
    options = {"eps": config.optimizer_epsilon, "weight_decay": config.weight_decay}
    if config.optimizer == "adam":
        return torch.optim.Adam(groups, betas=(0.9, 0.999), **options)
    if config.optimizer == "adamw":
        return torch.optim.AdamW(groups, betas=(0.9, 0.999), **options)
    if config.optimizer == "rmsprop":
        return torch.optim.RMSprop(groups, alpha=0.99, **options)
    if config.optimizer == "rmsprop-tf":
        return TensorFlowRMSprop(groups, **options)
    return torch.optim.SGD(groups, weight_decay=config.weight_decay)
