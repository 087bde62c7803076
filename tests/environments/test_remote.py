"""Workers: how they begin, what cannot be sent to them, and that they end with their parent."""

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faulty
import gymnasium
import numpy as np
import pytest

from footlight.environments import processes, remote
from footlight.environments.make import make
from footlight.environments.processes import why_no_processes
from footlight.environments.remote import RemoteEnv, Supervision
from footlight.environments.workers import AsyncEnvironments
from footlight.errors import RemoteError, UserError

Counting = type[gymnasium.Env[Any, Any]]


BEGINNING = """
import sys, time
from functools import partial
import numpy as np, faulty
from footlight.environments import remote
from footlight.environments.workers import AsyncEnvironments
remote.CLOSING_SECONDS = remote.POLL_SECONDS = 0.2
make_it = partial(faulty.Faulty, faulty.hangs, int(sys.argv[1]))
environments = AsyncEnvironments(make_it, 3, 1, "episode")
print(*(env._process.pid for env in environments.remote), flush=True)
environments.reset()
for _ in range(int(sys.argv[2])):
    environments.step(np.zeros((3, 1), np.float32))
print("ready", flush=True)
time.sleep(float(sys.argv[3]))
"""


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"  # of another parent, which is in no hurry


def wait_until(true: Callable[[], bool], seconds: float = 30) -> bool:
    deadline = time.monotonic() + seconds
    while not true() and time.monotonic() < deadline:
        time.sleep(0.05)
    return true()


def begin(*arguments: str) -> tuple[subprocess.Popen[str], list[int]]:
    path = os.pathsep.join([str(Path(faulty.__file__).parent), *sys.path])
    process = subprocess.Popen(
        [sys.executable, "-c", BEGINNING, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": path},
    )
    assert process.stdout is not None
    return process, [int(pid) for pid in process.stdout.readline().split()]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.parametrize("where", ["between steps", "in a step without end"])
def test_workers_end_when_their_parent_is_killed(where: str) -> None:
    # Step 99 never comes. All three hang in step 1 of episodes whose seed is a multiple of 3; the
    # others wait for their next step.
    process, pids = begin("99", "3", "60") if where == "between steps" else begin("1", "9", "60")
    assert process.stdout is not None
    if where == "between steps":
        assert process.stdout.readline() == "ready\n"
    else:
        time.sleep(0.5)  # an episode that hangs has begun, or will never begin
    assert len(pids) == 3
    assert all(is_alive(pid) for pid in pids)
    process.kill()
    process.wait()
    process.stdout.close()
    assert wait_until(lambda: not any(is_alive(pid) for pid in pids)), (
        "a worker outlives the process that began it"
    )


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_process_that_does_not_close_its_environments_ends() -> None:
    process, pids = begin("99", "3", "0")
    assert process.wait(60) == 0
    assert process.stdout is not None
    process.stdout.close()
    assert not any(is_alive(pid) for pid in pids)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_workers_ignore_signals_to_all_processes_of_a_job(
    number: signal.Signals,
) -> None:
    with contextlib.closing(make("Pendulum-v1", 7, 2, vectorization="async")) as environments:
        assert isinstance(environments, AsyncEnvironments)
        environments.reset()
        for env in environments.remote:
            assert env._process.pid is not None
            os.kill(env._process.pid, number)
        environments.step(np.zeros((2, 1), np.float32))


def test_environment_that_hangs_while_it_is_made_is_ended_after_the_timeout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(remote, "CLOSING_SECONDS", 0.1)
    never: Any = threading.Event().wait
    message = (
        r"was not made in its process - its process did not answer for 0.2 s and was ended - .* "
        r"or use vectorization sync"
    )
    with pytest.raises(UserError, match=message):
        AsyncEnvironments(never, 2, 0, "episode", Supervision(timeout=0.2))


def test_failed_start_of_a_process_is_a_user_error(
    monkeypatch: pytest.MonkeyPatch, counting_env: Counting
) -> None:
    def refuse(process: Any) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    assert why_no_processes() is None
    monkeypatch.setattr(multiprocessing.get_context("fork").Process, "start", refuse)
    assert why_no_processes() == "BlockingIOError: [Errno 11] Resource temporarily unavailable"
    with pytest.raises(
        UserError, match=r"no process can be started .* unavailable - use vectorization sync"
    ):
        RemoteEnv(counting_env)


def test_function_that_cannot_be_sent_is_reported(
    monkeypatch: pytest.MonkeyPatch, counting_env: Counting
) -> None:
    lock = threading.Lock()
    monkeypatch.setattr(processes, "start_method", lambda: multiprocessing.get_context("spawn"))
    with pytest.raises(
        UserError,
        match=r"no process can be started for an environment - TypeError: .*lock.* - use "
        r"vectorization",
    ):
        RemoteEnv(lambda: (lock, counting_env())[1])
    assert not multiprocessing.active_children()


def test_answers_of_a_worker_and_its_own_errors(counting_env: Counting) -> None:
    env = RemoteEnv(lambda: counting_env(3), timeout=60.0)  # type: ignore[call-arg]
    with contextlib.closing(env):
        env.learn_spaces()
        assert env.name == "CountingEnv(who=3)"
        assert env.reset(seed=1)[0].tolist() == [3, 0, 0]
        observation, reward, terminated, truncated, _ = env.step(np.zeros(1, np.float32))
        assert (observation.tolist(), reward) == ([3, 0, 1], 1)
        assert (terminated, truncated) == (False, False)
        assert env.call_remote("reward_wrappers") == []
        env.ask("no such call")
        with pytest.raises(RemoteError, match="KeyError"):
            env._answer()
        assert not env.is_lost


def test_lost_worker_returns_empty_results(counting_env: Counting) -> None:
    env = RemoteEnv(counting_env, timeout=60.0)
    env.learn_spaces()
    assert env._process.pid is not None
    os.kill(env._process.pid, signal.SIGKILL)
    assert env.call_remote("read_statistics") == {}
    assert env.is_lost
    env.close()
