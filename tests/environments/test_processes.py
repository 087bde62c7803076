"""How workers start: in daemons, after OpenMP, with unnamed functions, within the timeout."""

import multiprocessing
import os
from multiprocessing.reduction import ForkingPickler
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.vector.utils import CloudpickleWrapper

from footlight.environments import processes
from footlight.environments.processes import may_start_processes
from footlight.environments.remote import Supervision
from footlight.environments.workers import AsyncEnvironments

Counting = type[gymnasium.Env[Any, Any]]
ZEROS = np.zeros((2, 1), np.float32)


def stepped(make: Any, num_steps: int = 2) -> list[Any]:
    environments = AsyncEnvironments(make, 2, 7, "episode", Supervision(timeout=20))
    try:
        environments.reset()
        return [environments.step(ZEROS).reward.tolist() for _ in range(num_steps)]
    finally:
        environments.close()


def in_child(work: Any, daemon: bool) -> Any:
    """What `work` returns in a forked process of multiprocessing, such as a worker of a Pool."""
    context = multiprocessing.get_context("fork")
    mine, theirs = context.Pipe()
    process = context.Process(target=lambda: theirs.send(work()), daemon=daemon)
    process.start()
    theirs.close()
    answer = mine.recv()
    process.join(20)
    assert process.exitcode == 0
    return answer


def test_workers_start_in_a_daemon(counting_env: Counting) -> None:
    def work() -> Any:
        was = multiprocessing.current_process().daemon
        return was, stepped(counting_env), multiprocessing.current_process().daemon

    assert in_child(work, daemon=True) == (True, [[1, 1], [2, 2]], True)


@pytest.mark.parametrize("daemon", [True, False])
def test_unclosed_workers_do_not_keep_a_process_from_ending(
    counting_env: Counting, daemon: bool
) -> None:
    kept: list[Any] = []

    def work() -> int:
        kept.append(AsyncEnvironments(counting_env, 1, 7, "episode"))
        pid = kept[0].remote[0]._process.pid
        assert pid is not None
        return int(pid)

    with pytest.raises(ProcessLookupError):
        os.kill(in_child(work, daemon), 0)


def test_closing_in_a_fork_does_not_end_the_workers_of_its_parent(counting_env: Counting) -> None:
    environments = AsyncEnvironments(counting_env, 1, 7, "episode")
    environments.reset()
    in_child(lambda: environments.close(), daemon=False)
    assert environments.step(ZEROS[:1]).reward.tolist() == [1]
    environments.close()


def test_environment_may_start_processes(counting_env: Counting) -> None:
    class Parent(counting_env):  # type: ignore[misc, valid-type]
        def step(self, action: Any) -> Any:
            child = multiprocessing.get_context("fork").Process(target=int)
            child.start()
            child.join()
            observation, _, terminated, truncated, info = super().step(action)
            return observation, 100 + child.exitcode, terminated, truncated, info

    assert stepped(Parent, 1) == [[100, 100]]


class Learned(gymnasium.Env[Any, Any]):
    """Has a network of its own, in as many threads as it says."""

    observation_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)
    action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)

    def __init__(self, threads: int | None) -> None:
        if threads is not None:
            torch.set_num_threads(threads)
        self.model = torch.nn.Linear(256, 256)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> Any:
        with torch.no_grad():
            worth = self.model(torch.zeros(128, 256)) + torch.zeros(40, 256, 256).exp().sum()
        return np.zeros(1, np.float32), float(np.isfinite(worth.sum().item())), False, False, {}


@pytest.mark.parametrize("threads", [None, 2])
def test_torch_works_in_workers_after_its_threads_have_run_in_the_parent(
    threads: int | None,
) -> None:
    torch.set_num_threads(2)
    assert torch.zeros(40, 256, 256).exp().sum() > 0  # in two threads, of which a fork has one
    assert stepped(lambda: Learned(threads), 1) == [[1, 1]]
    assert torch.get_num_threads() == 2  # here


def test_lambdas_can_be_sent_to_a_spawned_process(
    counting_env: Counting,
) -> None:
    who = 3
    make: Any = counting_env
    sent = ForkingPickler.dumps(CloudpickleWrapper(lambda: make(who)))
    assert ForkingPickler.loads(sent)().who == 3


def test_process_is_a_daemon_again_after_an_error() -> None:
    def work() -> bool:
        try:
            with may_start_processes():
                raise OSError
        except OSError:
            return multiprocessing.current_process().daemon

    assert in_child(work, daemon=True) is True


def test_start_method_is_fork_on_linux_and_the_default_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for platform, method in (
        ("linux", "fork"),
        ("darwin", multiprocessing.get_context().get_start_method()),
    ):
        monkeypatch.setattr(processes.sys, "platform", platform)
        assert processes.start_method().get_start_method() == method
