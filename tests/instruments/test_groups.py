"""What makes two runs different experiments, and what does not."""

import json
from pathlib import Path
from typing import Any

import pytest

import footlight
from footlight.errors import UserError
from footlight.instruments.groups import Member, group
from footlight.runs.read import RunData

MATTERS = {
    "collectors",
    "network",
    "num_envs",
    "eval_stochastic",
    "returns_of",
}  # to learning, or to what a return is; and the fields in config


def test_every_key_of_a_run_is_known_to_matter_or_not(tmp_path: Path) -> None:
    run = footlight.train(
        "a2c", "CartPole-v1", steps=20, run_dir=tmp_path / "run", hidden_sizes=(4,), compile="off",
        quiet=True, eval_episodes=0,
        preset=False,
    )  # fmt: skip
    recorded: dict[str, Any] = json.loads((run.folder / "config.json").read_text())
    for key in recorded.keys() - {"config", "algorithm", "environment"}:
        members = [
            Member(RunData(run.folder, recorded | {key: value}, [], [], [], None))
            for value in ("one", "other")
        ]
        assert (len(group(members)) == 2) == (key in MATTERS), key
    assert recorded.keys() >= MATTERS


def test_home_that_does_not_exist_is_reported() -> None:
    for call in (footlight.Run, footlight.plot, lambda path: footlight.plot([], path)):
        with pytest.raises(UserError, match="cannot expand ~nosuch/x"):
            call("~nosuch/x")
