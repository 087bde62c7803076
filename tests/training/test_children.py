"""Calls in processes of their own: turns, reports, errors, deaths and signals."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from footlight.errors import Diverged, UserError
from footlight.instruments.several import SeveralRuns, display_of
from footlight.machine import all_cores, cores
from footlight.signals import Interruption
from footlight.training import children
from footlight.training.children import Ended, run_together

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs forks")


def ended(calls: dict[int, Callable[[], str]], together: int = 2) -> dict[int, Ended]:
    return run_together(calls, together, SeveralRuns([*calls], 10, quiet=True), Interruption())


def test_calls_run_in_order_so_many_at_a_time(tmp_path: Path) -> None:
    def call(number: int) -> str:
        (tmp_path / f"begun-{number}").touch()
        others = [path.name for path in tmp_path.glob("running-*")]
        (tmp_path / f"running-{number}").touch()
        time.sleep(0.1)
        (tmp_path / f"running-{number}").unlink()
        return f"finished beside {len(others)}"

    found = ended({number: lambda number=number: call(number) for number in range(5)})
    assert sorted(found) == [0, 1, 2, 3, 4]
    assert max(int(each.status[-1]) for each in found.values()) <= 1
    alone = ended({number: lambda number=number: call(number) for number in range(3)}, 1)
    assert [*alone] == [0, 1, 2]
    assert {each.status for each in alone.values()} == {"finished beside 0"}


def test_a_call_knows_its_share_of_the_cores() -> None:
    found = ended({1: lambda: str(cores())}, together=2)
    assert found[1].status == str(max(1, all_cores() // 2))
    assert cores() == all_cores()


def test_errors_and_deaths_are_results(capfd: pytest.CaptureFixture[str]) -> None:
    def diverges() -> str:
        raise Diverged("q is NaN")

    def has_a_bug() -> str:
        raise KeyError("x")

    def dies() -> str:
        os.kill(os.getpid(), signal.SIGKILL)
        return "alive"

    found = ended({1: diverges, 2: has_a_bug, 3: dies, 4: lambda: "finished"})
    assert found[1][:3] == ("diverged", "q is NaN", 4)
    assert "in diverges" in found[1].trace
    assert found[2][:3] == ("failed", "KeyError: 'x'", 1)
    assert "in has_a_bug" in capfd.readouterr().err
    assert (found[3].status, found[3].code) == ("fault", 3)
    assert "killed by signal 9 (SIGKILL)" in str(found[3].error)
    assert found[4] == Ended("finished")


def test_signal_to_all_processes_of_a_job_stops_each_once(tmp_path: Path) -> None:
    """As a job's manager sends it: to the children as well, to which the parent passes its own."""
    parent = os.getpid()

    def call() -> str:
        interruption = Interruption()
        with interruption.installed(lambda text: None):
            interruption.polling = True
            (tmp_path / str(os.getpid())).touch()
            while not interruption.should_stop():
                time.sleep(0.01)
            time.sleep(0.5)  # saving
        return "saved"

    def last() -> str:
        while len(others := [*tmp_path.iterdir()]) < 2:
            time.sleep(0.01)
        for process in [parent, *(int(path.name) for path in others)]:
            os.kill(process, signal.SIGTERM)
        return "sent"

    found = ended({1: call, 2: call, 3: last, 4: call}, together=3)
    assert {key: each.status for key, each in found.items()} == {1: "saved", 2: "saved", 3: "sent"}


def test_signals_before_a_call_has_handlers_are_not_deaths() -> None:
    def call() -> str:
        os.kill(os.getpid(), signal.SIGUSR1)
        os.kill(os.getpid(), signal.SIGTERM)
        return "alive"

    assert ended({1: call})[1].status == "stopped"


def test_dead_process_that_was_waiting_is_a_result_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[Any] = []
    child, first = children._Child, SeveralRuns.end_run

    def make(*given: Any) -> Any:
        made.append(child(*given))
        return made[-1]

    monkeypatch.setattr(children, "_Child", make)

    def end(self: SeveralRuns, seed: int, state: str) -> None:
        first(self, seed, state)
        if seed == 1:
            made[1].process.kill()
            made[1].process.join()

    monkeypatch.setattr(SeveralRuns, "end_run", end)
    found = ended({1: lambda: "a", 2: lambda: "b", 3: lambda: "c"}, together=1)
    assert [found[key].status for key in (1, 2, 3)] == ["a", "fault", "c"]


def test_time_limit_is_that_of_each_call_and_of_all() -> None:
    def call() -> str:
        interruption = Interruption(100.0)
        while not interruption.should_stop():
            time.sleep(0.01)
        return "stopped in time"

    interruption, began = Interruption(1.0), time.monotonic()
    found = run_together(
        {1: call, 2: call, 3: call}, 2, SeveralRuns([1, 2, 3], 10, quiet=True), interruption
    )
    assert {key: each.status for key, each in found.items()} == dict.fromkeys(
        (1, 2), "stopped in time"
    )
    assert time.monotonic() - began < 30


def test_after_a_user_error_no_other_call_begins() -> None:
    def refuses() -> str:
        raise UserError("gamma is 2")

    found = ended({1: refuses, 2: lambda: "finished", 3: lambda: "finished"}, together=1)
    assert {key: each[:3] for key, each in found.items()} == {1: ("failed", "gamma is 2", 2)}


def test_after_an_exception_in_code_of_the_user_the_others_begin(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def breaks() -> str:
        raise ZeroDivisionError("once")

    monkeypatch.setattr(children, "place_in_loaded", lambda error: " (hook.py, line 3)")
    found = ended({1: breaks, 2: lambda: "finished"}, together=1)
    assert found[1][:3] == ("failed", "ZeroDivisionError: once (hook.py, line 3)", 2)
    assert found[2] == Ended("finished")


def test_reports_reach_the_display(monkeypatch: pytest.MonkeyPatch) -> None:
    received: list[tuple[int, Any]] = []
    monkeypatch.setattr(SeveralRuns, "update_run", lambda self, *each: received.append(each))

    def call() -> str:
        display = display_of(100, quiet=False)
        display.notify("hello")
        with display:
            display.update(50, returns=[1.5])
        return "finished"

    assert ended({7: call})[7].status == "finished"
    assert (7, {"text": "hello"}) in received
    progress = received[-1][1]
    assert (progress["step"], progress["values"]["return"]) == (50, 1.5)


def test_children_end_with_a_killed_parent(tmp_path: Path) -> None:
    program = f"""
    import os, time
    from footlight.instruments.several import SeveralRuns
    from footlight.signals import Interruption
    from footlight.training.children import run_together
    def call():
        open({str(tmp_path / "pid")!r} + str(os.getpid()), "w").close()
        time.sleep(60)
        return "finished"
    run_together({{1: call, 2: call, 3: call}}, 2, SeveralRuns([1, 2, 3], 1), Interruption())
    """
    parent = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)])
    deadline = time.monotonic() + 60
    while len(begun := [*tmp_path.glob("pid*")]) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
    assert len(begun) == 2
    assert len(children) >= 3
    parent.kill()
    parent.wait()
    while any(is_alive(child) for child in children) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [child for child in children if is_alive(child)]


def is_alive(process: str) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
