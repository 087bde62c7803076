"""The probe suite learns the known values, with either kind of action."""

import pytest
import torch

from footlight.examination import probe_suite


@pytest.mark.parametrize("discrete", [False, True])
def test_the_suite_is_learned(discrete: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    # One probe of the critic and one of the actor: all five take seconds
    suite = probe_suite.SUITE[2], probe_suite.SUITE[3]
    monkeypatch.setattr(probe_suite, "SUITE", suite)
    threads = torch.get_num_threads()
    learned = list(probe_suite.run_suite(discrete, seed=0))
    assert [each.is_learned for each in learned] == [True, True]
    assert "V(0) = 0.9" in learned[0].evidence
    assert torch.get_num_threads() == threads


def test_what_was_not_learned_is_a_finding() -> None:
    failed = probe_suite.Learned("DelayedReward", "the critic bootstraps", False, "V(0) = 0.1")
    found = probe_suite.probe_finding(failed)
    assert found.severity == "critical"
    assert "DelayedReward" in found.title
    assert found.evidence == "V(0) = 0.1"
