"""The diagnosis of an agent after an evaluation: one row of `diagnostics.jsonl`."""

import contextlib
import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, cast, runtime_checkable

import numpy as np
import torch

from footlight.algorithms.critics import Critics
from footlight.algorithms.ordinary import Ordinary, distribution
from footlight.algorithms.ordinary_parts import LiveNetworks, StateHolder
from footlight.algorithms.protocol import Diagnosable, Discounting
from footlight.ambient import computes
from footlight.diagnostics.parameters import (
    fields_of,
    initial_parameters,
    network_parts,
    parameter_sizes,
)
from footlight.diagnostics.recording import Place, Recording
from footlight.diagnostics.samples import Rows, data_quantities, holds_newest, is_rollout, sampled
from footlight.diagnostics.taken_actions import action_quantities, action_scale, policy_quantities
from footlight.diagnostics.units import Activation, hidden_units, recorded
from footlight.diagnostics.value_errors import compare, followed, last_steps, quantile
from footlight.instruments.critic_probe import CriticProbe
from footlight.learning.agent import Agent
from footlight.networks.flat import as_tensors
from footlight.streams import derived_seed
from footlight.types import Array, Diagnosis, Spaces

NUM_STATES = 128  # of the evaluation, on which networks are called
NUM_ENDS = 64  # states at which the record of an episode ends
DIGITS = 6


class Current(NamedTuple):
    """Where the environments of a training are."""

    observation: Array  # [E, ...]
    running_E: Array
    """Whether each one's episode has begun; if not, the observation is its first one."""


@runtime_checkable
class Judging(Protocol):
    """An algorithm whose critics can be asked for the value of any action."""

    @property
    def critics(self) -> Critics:
        """Its critics."""


@runtime_checkable
class Tempered(Protocol):
    """An algorithm whose temperature holds the policy's entropy near a target."""

    @property
    def target_entropy(self) -> float:
        """The target, in nats."""


