"""One run folder, one process."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from run_folders import held_elsewhere

from footlight.errors import UserError
from footlight.runs.lock import is_running, locked

HOLD = """
import sys, os, time
from pathlib import Path
from footlight.runs.lock import is_running, locked
with locked(Path(sys.argv[1])):
    if os.fork() == 0:  # a worker, which outlives us
        time.sleep(60)
    print("held", flush=True)
    time.sleep(60)
"""


def test_second_process_is_rejected_until_the_first_ends(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, start_new_session=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with (
            pytest.raises(
                UserError, match=rf"is in use - process {holder.pid} on .* is training in it"
            ),
            locked(tmp_path),
        ):
            pass
        holder.kill()  # the parent alone
        holder.wait()
        with locked(tmp_path):
            assert str(os.getpid()) in (tmp_path / ".lock").read_text()
    finally:
        os.killpg(holder.pid, signal.SIGKILL)
        holder.communicate()


def test_second_training_in_the_same_process_is_rejected(tmp_path: Path) -> None:
    with locked(tmp_path):
        for _ in range(2):
            with (
                pytest.raises(UserError, match="is in use - this process is training in it"),
                locked(tmp_path),
            ):
                pass
        asked = [sys.executable, "-c", HOLD, str(tmp_path)]
        assert (
            b"is in use" in subprocess.run(asked, capture_output=True, check=False).stderr
        )  # the lock is held all the same
    with locked(tmp_path):
        pass


@pytest.mark.parametrize("content", [b"", b"{", b'{"pid": "x"}', b"[]", b"\xff"])
def test_invalid_content_of_the_lock_file_is_ignored(tmp_path: Path, content: bytes) -> None:
    (tmp_path / ".lock").write_bytes(content)
    with locked(tmp_path):
        assert str(os.getpid()) in (tmp_path / ".lock").read_text()


def test_link_in_place_of_the_lock_is_rejected(tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_text("mine")
    (tmp_path / ".lock").symlink_to(target)
    with pytest.raises(UserError, match=r"\.lock is a symbolic link"), locked(tmp_path):
        pass
    assert target.read_text() == "mine"


def test_running_is_found_out_without_taking_or_losing_the_lock(tmp_path: Path) -> None:
    assert not is_running(tmp_path)
    assert not [*tmp_path.iterdir()]
    with held_elsewhere(tmp_path):
        assert is_running(tmp_path)
        assert is_running(tmp_path)
    assert not is_running(tmp_path)
    with locked(tmp_path):
        assert is_running(tmp_path)
        asked = [sys.executable, "-c", HOLD, str(tmp_path)]
        assert b"is in use" in subprocess.run(asked, capture_output=True, check=False).stderr
    assert not is_running(tmp_path)


def test_link_in_place_of_the_lock_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / ".lock").symlink_to(tmp_path / "target")
    with pytest.raises(OSError, match="symbolic links"):
        is_running(tmp_path)
