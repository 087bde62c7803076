"""Checks of what a run has reached."""

import math
from collections.abc import Iterator
from typing import Any, cast

from footlight.doctor.evidence import Evidence, NotApplicable, NotJudged, is_number
from footlight.doctor.findings import Finding, Severity, finding

MIN_EVALUATIONS = 5
FORGOTTEN = 0.5  # of the range of evaluations
MIN_RECENT, LACKING = 3, 0.5  # evaluations, and share of what was gained in training
SURE = 3.0  # standard errors of a difference


def divergence(evidence: Evidence) -> Iterator[Finding]:
    """A run that has ended with numbers that are not finite."""
    if (evidence.run.result or {}).get("status") == "diverged":
        yield finding("diverged", "critical", "status diverged", evidence.steps)


def returns(evidence: Evidence) -> Iterator[Finding]:
    """Training returns at the end beside those at the beginning."""
    if evidence.run.config.get("init_from") is not None:
        raise NotJudged("the run began with what another one had learned")
    progress = evidence.progress
    if progress is None:
        raise NotJudged("too few training episodes have finished")
    text = f"training returns were {progress.early:.4g} at first and are {progress.late:.4g}"
    if progress.is_worse:
        yield finding("policy-gets-worse", "critical", text)
    elif not evidence.is_learning:
        yield finding("does-not-learn", "warning", text)


def lag(evidence: Evidence) -> Iterator[Finding]:
    """Evaluations beside the training episodes of the same time."""
    progress, values = evidence.progress, evidence.evaluations
    if progress is None or len(values) < MIN_RECENT:
        raise NotJudged("too few training episodes or evaluations")
    if evidence.run.config.get("eval_environment") is not None:
        raise NotApplicable("evaluations are of another environment")
    row = max(evidence.evaluated[-MIN_RECENT:], key=lambda row: float(row["mean_return"]))
    gained, missing = progress.late - progress.early, progress.late - row["mean_return"]
    is_sure = missing > SURE * math.hypot(progress.noise, _error(row))
    if progress.is_improved and gained > 0 and missing > LACKING * gained and is_sure:
        best = f"{row['mean_return']:.4g}"
        text = f"training returns are {progress.late:.4g}, evaluations {best} at most"
        # A policy that needs chance may be worse without it
        is_random = any("entropy" in each for each in evidence.run.diagnostics)
        severity: Severity = "note" if is_random and row.get("deterministic") else "warning"
        yield finding("evaluations-lag", severity, text, None, values.name)


def forgetting(evidence: Evidence) -> Iterator[Finding]:
    """The last evaluation beside the best one."""
    values = evidence.evaluations
    if len(values) < MIN_EVALUATIONS:
        raise NotJudged(f"there are fewer than {MIN_EVALUATIONS} evaluations")
    best, last, worst = max(values.values), values.values[-1], min(values.values)
    lost, rows = (best - last) / max(best - worst, 1e-12), evidence.evaluated
    noise = math.hypot(_error(rows[-1]), _error(rows[values.values.index(best)]))
    if lost > FORGOTTEN and best - last > SURE * noise:
        step = values.steps[values.values.index(best)]
        text = f"the last evaluation is {last:.4g}, the best was {best:.4g} at step {step:,}"
        # A single evaluation of a policy that learns may be an unlucky one
        severity: Severity = "note" if evidence.is_learning else "warning"
        yield finding("forgets", severity, text, step, values.name)


def _error(row: dict[str, Any]) -> float:
    """Standard error of an evaluation's mean return; 0 if it is unknown."""
    std, returns = row.get("std_return"), row.get("returns")
    known = is_number(std) and isinstance(returns, list) and returns
    return float(cast(float, std)) / math.sqrt(len(cast(list[Any], returns))) if known else 0.0


CHECKS = divergence, returns, lag, forgetting
