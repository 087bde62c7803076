"""How hooks are called: what can be one, and what happens when one fails or is interrupted."""

import functools
import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from small_runs import SMALL

import footlight
from footlight.errors import UserError
from footlight.training import hook_watch
from footlight.training.hook_calls import HookFailed, name_of_hook, require_hook
from footlight.training.hook_context import HookContext

FIELDS: dict[str, Any] = {**SMALL, "preset": False, "steps": 60, "n_steps": 10, "probe": "off"}


def train(folder: Path, *hooks: Any, **values: Any) -> footlight.Run:
    given = FIELDS | values
    return footlight.train("a2c", "CartPole-v1", run_dir=folder, hooks=list(hooks), **given)


async def waits(training: HookContext) -> None: ...


async def waits_and_yields(training: HookContext) -> Any:
    yield


def yields(training: HookContext) -> Any:
    yield


class Waits:
    async def __call__(self, training: HookContext) -> None: ...


class Counts:
    def __call__(self, training: HookContext) -> None: ...

    def method(self, training: HookContext) -> None: ...


@pytest.mark.parametrize(
    ("hook", "message"),
    [
        (waits, "waits is an async function"),
        (functools.partial(waits), "waits is an async function"),
        (waits_and_yields, "is an async function"),
        (Waits(), "Waits is an async function"),
        (yields, "yields has a `yield`"),
        (Counts, r"Counts is a class - an object of it is needed - write Counts\(\)"),
        (3, "3 is not a hook"),
    ],
)
def test_what_would_do_nothing_is_refused(hook: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        require_hook(hook)


def test_names_are_those_of_functions_and_classes() -> None:
    def local(training: HookContext) -> None: ...

    hooks = [local, functools.partial(local), Counts(), Counts().method, print]
    for hook in hooks:
        require_hook(hook)
    assert [name_of_hook(hook) for hook in hooks] == [
        "local", "local", "Counts", "Counts.method", "print",
    ]  # fmt: skip


def test_run_that_a_hook_has_failed_in_is_not_called_exact(tmp_path: Path) -> None:
    def fails(training: HookContext) -> None:
        if training.step == 30:
            raise KeyError("goal")

    with pytest.raises(HookFailed, match=r"failed at step 30: KeyError: 'goal' \(test_hook_calls"):
        train(tmp_path / "run", fails)
    for config in (footlight.Run(tmp_path / "run").config, read(tmp_path / "run", "config")):
        assert "the hook fails failed at step 30" in config["resume"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_and_saves_a_run_whose_hook_hangs(
    number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hook_watch, "GRACE_SECONDS", 0.1)
    monkeypatch.setattr(hook_watch, "POLL_SECONDS", 0.02)

    def hangs(training: HookContext) -> None:
        if training.step == 30:
            threading.Timer(0.1, os.kill, (os.getpid(), number)).start()
            while True:
                try:
                    time.sleep(600)
                except Exception:
                    continue

    with pytest.raises(KeyboardInterrupt if number == signal.SIGINT else SystemExit):
        train(tmp_path / "run", hangs)
    result, config = read(tmp_path / "run", "result"), footlight.Run(tmp_path / "run").config
    assert (result["status"], result["steps"]) == ("stopped", 30)
    assert "the hook hangs was interrupted at step 30" in config["resume"]


def test_hook_that_comes_back_in_time_is_not_interrupted(tmp_path: Path) -> None:
    def slow(training: HookContext) -> None:
        if training.step == 30:
            signal.raise_signal(signal.SIGINT)
            time.sleep(0.1)

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "run", slow)
    assert "slow" not in footlight.Run(tmp_path / "run").config["resume"]


def test_signal_in_a_training_inside_a_hook_ends_and_saves_both(tmp_path: Path) -> None:
    def inner(training: HookContext) -> None:
        if training.step == 20:
            signal.raise_signal(signal.SIGINT)

    def outer(training: HookContext) -> None:
        if training.step == 30:
            train(tmp_path / "inner", inner)

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "outer", outer)
    assert read(tmp_path / "outer", "result")["steps"] == 30
    assert read(tmp_path / "inner", "result")["steps"] == 20


def read(folder: Path, name: str) -> dict[str, Any]:
    return dict(json.loads((folder / f"{name}.json").read_text()))
