"""REINFORCE with several environments learns from whole episodes of its present policy."""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

import footlight
from footlight.algorithms import reinforce
from footlight.environments.serial import SerialEnvironments
from footlight.errors import EnvironmentFault
from footlight.training.training import Training


# A vector environment cannot reset one of its environments alone
@pytest.mark.parametrize("vectorization", ["sync", "vector"])
def test_training_learns_from_no_older_policy(
    vectorization: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy_of: dict[bytes, int] = {}  # which one acted, by observation
    num_policies, num_rows = 0, 0
    act, accumulate = reinforce.REINFORCE.act, reinforce.REINFORCE.accumulate
    accumulate_and_step = reinforce.REINFORCE.accumulate_and_step
    run = Training.run
    abandoned: list[bool] = []
    books: list[Any] = []

    def noted_act(self: Any, policy: Any, memory: Any, observation: Any, *given: Any) -> Any:
        if len(abandoned) < num_policies:
            abandoned.append(not books[-1].length.any())
        policy_of.update({row.tobytes(): num_policies for row in observation})
        return act(self, policy, memory, observation, *given)

    def noted_accumulate(self: Any, state: Any, batch: Any, noise: Any) -> Any:
        nonlocal num_rows
        rows = batch.observation[batch.weight > 0].numpy()
        assert {policy_of[row.tobytes()] for row in rows} == {num_policies}
        num_rows += len(rows)
        return accumulate(self, state, batch, noise)

    def noted_step(*given: Any) -> Any:
        nonlocal num_policies
        outcome = accumulate_and_step(*given)
        num_policies += 1
        return outcome

    def noted_run(self: Training) -> None:
        books.append(self.session.environments.tracker)
        run(self)

    monkeypatch.setattr(reinforce.REINFORCE, "act", noted_act)
    monkeypatch.setattr(reinforce.REINFORCE, "accumulate", noted_accumulate)
    monkeypatch.setattr(reinforce.REINFORCE, "accumulate_and_step", noted_step)
    monkeypatch.setattr(Training, "run", noted_run)
    environment: Any = "CartPole-v1"
    if vectorization == "vector":
        environment = gymnasium.make_vec("CartPole-v1", 4, vectorization_mode="sync")
    settings: dict[str, Any] = {
        "hidden_sizes": (8,),
        "compile": "off",
        "quiet": True,
        "eval_episodes": 0,
        "num_envs": 4,
    }
    footlight.train(
        "reinforce", environment, steps=600, run_dir=tmp_path / "run", preset=False, **settings
    )
    assert num_policies > 3
    assert 100 < num_rows < 600
    assert abandoned[0] == (vectorization == "sync")  # where all restart at the update


class Brittle(gymnasium.Env[Any, Any]):
    """Episodes of 3 steps in one instance and longer ones in the other; reset `fails_at` fails.

    Resets are counted over all instances.
    """

    observation_space = gymnasium.spaces.Box(-100, 100, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)
    num_resets, fails_at = 0, 0

    def __init__(self) -> None:
        self.length, self.now = 0, 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        Brittle.num_resets += 1
        if Brittle.num_resets == Brittle.fails_at:
            raise RuntimeError("no reset")
        self.length, self.now = 3 + int(self.np_random.integers(6)), 0
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.now += 1
        return np.full(1, self.now, np.float32), float(action), self.now == self.length, False, {}


SMALL: dict[str, Any] = {
    "steps": 60,
    "num_envs": 2,
    "episodes_per_update": 2,
    "hidden_sizes": (4,),
    "compile": "off",
    "quiet": True,
    "preset": False,
    "eval_episodes": 0,
    "probe": "off",
}


def test_a_fault_while_an_episode_is_abandoned_loses_nothing_of_the_step_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resets: list[int] = []  # numbers of those that followed an abandoned episode
    abandon = SerialEnvironments.abandon

    def noted_abandon(self: SerialEnvironments, envs: Any) -> None:
        before = Brittle.num_resets
        abandon(self, envs)
        resets.extend(range(before + 1, Brittle.num_resets + 1))

    monkeypatch.setattr(SerialEnvironments, "abandon", noted_abandon)
    monkeypatch.setattr(Brittle, "num_resets", 0)
    whole = footlight.train("reinforce", Brittle, run_dir=tmp_path / "whole", **SMALL)
    monkeypatch.setattr(Brittle, "fails_at", resets[0])
    monkeypatch.setattr(Brittle, "num_resets", 0)
    with pytest.raises(EnvironmentFault, match="no reset"):
        footlight.train("reinforce", Brittle, run_dir=tmp_path / "failed", **SMALL)
    resumed = footlight.resume(tmp_path / "failed", environment=Brittle, quiet=True)
    episodes = [(run.folder / "episodes.jsonl").read_text() for run in (whole, resumed)]
    assert episodes[0] == episodes[1]
    assert policy_bytes(whole.folder) == policy_bytes(resumed.folder)


def policy_bytes(folder: Path) -> bytes:
    return footlight.load(folder).state.parameters.numpy().tobytes()
