"""The bounds of continuous actions."""

from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np

from footlight.doctor.findings import Finding, Severity

WIDE = 100.0  # half the width
OFF_CENTER = 0.1  # of the width
SOURCE = "Stable-Baselines3's check_env; level calibrated on 25 standard environments"


def bound_findings(space: gymnasium.Space[Any]) -> Iterator[Finding]:
    """Findings about an action space."""
    if not isinstance(space, gymnasium.spaces.Box):
        return
    low, high = (np.ravel(bound).astype(np.float64) for bound in (space.low, space.high))
    unbounded = ~(np.isfinite(low) & np.isfinite(high))
    if unbounded.any():
        yield _finding(
            "action-unbounded", "critical", "actions have infinite bounds",
            f"{int(unbounded.sum())} of {low.size} components: {low[unbounded][0]:g} to "
            f"{high[unbounded][0]:g}",
            "Actions are rescaled to their bounds, so that footlight refuses to train.",
            "declare the range that makes sense, such as Box(-1, 1), and rescale in step",
        )  # fmt: skip
        return
    width = high - low
    if (width <= 0).any():
        index = int((width <= 0).argmax())
        yield _finding(
            "action-empty", "critical", "the bounds of actions leave no choice",
            f"component {index} is between {low[index]:g} and {high[index]:g}",
            "That component can be controlled by no policy.",
            "correct the bounds, or leave it out",
        )  # fmt: skip
    widest = int(width.argmax())
    if width[widest] > 2 * WIDE:
        yield _finding(
            "action-wide", "warning", "the bounds of actions are very wide",
            f"component {widest} is between {low[widest]:g} and {high[widest]:g} (level: "
            f"±{WIDE:.0f})",
            "A policy begins with a spread of all of it: if only a small part is useful, nearly "
            "every action it tries is not.",
            "declare the range in which actions make a difference",
        )  # fmt: skip
    shift = np.abs(low + high) / 2
    off = shift > OFF_CENTER * np.maximum(width, 1e-12)
    if off.any() and (width > 0).all():
        index = int(off.argmax())
        yield _finding(
            "action-asymmetric", "note", "the bounds of actions are not symmetric",
            f"{int(off.sum())} of {low.size} components; {index} is between {low[index]:g} and "
            f"{high[index]:g}",
            "A policy begins in the middle of the bounds, so that 0 is not what it does by "
            "default.",
            "nothing, if the middle is a sensible action to begin with",
        )  # fmt: skip


def _finding(
    check: str, severity: Severity, title: str, evidence: str, meaning: str, remedy: str
) -> Finding:
    return Finding(
        check=check, severity=severity, title=title, evidence=evidence, step=None,
        meaning=meaning, remedy=remedy, source=SOURCE, confidence=0.7,
    )  # fmt: skip
