"""Workers that die or hang are replaced without changing any number."""

import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import faulty
import gymnasium
import numpy as np
import pytest

from footlight.environments import remote
from footlight.environments.make import make
from footlight.environments.running_statistics import freeze_statistics
from footlight.environments.serial import SerialEnvironments
from footlight.environments.workers import AsyncEnvironments, Supervision
from footlight.errors import EnvironmentFault
from footlight.types import Array

NUM_STEPS = 25  # two whole episodes and a half


@pytest.fixture(autouse=True)
def no_process_is_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(remote, "CLOSING_SECONDS", 0.5)
    before = set(multiprocessing.active_children())
    yield
    assert set(multiprocessing.active_children()) <= before


def actions() -> Array:
    return np.random.default_rng(1).uniform(-1, 1, (NUM_STEPS, 3, 1)).astype(np.float32)


def story(
    environments: SerialEnvironments, before_step: Callable[[int], Any] = lambda step: None
) -> list[Any]:
    """Everything that is seen of all steps."""
    seen: list[Any] = [environments.reset().tolist()]
    for step, action in enumerate(actions()):
        before_step(step)
        transition = environments.step(action)
        seen.append(
            [part.tolist() for part in transition[:6]]
            + [environments.finished, environments.observation.tolist()]
        )
    return [*seen, {name: array.tolist() for name, array in environments.arrays().items()}]


def straight() -> list[Any]:
    return story(SerialEnvironments([faulty.Walk() for _ in range(3)], 7, "episode"))


def normalized(make_it: Callable[[], Any] = faulty.Walk) -> Any:
    env = gymnasium.wrappers.NormalizeReward(gymnasium.wrappers.NormalizeObservation(make_it()))
    return gymnasium.wrappers.FrameStackObservation(env, 2)


def restarting(make_it: Callable[[], Any], said: list[str], timeout: float = 60) -> Any:
    supervision = Supervision(timeout, True, said.append)
    return contextlib.closing(AsyncEnvironments(make_it, 3, 7, "episode", supervision))


def kill(environments: AsyncEnvironments, env: int) -> None:
    pid = environments.remote[env]._process.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


# The calls of an instance: 1 is the first reset, 12 the second, 23 the third
@pytest.mark.parametrize("call", [1, 2, 3, 6, 11, 12, 13, 23, 28])
def test_worker_killed_during_a_call_changes_no_number(call: int, tmp_path: Path) -> None:
    said: list[str] = []
    with restarting(partial(faulty.Once, tmp_path / "marker", call), said) as environments:
        assert story(environments) == straight()
    # Several may have got there before the first one had left its mark
    assert 1 <= len(said) <= 3
    assert all(
        "was killed by signal 9 (SIGKILL), perhaps out of memory - restarted" in line
        for line in said
    )


@pytest.mark.parametrize("step", [0, 1, 4, 10, 11, 24])
def test_worker_killed_between_steps_changes_no_number(step: int) -> None:
    said: list[str] = []
    with restarting(faulty.Walk, said) as environments:
        assert (
            story(environments, lambda at: kill(environments, 1) if at == step else None)
            == straight()
        )
        seed = environments.tracker.seed
    assert len(said) == 1
    assert said[0].startswith(f"environment 1, step {step % 10 + 1} of the episode with seed ")
    assert seed == 7


@pytest.mark.parametrize("call", [1, 2, 11, 12, 13, 28])
@pytest.mark.parametrize("frozen", [False, True])
def test_restarted_worker_has_the_same_running_statistics(
    frozen: bool, call: int, tmp_path: Path
) -> None:
    def made(envs: SerialEnvironments) -> SerialEnvironments:
        for env in envs.envs if frozen else ():
            freeze_statistics(env)  # as for evaluations
        return envs

    said: list[str] = []
    once = partial(faulty.Once, tmp_path / "marker", call)
    alone = SerialEnvironments([normalized() for _ in range(3)], 7, "episode")
    with restarting(partial(normalized, once), said) as environments:
        assert story(made(environments)) == story(made(alone))
    assert said


