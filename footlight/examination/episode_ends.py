"""How the episodes of random play end, and what they return."""

import copy
from collections.abc import Iterator

import numpy as np
from gymnasium.wrappers import TimeLimit

from footlight.doctor.findings import Finding
from footlight.environments.wrappers import chain
from footlight.errors import counted
from footlight.examination.contract import Contract
from footlight.examination.random_play import STEPS, Play

MIN_EPISODES = 4
MIN_SHARE, MIN_LENGTH = 0.25, 20  # of episodes that end at the largest length, if others do not
PARDO = "Pardo et al. 2018, Time Limits in Reinforcement Learning (arXiv 1712.00378)"


def end_findings(play: Play, limit: int | None) -> Iterator[Finding]:
    """Findings about the ends of episodes.

    limit: the steps after which the environment's spec truncates an episode; None: none is known.
    """
    if (text := _hidden_limit(play)) is not None:
        yield _hidden_limit_finding(text)
    if not play.episodes and play.is_complete and play.num_steps >= STEPS:
        is_known = limit is not None and limit > STEPS
        yield Finding(
            check="never-ends",
            severity="note" if is_known else "warning",
            title="no episode ended",
            evidence=f"in {counted(play.num_steps, 'step')} of random play"
            + (
                f"; its limit is {counted(limit or 0, 'step')}" if is_known else "; it has no limit"
            ),
            step=None,
            meaning="Training has no returns to show and never sees a first state again; "
            "evaluations are cut off.",
            remedy="register it with max_episode_steps, or wrap it in gymnasium.wrappers.TimeLimit",
            source="Gymnasium's TimeLimit; " + PARDO,
            confidence=0.8,
        )


def wrapped_limit(contract: Contract, seed: int) -> Finding | None:
    """Whether the truncation of a `TimeLimit` inside is lost on its way out.

    Its clock is set to the last step, which random play may never reach. Raises `EnvironmentFault`
    and `BrokenContractError`.
    """
    limits = [layer for layer in chain(contract.env) if isinstance(layer, TimeLimit)]
    space = copy.deepcopy(contract.action_space)
    space.seed(seed)
    for layer in limits:
        if "_elapsed_steps" not in vars(layer):  # in a later Gymnasium
            continue
        contract.reset(seed)
        limit = vars(layer)["_max_episode_steps"]
        vars(layer)["_elapsed_steps"] = limit - 1
        answer = contract.step(space.sample())
        if not answer.truncated:
            end = "terminated" if answer.terminated else "neither terminated nor truncated"
            return _hidden_limit_finding(
                f"TimeLimit truncated an episode after {counted(limit, 'step')}, but around it "
                f"step returned {end}"
            )
    return None


def return_findings(play: Play, threshold: float | None) -> Iterator[Finding]:
    """Whether random play is good enough already."""
    if threshold is None or len(play.episodes) < MIN_EPISODES:
        return
    returns = [each.total for each in play.episodes]
    if (mean := float(np.mean(returns))) >= threshold:
        yield Finding(
            check="solved-by-chance",
            severity="warning",
            title="random play already solves it",
            evidence=f"mean return {mean:.4g} (reward_threshold of its spec: {threshold:.4g})",
            step=None,
            meaning="A trained policy cannot be told from a random one by that measure.",
            remedy="correct the reward or the threshold",
            source="RLExplorer (arXiv 2410.04322)",
            confidence=0.6,
        )


def _hidden_limit_finding(evidence: str) -> Finding:
    return Finding(
        check="time-limit-terminates",
        severity="warning",
        title="a time limit is reported as a termination",
        evidence=evidence,
        step=None,
        meaning="The critic learns that nothing follows the last step, at a step that it cannot "
        "see coming: values of all states are too low.",
        remedy="return truncated=True there, and terminated=False (docs/time-limits.md); or show "
        "the remaining time in the observation",
        source=PARDO,
        confidence=0.85,
    )


def _hidden_limit(play: Play) -> str | None:
    """The evidence that a termination is a time limit; None without."""
    ends, count = play.episodes, len(play.episodes)
    said = sum(each.says_time_limit and not each.truncated for each in ends)
    if said:
        return f"{said} of {counted(count, 'episode')} ended with TimeLimit.truncated in the info"
    if count < MIN_EPISODES or play.shows_time or any(each.truncated for each in ends):
        return None
    longest = max(each.length for each in ends)
    at_limit = sum(each.length == longest for each in ends)
    if at_limit == count and longest > 1:
        return f"all {count} episodes terminated after exactly {counted(longest, 'step')}"
    if longest >= MIN_LENGTH and at_limit >= max(MIN_EPISODES, MIN_SHARE * count):
        return (
            f"{at_limit} of {count} episodes terminated after exactly {counted(longest, 'step')}, "
            "none later, and none was truncated"
        )
    return None
