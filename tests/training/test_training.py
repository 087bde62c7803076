"""Runs that go wrong, from Python: messages, saved states, and what is refused at once."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from small_runs import DDPG, SMALL, step_of

import footlight
from footlight.config.options import Options
from footlight.errors import DeviceFault, Diverged, StorageFault, UserError
from footlight.learning.agent import Agent
from footlight.learning.learner import Learner
from footlight.runs.folder import RunFolder
from footlight.storage import checkpoint
from footlight.trees import tree_items
from footlight.types import Transition
from tolerance import assert_close

SEEN, ACTED = (
    gymnasium.spaces.Box(-1, 1, (3,), np.float32),
    gymnasium.spaces.Box(-2, 2, (2,), np.float32),
)


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


# Divergence


@pytest.mark.parametrize(
    ("algorithm", "fields"),
    [
        ("sac", {"learning_starts": 4, "batch_size": 4}),
        ("td3", {"learning_starts": 4, "batch_size": 4}),
        ("ddpg", {"learning_starts": 4, "batch_size": 4}),
        ("a2c", {"n_steps": 5}),
        ("ppo", {"n_steps": 8, "minibatch_size": 8, "num_epochs": 1}),
        ("actor-critic", {}),
        ("stream-ac", {"normalize_observations": False, "normalize_rewards": False}),
    ],
)
def test_gradient_that_is_not_finite_is_not_applied(algorithm: str, fields: dict[str, Any]) -> None:
    require_divergence(Agent(algorithm, SEEN, ACTED, hidden_sizes=(8,), compile="off", **fields))


# The first two updates are those of learning/test_scheduling.py, the last is that of
# parity/test_compiled.py: they are compiled once
@pytest.mark.parametrize(
    ("algorithm", "fields", "changes"),
    [
        (
            "sac",
            {"learning_starts": 4, "batch_size": 8},
            {"critic_learning_rate": 2e-3, "alpha_learning_rate": 5e-3},
        ),
        ("a2c", {"n_steps": 5}, {"learning_rate": 1e-3}),
        ("stream-ac", {"hidden_sizes": (16, 16)}, {}),
    ],
)
def test_compiled_gradient_that_is_not_finite_is_not_applied(
    algorithm: str, fields: dict[str, Any], changes: dict[str, float]
) -> None:
    fields = {"hidden_sizes": (8,), **fields}
    agent = Agent(algorithm, SEEN, ACTED, compile="on", **fields)
    if changes:
        agent.set(**changes)
    require_divergence(agent)
    assert agent.learner.compilation.steps


def require_divergence(agent: Agent) -> None:
    """An infinite reward ends the training, and no number of the state becomes infinite or nan."""

    def go() -> None:
        draws = np.random.default_rng(0)
        for step in range(100):
            seen, following = draws.uniform(-1, 1, (2, 3)).astype(np.float32)
            acted = agent.act(seen, explore=True)
            reward = np.array([np.inf if step == 40 else 1.0], np.float32)
            ends = np.array([False])
            # As from the training's own environments, whose rewards were checked when they came
            agent.learn_from(
                Transition(seen[None], acted[None], reward, following[None], ends, ends)
            )

    with pytest.raises(Diverged, match=r"batch\.reward is not finite"):
        go()
    rollout = (
        "advantage",
        "value",
        "log_prob",
    )  # PPO's notes about the rollout, which the next one replaces
    learned = {
        name: np.asarray(leaf)
        for name, leaf in tree_items(agent.state).items()
        if name not in rollout
    }
    assert all(np.isfinite(leaf).all() for leaf in learned.values())


@pytest.mark.parametrize(
    ("steps", "interval"), [(10, 1_000), (10_000_000, 1_000), (1_000_000_000, 100_000)]
)
def test_metrics_have_ten_thousand_lines_at_most(steps: int, interval: int) -> None:
    assert Options(steps=steps).log_interval == interval


# Schedules and normalization


def test_one_rollout_with_a_linear_schedule_learns() -> None:
    agent = Agent(
        "ppo",
        SEEN,
        ACTED,
        n_steps=4,
        minibatch_size=4,
        learning_rate_schedule="linear",
        total_steps=4,
    )
    before = agent.state.actor_critic.clone()
    for _ in range(4):
        observation = SEEN.sample()
        agent.observe(
            observation, agent.act(observation, explore=True), 1.0, SEEN.sample(), False, False
        )
    assert agent.num_updates == 10
    assert not before.equal(agent.state.actor_critic)


@pytest.mark.parametrize(
    ("algorithm", "fields"),
    [
        ("ppo", {"n_steps": 4, "minibatch_size": 1}),
        ("a2c", {"n_steps": 1, "normalize_advantage": True}),
    ],
)
def test_one_advantage_cannot_be_normalized(algorithm: str, fields: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"1 with normalize_advantage"):
        Agent(algorithm, SEEN, ACTED, **fields)


def test_equal_rewards_are_not_scaled() -> None:
    agent = Agent("actor-critic", SEEN, ACTED, num_envs=8, normalize_rewards=True)
    seen, no = np.zeros((8, 3), np.float32), np.zeros(8, bool)
    metrics = agent.observe(seen, np.zeros((8, 2), np.float32), np.ones(8), seen, ~no, no)
    assert metrics["td_error"] == pytest.approx(1, abs=0.5)


# Actions


def test_action_changed_in_place_is_detected() -> None:
    agent = Agent("td3", SEEN, ACTED, buffer_size=9, batch_size=1, learning_starts=9)
    observation = np.zeros(3, np.float32)
    for change in (False, True):
        action = agent.act(observation, explore=True)
        if change:
            action[:] = 0.5
        agent.observe(observation, action, 0.0, observation, False, False)
        stored = agent.buffer.arrays()["rows.action"][-1]
        assert_close(stored, np.asarray(action) / 2, scale=1)


# Environments


class Forgetful(gymnasium.Wrapper[Any, Any, Any, Any]):
    """A wrapper that does not record what it was made with."""


def test_environment_that_cannot_be_created_again_is_not_evaluated() -> None:
    run = footlight.train(
        "ppo", Forgetful(gymnasium.make("CartPole-v1")), preset=False, n_steps=64, steps=70, **SMALL
    )
    assert run.result is not None
    assert (run.result["status"], run.result["final_evaluation"]) == ("finished", None)


# Values


WRONG = [
    ("num_envs", 0),
    ("num_envs", 2.0),
    ("total_steps", -5),
    ("threads", 0),
    ("seed", True),
    ("device", "tpu"),
]


@pytest.mark.parametrize(("name", "value"), [*WRONG, ("device", "cuda")])
def test_agent_rejects_impossible_arguments(
    name: str, value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(UserError, match=name):
        Agent("sac", SEEN, ACTED, **{name: value})


@pytest.mark.parametrize("field", ["initial_log_std", "learning_rate"])
@pytest.mark.parametrize("value", ["nan", "inf", float("nan")])
def test_values_that_are_not_numbers_are_rejected(field: str, value: Any) -> None:
    with pytest.raises(UserError, match=f"{field} is"):
        footlight.train("a2c", "Pendulum-v1", steps=50, **{field: value}, **SMALL)
    assert not Path("runs").exists()


def test_rows_that_wait_count_as_memory() -> None:
    with pytest.raises(UserError, match="n_steps 1,000,000,000,000 needs"):
        Agent("sac", SEEN, ACTED, n_steps=10**12)
    with pytest.raises(UserError, match="do not fit into memory"):
        Agent("a2c", SEEN, ACTED, hidden_sizes=(10**7, 10**7))


# Files


def test_lines_wait_while_the_disk_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    folder, write, room = RunFolder(Path()), os.write, [5, 0, 7, 1000]

    def narrow(descriptor: int, data: bytes) -> int:
        if (count := room.pop(0)) == 0:
            raise OSError(28, "No space left on device")
        return write(descriptor, data[:count])

    monkeypatch.setattr(os, "write", narrow)
    folder.append("episodes", {"step": 1})
    with pytest.raises(StorageFault, match=r"episodes\.jsonl - No space left"):
        folder.flush()
    folder.append("episodes", {"step": 2})
    folder.flush()
    folder.close()
    assert Path("episodes.jsonl").read_text() == '{"step": 1}\n{"step": 2}\n'


def test_closed_output_pipe_does_not_end_the_run() -> None:
    settings = "--no-preset --steps 2000 --learning-starts 5000 --run-dir run"
    command = f"{sys.executable} -m footlight train td3 Pendulum-v1 {settings}"
    subprocess.run(["bash", "-c", f"{command} --compile off --eval-episodes 0 | true"], check=True)
    assert json.loads(Path("run/result.json").read_text())["status"] == "finished"


# Saving


def test_full_output_device_does_not_end_the_run() -> None:
    settings = (
        "--steps 60 --hidden-sizes 8 --compile off --eval-episodes 0 --run-dir run --no-preset"
    )
    command = [sys.executable, "-m", "footlight", "train", "ddpg", "Pendulum-v1", *settings.split()]
    with Path("/dev/full").open("w") as full:
        assert subprocess.run(command, stdout=full, timeout=100, check=False).returncode == 0
    assert json.loads(Path("run/result.json").read_text())["status"] == "finished"


@pytest.mark.parametrize(
    ("error", "is_fault"),
    [
        (ValueError("a bug"), False),
        (MemoryError("no room for this update"), True),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (
            RuntimeError(
                "[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"
            ),
            True,
        ),
        (torch.AcceleratorError("CUDA error: an illegal memory access was encountered"), True),
    ],
    ids=["bug", "memory", "cuda memory", "cpu memory", "cuda"],
)
def test_incomplete_state_is_not_saved(
    error: Exception, is_fault: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    update, count = Learner.update, iter(range(1_000))

    def failing(learner: Learner, *given: Any) -> None:
        if next(count) == 13:  # at step 160
            if is_fault:  # what has failed once gives nothing any more
                broken.setattr(Agent, "metrics", failing_again)
            raise error
        update(learner, *given)

    def failing_again(agent: Agent) -> Any:
        raise error

    with monkeypatch.context() as broken:
        broken.setattr(Learner, "update", failing)
        with pytest.raises(DeviceFault if is_fault else ValueError) as caught:
            footlight.train("ddpg", "Pendulum-v1", run_dir="run", checkpoint_every=100, **DDPG)
    if is_fault:
        assert caught.value.exit_code == 3
        run = Path("run").absolute()
        newest = f"{run}/checkpoints/step-000000100 is the newest checkpoint"
        words = f"{newest} - make room, then `footlight resume {run}`"
        assert words in str(caught.value)
    assert step_of("run") == 100
    assert json.loads(Path("run/result.json").read_text())["status"] == "failed"
    footlight.resume("run", quiet=True)
    footlight.train("ddpg", "Pendulum-v1", run_dir="straight", checkpoint_every=100, **DDPG)
    arrays = [
        checkpoint.read_arrays(checkpoint.find(Path(name)), "agent") for name in ("run", "straight")
    ]
    assert all(np.array_equal(arrays[0][name], array) for name, array in arrays[1].items())