class Diagnoser:
    """Diagnoses one agent. `compares_returns`: whether evaluation episodes end where training
    episodes do, so that what followed a state can be compared with its value."""

    def __init__(self, agent: Agent, compares_returns: bool = True) -> None:
        self._agent, self._compares = agent, compares_returns
        self.failure: Exception | None = None
        """The first exception of a part, whose quantities are then missing."""
        self._probe: CriticProbe | None = None
        algorithm = agent.algorithm
        if isinstance(algorithm, Diagnosable) and isinstance(algorithm.config, Discounting):
            self._probe = CriticProbe(algorithm, agent.spaces, agent.state, agent.normalizer)
        own = isinstance(algorithm, StateHolder)
        self._initial = None if own else initial_parameters(agent)

    @computes
    def __call__(self, recording: Recording, current: Current | None = None) -> dict[str, float]:
        """Quantities by name, see `runs.quantities`; those that cannot be determined are missing.

        current: where the environments of the training are.
        """
        agent = self._agent
        places = _spread(recording.valid_TE)
        stream = np.random.Generator(
            np.random.PCG64(derived_seed(agent.seed, "diagnosis", agent.num_steps))
        )
        states, actions = recording.observations(places), recording.actions(places)
        ends = self._ends(recording, places)
        at, after, activations = self._diagnosed(states, recording.successors(ends))
        parts: list[Callable[[], dict[str, float]]] = [
            lambda: action_quantities(actions, agent.spaces),
            lambda: _starts(recording, agent.spaces),
            lambda: self._of_policy(actions, at),
            lambda: self._units(states, activations, at),
            lambda: self._of_returns(recording, places, at, ends, after),
            lambda: self._beside_random_actions(states, at, stream),
            lambda: self._of_data(recording, states, current, stream),
            lambda: {} if self._initial is None else parameter_sizes(agent, self._initial),
        ]
        found: dict[str, float] = {}
        for part in parts:
            try:
                found |= part()
            except Exception as error:  # of a user's own parts: the others are still measured
                self.failure = self.failure or error
        return {name: float(f"{x:.{DIGITS}g}") for name, x in found.items() if math.isfinite(x)}

    def _of_data(
        self, recording: Recording, states: Array, current: Current | None,
        stream: np.random.Generator,
    ) -> dict[str, float]:  # fmt: skip
        """What is learned from, and whether it is current."""
        agent = self._agent
        rows = sampled(agent, stream)
        if rows is None:  # as of an algorithm that learns from a few steps at a time
            rows = Rows(states, recording.reward_TE[recording.valid_TE])
        found, batch = data_quantities(agent, rows), cast(Any, agent.buffer.batch)
        if is_rollout(batch) and current is not None and current.running_E.any():
            found["rollout_is_current"] = float(holds_newest(batch, *current))
        return found

    def _diagnosed(
        self, states: Array, after: Array
    ) -> tuple[Diagnosis, list[float], list[Activation]]:
        """What the algorithm says of these states, its values of other states `after` them, and
        what its hidden units put out for these states."""
        both = np.concatenate([states, after]) if len(after) else states
        with recorded(self._modules_of_diagnosis()) as activations:
            probe, num_states = self._probe, len(states)
            found = self._policy_alone(both) if probe is None else probe.many(both)
        at = Diagnosis(*(None if part is None else part[:num_states] for part in found))
        values = [] if found.value is None else found.value[num_states:].tolist()
        of_states = [
            each._replace(output=each.output[:num_states])
            for each in activations
            if each.output.dim() and len(each.output) == len(both)
        ]
        return at, values, of_states

    def _of_policy(self, actions: Array, at: Diagnosis) -> dict[str, float]:
        """The policy's distribution, beside the actions taken and its target."""
        spaces, algorithm = self._agent.spaces, cast(object, self._agent.algorithm)
        found = policy_quantities(at, spaces) | action_scale(actions, at, spaces)
        if isinstance(algorithm, Tempered) and "entropy" in found:
            gap = found["entropy"] - algorithm.target_entropy
            found["entropy_gap"] = gap / spaces.action.size
        return found

    def _ends(self, recording: Recording, places: Sequence[Place]) -> list[Place]:
        """The last steps of the recorded parts of episodes that did not terminate: there the
        critic's value continues the returns that followed. At most `NUM_ENDS`."""
        if self._probe is None or not self._compares:
            return []
        last_TE = last_steps(recording.terminated_TE | recording.truncated_TE)
        found = dict.fromkeys((int(last_TE[place]), place[1]) for place in places)
        return [end for end in found if not recording.terminated_TE[end]][:NUM_ENDS]

    def _of_returns(
        self, recording: Recording, places: Sequence[Place], at: Diagnosis,
        last: Sequence[Place], value_after: Sequence[float],
    ) -> dict[str, float]:  # fmt: skip
        """The critic's values beside the returns that followed, and beside their bound.

        value_after: the critic's values after the `last` steps of episodes; states of an episode
        that ends elsewhere are left out.
        """
        probe = self._probe
        if probe is None or not self._compares or at.value is None:
            return {}
        bonus = 0.0 if at.bonus is None else float(at.bonus.mean())
        reward_TE = probe.scaled(recording.reward_TE)
        ends = recording.terminated_TE, recording.truncated_TE
        after = followed(reward_TE, *ends, probe.gamma, bonus)
        index = tuple(np.array(places).T)
        discount_N = after.discount_TE[index]
        value_of = dict(zip(last, value_after, strict=True))
        last_N = zip(after.last_TE[index].tolist(), index[1].tolist(), strict=True)
        end_value_N = np.array([value_of.get(end, math.nan) for end in last_N])
        end_value_N[discount_N == 0] = 0.0
        known = ~np.isnan(end_value_N)
        compared = at.value, after.return_TE[index], discount_N, end_value_N
        found = compare(*(numbers_N[known] for numbers_N in compared))
        size, unit = quantile(np.abs(at.value), 0.95), float(probe.scaled(np.ones(1))[0])
        found["value_size"] = size / unit
        largest = float(np.abs(reward_TE).max()) + abs(bonus)
        if probe.gamma < 1 and largest > 0:
            bound = largest / (1 - probe.gamma)
            found["value_bound_ratio"] = size / bound
        return found

    def _beside_random_actions(
        self, states: Array, at: Diagnosis, stream: np.random.Generator
    ) -> dict[str, float]:
        """The critic's values of the policy's actions, beside those of random ones."""
        agent, algorithm = self._agent, cast(Any, self._agent.algorithm)
        if self._probe is None or at.value is None:
            return {}
        if not isinstance(algorithm, Judging) or not isinstance(algorithm.critics, Critics):
            return {}
        random_NA = stream.uniform(-1, 1, at.mean.shape).astype(np.float32)
        given = as_tensors(self._seen(states), agent.device), torch.from_numpy(random_NA)
        with torch.no_grad():
            q_EN = algorithm.critics.q(agent.state, given[0], given[1].to(agent.device))
        preferred = at.value > q_EN.amin(0).cpu().numpy()
        return {"policy_preferred": float(preferred.mean())}

    def _policy_alone(self, states: Array) -> Diagnosis:
        """The policy of an algorithm without values."""
        algorithm: Any = self._agent.algorithm
        if not isinstance(algorithm, Ordinary):
            return Diagnosis()
        observed = as_tensors(self._seen(states), self._agent.device)
        found = distribution(algorithm, observed)
        return Diagnosis(*(None if part is None else part.cpu().numpy() for part in found))

    def _seen(self, states: Array) -> Array:
        """Observations as the networks see them."""
        normalizer = self._agent.normalizer
        return states if normalizer is None else normalizer.observation(states)

    def _modules_of_diagnosis(self) -> list[torch.nn.Module]:
        """The modules whose units are judged while the algorithm diagnoses the states."""
        networks = self._agent.networks
        if isinstance(networks, LiveNetworks):
            return list(networks.modules.values())
        # An ensemble is called under vmap, where no output can be kept
        singles = [net for _, net, _ in network_parts(self._agent) if net.num_copies is None]
        return [network.module for network in singles]

    def _units(
        self, states: Array, activations: list[Activation], at: Diagnosis
    ) -> dict[str, float]:
        """The hidden units of each network."""
        agent = self._agent
        if isinstance(agent.networks, LiveNetworks):
            return {f"networks.{name}": x for name, x in hidden_units(activations).items()}
        found: dict[str, float] = {}
        for name, network, parameters_P in network_parts(agent):
            inside = set(network.module.modules())
            own = [activation for activation in activations if activation.layer in inside]
            if not own and network.num_copies is not None:
                own = self._of_member(name, parameters_P, states, at)
            found |= {f"{name}.{key}": x for key, x in hidden_units(own).items()}
        return found

    def _of_member(
        self, name: str, parameters_P: torch.Tensor, states: Array, at: Diagnosis
    ) -> list[Activation]:
        """The activations of the first of several critics, of states and the policy's actions."""
        agent, device = self._agent, parameters_P.device
        network = vars(agent.networks)[name]
        inputs: list[Any] = [as_tensors(self._seen(states), device)]
        if at.mean is not None:
            inputs.append(torch.from_numpy(at.mean).to(device))
        statistics_Q = fields_of(agent.state).get(f"{name}_statistics")
        # A critic that takes more than states and actions, as TD7's, is not judged
        unknown = contextlib.suppress(TypeError)
        with torch.no_grad(), recorded([network.module]) as activations, unknown:
            network.member(0, parameters_P, *inputs, statistics_Q=statistics_Q)
        return activations


