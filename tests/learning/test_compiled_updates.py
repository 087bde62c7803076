"""When updates are compiled, and where. The compiler itself is replaced here."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import footlight
from footlight.learning import compiled_updates
from footlight.learning.announcing import COMPILING
from footlight.learning.compilation import AtHand, CompilerMissing
from footlight.learning.compiled_updates import CompiledUpdates
from footlight.learning.compiling_ahead import has_forks

forks = pytest.mark.skipif(not has_forks(), reason="this system has no forks")
THIS = os.getpid()


@pytest.fixture(autouse=True)
def without_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test runner has a thread of its own, beside which nothing is compiled ahead."""
    monkeypatch.setattr(compiled_updates, "can_compile_ahead", has_forks)


def plain(function: Any, tensors: Any, announce: Any = None) -> Callable[[], None]:
    return torch.no_grad()(lambda: function(*tensors))


def updates(notices: list[str]) -> CompiledUpdates:
    """Two updates, "a" and "b", which add 1 and 2."""
    tensors = {"a": [torch.zeros(1)], "b": [torch.zeros(1)]}
    amounts = {"a": 1.0, "b": 2.0}
    made = CompiledUpdates(
        lambda name: (lambda x: x.add_(amounts[name]), tensors[name]), notices.append
    )
    made.set_when(True, False)
    return made


@forks
def test_what_is_at_hand_is_taken_and_the_rest_is_compiled_elsewhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def found(function: Any, tensors: Any) -> AtHand:
        is_first = function(torch.zeros(1)).item() == 1
        return AtHand(plain(function, tensors) if is_first else None, True)

    def noted(function: Any, tensors: Any, announce: Any = None) -> Callable[[], None]:
        with (tmp_path / "calls").open("a") as file:
            file.write(f"{os.getpid()}\n")
        return plain(function, tensors)

    monkeypatch.setattr(compiled_updates, "at_hand", found)
    monkeypatch.setattr(compiled_updates, "compile_in_place", noted)
    notices: list[str] = []
    made = updates(notices)
    made.begin(["a", "b"])
    assert [*made.steps] == ["a"]
    assert made.is_waiting
    assert notices == [COMPILING]
    made.make("b")
    assert [*made.steps] == [*made.unchecked] == ["a", "b"]
    assert not made.is_waiting
    child, parent = map(int, (tmp_path / "calls").read_text().split())
    assert child != THIS == parent
    assert "updates waited" in notices[1]
    assert made.seconds > 0


def test_what_no_other_process_can_compile_is_compiled_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(compiled_updates, "at_hand", lambda *bound: AtHand(None, False))
    monkeypatch.setattr(compiled_updates, "compile_in_place", plain)
    made = updates([])
    made.begin(["a", "b"])
    assert [*made.steps] == ["a", "b"]


@pytest.mark.parametrize("fails", ["at_hand", "compile_in_place"])
def test_missing_compiler_is_said_once(monkeypatch: pytest.MonkeyPatch, fails: str) -> None:
    def failing(*bound: Any) -> Any:
        raise CompilerMissing("there is none")

    monkeypatch.setattr(compiled_updates, "at_hand", lambda *bound: AtHand(None, False))
    monkeypatch.setattr(compiled_updates, fails, failing)
    notices: list[str] = []
    made = updates(notices)
    made.begin(["a", "b"])
    assert len(notices) == 1
    assert not made.enabled
    assert not made.steps


@forks
def test_run_begins_while_its_update_is_compiled(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    begun, compiled = tmp_path / "begun", tmp_path / "compiled"

    def compile_after_first_step(
        function: Any, tensors: Any, announce: Any = None
    ) -> Callable[[], None]:
        if os.getpid() == THIS:
            assert compiled.exists()  # the update has waited for it
            return plain(function, tensors)
        deadline = time.monotonic() + 60
        while not begun.exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        compiled.touch()
        return plain(function, tensors)

    monkeypatch.setattr(compiled_updates, "at_hand", lambda *bound: AtHand(None, True))
    monkeypatch.setattr(compiled_updates, "compile_in_place", compile_after_first_step)
    run = footlight.train(
        "a2c", "CartPole-v1", steps=60, num_envs=1, preset=False, compile="on", eval_episodes=0,
        probe="off", threads=1, run_dir=tmp_path / "run",
        hooks=[footlight.every(1, lambda training: begun.touch())],
    )  # fmt: skip
    output = capfd.readouterr()
    printed = output.out + output.err
    assert printed.index(COMPILING) < printed.index("updates waited")
    assert run.result is not None
    assert run.result["compile_seconds"] >= 0
    assert run.result["updates"] == 12
