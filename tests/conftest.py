"""What all tests share: one thread for torch, tiny spaces, and an environment that counts."""

import functools
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

import footlight
from footlight.types import BoxAction, Spaces

sys.path += [
    str(Path(__file__).parent),
    str(Path(__file__).parent / "torture"),
]  # where `tolerance` and `faulty` live


# Files whose tests take longest, or wait for other processes
FIRST = {"test_on_ray.py", "test_local_ray.py", "test_lessons.py", "test_pendulum.py"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest tests come first: begun last, one of them would run alone."""
    items.sort(key=lambda item: item.path.name not in FIRST)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """One thread and a fixed seed for each test: tests run in parallel, and in any order."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def own_configuration(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Folders in place of the user's, for what the tests allow and what a machine's tuning is."""
    folder = tmp_path_factory.mktemp("configuration")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(folder))
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder


@pytest.fixture(scope="session", autouse=True)
def no_waiting_for_the_disk() -> Iterator[None]:
    """Files are written without waiting until they are on the disk, which takes 2 ms for each.

    Only a power failure could show the difference. A descriptor that is not open still fails.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", os.fstat)
        yield


@pytest.fixture(scope="session", autouse=True)
def one_table_of_onnx_operations() -> Iterator[None]:
    """`torch.onnx.export` makes the same table anew in each call, in half of its time; here once.

    What makes it is imported by the first export, if there is one.
    """
    export, patch = torch.onnx.export, pytest.MonkeyPatch()

    def call(*arguments: Any, **options: Any) -> Any:
        from torch.onnx._internal.exporter._registration import ONNXRegistry

        once = functools.cache(ONNXRegistry.from_torchlib)
        patch.setattr(ONNXRegistry, "from_torchlib", staticmethod(once))
        patch.setattr(torch.onnx, "export", export)
        return export(*arguments, **options)

    patch.setattr(torch.onnx, "export", call)
    yield
    patch.undo()


@pytest.fixture
def ctrl_c_interrupts() -> Iterator[None]:
    """Python's own handler of SIGINT, which shells let background processes ignore."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def replayed_updates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Agents with `compile="on"` repeat recorded operations in place of compiled updates."""
    from replayed import use_replayed_updates

    use_replayed_updates(monkeypatch)


@pytest.fixture
def tiny_spaces() -> Spaces:
    """Two numbers seen, one action in [-2, 2]."""
    action = BoxAction(low=np.array([-2], np.float32), high=np.array([2], np.float32))
    return Spaces(observation_shape=(2,), observation_dtype="float32", action=action)


class CountingEnv(gymnasium.Env[Any, Any]):
    """Observes (who, episode, step), earns 10 * episode + step, whatever the action.

    Even episodes terminate after 2 steps, odd ones are truncated after 3; both are `who` steps
    longer, so that environments side by side are out of phase.
    """

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (3,), np.float32)
    action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)

    def __init__(self, who: int = 0) -> None:
        self.who, self.episode, self.steps = who, -1, 0
        self.seeds: list[int | None] = []

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        self.seeds.append(seed)
        self.episode, self.steps = self.episode + 1, 0
        return self.observe(), {}

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        self.steps += 1
        odd = self.episode % 2 == 1
        last = self.steps == 2 + odd + self.who
        return self.observe(), 10 * self.episode + self.steps, last and not odd, last and odd, {}

    def observe(self) -> Any:
        return np.array([self.who, self.episode, self.steps], np.float32)


@pytest.fixture
def counting_env() -> type[CountingEnv]:
    """The class, so that a test makes as many as it needs, or its own kind."""
    return CountingEnv


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run of SAC without an evaluation."""
    path: Path = tmp_path_factory.mktemp("home")
    settings: dict[str, Any] = {
        "hidden_sizes": (8,),
        "learning_starts": 20,
        "compile": "off",
        "threads": 1,
        "eval_episodes": 0,
    }
    footlight.train("sac", "Pendulum-v1", steps=30, run_dir=path / "run", quiet=True, **settings)
    return path / "run"
