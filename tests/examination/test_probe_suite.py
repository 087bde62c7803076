"""The probe suite learns the known values, with either kind of action."""

import pytest
import torch

from footlight.examination import probe_suite


@pytest.mark.parametrize(
    ("discrete", "number", "evidence"),
    [(False, 2, "V(0) = 0.9"), (True, 3, "p(best action at 0) = 1.00")],
)
def test_the_suite_is_learned(
    discrete: bool, number: int, evidence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One probe of the critic and one of the actor: all five take seconds
    monkeypatch.setattr(probe_suite, "SUITE", probe_suite.SUITE[number : number + 1])
    threads = torch.get_num_threads()
    (learned,) = probe_suite.run_suite(discrete, seed=0)
    assert learned.is_learned
    assert evidence in learned.evidence
    assert torch.get_num_threads() == threads


def test_nothing_is_learned_without_updates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe_suite, "STEPS", 8)  # no update
    learned = [*probe_suite.run_suite(discrete=False, seed=0)]
    assert len(learned) == 5
    assert not any(each.is_learned for each in learned)


def test_what_was_not_learned_is_a_finding() -> None:
    failed = probe_suite.Learned("DelayedReward", "the critic bootstraps", False, "V(0) = 0.1")
    found = probe_suite.probe_finding(failed)
    assert found.severity == "critical"
    assert "DelayedReward" in found.title
    assert found.evidence == "V(0) = 0.1"
