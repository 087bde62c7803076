"""Findings of a checkup: what is wrong with a run, since when, and what to change."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from footlight.doctor.catalog import CATALOG
from footlight.doctor.remedies import describe_options
from footlight.errors import counted

Severity = Literal["critical", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("critical", "warning", "note")  # from the most severe
CRITICAL_COUNTS = 0.1
"""How much more surely a critical finding is a cause than a warning of the same check."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that is wrong with a run, or may be."""

    check: str
    """Identifier of the check, such as "critic-overestimates"; stable across versions."""
    severity: Severity
    title: str
    """What is wrong, as a sentence without its period."""
    evidence: str
    """The number that was measured beside the level that it crossed."""
    step: int | None
    """Environment step at which it began; None if it holds for the whole run."""
    meaning: str
    """What it means for the training, in one sentence."""
    remedy: str
    """What to do, in one line, with the config field to change."""
    source: str
    """Where check and level come from: a paper, a library, or "calibrated on healthy runs"."""
    quantity: str | None = None
    """The column of the run's logs that shows it, such as "critic_bias"; None if none does."""
    confidence: float
    """How surely this is a cause and no consequence, in [0, 1]; orders findings."""

    def to_json(self) -> dict[str, Any]:
        """All fields as strict JSON."""
        return asdict(self)


@dataclass(frozen=True, repr=False)
class Checkup:
    """What the doctor says of a run."""

    findings: tuple[Finding, ...]
    """Ranked: the most probable cause first."""
    not_judged: tuple[str, ...]
    """One sentence for each group of checks that lacked what it needs."""
    num_checks: int
    """How many checks could be made."""

    def __repr__(self) -> str:
        return f"<Checkup: {self.verdict}>"

    def __str__(self) -> str:
        from footlight.doctor.text import describe_checkup

        return describe_checkup(self)

    @property
    def is_healthy(self) -> bool:
        """Whether nothing was found that has to be changed; notes do not count."""
        return all(finding.severity == "note" for finding in self.findings)

    @property
    def verdict(self) -> str:
        """One line: healthy, or the first finding and how many more there are."""
        serious = [finding for finding in self.findings if finding.severity != "note"]
        if not serious:
            notes = len(self.findings)
            found = counted(notes, "note") if notes else "no findings"
            return f"healthy: {counted(self.num_checks, 'check')}, {found}"
        more = f", and {counted(len(serious) - 1, 'more finding')}" if len(serious) > 1 else ""
        return f"{serious[0].severity}: {serious[0].title}{more}"

    def to_json(self) -> dict[str, Any]:
        """All fields, and the verdict, as strict JSON."""
        return {
            "healthy": self.is_healthy,
            "verdict": self.verdict,
            "findings": [finding.to_json() for finding in self.findings],
            "not_judged": list(self.not_judged),
            "checks": self.num_checks,
        }


def ranked(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """What is most surely a cause comes first, and notes come last; one finding of each check."""
    weight = {"critical": CRITICAL_COUNTS, "warning": 0.0, "note": -1.0}
    order = sorted(findings, key=lambda found: -found.confidence - weight[found.severity])
    by_check: dict[str, Finding] = {}
    for found in order:
        known = by_check.setdefault(found.check, found)
        if known is not found:
            evidence = f"{known.evidence}; {found.evidence}"
            by_check[found.check] = replace(known, evidence=evidence)
    return tuple(by_check.values())


def finding(
    check: str, severity: Severity, evidence: str, step: int | None = None,
    quantity: str | None = None,
) -> Finding:  # fmt: skip
    """The finding of a check with what was measured. Its remedy names no config field."""
    entry = CATALOG[check]
    return Finding(
        check=check, severity=severity, title=entry.title, evidence=evidence, step=step,
        meaning=entry.meaning, remedy=remedy_for(check, {}), source=entry.source,
        quantity=quantity, confidence=entry.confidence,
    )  # fmt: skip


def remedy_for(check: str, fields: Mapping[str, Any]) -> str:
    """What to do about a finding of a run whose config has these fields and values."""
    return describe_options(CATALOG[check].remedy, fields)
