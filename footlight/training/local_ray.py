"""A Ray for this machine alone, of which nothing remains when its process ends in any way.

Ray's own processes are killed with the one that started them, but for its agents, which try to
reach the others for a minute, and its temporary folder. A guard, `python -m` this module, waits
for the end of a pipe, which the system closes when a process is killed.
"""

import contextlib
import functools
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from footlight.machine import all_cores

OBJECT_STORE_BYTES = 100 << 20  # messages only; folders hold what is large
CLEAN_SECONDS = 10.0


@functools.cache
def _token() -> str:
    """The token of this process, which Ray reads only once."""
    return os.environ.get("RAY_AUTH_TOKEN") or secrets.token_hex(32)


@contextlib.contextmanager
def prepared(together: int) -> Iterator[dict[str, Any]]:
    """What `ray.init` needs for so many calls together, and an environment for its processes.

    Enter it before Ray is imported, and leave it when Ray has shut down.
    """
    folder = tempfile.mkdtemp(prefix="footlight-ray-")
    guard = subprocess.Popen(
        [sys.executable, "-m", "footlight.training.local_ray", folder],
        stdin=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    try:
        with _environment(
            RAY_AUTH_MODE="token",
            RAY_AUTH_TOKEN=_token(),
            RAY_USAGE_STATS_ENABLED="0",
            RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0",  # on other systems, too: it means loopback only
        ):
            yield {
                "include_dashboard": False,
                "num_cpus": max(together, all_cores()),
                "object_store_memory": OBJECT_STORE_BYTES,
                "_node_ip_address": "127.0.0.1",
                "_temp_dir": folder,
            }
    finally:
        guard.communicate()


@contextlib.contextmanager
def _environment(**values: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def processes(folder: str) -> list[int]:
    """The processes of the Ray with this folder, but not the one that has started it.

    Each has the folder in its command or, where it has given itself another name, a log open there.
    Linux only; elsewhere none are found.
    """
    found, within = [], f"{folder}/"
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # of another user, or ended meanwhile
            command = (path / "cmdline").read_bytes()
            is_renamed = command.startswith(b"ray::") and any(
                os.readlink(each).startswith(within) for each in (path / "fd").iterdir()
            )
            if within.encode() in command or is_renamed:
                found.append(int(path.name))
    return found


def clean(folder: str) -> None:
    """Kill what is left of the Ray with this folder, and remove the folder."""
    deadline = time.monotonic() + CLEAN_SECONDS
    while (left := processes(folder)) and time.monotonic() < deadline:
        for number in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        time.sleep(0.05)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.stdin.buffer.read()  # until the end of the process that writes there, which writes nothing
    clean(sys.argv[1])
