"""The machine: its description, and the threads that a fork must not inherit.

Runs on machines with equal descriptions produce equal numbers.
"""

import contextlib
import ctypes
import functools
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from footlight import __version__

# Packages that numbers depend on, if installed
_PACKAGES = (
    "numpy",
    "gymnasium",
    "mujoco",
    "ale-py",
    "box2d",
    "envpool",
)

_OMP_PAUSE_HARD = 2  # of the enumeration omp_pause_resource_t
_PR_SET_PDEATHSIG = 1  # of prctl(2)
_num_runs = 1  # that train beside each other, each in a process of its own


def describe_machine() -> dict[str, Any]:
    """Return versions, system, processor and number of threads."""
    import torch  # here, since `cores` needs none

    versions = {
        "footlight": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    return {
        "versions": versions | _installed(),
        "system": platform.platform(),
        "cpu": cpu_name(),
        "threads": torch.get_num_threads(),
    }


def describe_products(is_compiled: bool) -> dict[str, Any]:
    """Which matrix products compiled updates use, and why; empty for eager ones."""
    from footlight.config.tuning import tuning  # which needs this module

    how = tuning()
    return {"tuning": how.source, "onednn_from": how.onednn_from} if is_compiled else {}


@functools.cache
def _installed() -> dict[str, str]:
    """The versions of those `_PACKAGES` that there are, read from their files once."""
    found = {}
    for package in _PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Describe the differences from `then` to `now` that can change numbers."""
    pairs = {
        "processor": (then.get("cpu"), now["cpu"]),
        "threads": (then.get("threads"), now["threads"]),
    }
    before, after = then.get("versions", {}), now["versions"]
    pairs |= {name: (before.get(name), after.get(name)) for name in {**before, **after}}
    if "onednn_from" in then:  # else eager, or of an earlier version
        known = (each["onednn_from"] for each in (then, describe_products(is_compiled=True)))
        before, now_by = ("MKL" if x is None else f"oneDNN from {x:,}" for x in known)
        pairs["matrix products"] = before, now_by
    unequal = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
    return [
        f"{name} {new or 'missing'} instead of {old or 'none'}"
        for name, (old, new) in unequal.items()
    ]


def all_cores() -> int:
    """The number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cores() -> int:
    """The same, divided among the runs that train beside each other."""
    return max(1, all_cores() // _num_runs)


def num_runs() -> int:
    """How many runs train beside each other on this machine, as far as this process knows."""
    return _num_runs


def share_cores(num_runs: int) -> None:
    """Let this process count on its share of the cores: so many runs train beside each other."""
    global _num_runs
    _num_runs = num_runs


def end_with_parent() -> None:
    """Let the system kill this process when the one that started it ends in any way. Linux only."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def end_openmp_threads() -> None:
    """End the threads that GNU's OpenMP, which ships with torch, keeps for the calling thread.

    They start again when they are needed. A forked process has none of its parent's threads, but
    OpenMP would take them to be there, and wait for them forever at the first parallel operation.
    """
    with contextlib.suppress(OSError):  # only Linux has such a file
        mapped = {
            line.split(maxsplit=5)[-1] for line in Path("/proc/self/maps").read_text().splitlines()
        }
        for library in (path for path in mapped if Path(path).name.startswith("libgomp")):
            with contextlib.suppress(OSError, AttributeError):  # before OpenMP 5.0
                ctypes.CDLL(library).omp_pause_resource_all(_OMP_PAUSE_HARD)


def describe_process() -> dict[str, Any]:
    """The commit of footlight, if it runs from a checkout, and the command line."""
    is_footlight = Path(sys.argv[0]).stem in ("footlight", "__main__")
    return {"commit": _commit(), "command": sys.argv[1:] if is_footlight else None}


def user_folder(variable: str, default: str) -> Path:
    """The user's folder of footlight's files of one kind, such as "XDG_CACHE_HOME", ".cache".

    It may not exist. Raises `RuntimeError` if the user has no home.
    """
    folder = Path(os.environ.get(variable, ""))
    if not folder.is_absolute():  # which the XDG specification says to ignore
        folder = Path.home() / default
    return folder / "footlight"


def device_fault(error: BaseException) -> str | None:
    """Describe a device failure or lack of memory; None for any other error."""
    import torch

    first = next(iter(str(error).splitlines()), "")
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in first:
        return f"out of memory ({type(error).__name__}: {first:.200})"
    return (
        f"the device failed ({first:.200})" if isinstance(error, torch.AcceleratorError) else None
    )


def cpu_name() -> str:
    """The name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")),
        platform.processor(),
    )


def _commit() -> str | None:
    home = Path(__file__).parents[1]
    if not (home / ".git").exists():
        return None
    git = ["git", "--no-optional-locks", "-C", str(home)]  # locks would write into the checkout
    command = [*git, "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=10, check=True
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def format_bytes(count: float) -> str:
    """A size in decimal units, as `34.0 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
