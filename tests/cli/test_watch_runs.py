"""The command `watch-runs`: its address, its end, and its errors."""

import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from run_folders import write_run

from footlight.cli.main import main

# A process that is started in the background of a shell may ignore the signal of Ctrl-C
COMMAND = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from footlight.cli.main import main
code = main(["watch-runs", sys.argv[1]])
assert "torch" not in sys.modules
sys.exit(code)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals are those of POSIX")
def test_it_serves_until_ctrl_c(tmp_path: Path) -> None:
    write_run(tmp_path / "runs" / "one")
    command = [sys.executable, "-c", COMMAND, str(tmp_path / "runs")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    address = process.stdout.readline().strip()
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[\w-]{32,}/", address)
    with urllib.request.urlopen(address, timeout=60) as answer:
        assert b'href="run-0"' in answer.read()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors == ""


@pytest.mark.parametrize("port", ["-1", "65536", "x"])
def test_wrong_ports_are_refused(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["watch-runs", "--port", port]) == 2
    assert "it must be an integer from 0 to 65535" in capsys.readouterr().err


def test_a_missing_folder_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["watch-runs", str(tmp_path / "missing")]) == 2
    error = capsys.readouterr().err
    assert "there is no folder" in error
    assert error.count("\n") == 1
