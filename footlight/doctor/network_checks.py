"""Checks of networks, their updates and their targets."""

from collections.abc import Iterator

from footlight.doctor.evidence import Evidence, NotApplicable, NotJudged, Series
from footlight.doctor.findings import Finding, Severity, finding

LARGE_UPDATE, HUGE_UPDATE = 0.02, 0.1  # share of the weights' norm
SMALL_UPDATE, TINY_UPDATE = 1.2e-4, 6e-5
LONG_WAY, CHANGED = 2.0, 1.3  # all updates together, and the growth of the norm
MIN_UPDATES = 50  # after which weights have to differ
MIN_SAME = 3  # evaluations after which weights have to differ
DEAD, ALL_DEAD = 0.6, 0.9
SATURATED = 0.5
GROWN = 10.0
FAR = 0.9
MIN_TIME_CONSTANTS = 10  # of the target, before it has to follow


def updates(evidence: Evidence) -> Iterator[Finding]:
    """The size of an update beside that of the weights."""
    sizes = evidence.of_networks("update_size")
    name, largest = max(sizes.items(), key=lambda item: item[1].median)
    if largest.median > LARGE_UPDATE:
        severity: Severity = "critical" if largest.median > HUGE_UPDATE else "warning"
        text = f"updates of {name} are {largest.median:.2g} of its norm; at most {LARGE_UPDATE:g}"
        step = largest.first(lambda value: value > LARGE_UPDATE)
        yield finding("learning-rate-too-high", severity, text, step, largest.name)
    # Schedules end at 0, so the first half of the run tells
    first = {key: _first_half(series) for key, series in sizes.items()}
    name, largest = max(first.items(), key=lambda item: item[1].median)
    level = TINY_UPDATE if evidence.is_learning else SMALL_UPDATE
    if largest.median < level and not _has_moved(evidence, largest.median):
        text = (
            f"an update of {name} is {largest.median:.2g} of its weights' norm; at least {level:g}"
        )
        yield finding("learning-rate-too-low", "warning", text, largest.steps[0], largest.name)


def _has_moved(evidence: Evidence, size: float) -> bool:
    """Whether small updates were so many that they changed a network after all."""
    growth = max(max(series.values) for series in evidence.of_networks("weight_growth").values())
    is_changed = evidence.is_learning or growth > CHANGED
    return is_changed and evidence.num_updates * size > LONG_WAY


def frozen(evidence: Evidence) -> Iterator[Finding]:
    """Weights that are the initial ones at all evaluations."""
    if evidence.fields.get("unit_weights", "none") != "none":
        raise NotApplicable("the norm of the weights is fixed")
    for name in evidence.of_networks("weight_growth"):
        series = evidence.trained(f"{name}.weight_growth")
        if len(series) < MIN_SAME:
            raise NotJudged("too few evaluations")
        # Others that stop changing are a consequence, as of a learning rate that saturates units
        if set(series.values) == {1.0} and evidence.num_updates >= MIN_UPDATES:
            text = f"{name} still has its initial norm after {evidence.num_updates:,} updates"
            yield finding("network-frozen", "critical", text, series.steps[0], series.name)
            return


def dead_units(evidence: Evidence) -> Iterator[Finding]:
    """Hidden units without output."""
    name, series = _worst(evidence, "dormant")
    if series.median > DEAD and not evidence.is_learning:
        severity: Severity = "critical" if series.median > ALL_DEAD else "warning"
        text = f"{series.median:.0%} of the units of {name} are dormant; at most {DEAD:.0%}"
        step = series.first(lambda value: value > DEAD)
        yield finding("units-dead", severity, text, step, series.name)


def saturated_units(evidence: Evidence) -> Iterator[Finding]:
    """Hidden units that are always at a bound."""
    name, series = _worst(evidence, "saturated")
    if series.median > SATURATED:
        severity: Severity = "critical" if series.median > 0.8 else "warning"
        text = f"{series.median:.0%} of the units of {name} are saturated; at most {SATURATED:.0%}"
        step = series.first(lambda value: value > SATURATED)
        yield finding("units-saturated", severity, text, step, series.name)


def growth(evidence: Evidence) -> Iterator[Finding]:
    """Weights beside the initial ones."""
    found = evidence.of_networks("weight_growth")
    name, series = max(found.items(), key=lambda item: item[1].values[-1])
    if series.values[-1] > GROWN and not evidence.is_learning:
        text = f"{name} has {series.values[-1]:.1f} times its initial norm; at most {GROWN:g}"
        step = series.first(lambda value: value > GROWN)
        yield finding("weights-grow", "warning", text, step, series.name)


def targets(evidence: Evidence) -> Iterator[Finding]:
    """Target networks that equal the online network, or their own start."""
    config = evidence.fields
    if config.get("copy_interval"):
        raise NotApplicable("targets are copies at intervals")
    uses_batches = str(config.get("norm", "")).startswith("batch")
    if config.get("target_network") is False and not uses_batches:
        yield finding("target-missing", "warning", "target_network false")
        return
    if config.get("tau") == 1:
        yield finding("target-missing", "warning", "tau 1")
        return
    for name, series in evidence.of_networks("target_distance").items():
        if len(series) < 2:
            raise NotJudged("too few evaluations")
        if max(series.values) == 0:
            text = f"the target of {name} equals it at every evaluation"
            yield finding("target-missing", "warning", text, series.steps[0], series.name)
            return
        updates = evidence.num_updates
        tau = config.get("tau") if isinstance(config.get("tau"), float) else 0.0
        if series.values[-1] > FAR and updates * max(tau or 0.0, 1e-3) > MIN_TIME_CONSTANTS:
            text = f"after {updates:,} updates the target of {name} is still where it began"
            yield finding("target-frozen", "critical", text, series.steps[0], series.name)
            return


def _worst(evidence: Evidence, quantity: str) -> tuple[str, Series]:
    """The network with the largest median of a quantity. Raises `NotJudged`."""
    return max(evidence.of_networks(quantity).items(), key=lambda item: item[1].median)


def _first_half(series: Series) -> Series:
    half = max(1, (len(series) + 1) // 2)
    return Series(series.name, series.steps[:half], series.values[:half])


CHECKS = updates, frozen, dead_units, saturated_units, growth, targets
