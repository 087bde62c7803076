"""A Ray of this machine alone: nothing remains when its process is killed, or ends."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from footlight.training import local_ray

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")

DRIVER = """
    import sys, time
    from pathlib import Path
    from footlight.training.ray_cluster import connected

    with connected("local", Path.cwd(), 1, "cpu", {}) as cluster:
        (node,) = cluster.ray.nodes()
        cluster.ray.remote(lambda: time.sleep(1000)).remote()
        print(node["NodeManagerAddress"], flush=True)
        sys.stdin.read()
"""


def is_alive(process: int) -> bool:
    try:
        return bool(Path(f"/proc/{process}/cmdline").read_bytes())  # empty for a zombie
    except OSError:
        return False


def test_nothing_remains_of_a_killed_process(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(DRIVER)], cwd=tmp_path, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env={key: x for key, x in os.environ.items() if not key.startswith("RAY_")},
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "127.0.0.1\n"
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    commands = [Path(f"/proc/{each}/cmdline").read_text().split("\0") for each in children]
    (folder,) = (each[-2] for each in commands if "footlight.training.local_ray" in each)
    before = local_ray.processes(folder)
    assert len(before) >= 8  # also those that would outlive the others for a minute
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    deadline = time.monotonic() + 60
    while Path(folder).exists() or local_ray.processes(folder):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert not [*filter(is_alive, before)]


def test_environment_and_folder_are_there_only_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    before = dict(os.environ)
    with local_ray.prepared(1) as settings:
        folder = settings["_temp_dir"]
        assert os.environ["RAY_AUTH_MODE"] == "token"
        with (Path(folder) / "log").open("w") as log:
            left = subprocess.Popen(["ray::x", "1000"], executable="/bin/sleep", stdout=log)
            other = subprocess.Popen(["sleep", "1000"], stdout=log)
        assert local_ray.processes(folder) == [left.pid]
    assert dict(os.environ) == before
    assert left.wait(timeout=10) == -signal.SIGKILL
    assert other.poll() is None
    other.kill()
    other.wait()
    assert not Path(folder).exists()
