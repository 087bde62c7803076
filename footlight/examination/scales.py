"""Scale and variety of observations and rewards in random play.

Levels that RLExplorer publishes (|x| > 10, |r| > 10) are crossed by many environments in which
algorithms learn, so that they are notes here; warnings begin where none of the 25 standard
environments is that `docs/check-env.md` lists.
"""

from collections import Counter
from collections.abc import Iterator

import numpy as np

from footlight.doctor.findings import Finding, Severity
from footlight.errors import counted
from footlight.examination.random_play import Play, Range
from footlight.trees import Leaf
from footlight.types import Array

NOTED, LARGE, USUALLY_LARGE = 10.0, 1_000.0, 10.0
LARGE_REWARD, SMALL_REWARD = 100.0, 1e-3
SHIFTED = 15.0
TINY = 1e-3
MODE_SHARE, RARE_SHARE, SAME_RETURNS = 0.99, 0.1, 0.1
RLEXPLORER = "RLExplorer (arXiv 2410.04322)"
CALIBRATED = "calibrated on random play in 25 standard environments"
SOURCE = f"{RLEXPLORER}; level {CALIBRATED}"


def observation_findings(play: Play, leaves: dict[str, Leaf]) -> Iterator[Finding]:
    """Findings about each leaf of the observations, and about all of them."""
    ranges = play.observations
    if play.num_steps > 1 and ranges and not any(each.varies.any() for each in ranges.values()):
        yield _finding(
            "observation-constant", "critical", "the observation is constant",
            f"all {counted(next(iter(ranges.values())).count, 'observation')} are equal",
            "A policy cannot tell one state from another.",
            "return the state that the reward depends on, and a copy of it at each step",
            confidence=0.9,
        )  # fmt: skip
        return
    if play.inner_steps and not play.changes and play.is_complete:
        yield _finding(
            "observation-frozen", "critical", "the observation never changes within an episode",
            f"in {counted(play.inner_steps, 'step')} that did not end an episode",
            "A policy cannot see what its actions do.",
            "return the new state from step, and not the first one again",
            confidence=0.9,
        )  # fmt: skip
    for name, leaf in leaves.items():
        if name in ranges and leaf.is_quantity:
            yield from _of_leaf(f"part {name!r} of the observation" if name else "the observation",
                                ranges[name])  # fmt: skip


def _of_leaf(what: str, found: Range) -> Iterator[Finding]:
    rms, std, varies = (np.ravel(each) for each in (found.rms, found.std, found.varies))
    if not rms.size or found.count < 2:
        return
    usual = float(np.median(rms[varies])) if varies.any() else 0.0
    largest = int(rms.argmax())
    numbers = f"component {largest} has mean {np.ravel(found.mean)[largest]:.3g} and standard "
    numbers += f"deviation {std[largest]:.3g}"
    if rms[largest] > LARGE or usual > USUALLY_LARGE:
        yield _finding(
            "observation-scale", "warning", f"the scale of {what} is very large",
            f"{numbers}; half of the components are above {usual:.3g} (levels: {LARGE:,.0f} for "
            f"one, {USUALLY_LARGE:.0f} for half)",
            "A network of usual initialization saturates or diverges on such inputs.",
            "normalize_observations true, or units in which numbers are near 1",
        )  # fmt: skip
    elif rms[largest] > NOTED:
        above = int((rms > NOTED).sum())
        yield _finding(
            "observation-scale", "note", f"the scale of {what} is large in places",
            f"{above} of {counted(rms.size, 'component')} above {NOTED:.0f}; {numbers}",
            "Large components outweigh the small ones in the first layer.",
            "normalize_observations true, if it learns slowly",
        )  # fmt: skip
    elif varies.any() and std[varies].max() < TINY:
        yield _finding(
            "observation-scale", "warning", f"the scale of {what} is very small",
            f"largest standard deviation {std.max():.2g} (level: {TINY})",
            "To a network such observations are all the same.",
            "normalize_observations true, or units in which numbers are near 1",
        )  # fmt: skip
    if not varies.all():
        yield _constant(what, ~varies, np.ravel(found.low))


def _constant(what: str, mask: Array, values: Array) -> Finding:
    indices = np.flatnonzero(mask)
    shown = ", ".join(f"{index} ({values[index]:.3g})" for index in indices[:8])
    more = f" and {len(indices) - 8} more" if len(indices) > 8 else ""
    which = "a component" if len(indices) == 1 else counted(len(indices), "component")
    return _finding(
        "observation-constant-part", "note",
        f"{which} of {what} {'is' if len(indices) == 1 else 'are'} constant",
        f"of {counted(mask.size, 'component')}: {shown}{more}",
        "Harmless if it is meant; a sensor that is not connected looks the same.",
        "leave them out, or see that what they stand for is updated",
        confidence=0.6,
    )  # fmt: skip


