"""Forked processes compute, whatever their parent has used: OpenMP's threads are not in a fork."""

import multiprocessing
import pickle
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

import footlight
from footlight import Agent

OBSERVED = gymnasium.spaces.Box(-1, 1, (3,), np.float32)
ACTED = gymnasium.spaces.Box(-2, 2, (2,), np.float32)
IMAGE = gymnasium.spaces.Box(0, 255, (4, 84, 84), np.uint8)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere processes are spawned")


def large_operation() -> float:
    """One that torch splits between its threads."""
    return float(torch.full((2_000_000,), 0.5).exp().mean())


@pytest.fixture
def in_fork() -> Any:
    """Call a function in a process forked from one whose OpenMP has run; its result comes back."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    large_operation()
    context = multiprocessing.get_context("fork")

    def call(function: Callable[..., Any], *arguments: Any) -> Any:
        here, there = context.Pipe()

        def body(connection: Connection) -> None:
            connection.send(function(*arguments))

        process = context.Process(target=body, args=(there,))
        process.start()
        try:
            assert here.poll(60), "it waits forever"
            return here.recv()
        finally:
            process.kill()
            process.join()

    yield call
    torch.set_num_threads(before)


def test_a_large_operation_ends(in_fork: Any) -> None:
    assert in_fork(large_operation) == pytest.approx(np.exp(0.5), rel=1e-5)


def test_torch_has_its_threads(in_fork: Any) -> None:
    assert in_fork(torch.get_num_threads) == 2


@pytest.mark.parametrize("threads", [None, 3])
def test_a_policy_acts_there_after_more_threads_were_requested(
    threads: int | None, in_fork: Any
) -> None:
    policy = Agent("a2c", IMAGE, ACTED, hidden_sizes=(256,), compile="off").policy
    pickled, seen = pickle.dumps(policy), np.zeros((32, 4, 84, 84), np.uint8)

    def body() -> tuple[int, Any]:
        if threads is not None:
            torch.set_num_threads(threads)
        copied = pickle.loads(pickled)
        return torch.get_num_threads(), copied.act(seen).tolist()

    found, actions = in_fork(body)
    assert found == (threads or 2)
    np.testing.assert_allclose(actions, policy.act(seen), atol=1e-5)


def test_an_inherited_agent_learns_there(in_fork: Any) -> None:
    agent = Agent("sac", OBSERVED, ACTED, batch_size=256, learning_starts=300, compile="off")

    def body() -> int:
        rng = np.random.default_rng(0)
        for _ in range(303):
            seen = rng.uniform(-1, 1, 3)
            agent.observe(seen, agent.act(seen, explore=True), 1.0, seen, False, False)
        return agent.num_updates

    assert in_fork(body) >= 3


def test_training_runs_there(in_fork: Any, tmp_path: Path) -> None:
    def body() -> int:
        torch.set_num_threads(2)
        run = footlight.train(
            "ppo", "CartPole-v1", steps=4096, threads=2, hidden_sizes=(256, 256),
            n_steps=1024, minibatch_size=1024, num_envs=2, eval_episodes=0, compile="off",
            run_dir=tmp_path / "run", quiet=True,
        )  # fmt: skip
        return run.config["steps"]

    assert in_fork(body) == 4096
