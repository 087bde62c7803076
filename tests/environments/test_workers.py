"""Environments in processes of their own: equal to serial ones; faults; no process left over."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest

from footlight.environments import remote
from footlight.environments.make import make
from footlight.environments.serial import SerialEnvironments
from footlight.environments.workers import AsyncEnvironments
from footlight.errors import EnvironmentFault, UserError
from footlight.streams import derived_seed
from footlight.types import Array, BoxAction, Transition

Counting = type[gymnasium.Env[Any, Any]]


@pytest.fixture(autouse=True)
def no_process_is_left() -> Iterator[None]:
    """Whatever a test does, its workers end with it."""
    before = set(multiprocessing.active_children())
    yield
    assert set(multiprocessing.active_children()) <= before


def both(source: Any, num_envs: int) -> tuple[SerialEnvironments, AsyncEnvironments]:
    one, other = (make(source, 7, num_envs, vectorization=kind) for kind in ("sync", "async"))
    assert type(one) is SerialEnvironments
    assert isinstance(other, AsyncEnvironments)
    return one, other


def actions_for(environments: SerialEnvironments, num_steps: int) -> list[Array]:
    generator, space = np.random.default_rng(1), environments.spaces.action
    shape = (num_steps, environments.num_envs, space.size)
    if isinstance(space, BoxAction):
        return [
            space.to_environment(unit_EA)
            for unit_EA in generator.uniform(-1, 1, shape).astype(np.float32)
        ]
    return [
        space.to_environment(choice_EA) for choice_EA in generator.integers(0, space.sizes, shape)
    ]


def assert_same(mine: Transition, theirs: Transition) -> None:
    for a, b in zip(mine[:6], theirs[:6], strict=True):
        assert a.dtype == b.dtype
        assert np.array_equal(a, b)
    assert (mine.valid, theirs.valid) == (None, None)


@pytest.mark.parametrize(("name", "num_steps"), [("CartPole-v1", 120), ("Pendulum-v1", 410)])
def test_async_equals_serial_bit_for_bit(name: str, num_steps: int) -> None:
    serial, remote = both(name, 3)
    assert np.array_equal(serial.reset(), remote.reset())
    num_finished = 0
    for action in actions_for(serial, num_steps):
        assert_same(serial.step(action), remote.step(action))
        assert serial.finished == remote.finished
        assert np.array_equal(serial.observation, remote.observation)
        num_finished += len(serial.finished)
    assert num_finished >= 6
    mine, theirs = serial.arrays(), remote.arrays()
    assert mine.keys() == theirs.keys()
    assert all(np.array_equal(mine[key], theirs[key]) for key in mine)
    remote.close()


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_stopped_run_is_restored_exactly_in_either_kind(kind: str) -> None:
    serial, remote = both("Pendulum-v1", 2)
    remote.reset()
    actions = actions_for(serial, 260)
    for action in actions[:230]:
        remote.step(action)
    resumed = make("Pendulum-v1", 7, 2, vectorization=kind)
    assert resumed.restore({name: array.copy() for name, array in remote.arrays().items()}) == []
    for action in actions[230:]:
        assert_same(resumed.step(action), remote.step(action))
    for environments in (remote, resumed):
        environments.close()


def test_lambda_works_in_workers(counting_env: Counting) -> None:
    who = 2
    make_it: Any = counting_env
    environments = make(lambda: make_it(who), 0, 2, vectorization="async")
    assert isinstance(environments, AsyncEnvironments)
    assert environments.reset().tolist() == [[2, 0, 0], [2, 0, 0]]
    environments.close()


def test_each_environment_has_a_process_and_may_be_closed_twice() -> None:
    environments = make("Pendulum-v1", 0, 3, vectorization="async")
    assert len(multiprocessing.active_children()) == 3
    environments.close()
    assert not multiprocessing.active_children()
    environments.close()


def test_one_environment_needs_no_process() -> None:
    assert type(make("Pendulum-v1", 0, 1, vectorization="async")) is SerialEnvironments


# Faults

FaultyMake = Callable[[], gymnasium.Env[Any, Any]]


def faulty(counting_env: Counting, what: Callable[[Any], Any], *, step: int = 2) -> FaultyMake:
    """Makes environments that do `what` at one step (0: the reset) of their episode 1.

    Even episodes have 2 steps, odd ones 3.
    """

    class Faulty(counting_env):  # type: ignore[misc, valid-type]
        def reset(self, **options: Any) -> Any:
            given = super().reset(**options)
            return what(given) if (self.episode, step) == (1, 0) else given

        def step(self, action: Any) -> Any:
            given = super().step(action)
            return what(given) if (self.episode, self.steps) == (1, step) else given

    return Faulty


def raising(error: Exception) -> Callable[[Any], Any]:
    def what(given: Any) -> Any:
        raise error

    return what


class Unsendable(Exception):
    def __init__(self, one: int, two: int) -> None:
        super().__init__("holds a lock")
        self.lock = threading.Lock()


@pytest.mark.parametrize(
    ("what", "step", "message"),
    [
        (
            raising(RuntimeError("the joint broke")),
            2,
            r"action \[0\.\]: step raised RuntimeError: the joint broke",
        ),
        (raising(RuntimeError("the joint broke")), 0, "reset raised RuntimeError: the joint broke"),
        (raising(Unsendable(1, 2)), 2, "Unsendable: holds a lock"),
        (
            raising(BrokenPipeError("of the simulator's own")),
            2,
            "BrokenPipeError: of the simulator's own",
        ),
        (lambda given: (np.array([0, np.nan, 1]), *given[1:]), 2, r"observation\[1\] is nan"),
        (
            lambda given: (threading.Lock(), *given[1:]),
            2,
            "its result cannot be sent to another process",
        ),
        (lambda given: given[:4], 2, r"step returned 4 values \(observation, reward, done, info\)"),
        (lambda given: (given[0], np.inf, *given[2:]), 2, "reward is inf"),
    ],
)
def test_fault_in_a_worker_is_reported_as_in_this_process(
    counting_env: Counting, what: Callable[[Any], Any], step: int, message: str
) -> None:
    environments = AsyncEnvironments(faulty(counting_env, what, step=step), 2, 7, "episode")
    environments.reset()
    action = np.zeros((2, 1), np.float32)
    for _ in range(step + 1):
        environments.step(action)
    before = {name: array.copy() for name, array in environments.arrays().items()}
    seed = derived_seed(7, "episode", 0, 1)
    where = f"environment 0 failed at step {step} of the episode with seed {seed}.*"
    with pytest.raises(EnvironmentFault, match=where + message):
        environments.step(action)
    after = environments.arrays()
    assert {name: array.tolist() for name, array in after.items()} == {
        name: array.tolist() for name, array in before.items()
    }
    environments.reset()  # which does not take outstanding answers for its own
    assert environments.observation[:, 2].tolist() == [0, 0]
    environments.close()


@pytest.mark.parametrize("when", ["step", "reset"])
def test_dead_worker_is_a_fault(when: str) -> None:
    environments = make("Pendulum-v1", 7, 3, vectorization="async")
    assert isinstance(environments, AsyncEnvironments)
    environments.reset()
    victim = environments.remote[1]._process
    assert victim.pid is not None
    os.kill(victim.pid, signal.SIGKILL)
    victim.join()
    with pytest.raises(
        EnvironmentFault,
        match=r"environment 1 failed .* killed by signal 9 \(SIGKILL\), perhaps out of memory",
    ):
        environments.step(np.zeros((3, 1), np.float32)) if when == "step" else environments.reset()
    environments.close()


def test_workers_ignore_ctrl_c(capfd: pytest.CaptureFixture[str]) -> None:
    environments = make("Pendulum-v1", 7, 2, vectorization="async")
    assert isinstance(environments, AsyncEnvironments)
    environments.reset()
    for env in environments.remote:
        assert env._process.pid is not None
        os.kill(env._process.pid, signal.SIGINT)
    environments.step(np.zeros((2, 1), np.float32))
    environments.close()
    assert capfd.readouterr().err == ""


def test_worker_that_does_not_end_is_killed(
    counting_env: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stuck(counting_env):  # type: ignore[misc, valid-type]
        def step(self, action: Any) -> Any:
            threading.Event().wait()

    monkeypatch.setattr(remote, "CLOSING_SECONDS", 0.1)
    environments = AsyncEnvironments(Stuck, 2, 0, "episode")
    environments.reset()
    environments._begin_steps(np.zeros((2, 1), np.float32))
    pids = [env._process.pid for env in environments.remote]
    environments.close()
    for pid in pids:
        assert pid is not None
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_workers_close_their_environments(counting_env: Counting, tmp_path: Any) -> None:
    class Closing(counting_env):  # type: ignore[misc, valid-type]
        def close(self) -> None:
            (tmp_path / str(os.getpid())).touch()

    environments = AsyncEnvironments(Closing, 3, 0, "episode")
    pids = {str(env._process.pid) for env in environments.remote}
    environments.close()
    assert {path.name for path in tmp_path.iterdir()} == pids


def broken() -> Any:
    return 1 / 0


def test_failure_to_make_environments_leaves_no_process() -> None:
    with pytest.raises(
        UserError, match="unknown environment 'Pendulm-v1' - did you mean 'Pendulum-v1'"
    ):
        make("Pendulm-v1", 0, 3, vectorization="async")
    with pytest.raises(UserError, match="ZeroDivisionError"):
        AsyncEnvironments(broken, 3, 0, "episode")


def test_process_that_drops_its_environments_leaves_no_worker() -> None:
    environments = make("Pendulum-v1", 0, 2, vectorization="async")
    assert isinstance(environments, AsyncEnvironments)
    processes = [env._process for env in environments.remote]
    for env in environments.remote:
        env._connection.close()  # as the system does when a process ends, however it ends
    for process in processes:
        process.join(20)
        assert process.exitcode == 0
