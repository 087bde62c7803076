"""Files on systems that lack what Linux has, and a training where all of it is missing at once."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from footlight.errors import quoted
from footlight.storage import system

# Imported before, since these look at sys.platform
LIBRARIES = """
import gymnasium, matplotlib.pyplot, multiprocessing.context, rich.live, safetensors.numpy, torch
import imageio_ffmpeg, torch._dynamo

imageio_ffmpeg.get_ffmpeg_exe()
"""
# Takes away what Windows lacks, before footlight is imported. The lock of a byte is that of this
# system, at the position that `msvcrt.locking` would lock.
WINDOWS = """
import fcntl, io, os, signal, subprocess, sys, types

def locking(descriptor, mode, count):
    assert (mode, count) == (2, 1) and os.lseek(descriptor, 0, os.SEEK_CUR) > 1 << 20
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, count, 0, os.SEEK_CUR)
    except BlockingIOError:
        raise PermissionError(13, "Permission denied") from None

sys.modules["msvcrt"] = types.SimpleNamespace(locking=locking, LK_NBLCK=2)
sys.modules["fcntl"] = sys.modules["resource"] = None
for name in (
    "O_CLOEXEC O_NOFOLLOW O_NONBLOCK O_NOCTTY pwrite pread nice fork getuid register_at_fork "
    "posix_fallocate sched_getaffinity killpg setsid uname"
).split():
    vars(os).pop(name, None)
for name in ("SIGUSR1", "SIGKILL", "SIGHUP", "pthread_kill"):
    vars(signal).pop(name, None)
os.supports_follow_symlinks = os.supports_follow_symlinks - {os.link}
open_anything, link_anything = os.open, os.link

def open_file(path, flags, mode=0o777, *, dir_fd=None):
    if os.path.isdir(path):
        raise PermissionError(13, "Permission denied", str(path))
    return open_anything(path, flags, mode)

def link(source, target):
    link_anything(source, target)

os.open, os.link, os.supports_follow_symlinks = open_file, link, set()
sys.platform = "win32"
for name in ("stdout", "stderr"):
    getattr(sys, name).reconfigure(encoding="cp1252")
"""


def on_windows(code: str, folder: Path, before: str = "") -> str:
    """The output of Python code in a process without what Windows lacks, which it has `before`."""
    ran = subprocess.run(
        [sys.executable, "-c", before + WINDOWS + code],
        cwd=folder,
        capture_output=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=240,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr.decode("cp1252")
    return ran.stdout.decode("cp1252")


def test_training_needs_nothing_that_windows_lacks(tmp_path: Path) -> None:
    """Train with tracker, video and plot; resume; evaluate; verify."""
    (tmp_path / "mine.toml").write_text("hidden_sizes = [8]  # ± of a TOML file\n", "utf-8")
    code = """
from footlight.cli.main import main

run = "--seed 3 --checkpoint-every 100 --eval-episodes 1 --track tensorboard --threads 1 "
more = "--updates-per-step 0.25 --env-kwargs max_episode_steps=20"
train = "train sac Pendulum-v1 --steps 300 --config mine.toml --learning-starts 50 " + run + more
for line in (
    train + " --batch-size 8 --compile off --run-dir run --video-every 200",
    "resume run --steps 400",
    "evaluate run --episodes 1",
    "plot run",
    "watch run --video run.gif",
    "verify run",
    "inspect run",
    "list",
):
    print("==", line)
    code = main(line.split())
    assert code == 0, (line, code)
"""
    out = on_windows(code, tmp_path, LIBRARIES)
    assert "== list" in out
    assert (tmp_path / "run" / "curve.png").exists()
    assert [*(tmp_path / "run" / "tensorboard").glob("events*")]
    assert b"\r" not in (tmp_path / "run" / "metrics.jsonl").read_bytes()


def test_byte_lock_is_held_by_one_process(tmp_path: Path) -> None:
    code = """
import json, subprocess
from pathlib import Path
from footlight.errors import UserError
from footlight.runs.lock import locked
from footlight.storage.system import hold_folder

with locked(Path()):
    assert json.loads(Path(".lock").read_text())["pid"] == os.getpid()  # reading stays possible
    try:
        with locked(Path()):
            raise AssertionError
    except UserError as error:
        print(error)
    held = hold_folder(Path(), wait=False)
    os.close(held)
"""
    assert "this process is training in it" in on_windows(code, tmp_path)


def test_second_process_waits_for_a_byte_lock_or_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            WINDOWS
            + "from footlight.storage import system\nfrom pathlib import Path\n"
            + "held = system.open_file(Path('file'), os.O_RDWR)\nsystem.lock_process(held)\n"
            + "print('held', flush=True)\nsys.stdin.read()",
        ],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        code = """
from pathlib import Path
from footlight.storage import system
descriptor = system.open_file(Path("file"), os.O_RDWR)
for call in (system.lock_process, lambda held: system.lock_file(held, wait=False)):
    try:
        call(descriptor)
    except BlockingIOError:
        print("refused")
print(system.is_locked(Path("file")))
"""
        assert on_windows(code, tmp_path).split() == ["refused", "refused", "True"]
    finally:
        holder.communicate(b"")
    said = on_windows(
        "from pathlib import Path\nfrom footlight.storage import system\n"
        "print(system.is_locked(Path('file')), system.is_locked(Path('none')))\n"
        "system.lock_file(system.open_file(Path('file'), os.O_RDWR), wait=True)\nprint('locked')",
        tmp_path,
    )
    assert said.split() == ["False", "False", "locked"]


def test_link_is_refused_without_the_flag_that_refuses_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    monkeypatch.delattr(os, "O_NOFOLLOW")
    with pytest.raises(OSError, match="symbolic link"):
        system.open_file(tmp_path / "link", os.O_RDWR | os.O_CREAT)
    assert not (tmp_path / "target").exists()


def test_replacing_is_tried_again_where_readers_block_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = tmp_path / "new", tmp_path / "old"
    source.write_text("new")
    target.write_text("old")
    attempts = []

    def replace(self: Path, other: Path) -> None:
        attempts.append(self)
        if len(attempts) < 3:
            raise PermissionError(13, "Access is denied")
        os.replace(self, other)

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(PermissionError):
        system.replace(source, target)
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(system, "POLL_SECONDS", 0.0)
    system.replace(source, target)
    assert (len(attempts), target.read_text()) == (3, "new")
    source.write_text("newer")
    attempts.clear()
    monkeypatch.setattr(system, "REPLACE_SECONDS", 0.0)
    with pytest.raises(PermissionError):
        system.replace(source, target)


def test_paths_are_quoted_for_the_shell_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    assert quoted("my runs/1") == "'my runs/1'"
    monkeypatch.setattr(sys, "platform", "win32")
    assert quoted(r"C:\my runs\1") == r'"C:\my runs\1"'
    assert quoted(r"C:\runs\1") == r"C:\runs\1"


@pytest.mark.parametrize("names", [{}, {"CREATE_NEW_PROCESS_GROUP": 512}])
def test_children_are_out_of_reach_of_ctrl_c(
    names: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in names.items():
        monkeypatch.setattr(subprocess, name, value, raising=False)
    assert system.own_process_group() == next(iter(names.values()), 0)
