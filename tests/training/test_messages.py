"""The first and last lines of a training."""

from pathlib import Path
from typing import Any

import pytest

from footlight.training.messages import stopped, summary

RESULT: dict[str, Any] = {
    "status": "finished",
    "steps": 1_000,
    "updates": 10,
    "seconds": 4.0,
    "steps_per_second": 250.0,
    "final_evaluation": None,
}
CONFIG = {"environment": "CartPole-v1"}


@pytest.mark.parametrize(
    ("status", "command"), [("finished", "footlight plot run"), ("stopped", "footlight resume run")]
)
def test_summary_names_the_next_command(status: str, command: str) -> None:
    text = summary(Path("run"), {**RESULT, "status": status}, CONFIG)
    first, folder, following = text.splitlines()
    assert first == "no final evaluation | 1,000 steps in 4 s (250 steps/s)"
    assert folder == "run folder run"
    assert following.startswith(f"next: {command}")


@pytest.mark.parametrize(
    ("status", "following"),
    [
        ("finished", "next: footlight plot run   or: run.video('episode.mp4')"),
        ("stopped", "next: footlight.resume('run', environment=..., network=...)"),
    ],
)
def test_summary_names_no_command_that_needs_an_object(status: str, following: str) -> None:
    run_config = {**CONFIG, "environment_source": "object", "network": "Mine"}
    assert summary(Path("run"), {**RESULT, "status": status}, run_config).endswith(following)


def test_summary_warns_about_a_run_without_updates() -> None:
    text = summary(Path("run"), {**RESULT, "updates": 0}, CONFIG)
    assert "0 updates: nothing was learned" in text


@pytest.mark.parametrize(("status", "command"), [("finished", "watch"), ("stopped", "resume")])
def test_summary_allows_the_module_that_the_command_would_import(status: str, command: str) -> None:
    run_config = {"environment": "mine:Env-v0", "env_kwargs": {"inner": "mine:Other-v0"}}
    text = summary(Path("run"), {**RESULT, "status": status}, run_config)
    assert f"footlight {command} run" in text
    assert text.endswith(" --allow-env-import mine")


def test_stopped_run_names_the_line_that_continues_it() -> None:
    text = stopped(Path("run"), 1_234, CONFIG)
    assert text == "stopped and saved at step 1,234 - continue with footlight.resume('run')"
    run_config = {**CONFIG, "environment_source": "object"}
    assert stopped(Path("run"), 1, run_config).endswith("resume('run', environment=...)")
