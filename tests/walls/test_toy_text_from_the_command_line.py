"""Wall E: Gymnasium's environments of choices, from the shell; and in a loop of one's own."""

import json
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch

import footlight
from footlight.cli.main import main
from footlight.errors import UserError

TAXI = next(name for name in gymnasium.registry if name.startswith("Taxi-"))
OPTIONS = {
    "ppo": "--n-steps 16 --num-envs 2 --minibatch-size 8 --num-epochs 2",
    "impala": "--num-envs 2 --num-minibatches 2 --num-epochs 2",
    "a2c": "--num-envs 2 --normalize-observations true",
}
# A2C and IMPALA in the one whose observations have parts
CASES = [("ppo", name) for name in ("FrozenLake-v1", TAXI, "CliffWalking-v1", "Blackjack-v1")]
CASES += [("a2c", "Blackjack-v1"), ("impala", "Blackjack-v1")]


@pytest.mark.parametrize(("algorithm", "environment"), CASES)
def test_train_resume_evaluate_and_export(
    algorithm: str, environment: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxruntime")
    run, more = str(tmp_path / "run"), "--hidden-sizes 8 --compile off --eval-episodes 0 --quiet"
    kwargs = ["--env-kwargs", "is_slippery=false"] if environment == "FrozenLake-v1" else []
    words = [*OPTIONS[algorithm].split(), *more.split(), *kwargs]
    assert main(["train", algorithm, environment, "--run-dir", run, "--steps", "64", *words]) == 0
    assert main(["resume", run, "--steps", "96", "--quiet"]) == 0
    capsys.readouterr()
    # An untrained policy may stay in a lake or on a cliff for ever
    if environment in ("Blackjack-v1", TAXI):
        assert main(["evaluate", run, "--episodes", "2", "--json"]) == 0
        assert len(json.loads(capsys.readouterr().out)["returns"]) == 2
    assert main(["export", run, str(tmp_path / "policy.onnx")]) == 0


@pytest.mark.parametrize("as_given", [int, np.int64, np.array])
def test_loop_of_ones_own_with_a_single_choice(as_given: type) -> None:
    env = gymnasium.make("FrozenLake-v1", is_slippery=False)
    agent = footlight.Agent(
        "a2c", env.observation_space, env.action_space, seed=0, hidden_sizes=(8,), compile="off"
    )
    before = [agent.policy.act(place) for place in range(16)]
    initial = agent.state.actor_critic.clone()
    observation, _ = env.reset(seed=0)
    for _ in range(60):
        action = agent.act(as_given(observation), explore=True)
        successor, reward, terminated, truncated, _ = env.step(action)
        agent.observe(
            as_given(observation), action, reward, as_given(successor), terminated, truncated
        )
        observation = env.reset()[0] if terminated or truncated else successor
    assert all(np.shape(action) == () for action in before)
    assert not torch.equal(agent.state.actor_critic, initial)
    batch = agent.policy.act(np.arange(16))
    assert batch.tolist() == [int(agent.policy.act(place)) for place in range(16)]
    with pytest.raises(UserError, match=r"observation is 16 - the policy knows 0 to 15"):
        agent.observe(0, 0, 0.0, as_given(16), False, False)
