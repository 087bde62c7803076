"""What the off-policy algorithms share besides equations: networks, ours or the user's own, and the
plumbing of a deterministic policy."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import gymnasium
import numpy as np
import torch
from torch import Tensor, nn

from footlight.algorithms.exploration import NOISES, ExplorationNoise, uniform
from footlight.algorithms.protocol import PolicyState
from footlight.algorithms.settings import (
    Normalization,
    OffPolicyNetworks,
    OffPolicyOptimizer,
    OffPolicyReplay,
)
from footlight.config.fields import Fraction
from footlight.equations.optimizers import Memory as OptimizerMemory
from footlight.errors import UserError, first_line
from footlight.networks.bodies import Architecture, QCritic, combined
from footlight.networks.flat import Network, as_tensors
from footlight.networks.heads import ActionHead
from footlight.trees import Leaf, rebuilt
from footlight.types import (
    Array,
    BoxAction,
    Decision,
    Diagnosis,
    DiscreteAction,
    FloatArray,
    Spaces,
)

ActorClass = Callable[[tuple[int, ...], int, Architecture], nn.Module]
NetworkSource = Callable[[gymnasium.Space[Any], gymnasium.Space[Any]], nn.Module]
"""Called with observation space and action space; returns a module with the parts `actor` and
`critic`, or only one of them (the other is the default). For SAC `actor(observation)` returns mean
and raw log standard deviation [B, A]; for TD3 and DDPG actions [B, A] in [-1, 1].
`critic(observation, action)` returns values [B]; the source is called once per critic, for weights
of its own.

For a Dict or Tuple space the observation space is a Dict of all leaves by dotted name, and an
observation a dict of tensors."""


Memory = Mapping[str, FloatArray]
"""Acting memory of the off-policy algorithms: "walk" [E, A], the last value of the noise."""


@dataclass(frozen=True)
class Networks:
    """Architectures; their parameters are in the state."""

    actor: Network
    critic: Network
    num_actions: int
    head: ActionHead

    @property
    def policy(self) -> Network:
        """The actor."""
        return self.actor


def build_networks(
    config: OffPolicyNetworks, spaces: Spaces, actor_class: ActorClass, head: ActionHead,
    num_critics: int, network: NetworkSource | None,
) -> Networks:  # fmt: skip
    """An actor and an ensemble of critics. Raises `UserError` for an unsuitable module of the
    user's."""
    architecture = Architecture(
        config.hidden_sizes, config.activation, config.layer_norm, config.initialization,
        torso="auto" if spaces.has_leaves else "mlp",
        leaves=spaces.observation if spaces.has_leaves else {},
    )  # fmt: skip
    num_actions = spaces.action.size

    def body(kind: ActorClass) -> nn.Module:
        if not spaces.has_leaves:
            return kind(spaces.observation_shape, num_actions, architecture)
        return combined(architecture, lambda shape, inner: kind(shape, num_actions, inner))

    own = [] if network is None else [call_source(network, spaces) for _ in range(num_critics)]
    for module in own:
        if not (hasattr(module, "actor") or hasattr(module, "critic")):
            raise UserError(
                f"network returned {type(module).__name__} - it must return a torch.nn.Module "
                "with the parts `actor` and `critic` (or one of them) when called with the "
                "observation space and the action space"
            )
    actor = getattr(own[0], "actor", None) if own else None
    critics: list[Any] = [module.critic for module in own if hasattr(module, "critic")]
    networks = Networks(
        actor=Network([body(actor_class) if actor is None else actor]),
        critic=Network(critics or [body(QCritic) for _ in range(num_critics)], ensemble=True),
        num_actions=num_actions,
        head=head,
    )
    if own:
        _try_out(networks, spaces)
    return networks


def call_source(network: NetworkSource, spaces: Spaces) -> nn.Module:
    """Create the user's module for these spaces.

    Raises `UserError` if `network` is a module, or does not return one.
    """
    if isinstance(network, nn.Module):
        raise UserError(
            "network is a module - a new one is needed for each run and part - pass its class, "
            "or a function that creates it"
        )
    observation_space = rebuilt(
        {name: _observation_space(leaf) for name, leaf in spaces.observation.items()}
    )
    if spaces.has_leaves:
        observation_space = gymnasium.spaces.Dict(observation_space)
    module = network(observation_space, _action_space(spaces.action))
    if not isinstance(module, nn.Module):
        raise UserError(
            f"network returned {type(module).__name__} - it must return a torch.nn.Module when "
            "called with the observation space and the action space"
        )
    return module


def _observation_space(leaf: Leaf) -> gymnasium.Space[Any]:
    dtype = np.dtype(leaf.dtype)
    if leaf.choices:
        starts, sizes = (np.array([of(each) for each in leaf.choices]) for of in (min, len))
        if leaf.shape == ():
            return gymnasium.spaces.Discrete(int(sizes[0]), start=int(starts[0]))
        return gymnasium.spaces.MultiDiscrete(
            sizes.reshape(leaf.shape), start=starts.reshape(leaf.shape)
        )
    low, high = (
        (-np.inf, np.inf) if dtype.kind == "f" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    )
    return gymnasium.spaces.Box(low, high, leaf.shape, dtype.type)


