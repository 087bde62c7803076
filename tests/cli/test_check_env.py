"""The command `check-env`: what it prints, and its exit codes."""

import json
from pathlib import Path

import pytest

from footlight.cli.main import main
from footlight.examination import random_play

BROKEN = Path(__file__).parents[1] / "broken_environments.py"


@pytest.fixture(autouse=True)
def short_play(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random_play, "STEPS", 500)


def test_a_healthy_environment(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-env", "CartPole-v1", "--no-probes", "--seed", "3"]) == 0
    output = capsys.readouterr()
    assert output.out.splitlines()[-1].startswith("CartPole-v1: healthy: ")
    assert "solved at 475" in output.out
    assert "100% terminated, 0% truncated" in output.out
    assert "random play" in output.err  # what it does, while it does it


def test_findings_have_an_exit_code_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-env", f"{BROKEN}:LargeScale", "--no-probes"]) == 6
    output = capsys.readouterr().out
    assert "warning: the scale of the observation is very large" in output
    assert "to do: normalize_observations true" in output


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--env-kwargs", "is_slippery=true", "--no-probes", "--json"]
    assert main(["check-env", "FrozenLake-v1", *arguments]) in (0, 6)
    found = json.loads(capsys.readouterr().out)
    assert found["environment"] == "FrozenLake-v1"
    assert found["measured"]["terminated_share"] > 0.9


def test_json_of_what_is_not_finite(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-env", f"{BROKEN}:HugeNumbers", "--no-probes", "--json"]) == 6
    found = json.loads(capsys.readouterr().out)
    assert [each["check"] for each in found["findings"]] == ["observation-scale"]
    assert found["measured"]["reward_threshold"] is None
    assert found["measured"]["observations"][""]["largest_std"] is None
    assert found["measured"]["observations"][""]["largest"] > 1e200


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["check-env", "CartPole-v9000"], 2, "unknown environment"),
        (["check-env", "CartPole-v1", "--seed", "-1"], 2, "it must be an integer >= 0"),
        (["check-env", f"{BROKEN}:Raises"], 3, "the motor is lost"),
    ],
)
def test_errors(
    words: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == code
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
