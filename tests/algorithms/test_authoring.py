"""The algorithms of docs/own-algorithm.md: trained, compiled, killed, resumed, evaluated,
loaded, copied and exported."""

import copy
import json
import multiprocessing
import os
import pickle
import re
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from own_examples import BLOCKS, NAMES, DoubleQ, PureA2C, TorchA2C
from proof_of_runs import arrays_of

import footlight
from footlight.algorithms import authoring
from footlight.errors import UserError
from footlight.learning.policy import load
from footlight.storage import checkpoint

BOTH = pytest.mark.parametrize("algorithm", [PureA2C, TorchA2C], ids=lambda kind: kind.__name__)
BRIEF: dict[str, Any] = {
    "num_envs": 2, "seed": 1, "threads": 1, "quiet": True, "compile": "off", "eval_every": 0,
    "eval_episodes": 2,
}  # fmt: skip
MOST_LINES, MOST_NAMES = 60, 7


@pytest.mark.parametrize("block", BLOCKS, ids=NAMES)
def test_example_is_short(block: Any) -> None:
    assert len([line for line in block.text.splitlines() if line]) <= MOST_LINES
    imported = re.findall(r"^from footlight\.algorithms\.authoring import (.*)$", block.text, re.M)
    assert 0 < len(", ".join(imported).split(", ")) <= MOST_NAMES
    assert block.text.count("footlight") == len(imported) + 2


def test_every_name_of_authors_is_there() -> None:
    assert all(vars(authoring)[name] is not None for name in authoring.__all__)
    assert dir(authoring) == sorted(authoring.__all__)


@BOTH
def test_it_learns(algorithm: Any, tmp_path: Path) -> None:
    run = footlight.train(
        algorithm, "CartPole-v1", steps=16_000, run_dir=tmp_path / "run",
        **{**BRIEF, "num_envs": 8, "learning_rate": 3e-3},
    )  # fmt: skip
    lines = (run.folder / "episodes.jsonl").read_text().splitlines()
    returns = [json.loads(line)["return"] for line in lines]
    assert np.mean(returns[-20:]) > 2 * np.mean(returns[:50])  # a random policy gets 22
    rows = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    assert {"loss", "policy_loss"} & rows[-1].keys()
    assert run.evaluate(episodes=2).mean_return > 0


def steps(algorithm: Any, compile: Any, number: int, **values: Any) -> footlight.Agent:
    environments = footlight.make_environments("CartPole-v1", num_envs=8, seed=1)
    spaces = environments.observation_space, environments.action_space
    agent = footlight.Agent(algorithm, *spaces, seed=1, num_envs=8, compile=compile, **values)
    for _ in footlight.steps(agent, environments, total_steps=number):
        pass
    environments.close()
    return agent


def test_pure_functions_are_compiled_and_equal_eager_ones() -> None:
    eager, compiled = steps(PureA2C, "off", 128), steps(PureA2C, "on", 128)
    assert compiled.compiled
    assert compiled.learner.compilation.steps
    assert not eager.compiled
    from tolerance import assert_close

    found, wanted = (agent.state.actor_critic for agent in (compiled, eager))
    assert eager.num_updates == compiled.num_updates == 1
    assert_close(found, wanted, terms=128, depth=400, scale=1.0)


def test_compiled_q_learning_equals_eager_one() -> None:
    from tolerance import assert_close

    states = []
    for compile in ("on", "off"):
        values = {"learning_starts": 40, "batch_size": 16, "updates_per_step": 0.125, "tau": 0.02}
        agent = steps(DoubleQ, compile, 64, **values)
        assert agent.num_updates == 3
        assert bool(agent.learner.compilation.steps) == (compile == "on")
        states.append(agent.state)
    compiled, eager = states
    for name in ("actor_critic", "target"):
        found, wanted = getattr(compiled, name), getattr(eager, name)
        assert_close(found, wanted, terms=128, depth=400, scale=1.0)


def test_q_learning_is_greedy_but_in_training() -> None:
    agent = steps(DoubleQ, "off", 8)
    own: Any = agent.algorithm
    policy, seen = agent.policy.state, np.zeros((64, 4), np.float32)
    greedy = own.act(policy, None, seen, None)[0].action
    first, last = (
        own.explore(policy, None, seen, np.random.default_rng(0), n)[0].action for n in (0, 20_000)
    )
    assert greedy.shape == first.shape == (64, 1)
    assert len(np.unique(greedy)) == 1
    assert 16 < (first != greedy).sum() < 48  # half of them, within 4 standard deviations
    assert (last != greedy).sum() < 16


