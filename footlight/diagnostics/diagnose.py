"""The diagnosis of an agent after an evaluation: one row of `diagnostics.jsonl`."""

import math
from collections import Counter
from typing import Any

import numpy as np
import torch

from footlight.algorithms.ordinary_parts import LiveNetworks, StateHolder
from footlight.algorithms.protocol import Diagnosable, Discounting
from footlight.ambient import computes
from footlight.diagnostics.actions import action_quantities, policy_quantities
from footlight.diagnostics.parameters import network_parts, parameter_sizes
from footlight.diagnostics.recording import Recording, Steps
from footlight.diagnostics.samples import data_quantities, holds_newest, is_rollout, sampled
from footlight.diagnostics.units import Activation, hidden_units, recorded
from footlight.diagnostics.values import compare, followed
from footlight.instruments.critic_probe import CriticProbe
from footlight.learning.agent import Agent
from footlight.networks.flat import as_tensors
from footlight.streams import derived_seed
from footlight.types import Array, Diagnosis, Transition

NUM_STATES = 256  # of the evaluation, on which networks are called
NUM_ENDS = 64  # states at which the record of an episode ends
DIGITS = 6


class Diagnoser:
    """Diagnoses one agent. `compares_returns`: whether evaluation episodes end where training
    episodes do, so that what followed a state can be compared with its value."""

    def __init__(self, agent: Agent, compares_returns: bool = True) -> None:
        self._agent, self._compares = agent, compares_returns
        self._probe: CriticProbe | None = None
        algorithm = agent.algorithm
        if isinstance(algorithm, Diagnosable) and isinstance(algorithm.config, Discounting):
            self._probe = CriticProbe(algorithm, agent.spaces, agent.state, agent.normalizer)
        own = isinstance(algorithm, StateHolder)
        self._initial = None if own else algorithm.init(agent.num_envs)

    @computes
    def __call__(self, recording: Recording, newest: Transition | None) -> dict[str, float]:
        """Quantities by name, see `runs.quantities`; those that cannot be determined are missing.

        newest: the newest step of the training.
        """
        agent = self._agent
        steps = recording.stacked()
        found = action_quantities(steps, agent.spaces)
        found |= _starts(recording)
        found |= self._values(steps)
        stream = np.random.Generator(
            np.random.PCG64(derived_seed(agent.seed, "diagnosis", agent.num_steps))
        )
        rows = sampled(agent, stream)
        if rows is not None:
            found |= data_quantities(agent, rows)
        if is_rollout(agent.buffer.batch) and newest is not None and newest.valid is None:
            found["rollout_is_current"] = float(holds_newest(agent.buffer.batch, newest))
        if self._initial is not None:
            found |= parameter_sizes(agent, self._initial)
        return {name: float(f"{x:.{DIGITS}g}") for name, x in found.items() if math.isfinite(x)}

    def _values(self, steps: Steps) -> dict[str, float]:
        """Of the critic, the policy and their hidden units, at states of the evaluation."""
        probe = self._probe
        place_N = np.argwhere(steps.valid)
        if len(place_N) > NUM_STATES:
            place_N = place_N[np.linspace(0, len(place_N) - 1, NUM_STATES).astype(int)]
        states = steps.observation[place_N[:, 0], place_N[:, 1]]
        if probe is None:
            return self._units(states, [], None)
        with recorded(self._modules_of_diagnosis()) as activations:
            at = probe.many(states)
        found = policy_quantities(at, self._agent.spaces) | self._units(states, activations, at)
        if at.value is None or not self._compares:
            return found
        bonus = 0.0 if at.bonus is None else float(at.bonus.mean())
        reward_TE = probe.scaled(steps.reward.astype(np.float64))
        ends = steps.terminated, steps.truncated
        after = followed(reward_TE, *ends, probe.gamma, bonus)
        index = place_N[:, 0], place_N[:, 1]
        discount_N, last_N = after.discount_TE[index], after.last_TE[index]
        end_value_N = self._end_values(steps, np.stack([last_N, index[1]], 1), discount_N > 0)
        usable = ~np.isnan(end_value_N)
        compared = (at.value, after.return_TE[index], discount_N, end_value_N)
        found |= compare(*(numbers[usable] for numbers in compared))
        largest = float(np.abs(reward_TE).max()) + abs(bonus)
        if probe.gamma < 1 and largest > 0:
            bound = largest / (1 - probe.gamma)
            found["value_bound_ratio"] = float(np.percentile(np.abs(at.value), 95)) / bound
        return found

    def _end_values(self, steps: Steps, end_N2: Array, needed_N: Array) -> Array:
        """The critic's values of the states after the ends [N, (step, env)]; 0 where not needed,
        NaN of all but `NUM_ENDS` different ones."""
        value_N = np.zeros(len(end_N2))
        if not needed_N.any():
            return value_N
        different, which = np.unique(end_N2[needed_N], axis=0, return_inverse=True)
        chosen = different[:NUM_ENDS]
        assert self._probe is not None
        states = steps.next_observation[chosen[:, 0], chosen[:, 1]]
        known = self._probe.many(states).value.astype(np.float64)
        padded = np.concatenate([known, np.full(len(different) - len(chosen), np.nan)])
        value_N[needed_N] = padded[which.reshape(-1)]
        return value_N

    def _modules_of_diagnosis(self) -> list[torch.nn.Module]:
        """The modules whose units are judged while the algorithm diagnoses the states."""
        networks = self._agent.networks
        if isinstance(networks, LiveNetworks):
            return list(networks.modules.values())
        # An ensemble is called under vmap, where no output can be kept
        singles = [net for _, net, _ in network_parts(self._agent) if net.num_copies is None]
        return [network.module for network in singles]

    def _units(
        self, states: Array, activations: list[Activation], at: Diagnosis | None
    ) -> dict[str, float]:
        """The hidden units of each network."""
        agent = self._agent
        found: dict[str, float] = {}
        if isinstance(agent.networks, LiveNetworks):
            return {f"networks.{name}": x for name, x in hidden_units(activations).items()}
        seen = states if agent.normalizer is None else agent.normalizer.observation(states)
        for name, network, parameters_P in network_parts(agent):
            inside = set(network.module.modules())
            own = [activation for activation in activations if activation.layer in inside]
            if not own and network.num_copies is not None and at is not None:
                own = self._of_member(name, parameters_P, seen, at)
            found |= {f"{name}.{key}": x for key, x in hidden_units(own).items()}
        return found

    def _of_member(
        self, name: str, parameters_P: torch.Tensor, seen: Array, at: Diagnosis
    ) -> list[Activation]:
        """The activations of the first of several critics, of states and the policy's actions."""
        agent, device = self._agent, parameters_P.device
        network = vars(agent.networks)[name]
        inputs: list[Any] = [as_tensors(seen, device)]
        if at.mean is not None:
            inputs.append(torch.from_numpy(at.mean).to(device))
        statistics_Q = vars(agent.state).get(f"{name}_statistics")
        with torch.no_grad(), recorded([network.module]) as activations:
            network.member(0, parameters_P, *inputs, statistics_Q=statistics_Q)
        return activations


def _starts(recording: Recording) -> dict[str, float]:
    """The share of the recorded episodes that begin in the same state as another one."""
    starts = Counter(start.tobytes() for start in recording.starts())
    if starts.total() < 2:
        return {}
    equal = sum(count for count in starts.values() if count > 1)
    return {"equal_starts": equal / starts.total()}
