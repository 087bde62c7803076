"""Record the updates of an agent as plain data. Only this file knows the library's internals.

The agent learns in a hand-written loop on a small world, eagerly and in float64, so that a second
writing of its update can be compared to a few units of the last place, also behind the division in
Adam. Whatever the library stores in float32 (rewards, discounts, noise) stays float32: choose
`gamma` and learning rates with few binary digits (15/16, 2**-8), which float32 holds exactly.

Shape letters: E environments, O observation dimensions, A action dimensions or choices.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from unittest import mock

import gymnasium
import numpy as np
import torch
from torch import Tensor

from footlight import ambient
from footlight.algorithms import a2c, impala
from footlight.learning.agent import Agent
from footlight.networks.flat import Network
from footlight.trees import tree_items, tree_rebuilt

Parameters = dict[str, dict[str, Tensor]]
"""By network, then by the name that `torch.nn.Sequential` gives a parameter: {"actor": {"0.weight":
...}, "critic.0": ..., "critic.1": ..., "target_critic.0": ...} for the off-policy algorithms, where
critics are numbered; {"actor": ..., "critic": ..., "torso": ..., "log_std": {"value": ...}} for the
others. What else has the shape of parameters has a prefix: "trace.actor", "target.critic". Running
statistics are {"actor_statistics": {"0.running_mean": ...}, "critic_statistics.0": ...}. Other
tensors of the state are {"log_alpha": {"value": ...}}. Optimizer states are left out."""

ACTION_SPACES: dict[str, gymnasium.Space[Any]] = {
    "box": gymnasium.spaces.Box(np.array([-2, 0], np.float32), np.array([2, 4], np.float32)),
    "discrete": gymnasium.spaces.Discrete(3),
    "multi-discrete": gymnasium.spaces.MultiDiscrete([2, 3]),
}
OBSERVATION_SIZE = 3

_NAMES = {
    "linked_rollout": "linked", "linked_sequences": "linked", "accumulate": "chunk",
    "accumulate_and_step": "last_chunk", "rollout": "update", "step": "update",
}  # fmt: skip


@dataclass(frozen=True)
class Step:
    """One step of each environment, as the environment gave it."""

    observation: np.ndarray  # [E, O] float32
    action: np.ndarray  # [E, A] as drawn, before bounds and rescaling; choices are counted from 0
    reward: np.ndarray  # [E] float32
    next_observation: np.ndarray  # [E, O], the true successor
    terminated: np.ndarray  # [E] bool
    truncated: np.ndarray  # [E] bool
    valid: np.ndarray  # [E] bool, False for a reset that takes a step of its own


@dataclass(frozen=True)
class Update:
    """One update: what it took, and all parameters before and after it."""

    name: str  # kind: "critic", "actor", "critic_and_actor", ...; "update" if all are alike
    num_steps: int  # `Step`s observed when it took place
    batch: dict[str, Tensor]  # by field, raw: before any normalization; float64 or int64
    noise: Tensor  # float64, as drawn; all of it that has the shape of the first
    draws: dict[str, Tensor]  # the same by name, all of it
    before: Parameters
    after: Parameters
    progress: float  # share of the run that is over, for schedules
    metrics: dict[str, float]


@dataclass(frozen=True)
class Recording:
    """A run: its config, all that it observed and all of its updates, in order."""

    config: Any
    num_envs: int
    initial: Parameters
    steps: list[Step]
    updates: list[Update]


class World:
    """E environments side by side, whose episodes end at different moments, in all three ways.

    Episode k of environment e takes 3 to 6 steps and ends by termination, by truncation, or by both
    at once. Observations and rewards do not depend on the actions: what an update computes needs no
    dynamics. Rewards are multiples of 1/8. With `reset_steps` a reset takes a step of its own that
    is not a transition (Gymnasium's AutoresetMode.NEXT_STEP).
    """

    def __init__(self, num_envs: int, seed: int = 0, reset_steps: bool = False) -> None:
        self.num_envs, self.reset_steps = num_envs, reset_steps
        self.random = np.random.default_rng(seed)
        self.episode, self.time = np.zeros(num_envs, int), np.zeros(num_envs, int)
        self.observation = self._draw()
        self.is_resetting = np.zeros(num_envs, bool)

    def step(self, action: np.ndarray) -> Step:
        """One step of each; `self.observation` is what the agent sees next."""
        observation, next_observation = self.observation, self._draw()
        reward = self.random.integers(-16, 17, self.num_envs).astype(np.float32) / 8
        valid = ~self.is_resetting
        reward[~valid] = 0
        self.time += valid
        kind = (self.episode + np.arange(self.num_envs)) % 5
        last = valid & (self.time == 3 + (2 * self.episode + np.arange(self.num_envs)) % 4)
        terminated, truncated = last & np.isin(kind, (0, 2, 4)), last & np.isin(kind, (1, 2, 3))
        step = Step(observation, action, reward, next_observation, terminated, truncated, valid)
        self.episode, self.time = self.episode + last, np.where(last, 0, self.time)
        if self.reset_steps:
            self.observation, self.is_resetting = next_observation, last
        else:  # the first observation of a new episode is none that followed from an action
            self.observation = np.where(last[:, None], self._draw(), next_observation)
        return step

    def _draw(self) -> np.ndarray:
        normal = self.random.standard_normal((self.num_envs, OBSERVATION_SIZE))
        return (normal * (0.5, 2.0, 1.0) + (0.5, -1.0, 0.0)).astype(np.float32)


def record(
    algorithm: str, *, actions: str = "box", num_envs: int = 2, num_steps: int = 24, seed: int = 0,
    reset_steps: bool = False, total_steps: int | None = None, double: bool = True,
    finish: bool = False, network: Any = None, parameter_scale: float = 1.0,
    linked: bool = False, prepare: Callable[[str, Tensor], None] | None = None, **fields: Any,
) -> Recording:  # fmt: skip
    """Run an agent for `num_steps` steps of each environment, and return what it did.

    actions: a key of `ACTION_SPACES`. total_steps: over which schedules go, in steps of all
    environments; by default those of this run. double: compute in float64 instead of float32.
    finish: end with the update from what the buffer still holds. parameter_scale: multiplies the
    initial parameters of all networks, so that outputs leave the middle of their range. linked:
    have A2C and IMPALA take values of successors from the next row where they can, as for images.
    prepare: changes a running statistic of a network, given its name, before the first step.
    fields: of the config.
    """
    total_steps = num_steps * num_envs if total_steps is None else total_steps
    space = gymnasium.spaces.Box(-np.inf, np.inf, (OBSERVATION_SIZE,), np.float32)
    with (
        mock.patch.object(a2c, "sees_pixels", return_value=linked),
        mock.patch.object(impala, "sees_pixels", return_value=linked),
    ):
        agent = Agent(
            algorithm, space, ACTION_SPACES[actions], seed=seed, num_envs=num_envs, compile="off",
            total_steps=total_steps, network=network, **fields,
        )  # fmt: skip
    if double:
        _compute_in_double(agent)
    _scale_parameters(agent, parameter_scale)
    if prepare is not None:
        _prepare_statistics(agent, prepare)
    recording = Recording(agent.config, num_envs, _parameters(agent), [], [])
    _record_updates(agent, recording)
    world = World(num_envs, seed, reset_steps)
    with _float64_functions() if double else contextlib.nullcontext():
        for _ in range(num_steps):
            action = agent.act(world.observation, explore=True)
            assert agent.pending is not None
            drawn = agent.pending.decision.action.astype(agent.spaces.action.stored_dtype)
            step = world.step(drawn)
            recording.steps.append(step)
            agent.observe(
                step.observation, action, step.reward, step.next_observation, step.terminated,
                step.truncated, step.valid if reset_steps else None,
            )  # fmt: skip
        if finish:
            agent.finish()
    return recording


recorded = functools.lru_cache(maxsize=16)(record)
"""`record`, once for the same arguments: for those who only read the recording."""


def _record_updates(agent: Any, recording: Recording) -> None:
    """Have the agent append to `recording` whatever it updates."""
    learner = agent.learner
    update = learner.update

    def recorded(due: Any, stream: np.random.Generator) -> None:
        before = _parameters(agent)
        batch = {name: _tensor(array) for name, array in agent.buffer.batch._asdict().items()}
        update(due, stream)
        name = learner._name(due)
        draws = [_tensor(numbers) for _, numbers in learner._draws]
        noise = [numbers for numbers in draws if numbers.numel()] or draws  # some heads draw none
        noise = [numbers for numbers in noise if numbers.shape == noise[0].shape]
        progress = getattr(agent.state, "progress", None)
        recording.updates.append(
            Update(
                name=_NAMES.get(name, name),
                num_steps=len(recording.steps),
                batch=batch,
                noise=torch.stack(noise) if len(noise) > 1 else (*noise, torch.zeros(0))[0],
                draws=dict(zip(learner._noise_names, draws, strict=True)),
                before=before,
                after=_parameters(agent),
                progress=0.0 if progress is None else float(progress),
                metrics=dict(
                    zip(agent.algorithm.METRICS, learner.reported.latest.tolist(), strict=True)
                ),
            )
        )

    learner.update = recorded


def _compute_in_double(agent: Any) -> None:
    """Replace the agent's tensors by copies in float64, before its first update."""
    learner = agent.learner
    leaves = {name: _doubled(leaf) for name, leaf in tree_items(agent.state).items()}
    learner.state = tree_rebuilt(agent.state, leaves)
    agent.policy.state = agent.algorithm.policy(learner.state)
    for network in vars(agent.networks).values():
        if isinstance(network, Network):  # masks, which learning rates are multiplied with
            network.mask = lambda *given, found=network.mask: found(*given).double()
    if (statistics := agent.normalizer) is not None:
        for by_leaf in (statistics.means, statistics.scales):
            by_leaf.update({name: array.astype(np.float64) for name, array in by_leaf.items()})
        statistics.reward_scale = statistics.reward_scale.astype(np.float64)
        learner._host[-3:] = statistics.tensors()
    # Being another list than the host's, it is copied from the host's before each update
    learner._inputs = [_doubled(tensor.clone()) for tensor in learner._host]
    metrics = learner.reported
    metrics.totals, metrics.latest = _doubled(metrics.totals), _doubled(metrics.latest)


def _scale_parameters(agent: Any, factor: float) -> None:
    sizes = {n.initial.numel() for n in vars(agent.networks).values() if isinstance(n, Network)}
    for name, leaf in tree_items(agent.state).items():
        if "." not in name and isinstance(leaf, Tensor) and leaf.numel() in sizes:
            leaf.mul_(factor)


def _prepare_statistics(agent: Any, prepare: Callable[[str, Tensor], None]) -> None:
    for name in ("actor", "critic"):
        statistics = getattr(agent.state, f"{name}_statistics")
        layout = getattr(agent.networks, name)._statistics
        for path, view in layout.unflatten(statistics).items():
            prepare(path, view)


def _doubled(leaf: Any) -> Any:
    return leaf.double() if isinstance(leaf, Tensor) and leaf.is_floating_point() else leaf


@contextlib.contextmanager
def _float64_functions() -> Iterator[None]:
    """Replace, for a while, what computes in float32 only, or is exact in float32 only.

    softplus takes its argument for its value from a threshold on, where they differ by exp(-20).
    """
    softplus = functools.partial(torch.nn.functional.softplus, threshold=40)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with (
            mock.patch.object(ambient, "_is_default", return_value=True),
            mock.patch.object(Tensor, "float", Tensor.double),
            mock.patch.object(torch.nn.functional, "softplus", softplus),
        ):
            yield
    finally:
        torch.set_default_dtype(before)


def _tensor(array: np.ndarray) -> Tensor:
    tensor = torch.from_numpy(array.copy())
    return tensor.double() if tensor.is_floating_point() else tensor


def _parameters(agent: Any) -> Parameters:
    """All tensors of the state but the optimizers', by network and name. See `Parameters`."""
    networks = {k: v for k, v in vars(agent.networks).items() if isinstance(v, Network)}
    found: Parameters = {}
    for leaf, value in tree_items(agent.state).items():
        if "." in leaf or not isinstance(value, Tensor) or leaf == "progress":
            continue
        own = [name for name in networks if leaf.endswith(name)] or list(networks)
        network = networks[own[0]]
        layout = network._layout
        if leaf.endswith("_statistics"):
            network = networks[leaf.removesuffix("_statistics")]
            layout = network._statistics
        if value.numel() != layout.initial.numel() or value.dim() != 1 or value.numel() == 1:
            found.setdefault(leaf, {})["value"] = value.clone()
            continue
        for path, view in layout.unflatten(value).items():
            part, _, name = path.partition(".")
            group = part if leaf == "actor_critic" else leaf if part == "body" else f"{leaf}.{part}"
            if network.num_copies is None:
                found.setdefault(group, {})[name or "value"] = view.clone()
            else:
                for index, copy in enumerate(view):
                    found.setdefault(f"{group}.{index}", {})[name or "value"] = copy.clone()
    return found
