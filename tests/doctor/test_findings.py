"""Findings: their order, the verdict, and JSON."""

import json

from doctor_runs import FLAT, run

from footlight.doctor.checkup import examine_data
from footlight.doctor.findings import Checkup, finding, ranked

CAUSE = finding("reward-scale", "warning", "a")
SYMPTOM = finding("does-not-learn", "warning", "b")
SEVERE = finding("critic-overestimates", "critical", "c", 7)
NOTE = finding("environments-equal", "note", "d")


def test_causes_come_before_their_consequences_and_notes_last() -> None:
    assert ranked([NOTE, SYMPTOM, SEVERE, CAUSE]) == (CAUSE, SEVERE, SYMPTOM, NOTE)


def test_of_similar_findings_the_critical_one_comes_first() -> None:
    rate = finding("learning-rate-too-high", "critical", "e")
    assert ranked([CAUSE, rate]) == (rate, CAUSE)


def test_verdict_names_the_first_finding() -> None:
    checkup = Checkup((SEVERE, CAUSE, NOTE), (), 9)
    assert checkup.verdict == f"critical: {SEVERE.title}, and 1 more finding"
    assert repr(checkup) == f"<Checkup: {checkup.verdict}>"
    assert not checkup.is_healthy


def test_notes_are_healthy() -> None:
    checkup = Checkup((NOTE,), (), 9)
    assert checkup.is_healthy
    assert checkup.verdict == "healthy: 9 checks, 1 note"


def test_json_has_everything() -> None:
    content = json.loads(json.dumps(Checkup((SEVERE,), ("x: y",), 9).to_json()))
    assert content["findings"][0]["check"] == "critic-overestimates"
    assert content["findings"][0]["step"] == 7
    assert (content["healthy"], content["not_judged"], content["checks"]) == (False, ["x: y"], 9)


def test_findings_of_one_check_are_one() -> None:
    again = finding("reward-scale", "critical", "z")
    (merged,) = ranked([CAUSE, again])
    assert (merged.severity, merged.evidence) == ("critical", "z; a")


def test_a_finding_names_the_column_that_shows_it() -> None:
    shown = {
        found.check: found.quantity
        for found in examine_data(
            run(FLAT, config={"gamma": 0.5}, **{"actor.dormant": 0.97, "critic_bias": 3.0})
        ).findings
    }
    assert shown["units-dead"] == "actor.dormant"
    assert shown["critic-overestimates"] == "critic_bias"
    assert shown["horizon-too-short"] is None  # a value of the configuration
