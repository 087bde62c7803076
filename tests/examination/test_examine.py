"""Planted faults are named first, and healthy environments have no findings."""

import json
import random

import broken_environments as broken
import gymnasium
import numpy as np
import pytest

from footlight.environments import probes
from footlight.errors import EnvironmentFault, UserError
from footlight.examination import random_play
from footlight.examination.examine import check_env


@pytest.mark.parametrize("fault", broken.FAULTS, ids=lambda made: made.__name__)
def test_a_fault_is_the_first_finding(fault: type[broken.Healthy]) -> None:
    checkup = check_env(fault, probes=False)
    first = checkup.findings[0]
    assert first.check == broken.FAULTS[fault]
    assert first.severity != "note"
    assert not checkup.is_healthy


@pytest.mark.parametrize(
    "environment",
    [
        "CartPole-v1",
        "Pendulum-v1",
        "Blackjack-v1",
        broken.Healthy,
        broken.ShowsTime,
        broken.ReusedArray,
    ],
)
def test_healthy_environments_have_at_most_notes(environment: str) -> None:
    checkup = check_env(environment, probes=False)
    assert checkup.is_healthy, checkup.verdict
    assert checkup.measured["steps"]


@pytest.mark.parametrize("slippery", [True, False])
def test_a_rare_reward_and_a_fixed_start_are_notes(
    slippery: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(random_play, "STEPS", 5_000)  # random play seldom meets the goal
    arguments = [f"is_slippery={str(slippery).lower()}"]
    checkup = check_env("FrozenLake-v1", env_kwargs=arguments, probes=False)
    assert checkup.is_healthy, checkup.verdict
    assert ("seed-ignored" in {each.check for each in checkup.findings}) != slippery


def test_sparse_rewards_are_a_note() -> None:
    checkup = check_env("MountainCar-v0", probes=False)
    assert [each.check for each in checkup.findings] == ["reward-sparse"]
    assert checkup.is_healthy


def test_a_constant_component_is_a_note() -> None:
    (found,) = check_env(broken.ConstantComponent, probes=False).findings
    assert (found.check, found.severity) == ("observation-constant-part", "note")
    assert "2 (0.5)" in found.evidence


def test_what_could_not_be_judged_is_said() -> None:
    checkup = check_env(broken.OldStep, probes=False)
    assert "random play ended at a violation" in checkup.not_judged[0]
    assert checkup.num_checks < check_env(broken.Healthy, probes=False).num_checks


def test_an_exception_is_a_fault_of_the_environment() -> None:
    with pytest.raises(EnvironmentFault, match=r"the motor is lost \(broken_environments.py, line"):
        check_env(broken.Raises, probes=False)


def test_what_is_no_environment_is_refused() -> None:
    with pytest.raises(UserError, match="unknown environment"):
        check_env("CartPole-v9000", probes=False)
    with pytest.raises(UserError, match="is not an environment"):
        check_env(3, probes=False)  # type: ignore[arg-type]


def test_a_given_object_stays_open_and_global_generators_as_they_were() -> None:
    class Closes(broken.Healthy):
        is_closed = False

        def close(self) -> None:
            self.is_closed = True

    env = Closes()
    np.random.seed(5)
    random.seed(5)
    expected = np.random.RandomState(5).uniform(), random.Random(5).random()
    assert check_env(env, probes=False).is_healthy
    assert not env.is_closed
    assert (np.random.uniform(), random.random()) == expected


def test_equal_calls_return_equal_findings() -> None:
    one, other = (check_env(broken.LargeScale, seed=3, probes=False) for _ in range(2))
    assert one.findings == other.findings
    assert check_env(broken.LargeScale, seed=4, probes=False).measured != one.measured


def test_json_is_strict() -> None:
    checkup = check_env(broken.NotFinite, probes=False)
    found = json.loads(json.dumps(checkup.to_json(), allow_nan=False))
    assert found["environment"] == "NotFinite"
    assert found["findings"][0]["check"] == "observation-not-finite"


def test_a_limit_that_is_known_and_far_is_a_note() -> None:
    spec = gymnasium.envs.registration.EnvSpec(
        "Far-v0", entry_point=broken.NeverEnds, max_episode_steps=5_000
    )
    checkup = check_env(spec, probes=False)
    assert [(each.check, each.severity) for each in checkup.findings] == [("never-ends", "note")]


def test_the_probe_suite_is_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from footlight.examination import probe_suite

    suite = probe_suite.SUITE[:1]
    monkeypatch.setattr(probe_suite, "SUITE", suite)
    monkeypatch.setattr(probe_suite, "STEPS", 128)  # too few
    notes: list[str] = []
    checkup = check_env(broken.Healthy, notify=notes.append)
    assert [each.check for each in checkup.findings] == ["probe-not-learned"]
    assert checkup.measured["probes"].keys() == {"ConstantReward"}
    assert "probe suite" in notes[-1]
    assert probes.ConstantReward.__name__ in checkup.findings[0].title
