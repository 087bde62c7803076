"""Checks of how training episodes end, begin, and differ between environments."""

import math
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean, median

from footlight.doctor.evidence import MIN_EPISODES, Evidence, NotApplicable, NotJudged
from footlight.doctor.findings import Finding, Severity, finding

MIN_LIMIT = 20  # steps below which a common length is no time limit
COMMON_LENGTH, COMMON_AT_FIRST = 0.3, 0.5  # share of episodes that have the greatest length
MIN_COMMON, NEARLY_ALL = 3, 0.9  # how many these are, and their share where it is 999, not 1,000
MIN_PER_ENV, RECENT_PER_ENV = 5, 100
MIN_EXPECTED = 7.0  # terminal transitions: without any by chance once in a thousand
UNLIKE, SURE = 0.25, 5.0  # difference of a probability from 1/2, and in standard errors
MIN_ENVS = 4  # of which two may be broken in the same way
EQUAL_STARTS = 0.99


def time_limit(evidence: Evidence) -> Iterator[Finding]:
    """Episodes that are said to terminate, all after the same number of steps."""
    rows = evidence.episodes
    if len(rows) < MIN_EPISODES:
        raise NotJudged(f"fewer than {MIN_EPISODES} training episodes have finished")
    if any(row.get("truncated") is True for row in rows):
        return  # limits are reported as what they are
    lengths = [row["length"] for row in rows]
    longest = max(lengths)
    # Where a goal ends the episode, only the untrained policy runs into the limit
    parts = {"later": lengths[len(lengths) // 2 :], "first": lengths[: evidence.num_untrained]}
    shares = {name: part.count(longest) / len(part) for name, part in parts.items()}
    name, share = max(shares.items(), key=lambda item: item[1])
    common = COMMON_LENGTH if name == "later" else COMMON_AT_FIRST
    if longest < MIN_LIMIT or share < common or lengths.count(longest) < MIN_COMMON:
        return
    is_off_by_one = longest % 50 == 49 and lengths.count(longest) > NEARLY_ALL * len(lengths)
    if longest % 10 and not is_off_by_one:  # the length of a task of its own
        return
    severity: Severity = "warning" if is_off_by_one else "critical"
    first = next(row["step"] for row in rows if row["length"] == longest)
    text = f"{share:.0%} of the {name} episodes terminate after exactly {longest:,} steps"
    yield finding("time-limit-as-termination", severity, text, first)


def ends_in_batches(evidence: Evidence) -> Iterator[Finding]:
    """Terminal transitions in what is learned from, beside the episodes that terminated."""
    shares, rows = evidence.diagnostic("terminal_share"), evidence.episodes
    if len(rows) < MIN_EPISODES:
        raise NotJudged(f"fewer than {MIN_EPISODES} training episodes have finished")
    if evidence.fields.get("gamma") == 0:
        raise NotApplicable("gamma is 0: nothing that follows counts")
    count = sum(row.get("terminated") is True for row in rows)
    if not count and fmean(shares.values) > 0:
        text = f"{fmean(shares.values):.1%} of the transitions are terminal; no episode terminated"
        step = shares.first(lambda share: share > 0)
        yield finding("buffer-ends-at-limits", "critical", text, step, shares.name)
        return
    share = count / max(sum(evidence.lengths), 1)
    expected = share * sum(evidence.diagnostic("sample_rows").values)
    if expected > MIN_EXPECTED and max(shares.values) == 0:
        text = f"no terminal transition in the samples, where {expected:.0f} were to be expected"
        yield finding("termination-ignored", "warning", text)


def environments(evidence: Evidence) -> Iterator[Finding]:
    """Returns and lengths of each environment beside those of the others."""
    if evidence.num_envs < 2:
        raise NotApplicable("there is one environment only")
    by_env: dict[int, list[tuple[float, float]]] = {}
    for row in evidence.episodes:
        if type(row.get("env")) is int:
            by_env.setdefault(row["env"], []).append((row["return"], row["length"]))
    sizes = sorted(map(len, by_env.values()))
    if len(sizes) < 2 or median(sizes) < MIN_PER_ENV:
        if len(sizes) == 1 and sizes[0] >= 2 * MIN_PER_ENV:
            text = f"one has finished {sizes[0]} episodes, the others none"
            yield finding("environment-differs", "critical", text)
            return
        raise NotJudged(f"fewer than {MIN_PER_ENV} episodes of each environment have finished")
    typical = median(sizes)
    missing = evidence.num_envs - len(by_env)
    if 0 < missing <= len(by_env) and typical >= 2 * MIN_PER_ENV:
        text = f"{missing} of {evidence.num_envs} have finished no episode, others {typical:.0f}"
        yield finding("environment-differs", "critical", text)
        return
    for env, found in by_env.items():
        if len(found) < typical / 10 or len(found) > 10 * typical:
            text = f"environment {env} has finished {len(found)} episodes, others {typical:.0f}"
            yield finding("environment-differs", "critical", text)
            return
    for index, what in enumerate(("return", "length")):
        recent = {e: [pair[index] for pair in r[-RECENT_PER_ENV:]] for e, r in by_env.items()}
        if (odd := _odd_one(recent)) is not None:
            own = fmean(recent[odd])
            others = fmean(x for e, numbers in recent.items() if e != odd for x in numbers)
            text = f"environment {odd} has a mean {what} of {own:.4g}, the others {others:.4g}"
            yield finding("environment-differs", "critical", text)
            return


def _odd_one(by_env: Mapping[int, Sequence[float]]) -> int | None:
    """The environment whose numbers are most surely larger or smaller than those of the others.

    By the probability that one of its numbers exceeds one of the others' (Mann & Whitney 1947), and
    that probability's distance from 1/2 in standard errors. None if no one's is far from it. Of
    four and more environments, the one with the most similar mean is left out of the others: it
    may be broken in the same way.
    """
    pooled = sorted(x for numbers in by_env.values() for x in numbers)
    means = {env: fmean(numbers) for env, numbers in by_env.items()}
    order = sorted(by_env, key=means.__getitem__)
    worst, found = 1.0, None
    for place, env in enumerate(order):
        numbers, like = by_env[env], list[float]()
        if len(order) >= MIN_ENVS:
            beside = order[max(place - 1, 0) : place] + order[place + 1 : place + 2]
            gaps = {abs(means[other] - means[env]): other for other in beside}
            like = sorted(by_env[gaps[min(gaps)]])
        own = len(numbers)
        rest = len(pooled) - own - len(like)
        ranks = _ranks(numbers, pooled) - own * own / 2 - _ranks(numbers, like)
        probability = ranks / (own * rest)
        error = math.sqrt((own + rest + 1) / (12 * own * rest))
        distance = abs(probability - 0.5) / max(UNLIKE, SURE * error)
        if distance > worst:
            worst, found = distance, env
    return found


def _ranks(numbers: Sequence[float], others: Sequence[float]) -> float:
    """How many of the sorted `others` are smaller than each of the numbers, in sum; equal ones
    count half."""
    return sum(bisect_left(others, x) + bisect_right(others, x) for x in numbers) / 2


def starts(evidence: Evidence) -> Iterator[Finding]:
    """Episodes that begin in the same state."""
    shares = evidence.diagnostic("equal_starts")
    if shares.median >= EQUAL_STARTS:
        text = f"{shares.median:.0%} of the evaluation episodes begin like another one; at most 99%"
        severity: Severity = "warning" if evidence.num_envs > 1 else "note"
        yield finding("environments-equal", severity, text, shares.steps[0], shares.name)


def twins(evidence: Evidence) -> Iterator[Finding]:
    """Episodes of several environments that are equal, step by step."""
    if evidence.num_envs < 2:
        raise NotApplicable("there is one environment only")
    rows = evidence.episodes
    # Whole numbers are often equal by chance, as in CartPole
    returns = [(row["step"], row["return"]) for row in rows]
    keys = [(step, value) for step, value in returns if value != round(value)]
    if len(keys) < MIN_EPISODES:
        raise NotJudged("too few episodes with returns that could be told apart")
    equal = sum(count for count in Counter(keys).values() if count > 1)
    # A task that is not solved yet may have one return only
    varies = len({value for _, value in keys}) > len(keys) / (2 * evidence.num_envs)
    if varies and equal > 0.5 * len(keys):
        text = f"{equal / len(keys):.0%} of the episodes equal one of another environment"
        yield finding("environments-equal", "critical", text)


CHECKS = time_limit, ends_in_batches, environments, starts, twins
