"""Findings as text, for a terminal."""

import textwrap

from footlight.doctor.findings import Checkup, Finding

WIDTH = 96


def describe_finding(finding: Finding) -> str:
    """A finding in several lines: what is wrong, the evidence, what it means, and what to do."""
    since = "" if finding.step is None else f" (since step {finding.step:,})"
    return "\n".join(
        [
            _wrapped(f"{finding.severity}: {finding.title}{since}", ""),
            _wrapped(finding.evidence, "  "),
            _wrapped(finding.meaning, "  "),
            _wrapped(f"to do: {finding.remedy}", "  "),
            _wrapped(f"source: {finding.source}; check {finding.check}", "  "),
        ]
    )


def _wrapped(text: str, indent: str) -> str:
    """One paragraph, also of text that has line breaks of its own."""
    return textwrap.fill(
        text, WIDTH, initial_indent=indent, subsequent_indent=f"{indent}  ", break_on_hyphens=False
    )


def describe_checkup(checkup: Checkup) -> str:
    """All findings, what could not be judged, and the verdict."""
    parts = [describe_finding(found) for found in checkup.findings]
    by_reason: dict[str, list[str]] = {}
    for line in checkup.not_judged:
        check, _, reason = line.partition(": ")
        by_reason.setdefault(reason, []).append(check)
    if by_reason:
        lines = [f"{', '.join(checks)}: {reason}" for reason, checks in by_reason.items()]
        parts.append("\n".join(["not judged:", *(_wrapped(line, "  ") for line in lines)]))
    return "\n\n".join([*parts, checkup.verdict])
