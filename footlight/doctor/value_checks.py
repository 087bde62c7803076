"""Checks of the critic's values and its loss."""

from collections.abc import Iterator
from statistics import median

from footlight.doctor.evidence import Evidence, NotJudged, Series
from footlight.doctor.findings import Finding, Severity, finding

WARM_UP = 0.3  # share of the run before which a critic may still be wrong
MIN_ROWS = 3
BIASED, VERY_BIASED = 0.6, 2.0
IMPOSSIBLE, VERY_IMPOSSIBLE = 1.5, 5.0
EDGE_MASS = 0.2
LOSS_GROWTH = 50.0


def bias(evidence: Evidence) -> Iterator[Finding]:
    """The critic's values beside the returns that followed."""
    later = _later(evidence, "critic_bias")
    level = VERY_BIASED if evidence.is_learning else BIASED
    for check, sign in ("critic-overestimates", 1), ("critic-underestimates", -1):
        if sign * later.median > level and sign * later.values[-1] > level:
            is_severe = sign * later.median > VERY_BIASED and not evidence.is_learning
            text = (
                f"value minus return is {later.median:+.2f} of the returns' size; at most {level:g}"
            )
            step = later.first(lambda value, sign=sign: sign * value > level)  # type: ignore[misc]
            severity: Severity = "critical" if is_severe else "warning"
            yield finding(check, severity, text, step, later.name)


def explained_variance(evidence: Evidence) -> Iterator[Finding]:
    """The share of the returns' variance that the critic explains."""
    try:
        later = _later(evidence, "critic_explained_variance")
    except NotJudged:
        later = evidence.metric("explained_variance").since(WARM_UP, evidence.steps)
        if len(later) < MIN_ROWS:
            raise
    if later.median <= 0 and not evidence.is_learning:
        severity: Severity = "critical" if later.median < -1 else "warning"
        step = later.first(lambda value: value <= 0)
        text = f"explained variance {later.median:.2f}; above 0"
        yield finding("critic-explains-nothing", severity, text, step, later.name)


def bound(evidence: Evidence) -> Iterator[Finding]:
    """Values beside the largest return that the rewards allow, and beside all training returns."""
    ratio, size = evidence.trained("value_bound_ratio"), evidence.trained("value_size")
    # The evaluation may not have met the largest reward, which training has
    largest = max((abs(row["return"]) for row in evidence.episodes), default=0.0)
    current = min(ratio.values[-2:])
    if current > IMPOSSIBLE and size.values[-1] > IMPOSSIBLE * largest and not evidence.is_learning:
        severity: Severity = "critical" if current > VERY_IMPOSSIBLE else "warning"
        text = f"|value| is {current:.3g} times its bound; at most {IMPOSSIBLE:g}"
        step = ratio.first(lambda value: value > IMPOSSIBLE)
        yield finding("value-impossible", severity, text, step, ratio.name)


def edges(evidence: Evidence) -> Iterator[Finding]:
    """Probability in the outermost bins of a categorical critic."""
    mass = evidence.trained("edge_mass").since(WARM_UP, evidence.steps)
    if len(mass) and mass.median > EDGE_MASS:
        text = f"{mass.median:.0%} is in the outermost bins; at most {EDGE_MASS:.0%}"
        step = mass.first(lambda value: value > EDGE_MASS)
        yield finding("value-out-of-bins", "warning", text, step, mass.name)


def loss(evidence: Evidence) -> Iterator[Finding]:
    """The critic's loss at the end beside its loss before."""
    name = "critic_loss"
    if not any(name in row for row in evidence.run.metrics):
        name = "value_loss"
    losses = evidence.metric(name)
    if len(losses) < 2 * MIN_ROWS:
        raise NotJudged(f"too few rows of {name}")
    part = len(losses) // 3
    early, late = losses.values[:part], losses.values[-part:]
    if any(value < 0 for value in losses.values):
        return  # a categorical critic's, or a user's
    growth = median(late) / max(median(early), 1e-12)
    if growth > LOSS_GROWTH and not evidence.is_learning:
        change = f"{median(early):.3g} to {median(late):.3g}"
        text = f"{name} has grown from {change}; at most {LOSS_GROWTH:g} times"
        level = LOSS_GROWTH * median(early)
        severity: Severity = "critical" if growth > LOSS_GROWTH**2 else "warning"
        step = losses.first(lambda value: value > level)
        yield finding("critic-loss-rises", severity, text, step, name)


def _later(evidence: Evidence, name: str) -> Series:
    """The values of a diagnostic after the warm-up. Raises `NotJudged` for too few."""
    later = evidence.trained(name).since(WARM_UP, evidence.steps)
    if len(later) < MIN_ROWS:
        raise NotJudged(f"there are fewer than {MIN_ROWS} evaluations after the warm-up")
    return later


CHECKS = bias, explained_variance, bound, edges, loss
