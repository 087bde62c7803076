"""The watchdog: one line for a call that does not come back, none for those that do."""

import threading
import time
from typing import Any

import faulty
import numpy as np
import pytest

from footlight.environments.make import make
from footlight.environments.watchdog import Watch, warn_if_hanging


class Waiting(faulty.Walk):
    """Waits in its second step until it is let go."""

    def __init__(self, let_go: threading.Event) -> None:
        self.let_go = let_go

    def step(self, action: Any) -> Any:
        given = super().step(action)
        if self.steps == 2:
            assert self.let_go.wait(60)
        return given


def test_slow_call_is_reported_once_with_its_position(
    capfd: pytest.CaptureFixture[str],
) -> None:
    let_go = threading.Event()
    environments = make(Waiting(let_go), 7)
    told: list[str] = []

    def let_it_go_when_told() -> None:
        while not told:
            time.sleep(0.01)
            told.extend(capfd.readouterr().err.splitlines())
        time.sleep(0.1)  # a second line would come now
        let_go.set()

    environments.reset()
    helper = threading.Thread(target=let_it_go_when_told)
    helper.start()
    with warn_if_hanging([environments, None], 0.02):
        for _ in range(5):
            environments.step(np.zeros((1, 1), np.float32))
    helper.join()
    seed = environments.tracker.episode_seed(0)
    assert told == [
        f"warning: environment 0 has not returned for 0.02 s at step 2 of the episode with seed "
        f"{seed}, action [0.] - "
        "waiting for it; press Ctrl-C twice to quit at once"
    ]
    assert capfd.readouterr().err == ""


def test_only_a_call_that_lasts_across_polls_counts() -> None:
    environments = make(faulty.Walk(), 7)
    environments.reset()
    book, watch = environments.tracker, Watch(environments)
    looks = []
    for called in (None, None, None, 0, 0, 0, 0, 0):
        book.called = called
        looks.append(watch.poll(1, 2))
    assert [look is not None for look in looks] == [False] * 5 + [True, False, False]
    environments.step(np.zeros((1, 1), np.float32))
    book.called = 0  # as in the step after it
    assert [watch.poll(1, 2) is not None for _ in range(4)] == [False, False, True, False]


def test_time_between_calls_is_not_limited(capfd: pytest.CaptureFixture[str]) -> None:
    environments = make(faulty.Walk(), 7)
    environments.reset()
    with warn_if_hanging([environments], 0.01):
        time.sleep(0.1)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(("kind", "seconds"), [("sync", 0), ("async", 1)])
def test_no_thread_is_started_if_nothing_is_watched(kind: str, seconds: float) -> None:
    environments = make(faulty.Walk, 7, 2, vectorization=kind)
    before = threading.active_count()
    with warn_if_hanging([environments, None], seconds):
        assert threading.active_count() == before
    environments.close()
