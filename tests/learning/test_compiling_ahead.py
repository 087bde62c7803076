"""A call in a process of its own, which nobody hears of."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from footlight.learning.compiler_cache import CompilerMissing
from footlight.learning.compiling_ahead import CompilingProcess, can_compile_ahead, has_forks

pytestmark = pytest.mark.skipif(not has_forks(), reason="this system has no forks")
KILLED = """
import os, signal, sys, time
from footlight.learning.compiling_ahead import CompilingProcess

def call():
    open(sys.argv[1] + ".new", "w").write(str(os.getpid()))
    os.rename(sys.argv[1] + ".new", sys.argv[1])
    time.sleep(600)

CompilingProcess(call)
while not os.path.exists(sys.argv[1]):
    time.sleep(0.01)
os.kill(os.getpid(), int(sys.argv[2]))
time.sleep(600)
"""


def test_call_is_made_elsewhere_and_prints_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def call() -> None:
        print("a line")
        os.system("echo another")
        (tmp_path / "pid").write_text(f"{os.getpid()}")
        raise CompilerMissing("a failure")

    process = CompilingProcess(call)
    with pytest.raises(CompilerMissing, match="a failure"):
        process.wait()
    assert int((tmp_path / "pid").read_text()) != os.getpid()
    assert capfd.readouterr() == ("", "")


def test_nothing_is_compiled_ahead_beside_a_thread() -> None:
    """Which might hold a lock that the fork would wait for."""
    before, over = threading.active_count(), threading.Event()
    thread = threading.Thread(target=over.wait)
    thread.start()
    assert not can_compile_ahead()
    over.set()
    thread.join()
    assert can_compile_ahead() == (before == 1)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_it_ends_with_the_process_that_began_it(tmp_path: Path, number: int) -> None:
    note = tmp_path / "pid"
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, str(note), str(int(number))],
        capture_output=True, timeout=120,
    )  # fmt: skip
    assert ended.returncode != 0
    process = Path("/proc", note.read_text())
    deadline = time.monotonic() + 30
    while process.exists() and "zombie" not in (process / "status").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