def reward_findings(play: Play) -> Iterator[Finding]:
    """Findings about the scale and the variety of the rewards."""
    if play.num_steps < 2:
        return
    rewards = np.array(play.rewards)
    size = float(np.abs(rewards).mean())
    value, count = Counter(play.rewards).most_common(1)[0]
    constant = _constant_reward(play, value) if count == len(rewards) else None
    if constant is not None:
        yield constant
    elif count > MODE_SHARE * len(rewards) and _is_sparse(play, value):
        yield _finding(
            "reward-sparse", "note", "the reward is sparse",
            f"{count / len(rewards):.2%} of the rewards are {value:.4g} (level: {MODE_SHARE:.0%})",
            "Random actions seldom meet what the task is about, so that learning begins late.",
            "more steps and exploration, a denser reward, or shorter ways to it",
            confidence=0.7,
        )  # fmt: skip
    if size > NOTED and abs(rewards.mean()) > SHIFTED * rewards.std() > 0:
        yield _finding(
            "reward-shifted", "warning", "the reward has a very large constant part",
            f"mean {rewards.mean():.4g}, standard deviation {rewards.std():.3g} (level: a ratio of "
            f"{SHIFTED:.0f})",
            "The critic has to learn a large number before it can see the differences in it.",
            "subtract it from the reward, if episodes have a fixed length; normalize_rewards true",
        )  # fmt: skip
    elif size > NOTED:
        is_large = size > LARGE_REWARD
        yield _finding(
            "reward-scale", "warning" if is_large else "note",
            "the scale of the reward is very large" if is_large else "rewards are large",
            f"mean |r| {size:.4g} (levels: {NOTED:.0f} and {LARGE_REWARD:.0f})",
            "Values and gradients of the critic grow with it, and an entropy bonus vanishes.",
            "normalize_rewards true, or divide the reward",
        )  # fmt: skip
    elif 0 < size < SMALL_REWARD and count < MODE_SHARE * len(rewards):
        yield _finding(
            "reward-scale", "warning", "the scale of the reward is very small",
            f"mean |r| {size:.2g} (level: {SMALL_REWARD})",
            "An entropy bonus, and the critic's own error, outweigh it.",
            "normalize_rewards true, or multiply the reward",
        )  # fmt: skip


def _is_sparse(play: Play, usual: float) -> bool:
    """Whether hardly an episode's return says more than its length in usual rewards."""
    if not play.episodes:
        return True
    if usual == 0:
        rewarded = sum(each.total != 0 for each in play.episodes)
        return rewarded < RARE_SHARE * len(play.episodes)
    returns = np.array([each.discounted for each in play.episodes])
    return bool(returns.std() < SAME_RETURNS * abs(returns.mean()))


def _constant_reward(play: Play, value: float) -> Finding | None:
    """What is wrong with rewards that are all equal; None if the length of episodes matters."""
    lengths = {each.length for each in play.episodes}
    ends_vary = len(lengths) > 1
    if value and ends_vary:
        return None if not _is_sparse(play, value) else _goal_not_met(play, value)
    cut_off = all(each.truncated and not each.terminated for each in play.episodes)
    if value < 0 and cut_off:
        return _goal_not_met(play, value)
    return _finding(
        "reward-constant", "warning", f"the reward is constant: always {value:.4g}",
        f"in {counted(play.num_steps, 'step')} and {counted(len(play.episodes), 'episode')} of "
        "random play",
        "No action was better than another, so that there is nothing to learn from.",
        "see whether the reward is computed at all; if it is that rare, make it denser",
        confidence=0.85,
    )  # fmt: skip


def _goal_not_met(play: Play, value: float) -> Finding:
    return _finding(
        "reward-sparse", "note", "the reward is sparse: random play never met another",
        f"all {counted(play.num_steps, 'reward')} are {value:.4g}",
        "Until an episode ends early by chance, all look the same to an algorithm.",
        "more steps and exploration, a denser reward, or shorter ways to it",
        confidence=0.7,
    )  # fmt: skip


def _finding(
    check: str, severity: Severity, title: str, evidence: str, meaning: str, remedy: str,
    *, confidence: float = 0.8,
) -> Finding:  # fmt: skip
    return Finding(
        check=check, severity=severity, title=title, evidence=evidence, step=None,
        meaning=meaning, remedy=remedy, source=SOURCE, confidence=confidence,
    )  # fmt: skip