def _action_space(action: BoxAction | DiscreteAction) -> gymnasium.Space[Any]:
    if isinstance(action, BoxAction):
        return gymnasium.spaces.Box(action.low, action.high, dtype=action.low.dtype.type)
    if action.shape == ():
        return gymnasium.spaces.Discrete(action.sizes[0], start=action.starts[0])
    sizes, starts = (np.reshape(numbers, action.shape) for numbers in (action.sizes, action.starts))
    return gymnasium.spaces.MultiDiscrete(sizes, start=starts)


def _try_out(networks: Networks, spaces: Spaces) -> None:
    """Call the user's module once, so that wrong shapes are reported before training."""
    observation = np.zeros((2, *spaces.observation_shape), spaces.observation_dtype)
    try:
        output: Any = networks.actor.infer(networks.actor.initial, observation)
        parts = output if isinstance(output, tuple) else (output,)
        value = networks.critic(
            networks.critic.initial,
            as_tensors(observation, torch.device("cpu")),
            torch.zeros(2, spaces.action.size),
        )
    except (RuntimeError, TypeError, ValueError) as error:
        raise UserError(f"the network cannot be called - {first_line(error)}") from error
    wanted = (2, spaces.action.size)
    for part in parts:
        if tuple(part.shape) != wanted:
            raise UserError(
                f"the actor gives shape {tuple(part.shape)} for 2 observations - "
                f"it must give {wanted}"
            )
    if tuple(value.shape)[1:] != (2,):
        raise UserError(
            f"the critic gives shape {tuple(value.shape)[1:]} for 2 observations - "
            "it must give (2,)"
        )


def new_memory(networks: Networks, num_envs: int) -> Memory:
    """The acting memory at the start of an episode: the exploration noise's last value."""
    return {"walk": np.zeros((num_envs, networks.num_actions), np.float32)}


# What the two algorithms with a deterministic policy share


@dataclass(frozen=True, kw_only=True)
class DeterministicConfig(
    Normalization, OffPolicyOptimizer, ExplorationNoise, OffPolicyReplay, OffPolicyNetworks
):
    """Hyperparameters of a deterministic policy gradient."""

    gamma: Fraction = 0.99
    """Discount per environment step."""
    warmup: Literal["uniform", "policy"] = "uniform"
    """Actions before learning_starts: uniform (random), or policy (of the untrained policy)."""


@dataclass
class DeterministicState:
    """Everything that changes while a deterministic policy gradient learns."""

    actor: Tensor  # [P]
    critic: Tensor  # [P], all N critics
    target_actor: Tensor
    target_critic: Tensor
    actor_optimizer: OptimizerMemory
    critic_optimizer: OptimizerMemory
    progress: Tensor  # [1], share of the run that is over


def new_deterministic_state(config: DeterministicConfig, networks: Networks) -> DeterministicState:
    """The state before the first step."""
    optimizer = config.make_optimizer()
    actor, critic = networks.actor.initial.clone(), networks.critic.initial.clone()
    return DeterministicState(
        actor=actor,
        critic=critic,
        target_actor=actor.clone(),
        target_critic=critic.clone(),
        actor_optimizer=optimizer.init(actor),
        critic_optimizer=optimizer.init(critic),
        progress=torch.zeros(1),
    )


def act_deterministically(
    networks: Networks, policy: PolicyState, memory: Memory, observation: Array
) -> tuple[Decision, Memory]:
    """Actions [E, A] in [-1, 1]."""
    return Decision(networks.actor.infer(policy.parameters, observation)), memory


def explore_with_noise(
    config: DeterministicConfig, networks: Networks, policy: PolicyState, memory: Memory,
    observation: Array, stream: np.random.Generator, num_steps: int,
) -> tuple[Decision, Memory]:  # fmt: skip
    """Actions for collecting experience: the policy's plus noise, within the bounds."""
    if config.warmup == "uniform" and num_steps < config.learning_starts:
        return Decision(uniform((len(observation), networks.num_actions), stream)), memory
    noise_EA = NOISES[config.exploration](config).step(memory["walk"], stream)
    action_EA = networks.actor.infer(policy.parameters, observation)
    noisy_EA = np.minimum(np.maximum(action_EA + noise_EA, -1), 1)
    return Decision(noisy_EA), {"walk": noise_EA}


def diagnose_deterministic(
    networks: Networks, state: DeterministicState, observation: Tensor
) -> Diagnosis:
    """min_N Q(s, mu(s)), and the action mu(s)."""
    action_EA = networks.actor(state.actor, observation)
    return Diagnosis(
        value=networks.critic(state.critic, observation, action_EA).amin(0), mean=action_EA
    )
