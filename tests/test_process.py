"""The process after a call: directory, variables, generators and signal handlers are restored."""

import contextlib
import ctypes
import logging
import os
import random
import signal
import warnings
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from learned_agents import ACTED, SEEN, learned

import footlight
from footlight import ambient
from footlight.errors import EnvironmentFault


class Ends(gymnasium.Env[Any, Any]):
    """Pendulum-like numbers; at step 40 something ends the run, or nothing does."""

    observation_space, action_space = SEEN, ACTED
    end: Any = None
    metadata = {"render_modes": ["rgb_array"], "render_fps": 30}  # noqa: RUF012

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode, self.count = render_mode, 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self.np_random.uniform(-1, 1, 3).astype(np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.count += 1
        if self.count == 40 and Ends.end is not None:
            Ends.end()
        return (
            self.np_random.uniform(-1, 1, 3).astype(np.float32),
            1.0,
            False,
            self.count % 10 == 0,
            {},
        )

    def render(self) -> Any:
        return np.zeros((32, 32, 3), np.uint8)


def snapshot() -> dict[str, Any]:
    """What belongs to the process."""
    numbers = signal.SIGINT, signal.SIGTERM, signal.SIGUSR1
    return {
        "threads": torch.get_num_threads(),
        "torch": (torch.get_default_dtype(), torch.get_default_device(), torch.is_grad_enabled()),
        "denormals": ambient.flushes_denormals(),
        "variables": dict(os.environ),
        "handlers": [signal.getsignal(number) for number in numbers],
        "warnings": list(warnings.filters),
        "random": (
            random.getstate(),
            np.random.get_state()[1].tolist(),
            torch.get_rng_state().tolist(),
        ),
        "logging": (logging.root.level, logging.root.manager.disable, list(logging.root.handlers)),
        "numpy": np.geterr(),
        "directory": Path.cwd(),
        "limits": torch.are_deterministic_algorithms_enabled(),
    }


def interrupted() -> None:
    signal.raise_signal(signal.SIGINT)


def interrupted_twice() -> None:
    signal.raise_signal(signal.SIGINT)
    signal.raise_signal(signal.SIGINT)


def fails() -> None:
    raise RuntimeError("the joint broke")


@pytest.mark.parametrize(
    ("end", "raised"),
    [
        (None, None),
        (interrupted, KeyboardInterrupt),
        (interrupted_twice, KeyboardInterrupt),
        (fails, EnvironmentFault),
    ],
)
def test_state_of_the_process_is_restored(
    end: Any, raised: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Ends, "end", staticmethod(end) if end else None)
    monkeypatch.delenv("DISPLAY", raising=False)
    learned(
        "ddpg", tmp_path / "agent"
    )  # torch imports its compiler at first, and that a package with a filter for warnings
    torch.set_num_threads(2)
    before = snapshot()
    with contextlib.nullcontext() if raised is None else pytest.raises(raised):
        run = footlight.train(
            "ddpg", Ends, steps=60, preset=False, learning_starts=10, hidden_sizes=(8,),
            compile="off", quiet=True, threads=1,
            eval_episodes=1, video_every=20 if raised is None else 0, run_dir="run",
        )  # fmt: skip
        run.evaluate(1)
        run.plot()
        run.policy.act(np.zeros(3, np.float32))
        run.make_env("rgb_array").render()
    assert snapshot() == before


def test_second_interrupt_ends_only_the_process_of_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from footlight.signals import Interruption, owning_process

    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    interruption = Interruption()
    with interruption.installed(lambda text: None):
        interruption.polling = True
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(SystemExit, match="143"):
            signal.raise_signal(signal.SIGTERM)
        assert codes == []
        with owning_process():
            signal.raise_signal(signal.SIGINT)
        assert codes == [130]
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_handler_of_c_code_is_restored() -> None:
    from footlight.signals import Interruption, _system_handler

    library = ctypes.CDLL(None)
    library.signal.restype, library.signal.argtypes = (
        ctypes.c_void_p,
        [ctypes.c_int, ctypes.c_void_p],
    )
    address = ctypes.cast(
        library.abs, ctypes.c_void_p
    ).value  # a function that takes the number and does nothing
    assert address is not None
    library.signal(signal.SIGUSR1, address)
    try:
        interruption = Interruption()
        with interruption.installed(lambda text: None):
            signal.raise_signal(signal.SIGUSR1)
            assert interruption.wants_checkpoint
        handler = _system_handler(signal.SIGUSR1).raw
        assert address in (int.from_bytes(handler[at : at + 8], "little") for at in (0, 8))
    finally:
        signal.signal(signal.SIGUSR1, signal.SIG_DFL)
