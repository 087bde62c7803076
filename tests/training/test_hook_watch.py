"""When the watch warns about a hook, and when it interrupts one."""

import pytest

from footlight.signals import Interruption
from footlight.training import hook_watch
from footlight.training.hook_watch import HookWatch, watching_hooks


class Stopping(Interruption):
    """Records that a hook is to be interrupted."""

    stop, interrupted = False, 0

    def should_stop(self) -> bool:
        return self.stop

    def interrupt_hook(self) -> None:
        self.interrupted += 1


def watch(seconds: float) -> tuple[Stopping, HookWatch, list[str]]:
    interruption, said = Stopping(), list[str]()
    return interruption, HookWatch(interruption, seconds, said.append), said


def test_hook_that_hangs_is_named_once_for_each_call() -> None:
    interruption, watching, said = watch(2.0)
    for call in (1, 2):
        interruption.running, interruption.num_calls = "mine", call
        for _ in range(10):
            watching.poll(0.5)
        assert len(said) == call
    assert "the hook mine has not come back for 2 s" in said[0]
    assert not interruption.interrupted


def test_many_short_calls_are_no_hanging_hook() -> None:
    interruption, watching, said = watch(1.0)
    interruption.running = "mine"
    for _ in range(20):
        interruption.num_calls += 1
        watching.poll(0.5)
    assert not said


@pytest.mark.parametrize("seconds", [0.0, 300.0])
def test_hook_is_interrupted_some_time_after_a_stop_was_requested(seconds: float) -> None:
    interruption, watching, said = watch(seconds)
    interruption.running, interruption.num_calls, interruption.stop = "mine", 1, True
    watching.poll(1.0)  # it has just begun
    for _ in range(int(hook_watch.GRACE_SECONDS) - 1):
        watching.poll(1.0)
    assert [interruption.interrupted, len(said)] == [0, 1]
    assert "waits 5 s for the hook mine" in said[0]
    watching.poll(1.0)
    assert [interruption.interrupted, len(said)] == [1, 1]


def test_without_a_handler_no_signal_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[object] = []
    monkeypatch.setattr("signal.pthread_kill", lambda *given: sent.append(given))
    with watching_hooks(interruption := Interruption(), 1.0):
        interruption.interrupt_hook()
    assert sent == []
    with interruption.installed(lambda text: None):
        interruption.interrupt_hook()
    assert len(sent) == 1