def test_all_workers_killed_at_once_change_no_number() -> None:
    said: list[str] = []
    with restarting(faulty.Walk, said) as environments:
        assert (
            story(
                environments,
                lambda at: [kill(environments, env) for env in range(3)] if at == 13 else None,
            )
            == straight()
        )
    assert len(said) == 3


def test_hanging_worker_is_replaced_and_changes_no_number(tmp_path: Path) -> None:
    said: list[str] = []
    with restarting(
        partial(faulty.Once, tmp_path / "marker", 7, faulty.hangs), said, timeout=1
    ) as environments:
        assert story(environments) == straight()
    assert all(
        "its process did not answer for 1 s and was ended - restarted" in line for line in said
    )
    assert said


def test_worker_killed_while_episodes_are_restored_changes_no_number(
    tmp_path: Path,
) -> None:
    saved = SerialEnvironments([faulty.Walk() for _ in range(3)], 7, "episode")
    story(saved)
    said: list[str] = []
    with restarting(partial(faulty.Once, tmp_path / "marker", 4), said) as environments:
        arrays = {name: array.copy() for name, array in saved.arrays().items()}
        assert environments.restore(arrays) == []
        assert {name: array.tolist() for name, array in environments.arrays().items()} == {
            name: array.tolist() for name, array in arrays.items()
        }
    assert said


def test_worker_that_dies_repeatedly_at_the_same_step_is_a_fault() -> None:
    said: list[str] = []
    with restarting(partial(faulty.Faulty, faulty.leaves), said) as environments:
        message = (
            r"at step 4 of .* action .*: its process exited by itself \(exit code 7\); that was "
            r"the 3rd time in a row"
        )
        with pytest.raises(EnvironmentFault, match=message) as raised:
            story(environments)
    assert len(said) == 2
    assert raised.value.episode is not None
    assert len(raised.value.episode.actions) == 4


def test_nondeterministic_episode_cannot_be_restarted() -> None:
    with (
        restarting(faulty.Nondeterministic, []) as environments,
        pytest.raises(EnvironmentFault, match="came out differently"),
    ):
        story(environments, lambda at: kill(environments, 0) if at == 3 else None)


def test_exception_of_an_environment_restarts_no_worker() -> None:
    said: list[str] = []
    environments = restarting(partial(faulty.Faulty, faulty.raises), said)
    with environments as opened, pytest.raises(EnvironmentFault, match="the joint broke"):
        story(opened)
    assert not said


def test_hanging_worker_is_a_fault_without_restart() -> None:
    environments = make(
        partial(faulty.Faulty, faulty.hangs),
        7,
        3,
        vectorization="async",
        supervision=Supervision(0.5),
    )
    with (
        contextlib.closing(environments),
        pytest.raises(EnvironmentFault, match=r"did not answer for 0\.5 s and was ended"),
    ):
        story(environments)  # type: ignore[arg-type]


def test_worker_is_lost_even_if_its_child_holds_the_pipe_open() -> None:
    def leaves_a_process_behind(given: Any) -> None:
        if os.fork() == 0:
            time.sleep(3)
        os._exit(7)

    environments = make(
        partial(faulty.Faulty, leaves_a_process_behind), 7, 3, vectorization="async"
    )
    with (
        contextlib.closing(environments),
        pytest.raises(EnvironmentFault, match=r"exited by itself \(exit code 7\)"),
    ):
        story(environments)  # type: ignore[arg-type]


def test_worker_that_does_not_make_its_environment_in_time_is_ended() -> None:
    with pytest.raises(remote.UserError, match="did not answer"):
        AsyncEnvironments(lambda: faulty.hangs(None), 2, 7, "episode", Supervision(0.3))


# The end of the process that began them
