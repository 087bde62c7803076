"""The result of an examination as text and as JSON."""

import json

import numpy as np

from footlight.doctor.findings import Finding
from footlight.examination.environment_checkup import EnvironmentCheckup

MEASURED = {
    "episodes": 2, "steps": 300, "mean_return": -1_234.5, "std_return": 0.5, "shortest": 100,
    "longest": 200, "terminated_share": 0.5, "truncated_share": 0.5, "reward_threshold": 10,
    "observations": {"": {"smallest": -1.0, "largest": 2.5, "size": 3}}, "mean_reward_size": 4.0,
    "step_seconds": 1e-4, "share_of_sac": 0.032, "probes": {"BestAction": "action at 0 = 0.5"},
}  # fmt: skip


def test_all_of_it_is_text() -> None:
    finding = Finding(
        check="a", severity="note", title="it is odd", evidence="1 of 2", step=None,
        meaning="Why.", remedy="nothing", source="none", confidence=0.5,
    )  # fmt: skip
    text = str(EnvironmentCheckup((finding,), ("ends: too slow",), 3, "Pendulum-v1", MEASURED))
    for line in (
        "random play   mean return -1,234 ± 0.5 over 2 episodes in 300 steps; solved at 10",
        "ends          50% terminated, 50% truncated, after 100 to 200 steps",
        "observations  3 numbers, -1 to 2.5",
        "a step        100 µs (10,000 steps/s): about 3% of a training with SAC",
        "probe         BestAction: action at 0 = 0.5",
        "note: it is odd",
        "not judged: ends: too slow",
    ):
        assert line in text.splitlines()
    assert text.splitlines()[-1] == "Pendulum-v1: healthy: 3 checks, 1 note"


def test_an_environment_that_could_not_be_played() -> None:
    checkup = EnvironmentCheckup((), (), 1, "Mine", {"episodes": 0, "steps": 0})
    assert str(checkup).splitlines()[0] == "random play   0 episodes in 0 steps"
    assert repr(checkup) == "<EnvironmentCheckup of 'Mine': healthy: 1 check, no findings>"


def test_what_is_not_finite_is_null_in_json() -> None:
    large = MEASURED | {
        "reward_threshold": np.float32(np.inf),
        "observations": {"": {"smallest": -1e200, "largest": 1e200, "largest_std": np.inf}},
    }
    checkup = EnvironmentCheckup((), (), 1, "Mine", large)
    measured = json.loads(json.dumps(checkup.to_json(), allow_nan=False))["measured"]
    assert measured["reward_threshold"] is None
    assert measured["observations"][""] == {
        "smallest": -1e200, "largest": 1e200, "largest_std": None,
    }  # fmt: skip
    assert measured["mean_return"] == MEASURED["mean_return"]


def test_large_numbers_are_short() -> None:
    shown = {"": {"smallest": -1e200, "largest": np.inf, "size": 3}}
    text = str(EnvironmentCheckup((), (), 1, "Mine", MEASURED | {"observations": shown}))
    assert "observations  3 numbers, -1e+200 to inf" in text.splitlines()
