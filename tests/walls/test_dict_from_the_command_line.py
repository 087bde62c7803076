"""Wall E: the built-in algorithms learn from a Dict, from the command line."""

from pathlib import Path

import gymnasium
import pytest
from dict_environment import Vote

import footlight
from footlight.cli.main import main

VOTES = {
    "ppo": "--n-steps 8 --num-envs 2 --minibatch-size 8 --vectorization async",
    "a2c": "--num-envs 2",
    "impala": "--num-envs 2 --num-minibatches 2 --num-epochs 2",
    "sac": "--learning-starts 10 --batch-size 8",
}


@pytest.mark.parametrize("algorithm", list(VOTES))
def test_train_evaluate_and_resume(
    algorithm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = gymnasium.envs.registration.EnvSpec(
        "Vote-v0", entry_point=Vote, kwargs={"continuous": algorithm == "sac"}
    )
    monkeypatch.setitem(gymnasium.registry, "Vote-v0", spec)
    run = str(tmp_path / "run")
    options = f"{VOTES[algorithm]} --hidden-sizes 8 --compile off --eval-episodes 1 --steps 40"
    assert main(["train", algorithm, "Vote-v0", "--run-dir", run, *options.split()]) == 0
    assert main(["resume", run, "--steps", "80"]) == 0
    assert main(["evaluate", run, "--episodes", "1"]) == 0
    action = footlight.load(run).act(Vote().reset(seed=1)[0])
    assert action.shape == ((1,) if algorithm == "sac" else ())