def _spread(valid_TE: Array) -> list[Place]:
    """At most `NUM_STATES` places of valid steps, spread evenly."""
    place_N2 = np.argwhere(valid_TE)
    if len(place_N2) > NUM_STATES:
        place_N2 = place_N2[np.linspace(0, len(place_N2) - 1, NUM_STATES).astype(int)]
    return [(step, env) for step, env in place_N2.tolist()]


def _starts(recording: Recording, spaces: Spaces) -> dict[str, float]:
    """The share of the recorded episodes that begin in the same state as another one.

    Not of images and choices, where tasks with one beginning are usual.
    """
    if any(leaf.choices or leaf.dtype != "float32" for leaf in spaces.observation.values()):
        return {}
    ended_TE, places = recording.terminated_TE | recording.truncated_TE, list[Place]()
    for env, valid_T in enumerate(recording.valid_TE.T):
        steps = np.flatnonzero(valid_T)  # an episode may begin after steps that were resets
        begins = np.concatenate([[True], ended_TE[steps[:-1], env]])[: len(steps)]
        places += [(step, env) for step in steps[begins].tolist()]
    if len(places) < 2:
        return {}
    starts = Counter(start.tobytes() for start in recording.observations(places))
    equal = sum(count for count in starts.values() if count > 1)
    return {"equal_starts": equal / len(places)}
