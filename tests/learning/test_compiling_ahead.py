"""A call in a process of its own, which nobody hears of."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from footlight.learning.compiling_ahead import CompilingProcess, can_compile_ahead

pytestmark = pytest.mark.skipif(not can_compile_ahead(), reason="this system has no forks")
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
        raise RuntimeError("a failure")

    process = CompilingProcess(call)
    process.wait()
    assert int((tmp_path / "pid").read_text()) != os.getpid()
    assert capfd.readouterr() == ("", "")


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
