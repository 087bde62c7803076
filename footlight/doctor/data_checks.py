"""Checks of the rewards and observations that are learned from."""

import math
from collections.abc import Iterator
from statistics import fmean, pstdev

from footlight.doctor.evidence import MIN_EPISODES, Evidence, NotJudged
from footlight.doctor.findings import Finding, Severity, finding

LARGE_REWARD, HUGE_REWARD, TINY_REWARD = 50.0, 500.0, 1e-3  # root mean square
MOSTLY_EQUAL = 0.9  # share of the rewards that are equal
SHORTENED = 0.7  # length of episodes at the end, as a share of that at the beginning
LARGE_OFFSET = 10.0  # a smaller mean needs no remedy
SHIFTED = 15.0  # mean of a reward in its standard deviations
LARGE_OBSERVATION, HUGE_OBSERVATION = 200.0, 2_000.0


def rewards(evidence: Evidence) -> Iterator[Finding]:
    """Scale and offset of the rewards, as the critic sees them."""
    mean, std = evidence.diagnostic("reward_mean"), evidence.diagnostic("reward_std")
    size = math.hypot(mean.median, std.median)
    first = mean.steps[0]
    if size > (HUGE_REWARD if evidence.is_learning else LARGE_REWARD):
        text = f"root mean square {size:.3g}; at most {LARGE_REWARD:g}"
        severity: Severity = "critical" if size > HUGE_REWARD else "warning"
        yield finding("reward-scale", severity, text, first, std.name)
    elif 0 < size < TINY_REWARD and _is_dense(evidence):
        text = f"root mean square {size:.3g}; at least {TINY_REWARD:g}"
        yield finding("reward-scale", "warning", text, first, std.name)
    # Where episodes terminate, a constant reward may be what surviving is worth
    is_endless = not any(row.get("terminated") is True for row in evidence.episodes)
    is_large = abs(mean.median) > max(SHIFTED * std.median, LARGE_OFFSET)
    if is_endless and std.median > 0 and is_large:
        text = (
            f"mean {mean.median:.3g}; at most {SHIFTED:g} standard deviations of {std.median:.3g}"
        )
        yield finding("reward-shifted", "warning", text, first, mean.name)


def _is_dense(evidence: Evidence) -> bool:
    """Whether rewards are not rare, so that a small mean square is not due to their rarity."""
    if evidence.diagnostic("reward_mode_share").median < MOSTLY_EQUAL:
        return True
    return max(evidence.diagnostic("reward_max").values) < TINY_REWARD


def costly_steps(evidence: Evidence) -> Iterator[Finding]:
    """Rewards that are never positive, in a task whose episodes the policy can end early."""
    rows = evidence.episodes
    if len(rows) < MIN_EPISODES or max(evidence.diagnostic("positive_rewards").values) > 0:
        return
    early, late = rows[: evidence.num_untrained], rows[-max(len(rows) // 10, 3) :]
    # Where a goal ends the episode, random play rarely reaches it before the time limit
    ends_early = all(row.get("terminated") is True for row in early)
    lengths = [fmean(row["length"] for row in each) for each in (early, late)]
    if ends_early and lengths[1] < SHORTENED * lengths[0]:
        text = (
            f"no reward is positive, and episodes got shorter: {lengths[0]:.0f}, {lengths[1]:.0f}"
        )
        # Where ending early is the goal, this is success: only the user knows
        yield finding("reward-shifted", "note", text)


def constant_returns(evidence: Evidence) -> Iterator[Finding]:
    """Rewards and lengths that are always the same."""
    values = [row["return"] for row in evidence.episodes]
    if len(values) < MIN_EPISODES:
        raise NotJudged(f"fewer than {MIN_EPISODES} training episodes have finished")
    same = evidence.diagnostic("reward_mode_share").median == 1
    if same and pstdev(values) == 0:
        text = f"all {len(values):,} training episodes have a return of {values[0]:g}"
        # Nothing, or a cost for each step up to a limit: the same as where a goal is far away
        earns = values[0] > 0 and pstdev(evidence.lengths) == 0
        if earns:
            yield finding("reward-constant", "critical", text)
        else:
            yield finding("no-reward-yet", "warning", text)


def observations(evidence: Evidence) -> Iterator[Finding]:
    """Scale and variety of observations, as the networks see them."""
    constant = evidence.diagnostic("constant_observations")
    if constant.median == 1:
        text = "all numbers of the observations are the same in every transition"
        yield finding("observation-constant", "critical", text, constant.steps[0], constant.name)
        return
    largest = evidence.diagnostic("observation_max")
    if (size := largest.median) > LARGE_OBSERVATION:
        text = f"99th percentile of |x| {size:.3g}; at most {LARGE_OBSERVATION:g}"
        step = largest.first(lambda value: value > LARGE_OBSERVATION)
        severity: Severity = "critical" if size > HUGE_OBSERVATION else "warning"
        yield finding("observation-scale", severity, text, step, largest.name)


def rollouts(evidence: Evidence) -> Iterator[Finding]:
    """Whether updates see the newest steps."""
    current = evidence.diagnostic("rollout_is_current")
    # Between two updates, a rollout that is being filled has the newest step in any case
    if min(current.values) < 0.5:
        missing = sum(value < 0.5 for value in current.values)
        text = f"the newest step was missing from the rollout {missing} of {len(current)} times"
        step = current.first(lambda value: value < 0.5)
        yield finding("rollouts-stale", "critical", text, step, current.name)


CHECKS = rewards, costly_steps, constant_returns, observations, rollouts
