"""Diagnoses: complete for every algorithm, equal after a resume, and without an effect."""

import json
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from own_examples import PureA2C, TorchA2C
from small_runs import SMALL
from variants import VARIANTS, small

import footlight
from footlight.algorithms import ALGORITHMS
from footlight.diagnostics.diagnose import Diagnoser
from footlight.diagnostics.recording import Recording
from footlight.learning.agent import Agent
from footlight.training.evaluator import Evaluator
from footlight.trees import tree_items
from footlight.types import Transition

SEEN = gymnasium.spaces.Box(-1, 1, (3,), np.float32)
BOX, CHOICE = gymnasium.spaces.Box(-2, 2, (2,)), gymnasium.spaces.Discrete(3)
CONTINUOUS = ("sac", "td3", "ddpg", "td7", *VARIANTS)


def agent_of(algorithm: Any, **fields: Any) -> Agent:
    if algorithm in VARIANTS:
        fields = small(algorithm) | fields
    elif isinstance(algorithm, str):
        fields = {"hidden_sizes": (8, 8)} | fields
    if algorithm in CONTINUOUS or algorithm == "sac-discrete":
        fields = {"buffer_size": 100, "batch_size": 8, "learning_starts": 20} | fields
    action = BOX if algorithm in CONTINUOUS else CHOICE
    return Agent(algorithm, SEEN, action, compile="off", total_steps=100, **fields)


def episode(agent: Agent, steps: int = 30, learns: bool = False) -> Recording:
    """An episode in an environment of random observations; the reward is the first number."""
    recording, stream = Recording(), np.random.default_rng(0)
    state = stream.uniform(-1, 1, (1, 3)).astype(np.float32)
    for step in range(steps):
        following = stream.uniform(-1, 1, (1, 3)).astype(np.float32)
        action, ends = np.asarray(agent.act(state, explore=learns)), np.array([step == steps - 1])
        given = Transition(state, action, following[:, 0], following, ends, ~ends & False)
        recording(given)
        if learns:
            agent.learn_from(given)
        state = following
    return recording


@pytest.mark.parametrize("algorithm", [*ALGORITHMS])
def test_every_algorithm_is_diagnosed(algorithm: str) -> None:
    agent = agent_of(algorithm)
    newest = episode(agent, 60, learns=True)
    found = Diagnoser(agent)(newest)
    assert {"critic_bias", "critic_value", "action_variation"} <= found.keys()
    assert any(name.endswith(".dormant") for name in found)
    assert any(name.endswith(".weight_growth") for name in found)
    assert all(np.isfinite(value) for value in found.values())


def test_ordinary_algorithm_is_diagnosed() -> None:
    agent = agent_of(TorchA2C)
    found = Diagnoser(agent)(episode(agent, 40, learns=True))
    assert {"relative_entropy", "networks.dormant", "terminal_share"} <= found.keys()
    assert "critic_bias" not in found  # its values are not known


def test_values_of_an_ordinary_algorithm_are_compared() -> None:
    class Valued(TorchA2C):  # type: ignore[misc]
        def value(self, observation: Any) -> Any:
            return self.critic(observation)

    agent = agent_of(Valued)
    assert "critic_bias" in Diagnoser(agent)(episode(agent, 40, learns=True))


@pytest.mark.parametrize("algorithm", ["sac", "crossq", "droq", "ppo", "stream-ac"])
def test_diagnosis_changes_nothing_and_repeats_itself(algorithm: str) -> None:
    agent = agent_of(algorithm)
    recording = episode(agent, 60, learns=True)
    leaves = {name: leaf.clone() for name, leaf in tree_items(agent.state).items()}
    streams = [vars(agent.streams)[name].bit_generator.state for name in vars(agent.streams)]
    diagnoser = Diagnoser(agent)
    first = diagnoser(recording)
    assert first == diagnoser(recording) == Diagnoser(agent)(recording)
    assert [vars(agent.streams)[n].bit_generator.state for n in vars(agent.streams)] == streams
    for name, leaf in tree_items(agent.state).items():
        assert leaf.equal(leaves[name]), name


def test_values_are_compared_with_returns_in_the_critics_units() -> None:
    agent = agent_of("a2c", gamma=0.5, normalize_rewards=True)
    assert agent.normalizer is not None
    agent.normalizer.reward_scale[:] = 0.1
    recording = episode(agent, 3)
    r = recording.reward_TE[:, 0] * np.float32(0.1)
    found = Diagnoser(agent)(recording)
    returns = [r[0] + r[1] / 2 + r[2] / 4, r[1] + r[2] / 2, r[2]]
    assert found["critic_return"] == pytest.approx(np.mean(returns), rel=1e-4)


def test_episodes_that_end_elsewhere_are_not_compared() -> None:
    agent = agent_of("a2c")
    assert "critic_bias" not in Diagnoser(agent, compares_returns=False)(episode(agent))


