"""Stop and checkpoint requests by signals and time limit, before and during the loop."""

import contextlib
import signal
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from small_runs import DDPG, step_of

import footlight
from footlight.learning.agent import Agent
from footlight.signals import Interruption
from footlight.storage import checkpoint


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("number", "ends", "code"),
    [
        (signal.SIGUSR1, None, 0),
        (signal.SIGINT, KeyboardInterrupt, 130),
        (signal.SIGTERM, SystemExit, 143),
    ],
)
def test_signal_while_environments_are_created(number: int, ends: Any, code: int) -> None:
    made = iter([lambda: signal.raise_signal(number), *[lambda: None] * 9])

    def source() -> Any:
        next(made)()
        return gymnasium.make("Pendulum-v1")

    with contextlib.nullcontext() if ends is None else pytest.raises(ends):
        footlight.train("ddpg", source, run_dir="run", **DDPG)
    assert Path("run").exists() == (ends is None)
    assert code in (0, 130, 143)


@pytest.mark.parametrize(
    ("number", "ends", "code"),
    [
        (signal.SIGUSR1, None, 0),
        (signal.SIGINT, KeyboardInterrupt, 130),
        (signal.SIGTERM, SystemExit, 143),
    ],
)
def test_signal_before_the_loop(
    number: int, ends: Any, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    compile_it, handlers = (
        Agent.compile,
        [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)],
    )

    def interrupted(agent: Agent, ahead: bool = False) -> None:
        signal.raise_signal(number)
        compile_it(agent, ahead)

    settings = {**DDPG, "compile": "on"}
    module = "footlight.learning.compiled_updates"
    monkeypatch.setattr(f"{module}.can_compile_ahead", lambda: False)
    monkeypatch.setattr(
        f"{module}.compile_in_place",
        lambda function, tensors, announce: lambda: function(*tensors),
    )
    with monkeypatch.context() as patch:
        patch.setattr(Agent, "compile", interrupted)
        with contextlib.nullcontext() if ends is None else pytest.raises(ends) as caught:
            footlight.train("ddpg", "Pendulum-v1", run_dir="run", **settings)
        assert caught is None or getattr(caught.value, "code", 130) == code
    assert step_of("run") == (300 if ends is None else 0)
    assert [
        signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
    ] == handlers
    if ends is not None:
        footlight.resume("run", quiet=True)
        assert step_of("run") == 300


def test_run_stopped_by_its_time_limit_resumes_to_the_same_state() -> None:
    run = footlight.train("ddpg", "Pendulum-v1", run_dir="run", max_time=1e-3, **DDPG)
    assert run.result is not None
    assert run.result["status"] == "stopped"
    assert step_of("run") < 300
    footlight.resume("run", max_time=1000, quiet=True)
    assert step_of("run") == 300
    footlight.train("ddpg", "Pendulum-v1", run_dir="straight", **DDPG)
    arrays = [
        checkpoint.read_arrays(checkpoint.find(Path(name)), "agent") for name in ("run", "straight")
    ]
    assert all(np.array_equal(arrays[0][name], array) for name, array in arrays[1].items())


def test_interrupted_run_raises_a_keyboard_interrupt_that_notebooks_show_in_a_line() -> None:
    steps = iter(range(100))

    class Interrupting(gymnasium.Wrapper[Any, Any, Any, Any]):
        def step(self, action: Any) -> Any:
            if next(steps) == 30:
                signal.raise_signal(signal.SIGINT)
            return super().step(action)

    settings = {**DDPG, "probe": "off", "eval_episodes": 0}
    with pytest.raises(KeyboardInterrupt) as caught:
        footlight.train(
            "ddpg", lambda: Interrupting(gymnasium.make("Pendulum-v1")), run_dir="run", **settings
        )
    text = "stopped and saved at step 31 - continue with footlight.resume('run', environment=...)"
    assert str(caught.value) == text
    shown = caught.value._render_traceback_()  # type: ignore[attr-defined]
    assert shown == [f"KeyboardInterrupt: {text}"]
    assert Interruption.exit_exception(signal.SIGINT).args == ()
