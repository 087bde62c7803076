"""Checks of how training episodes end, begin, and differ between environments."""

import math
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator
from statistics import fmean, median

from footlight.doctor.catalog import finding
from footlight.doctor.evidence import MIN_EPISODES, Evidence, NotJudged
from footlight.doctor.findings import Finding, Severity

MIN_LIMIT = 20  # steps below which a common length is no time limit
COMMON_LENGTH = 0.3  # share of the later episodes that have the greatest length
MIN_PER_ENV, RECENT_PER_ENV = 5, 100
UNLIKE, SURE = 0.25, 5.0  # difference of a probability from 1/2, and in standard errors
EQUAL_STARTS = 0.99


def time_limit(evidence: Evidence) -> Iterator[Finding]:
    """Episodes that are said to terminate, all after the same number of steps."""
    rows = evidence.episodes
    if len(rows) < MIN_EPISODES:
        raise NotJudged(f"fewer than {MIN_EPISODES} training episodes have finished")
    if any(row.get("truncated") is True for row in rows):
        return  # limits are reported as what they are
    lengths = [row["length"] for row in rows]
    longest, later = max(lengths), lengths[len(lengths) // 2 :]
    share = later.count(longest) / len(later)
    if longest < MIN_LIMIT or share < COMMON_LENGTH or longest % 10:
        return
    first = next(row["step"] for row in rows if row["length"] == longest)
    text = f"{share:.0%} of the later episodes terminate after exactly {longest:,} steps"
    yield finding("time-limit-as-termination", "critical", text, first)


def ends_in_batches(evidence: Evidence) -> Iterator[Finding]:
    """Terminal transitions in what is learned from, beside the episodes that terminated."""
    shares, rows = evidence.diagnostic("terminal_share"), evidence.episodes
    if len(rows) < MIN_EPISODES:
        raise NotJudged(f"fewer than {MIN_EPISODES} training episodes have finished")
    count = sum(row.get("terminated") is True for row in rows)
    expected = count / max(sum(evidence.lengths), 1)
    measured = fmean(shares.values)
    if not count and measured > 0:
        text = f"{measured:.1%} of the transitions are terminal; no episode has terminated"
        step = shares.first(lambda share: share > 0)
        yield finding("time-limit-as-termination", "critical", text, step)
    elif expected > 0.01 and len(shares) >= 3 and max(shares.values) == 0:
        text = f"no terminal transition; {expected:.1%} of the steps terminated an episode"
        yield finding("termination-ignored", "warning", text)


def environments(evidence: Evidence) -> Iterator[Finding]:
    """Returns and lengths of each environment beside those of the others."""
    count = evidence.num_envs
    if count < 2:
        raise NotJudged("there is one environment only")
    by_env: dict[int, list[tuple[float, float]]] = {env: [] for env in range(count)}
    for row in evidence.episodes:
        if row.get("env") in by_env:
            by_env[row["env"]].append((row["return"], row["length"]))
    sizes = {env: len(found) for env, found in by_env.items()}
    typical = median(sizes.values())
    if typical < MIN_PER_ENV:
        raise NotJudged(f"fewer than {MIN_PER_ENV} episodes of each environment have finished")
    for env, found in by_env.items():
        rest = [pair for other, each in by_env.items() if other != env
                for pair in each[-RECENT_PER_ENV:]]  # fmt: skip
        if sizes[env] < typical / 10 or sizes[env] > 10 * typical:
            text = f"environment {env} has finished {sizes[env]} episodes, others {typical:.0f}"
            yield finding("environment-differs", "critical", text)
            continue
        for index, what in enumerate(("return", "length")):
            own = [pair[index] for pair in found[-RECENT_PER_ENV:]]
            others = [pair[index] for pair in rest]
            if _differ(own, others):
                text = (
                    f"environment {env} has a mean {what} of {fmean(own):.4g}, "
                    f"the others {fmean(others):.4g}"
                )
                yield finding("environment-differs", "critical", text)
                break


def _differ(own: list[float], others: list[float]) -> bool:
    """Whether the numbers of one environment are mostly larger or mostly smaller than others.

    The probability that one of `own` exceeds one of `others` (Mann & Whitney 1947), and its
    distance from 1/2 in standard errors.
    """
    ordered = sorted(others)
    below = sum(bisect_left(ordered, x) + bisect_right(ordered, x) for x in own) / 2
    probability = below / (len(own) * len(others))
    error = math.sqrt((len(own) + len(others) + 1) / (12 * len(own) * len(others)))
    return abs(probability - 0.5) > max(UNLIKE, SURE * error)


def starts(evidence: Evidence) -> Iterator[Finding]:
    """Episodes that begin in the same state."""
    shares = evidence.diagnostic("equal_starts")
    if shares.median >= EQUAL_STARTS:
        text = f"{shares.median:.0%} of the evaluation episodes begin like another one"
        severity: Severity = "warning" if evidence.num_envs > 1 else "note"
        yield finding("environments-equal", severity, text, shares.steps[0])


def twins(evidence: Evidence) -> Iterator[Finding]:
    """Episodes of several environments that are equal, step by step."""
    if evidence.num_envs < 2:
        raise NotJudged("there is one environment only")
    rows = evidence.episodes
    # Whole numbers are often equal by chance, as in CartPole
    returns = [(row["step"], row["return"]) for row in rows]
    keys = [(step, value) for step, value in returns if value != round(value)]
    if len(keys) < MIN_EPISODES:
        raise NotJudged("too few episodes with returns that could be told apart")
    equal = sum(count for count in Counter(keys).values() if count > 1)
    if equal > 0.5 * len(keys):
        text = f"{equal / len(keys):.0%} of the episodes equal one of another environment"
        yield finding("environments-equal", "critical", text)


CHECKS = time_limit, ends_in_batches, environments, starts, twins
