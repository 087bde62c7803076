"""Findings as text: every part is there, and lines are short."""

from dataclasses import replace

from footlight.doctor.findings import Finding
from footlight.doctor.text import WIDTH, describe_finding

FINDING = Finding(
    check="critic-overestimates",
    severity="warning",
    title="the critic overestimates",
    evidence="bias 0.8 (level: 0.5)",
    step=12_000,
    meaning="Actions look better than they are. " * 5,
    remedy="lower updates_per_step",
    source="REDQ (arXiv 2101.05982)",
    confidence=0.5,
)


def test_all_parts_are_shown() -> None:
    first, *rest = describe_finding(FINDING).splitlines()
    assert first == "warning: the critic overestimates (since step 12,000)"
    text = "\n".join(rest)
    assert "  bias 0.8 (level: 0.5)" in rest
    assert "  to do: lower updates_per_step" in rest
    assert "source: REDQ (arXiv 2101.05982); check critic-overestimates" in text
    assert max(map(len, rest)) <= WIDTH


def test_a_finding_of_the_whole_run_has_no_step() -> None:
    assert "since" not in describe_finding(replace(FINDING, step=None))


def test_line_breaks_in_a_text_do_not_break_the_layout() -> None:
    shown = describe_finding(replace(FINDING, title="one\n\nerror: another"))
    assert shown.splitlines()[0].startswith("warning: one")
    assert not any(line.startswith("error:") for line in shown.splitlines())
