"""The command line as a user meets it: what it prints, exit codes, signals and faults."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from small_runs import FAST

from footlight.cli.commands import COMMANDS
from footlight.cli.main import main


class NotANumber(gymnasium.Env[Any, Any]):
    """After 30 steps the observation is NaN."""

    observation_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.clock = 0
        return np.zeros(2, np.float32), {}

    def step(self, action: Any) -> Any:
        self.clock += 1
        return np.array([0, np.nan if self.clock == 30 else 0], np.float32), 0.0, False, False, {}


gymnasium.register("TestNotANumber-v0", NotANumber)


def test_printing_never_fails() -> None:
    code = "import sys; from footlight.cli.main import main; sys.exit(main(['list', 'algorithms']))"
    script = code.replace("main(['list', 'algorithms'])", "main([]) or print('± \\udcff')")
    run = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (run.returncode, run.stdout.splitlines()[-1], run.stderr) == (0, b"? ?", b"")


def test_reader_that_exits_ends_a_command_without_an_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "footlight", "list", "presets"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux only")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("command", ["list", "completion bash", "--help"])
def test_output_to_a_full_disk_is_an_error_in_one_line(command: str, unbuffered: str) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "footlight", *command.split()],
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    if command == "--help" and unbuffered:  # argparse ignores what it cannot print
        assert (done.returncode, done.stderr) == (0, "")
        return
    assert done.returncode == 5
    what, why, remedy = done.stderr.splitlines()[0].split(" - ")
    assert (what, why) == ("error: cannot write the output", os.strerror(errno.ENOSPC))
    assert len(done.stderr.splitlines()) == 1
    assert remedy


def test_fault_of_another_file_is_not_taken_for_one_of_the_output(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(options: Any) -> int:
        raise OSError(errno.ENOSPC, "no space", "another file")

    monkeypatch.setitem(COMMANDS, "list", fail)
    with pytest.raises(OSError, match="another file"):
        main(["list"])


def test_broken_pipe_of_something_else_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(options: Any) -> int:
        raise BrokenPipeError("of a device")

    monkeypatch.setitem(COMMANDS, "list", fail)
    with pytest.raises(BrokenPipeError):
        main(["list"])


def test_environment_fault_is_named_and_state_saved(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert (
        main(["train", "sac", "TestNotANumber-v0", "--steps", "50", "--eval-every", "0", *FAST])
        == 3
    )
    err = capsys.readouterr().err
    # The other lines name the commands that reproduce the episode and resume without it.
    assert len(err.splitlines()) == 3
    for word in ("environment 0", "seed", "step 30", "observation[1] is nan"):
        assert word in err
    folder = Path("runs/TestNotANumber-v0/sac/001")
    assert json.loads((folder / "result.json").read_text())["status"] == "fault"
    assert (folder / "checkpoints/step-000000029/manifest.json").is_file()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_saves_the_run_and_it_can_be_resumed(
    number: signal.Signals, code: int, tmp_path: Path
) -> None:
    words = ["train", "ddpg", "Pendulum-v1", "--steps", "1000000", "--run-dir", "run"]
    command = [sys.executable, "-m", "footlight", *words]
    process = subprocess.Popen(
        [*command, *FAST[:-1], "--eval-every", "0", "--updates-per-step", "0.25"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    deadline = time.monotonic() + 120
    while not Path("run/episodes.jsonl").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.2)
    os.kill(process.pid, number)
    output = process.communicate(timeout=120)[0].decode()
    assert process.returncode == code, output
    assert "footlight resume run" in output
    result = json.loads(Path("run/result.json").read_text())
    assert result["status"] == "stopped"
    assert main(["resume", "run", "--steps", str(result["steps"] + 20), "--quiet"]) == 0
    assert json.loads(Path("run/result.json").read_text())["status"] == "finished"


def test_quiet_run_prints_only_its_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "sac", "Pendulum-v1", "--steps", "20", *FAST]) == 0
    assert capsys.readouterr() == ("runs/Pendulum-v1/sac/001\n", "")
    assert main(["resume", "runs/Pendulum-v1/sac/001", "--steps", "25", "--quiet"]) == 0
    assert capsys.readouterr() == ("runs/Pendulum-v1/sac/001\n", "")


def test_first_and_last_lines_of_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "sac", "Pendulum-v1", "--steps", "20", "--threads", "1", *FAST[:-1]]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "| 1 thread |" in lines[1]
    assert lines[-3].startswith("final evaluation ")
    assert " over 1 episode | 20 steps in " in lines[-3]
    assert lines[-2:] == [
        "run folder runs/Pendulum-v1/sac/001",
        "next: footlight plot runs/Pendulum-v1/sac/001   "
        "or: footlight watch runs/Pendulum-v1/sac/001 --video episode.mp4",
    ]