def test_ordinary_pytorch_is_never_compiled() -> None:
    agent = steps(TorchA2C, "on", 128)
    assert not agent.compiled
    assert agent.num_updates == 1


@BOTH
def test_stopped_and_resumed_is_straight_through(algorithm: Any, tmp_path: Path) -> None:
    whole, part = (
        footlight.train(algorithm, "CartPole-v1", steps=n, run_dir=tmp_path / f"{n}", **BRIEF)
        for n in (416, 224)
    )
    footlight.resume(part.folder, algorithm=algorithm, steps=416, quiet=True)
    assert arrays_of(part.folder) == arrays_of(whole.folder)


def _killed(algorithm: Any, folder: Path) -> None:
    def kill(training: Any) -> None:
        if training.step >= 330:
            os.kill(os.getpid(), signal.SIGKILL)

    footlight.train(
        algorithm, "CartPole-v1", steps=400, run_dir=folder, checkpoint_every=100,
        hooks=[footlight.every(10, kill)], **BRIEF,
    )  # fmt: skip


@BOTH
def test_killed_and_resumed_is_straight_through(algorithm: Any, tmp_path: Path) -> None:
    killed = multiprocessing.get_context("fork").Process(
        target=_killed, args=(algorithm, tmp_path / "killed")
    )
    killed.start()
    killed.join()
    assert killed.exitcode == -signal.SIGKILL
    footlight.resume(tmp_path / "killed", algorithm=algorithm, quiet=True)
    whole = footlight.train(
        algorithm, "CartPole-v1", steps=400, run_dir=tmp_path / "whole", checkpoint_every=100,
        **BRIEF,
    )  # fmt: skip
    assert arrays_of(tmp_path / "killed") == arrays_of(whole.folder)


@BOTH
def test_policy_is_loaded_copied_pickled_and_exported(algorithm: Any, tmp_path: Path) -> None:
    run = footlight.train(algorithm, "CartPole-v1", steps=300, run_dir=tmp_path / "run", **BRIEF)
    loaded = load(run.folder, algorithm=algorithm)
    agent = footlight.Agent.load(run.folder, algorithm=algorithm)
    policies = [
        loaded, agent.policy, copy.deepcopy(loaded), pickle.loads(pickle.dumps(loaded)),
        pickle.loads(pickle.dumps(agent)).policy,
    ]  # fmt: skip
    observations = np.random.default_rng(0).standard_normal((50, 4)).astype(np.float32)
    wanted = run.policy.act(observations)
    assert len({*wanted.tolist()}) == 2
    for policy in policies:
        np.testing.assert_array_equal(policy.act(observations), wanted)
    module = loaded.module()
    assert not any(each.requires_grad for each in module.parameters())
    exported = run.export(tmp_path / "policy.onnx")
    assert exported.num_differing == 0


@BOTH
def test_normalized_and_in_a_loop_of_ones_own(algorithm: Any, tmp_path: Path) -> None:
    kind = type(algorithm.__name__, (algorithm,), {"__module__": __name__})
    base = algorithm.__annotations__["config"]
    annotated = {"config": normalized(base)}
    kind.__annotations__ = annotated
    agent = steps(kind, "off", 256)
    assert agent.normalizer is not None
    agent.save(tmp_path / "agent")
    again = footlight.Agent.load(tmp_path / "agent", algorithm=kind)
    seen = np.ones((3, 4), np.float32)
    np.testing.assert_array_equal(again.act(seen), agent.act(seen))


def normalized(config: Any) -> Any:
    from dataclasses import dataclass

    @dataclass(frozen=True, kw_only=True)
    class Config(config, authoring.Normalization):  # type: ignore[misc]
        normalize_observations: bool = True

    return Config


@BOTH
def test_class_has_to_be_given_again(algorithm: Any, tmp_path: Path) -> None:
    run = footlight.train(algorithm, "CartPole-v1", steps=100, run_dir=tmp_path / "run", **BRIEF)
    with pytest.raises(UserError, match=algorithm.__name__):
        load(run.folder)
    assert checkpoint.read_manifest(checkpoint.find(run.folder))["algorithm"] == algorithm.__name__


def test_rollout_buffer_names_what_the_config_lacks() -> None:
    class Bare:
        config = type("Config", (), {"__dataclass_fields__": {"gamma": 0}})()

    with pytest.raises(UserError, match=r"Config has no `n_steps` .* add `n_steps: int = 16`"):
        authoring.rollout_buffer(Bare(), 1)  # type: ignore[arg-type]
