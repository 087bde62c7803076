"""Parameters of an agent's networks: their growth, the size of an update, and their targets."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from footlight.algorithms.on_policy import step_sizes
from footlight.algorithms.protocol import Scheduled
from footlight.algorithms.settings import OptimizerSettings
from footlight.equations.optimizers import Adam, RMSprop, StepSize, memories, scheduled
from footlight.learning.agent import Agent
from footlight.networks.flat import Network


def fields_of(state: Any) -> Mapping[str, Any]:
    """The fields of an algorithm's state, a dataclass or a mapping."""
    return state if isinstance(state, Mapping) else vars(state)


def network_parts(agent: Agent) -> Iterator[tuple[str, Network, Tensor]]:
    """The networks of an agent whose parameters are in its state: name, network, parameters."""
    state = fields_of(agent.state)
    for name, network in vars(agent.networks).items():
        if isinstance(network, Network) and isinstance(state.get(name), Tensor):
            yield name, network, state[name]


def initial_parameters(agent: Agent) -> dict[str, Tensor]:
    """The parameters of each network before the first step."""
    kind = vars(agent.config).get("unit_weights", "none")
    parts = network_parts(agent)
    return {name: network.start(kind)[0].to(agent.device) for name, network, _ in parts}


@torch.no_grad()
def parameter_sizes(agent: Agent, initial: Mapping[str, Tensor]) -> dict[str, float]:
    """`weight_growth`, `update_size` and `target_distance` of each network.

    initial: `initial_parameters`.
    """
    found: dict[str, float] = {}
    state = fields_of(agent.state)
    for name, network, parameters_P in network_parts(agent):
        start_P, size = initial[name], float(parameters_P.norm())
        found[f"{name}.weight_growth"] = size / max(float(start_P.norm()), 1e-12)
        if (update := _update_norm(agent, name, network, parameters_P)) is not None:
            found[f"{name}.update_size"] = update / max(size, 1e-12)
        target_P = state.get(f"target_{name}")
        moved = float((parameters_P - start_P).norm())
        if target_P is not None and moved > 0:
            found[f"{name}.target_distance"] = float((target_P - parameters_P).norm()) / moved
    return found


def _update_norm(agent: Agent, name: str, network: Network, parameters_P: Tensor) -> float | None:
    """Norm of an update, from the moments that the optimizer of these parameters remembers.

    RMSprop does not remember a gradient, whose squares are its second moment in the mean: each
    parameter moves by about its learning rate. None for other optimizers, and before an update.
    """
    config: Any = agent.config
    if not isinstance(config, OptimizerSettings) or isinstance(agent.state, Mapping):
        return None
    if agent.scheduled:
        changed: dict[str, Any] = dict(agent.scheduled)
        config = replace(config, **changed)
    matching = {
        field: memory
        for field, memory in memories(agent.state)
        if isinstance(memory, Adam | RMSprop) and memory.second_moment.shape == parameters_P.shape
    }
    own = [memory for field, memory in matching.items() if field.startswith(name)]
    for memory in own or matching.values():
        rate = _rate(config, name, network)
        if isinstance(agent.state, Scheduled):
            final = config.make_optimizer().final_share
            schedule = config.make_optimizer().schedule
            rate = scheduled(rate, schedule, agent.state.progress, final)
        epsilon = config.make_optimizer().epsilon
        if isinstance(memory, Adam):
            if float(memory.first_bias) == 1:
                return None
            first_P = memory.first_moment / (1 - memory.first_bias)
            second_P = memory.second_moment / (1 - memory.second_bias)
            return float((rate * first_P / (second_P.sqrt() + epsilon)).norm())
        root_P = memory.second_moment.sqrt()
        return float((rate * root_P / (root_P + epsilon)).norm())
    return None


def _rate(config: OptimizerSettings, name: str, network: Network) -> StepSize:
    own = {"actor": config.rate_of_actor, "critic": config.rate_of_critic}
    return own[name] if name in own else step_sizes(config, network)
