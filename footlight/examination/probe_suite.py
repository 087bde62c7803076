"""Five tiny environments with known values: whether this machine can train at all.

They are those of Jones (2021), each of which fails for one reason only. PPO learns each in 2,000
steps, without the compiler, so that a fault is one of the installation and not of an environment.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
import torch

from footlight.algorithms.protocol import Diagnosable
from footlight.doctor.findings import Finding
from footlight.environments import probes
from footlight.environments.serial import SerialEnvironments
from footlight.learning.agent import Agent

STEPS, NUM_ENVS = 2_000, 8
TRIES = 2  # seeds, of which one has to learn: a small network can begin badly
VALUE_TOLERANCE, ACTION_TOLERANCE, ACTION_SHARE = 0.05, 0.2, 0.9
SAMPLES = 500
FIELDS: dict[str, Any] = {
    "gamma": 0.9,
    "learning_rate": 3e-3,
    "hidden_sizes": (16, 16),
    "n_steps": 16,
    "minibatch_size": 32,
    "num_epochs": 4,
    "entropy_coef": 0.0,
}


@dataclass(frozen=True)
class Probe:
    """A probe environment, and what has to be learned in it."""

    make: type[probes._Probe]
    says: str
    """What an algorithm that learns it can do."""
    values: dict[float, float]
    """Known values by observation; empty if they depend on the policy."""
    actions: dict[float, float]
    """Best actions by observation; empty if all are equally good."""


SUITE = (
    Probe(probes.ConstantReward, "the critic learns a constant", {0: 1}, {}),
    Probe(probes.ObservedReward, "the critic uses the observation", {-1: -1, 1: 1}, {}),
    Probe(probes.DelayedReward, "the critic bootstraps and discounts", {0: 0.9, 1: 1}, {}),
    Probe(probes.BestAction, "the actor finds the best action", {}, {0: 0.5}),
    Probe(probes.FollowObservation, "the actor uses the observation", {}, {-0.8: -0.48, 0.8: 0.48}),
)


@dataclass(frozen=True)
class Learned:
    """What was learned in a probe environment."""

    probe: str
    """Name of the environment."""
    says: str
    is_learned: bool
    evidence: str
    """The numbers beside the known ones."""


def run_suite(discrete: bool, seed: int) -> Iterator[Learned]:
    """Train PPO in each probe environment, in turn."""
    with _one_thread():
        for probe in SUITE:
            tries = (_learned(probe, discrete, seed + number) for number in range(TRIES))
            found = next(tries)
            yield found if found.is_learned else next(tries)


def probe_finding(learned: Learned) -> Finding:
    """The finding of a probe environment that was not learned."""
    return Finding(
        check="probe-not-learned",
        severity="critical",
        title=f"PPO does not learn the probe environment {learned.probe} on this machine",
        evidence=learned.evidence,
        step=None,
        meaning=f"It tests that {learned.says}: what computes is at fault.",
        remedy="reinstall torch, and report it with `footlight check-env ENVIRONMENT --json`",
        source="Jones 2021, Debugging RL, Without the Agonizing Pain (andyljones.com)",
        confidence=0.5,
    )


@contextmanager
def _one_thread() -> Iterator[None]:
    """Networks this small are fastest on one thread; the number before is restored."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _learned(probe: Probe, discrete: bool, seed: int) -> Learned:
    agent = _trained(probe.make, discrete, seed)
    misses, shown = [], []
    for observation, known in probe.values.items():
        value = _value(agent, observation)
        misses.append(abs(value - known) > VALUE_TOLERANCE)
        shown.append(f"V({observation:g}) = {value:.3f} (known: {known:g} ± {VALUE_TOLERANCE:g})")
    for observation, best in probe.actions.items():
        if discrete:
            share = _share_of_best(agent, observation, int(best > 0))
            misses.append(share < ACTION_SHARE)
            shown.append(f"p(best action at {observation:g}) = {share:.2f} (> {ACTION_SHARE:g})")
        else:
            action = float(agent.act(np.array([observation], np.float32))[0])
            misses.append(abs(action - best) > ACTION_TOLERANCE)
            shown.append(
                f"action at {observation:g} = {action:.2f} (best: {best:g} ± {ACTION_TOLERANCE:g})"
            )
    return Learned(probe.make.__name__, probe.says, not any(misses), ", ".join(shown))


def _trained(make: type[probes._Probe], discrete: bool, seed: int) -> Agent:
    envs: list[gymnasium.Env[Any, Any]] = [make(discrete) for _ in range(NUM_ENVS)]
    environments = SerialEnvironments(envs, seed, "probe suite")
    spaces = environments.observation_space, environments.action_space
    agent = Agent("ppo", *spaces, seed=seed, num_envs=NUM_ENVS, compile="off", **FIELDS)
    environments.reset()
    for _ in range(STEPS // NUM_ENVS):
        agent.observe(*environments.step(agent.act(environments.observation, explore=True)))
    return agent


def _value(agent: Agent, observation: float) -> float:
    assert isinstance(agent.algorithm, Diagnosable)
    seen = torch.tensor([[observation]], dtype=torch.float32)
    with torch.no_grad():
        value = agent.algorithm.diagnose(agent.state, seen).value
    assert value is not None
    return float(value[0])


def _share_of_best(agent: Agent, observation: float, best: int) -> float:
    """How often sampled actions are the best one."""
    batch = np.full((SAMPLES, 1), observation, np.float32)
    return float((agent.policy.act(batch, deterministic=False) == best).mean())