def test_equal_starts_are_counted() -> None:
    agent = agent_of("a2c")
    recording = Recording()
    for number in (1.0, 2.0, 1.0, 1.0):
        state = np.full((1, 3), number, np.float32)
        end = np.array([True])
        recording(Transition(state, np.array([0]), state[:, 0], state, end, ~end))
    assert Diagnoser(agent)(recording)["equal_starts"] == 0.75


def digests(folder: Path) -> dict[str, Any]:
    """The arrays' digests of the newest checkpoint, and the logs without times."""
    newest = folder / "checkpoints" / (folder / "checkpoints/LATEST").read_text().strip()
    found = {"manifest": json.loads((newest / "manifest.json").read_text())["files"]}
    for name in ("metrics", "episodes", "evaluations"):
        rows = [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]
        found[name] = [{k: v for k, v in row.items() if k != "time_s"} for row in rows]
    return found


@pytest.mark.parametrize(("algorithm", "env"), [("td3", "Pendulum-v1"), ("ppo", "CartPole-v1")])
def test_run_with_diagnostics_equals_one_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, algorithm: str, env: str
) -> None:
    given = {**SMALL, "eval_every": 200, "steps": 600}
    if algorithm == "td3":
        given |= {"learning_starts": 100, "updates_per_step": 0.2}
    footlight.train(algorithm, env, run_dir=tmp_path / "with", **given)
    monkeypatch.setattr(Evaluator, "_diagnose", lambda self, recording: {})
    footlight.train(algorithm, env, run_dir=tmp_path / "without", **given)
    assert (tmp_path / "with" / "diagnostics.jsonl").exists()
    assert not (tmp_path / "without" / "diagnostics.jsonl").exists()
    assert digests(tmp_path / "with") == digests(tmp_path / "without")


def test_failure_ends_diagnostics_and_not_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(self: Diagnoser, recording: Recording, current: Any) -> dict[str, float]:
        raise ZeroDivisionError("not a number")

    monkeypatch.setattr(Diagnoser, "__call__", fail)
    given = {**SMALL, "eval_every": 100, "quiet": False}
    run = footlight.train("a2c", "CartPole-v1", steps=300, run_dir=tmp_path / "run", **given)
    assert run.result is not None
    assert run.result["status"] == "finished"
    assert (
        capsys.readouterr().out.count("diagnostics are incomplete: ZeroDivisionError: not a number")
        == 1
    )


def test_policy_is_preferred_to_random_actions_if_the_critic_says_so() -> None:
    agent = agent_of("td3")
    recording = episode(agent, 60, learns=True)
    # A critic whose value is the first action itself, and an actor that always puts out its bound
    critic = agent.networks.critic.unflatten(agent.state.critic)
    for name, tensor in critic.items():
        tensor.zero_()
        if name.endswith("0.weight"):  # the first hidden unit is the first action, shifted
            tensor[:, 0, 3], critic[name.replace("weight", "bias")][:, 0] = 1.0, 0.0
    for sign, share in (1.0, 1.0), (-1.0, 0.0):
        for name, tensor in critic.items():
            if name.endswith("2.weight") or name.endswith("4.weight"):
                tensor.zero_()
                tensor[:, 0, 0] = sign if name.endswith("4.weight") else 1.0
            if name.endswith("0.bias"):
                tensor[:, 0] = 2.0
        actor = agent.networks.actor.unflatten(agent.state.actor)
        for name, tensor in actor.items():
            tensor.zero_()
            if name.endswith("4.bias"):
                tensor.fill_(9.0)
        assert Diagnoser(agent)(recording)["policy_preferred"] == share


def test_pure_algorithm_of_a_user_is_diagnosed() -> None:
    agent = agent_of(PureA2C)
    found = Diagnoser(agent)(episode(agent, 60, learns=True))
    assert {"critic_bias", "relative_entropy", "actor_critic.weight_growth"} <= found.keys()


def test_units_are_judged_by_the_states_alone() -> None:
    agent = agent_of("a2c")
    states = np.random.default_rng(0).uniform(-1, 1, (20, 3)).astype(np.float32)
    ranks = []
    for ends_often in (True, False):  # then there are states after the last steps of episodes
        recording = Recording()
        for step, state in enumerate(states[:, None]):
            end = np.array([ends_often and step % 2 == 1])
            recording(Transition(state, np.array([0]), state[:, 0], -state, end & False, end))
        found = Diagnoser(agent)(recording)
        ranks.append([x for name, x in found.items() if name.endswith((".rank", ".dormant"))])
    assert ranks[0] == ranks[1] != []


def test_an_environment_that_was_only_reset_begins_nowhere() -> None:
    agent, state = agent_of("a2c"), np.zeros((3, 3), np.float32)
    no, valid = np.zeros(3, bool), np.array([True, True, False])
    recording = Recording()
    recording(Transition(state, np.zeros(3, int), state[:, 0], state, no, no, valid))
    diagnoser = Diagnoser(agent)
    assert diagnoser(recording)["equal_starts"] == 1
    assert diagnoser.failure is None
