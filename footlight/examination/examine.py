"""Examine an environment before anything is trained in it."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium
import numpy as np

from footlight.config.fields import Range, integer
from footlight.contexts import closing
from footlight.doctor.findings import Finding, ranked
from footlight.environments.budget import global_randomness
from footlight.environments.source import Arguments, EnvironmentLike, EnvironmentSource
from footlight.examination.action_spaces import bound_findings
from footlight.examination.contract import BrokenContractError, Contract
from footlight.examination.environment_checkup import EnvironmentCheckup
from footlight.examination.episode_ends import end_findings, return_findings, wrapped_limit
from footlight.examination.equal_seeds import other_seeds, same_seed
from footlight.examination.probe_suite import SUITE, probe_finding, run_suite
from footlight.examination.random_play import EPISODES, STEPS, Play, overflowing, play
from footlight.examination.scales import observation_findings, reward_findings
from footlight.streams import MAX_SEED
from footlight.types import DiscreteAction

NUM_CHECKS = 20
"""Of an environment whose every answer is as it should be, with the probe suite."""
SAC_STEP = 3e-3
"""Seconds of a step of SAC with 2 x 256 units, one update each (docs/speed.md)."""
SLOW_STEP = 0.02


def check_env(
    environment: EnvironmentLike | EnvironmentSource,
    *,
    env_kwargs: Arguments = None,
    seed: int = 0,
    probes: bool = True,
    notify: Callable[[str], None] = lambda text: None,
) -> EnvironmentCheckup:
    """Examine an environment, and return the findings: what would keep a training from learning.

    It is played with random actions: its contract, the scale of its observations and rewards, the
    bounds of its actions, how episodes end, whether seeds reproduce them, and how fast it is.

    environment: an id, a `gymnasium.Env`, which stays open, or a function that makes one.
    env_kwargs: arguments of the environment, where it is an id.
    seed: determines actions and episodes.
    probes: also train in five tiny environments with known values, whether this machine can.
    notify: called with what is being done.

    Raises `UserError` for what is not an environment or has spaces that are not supported, and
    `EnvironmentFault` if it raises an exception.

        checkup = footlight.check_env("CartPole-v1")
        print(checkup)
    """
    seed = integer("seed", seed, Range(0, MAX_SEED))
    source = EnvironmentSource.of(environment).configured(kwargs=env_kwargs)
    restore = global_randomness()
    try:
        return _examined(source, seed, probes, notify)
    finally:
        restore()


def _examined(
    source: EnvironmentSource, seed: int, probes: bool, notify: Callable[[str], None]
) -> EnvironmentCheckup:
    findings: list[Finding] = []
    not_judged: list[str] = []
    num_checks = NUM_CHECKS - (0 if probes else len(SUITE))
    with _environment(source) as env:
        contract = Contract(env)
        notify(f"random play: up to {EPISODES} episodes or {STEPS:,} steps")
        played = play(contract, seed)
        lost_limit = None
        if played.is_complete:
            notify("seeds: the same and different ones")
            with contextlib.suppress(BrokenContractError):
                findings += filter(None, [other_seeds(contract, seed)])
                lost_limit = wrapped_limit(contract, seed)
        findings += contract.findings()
        findings += bound_findings(contract.action_space)
        spec = env.spec
    if played.is_complete:
        with overflowing():
            findings += _of_play(played, contract, spec)
        if not any(each.check == "time-limit-terminates" for each in findings):
            findings += filter(None, [lost_limit])
        found, reason = same_seed(source, seed)
        findings += filter(None, [found])
        not_judged += filter(None, [reason])
        if not played.episodes and played.num_steps < STEPS:
            not_judged.append(f"how episodes end: none ended in {played.num_steps:,} steps, in 8 s")
        num_checks -= len(not_judged)
    else:
        not_judged.append("scales, ends and seeds: random play ended at a violation")
        num_checks = 6
    if probes:
        notify("probe suite: PPO in 5 tiny environments with known values")
        discrete = isinstance(contract.spaces.action, DiscreteAction)
        learned = [*run_suite(discrete, seed)]
        findings += [probe_finding(each) for each in learned if not each.is_learned]
    measured = _measured(played, spec)
    if probes:
        measured["probes"] = {each.probe: each.evidence for each in learned}
    return EnvironmentCheckup(
        ranked(findings), tuple(not_judged), num_checks, source.name(), measured
    )


@contextlib.contextmanager
def _environment(source: EnvironmentSource) -> Iterator[gymnasium.Env[Any, Any]]:
    """The environment to play in: a given one as it is, else a new one, closed afterwards."""
    given = source.instance
    if isinstance(given, gymnasium.Env):
        yield given
        return
    with closing(source.make_one()) as made:
        yield made


def _of_play(played: Play, contract: Contract, spec: Any) -> Iterator[Finding]:
    limit = None if spec is None else spec.max_episode_steps
    yield from observation_findings(played, contract.spaces.observation)
    yield from reward_findings(played)
    yield from end_findings(played, limit)
    yield from return_findings(played, None if spec is None else spec.reward_threshold)
    if played.num_steps and (step := played.seconds / played.num_steps) > SLOW_STEP:
        yield Finding(
            check="slow-step",
            severity="note",
            title="a step is slow",
            evidence=f"{step * 1e3:.0f} ms (level: {SLOW_STEP * 1e3:.0f} ms)",
            step=None,
            meaning="Training waits for the environment most of the time.",
            remedy="num_envs 8 with vectorization async, or updates_per_step above 1",
            source="calibrated on 25 standard environments",
            confidence=0.5,
        )


@overflowing()
def _measured(played: Play, spec: Any) -> dict[str, Any]:
    episodes, steps = played.episodes, played.num_steps
    found: dict[str, Any] = {"steps": steps, "episodes": len(episodes)}
    if episodes:
        returns = np.array([each.total for each in episodes])
        lengths = [each.length for each in episodes]
        found |= {
            "mean_return": float(returns.mean()),
            "std_return": float(returns.std()),
            "std_discounted_return": float(np.std([each.discounted for each in episodes])),
            "shortest": min(lengths),
            "longest": max(lengths),
            "terminated_share": sum(each.terminated for each in episodes) / len(episodes),
            "truncated_share": sum(each.truncated for each in episodes) / len(episodes),
        }
    if spec is not None:
        found |= {
            "reward_threshold": spec.reward_threshold, "max_episode_steps": spec.max_episode_steps
        }  # fmt: skip
    if steps:
        second = played.seconds / steps
        found |= {
            "mean_reward_size": float(np.abs(played.rewards).mean()),
            "step_seconds": second,
            "share_of_sac": second / (second + SAC_STEP),
            "observations": {
                name: {
                    "smallest": float(each.low.min()),
                    "largest": float(each.high.max()),
                    "largest_std": float(each.std.max()),
                    "constant": int((~each.varies).sum()),
                    "size": int(each.low.size),
                }
                for name, each in played.observations.items()
                if each.low.size
            },
        }
    return found
