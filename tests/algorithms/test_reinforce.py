"""REINFORCE with several environments learns from whole episodes of its present policy."""

from pathlib import Path
from typing import Any

import gymnasium
import pytest

import footlight
from footlight.algorithms import reinforce
from footlight.training import Training


@pytest.mark.parametrize("vectorization", ["sync", "vector"])  # the second cannot reset one environment alone
def test_training_learns_from_no_older_policy(vectorization: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    policy_of: dict[bytes, int] = {}  # which one acted, by observation
    num_policies, num_rows = 0, 0
    explore, update, after_step = reinforce.explore, reinforce.update, Training._after_step
    abandoned: list[bool] = []

    def noted_explore(config: Any, networks: Any, state: Any, observation: Any, *given: Any) -> Any:
        policy_of.update({row.tobytes(): num_policies for row in observation})
        return explore(config, networks, state, observation, *given)

    def noted_update(config: Any, networks: Any, state: Any, batch: Any, noise: Any, is_last: bool) -> Any:
        nonlocal num_policies, num_rows
        rows = batch.observation[batch.weight > 0].numpy()
        assert {policy_of[row.tobytes()] for row in rows} == {num_policies}
        num_policies, num_rows = num_policies + is_last, num_rows + len(rows)
        return update(config, networks, state, batch, noise, is_last)

    def noted_after_step(self: Training, step: int) -> None:
        if len(abandoned) < num_policies:
            abandoned.append(not self.environments.book.length.any())
        after_step(self, step)

    monkeypatch.setattr(reinforce, "explore", noted_explore)
    monkeypatch.setattr(reinforce, "update", noted_update)
    monkeypatch.setattr(Training, "_after_step", noted_after_step)
    environment: Any = "CartPole-v1"
    if vectorization == "vector":
        environment = gymnasium.make_vec("CartPole-v1", 4, vectorization_mode="sync")
    settings: dict[str, Any] = {"hidden_sizes": (8,), "compile": "off", "quiet": True, "eval_episodes": 0, "num_envs": 4}
    footlight.train("reinforce", environment, steps=600, run_dir=tmp_path / "run", preset=False, **settings)
    assert num_policies > 3
    assert 100 < num_rows < 600
    assert abandoned[0] == (vectorization == "sync")  # where all begin anew at the update
