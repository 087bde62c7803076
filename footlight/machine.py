"""What a run is made on: versions, processor, threads. Where these are equal, so are the numbers."""

import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from footlight import __version__

_PACKAGES = (
    "torch",
    "numpy",
    "gymnasium",
    "mujoco",
    "ale-py",
    "box2d",
    "envpool",
)  # what numbers depend on, where installed


def describe_machine() -> dict[str, Any]:
    """Versions, system, processor and the threads in force."""
    import torch  # not by those who only count cores

    versions = {"footlight": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = (
                torch.__version__ if package == "torch" else metadata.version(package)
            )
        except metadata.PackageNotFoundError:
            continue
    return {
        "versions": versions,
        "system": platform.platform(),
        "cpu": _cpu_name(),
        "threads": torch.get_num_threads(),
    }


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """In what `now` differs from `then` so that numbers may differ, in words."""
    pairs = {
        "processor": (then.get("cpu"), now["cpu"]),
        "threads": (then.get("threads"), now["threads"]),
    }
    old, new = then.get("versions", {}), now["versions"]
    pairs |= {name: (old.get(name), new.get(name)) for name in {**old, **new}}
    unequal = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
    return [
        f"{name} {mine or 'missing'} instead of {theirs or 'none'}"
        for name, (theirs, mine) in unequal.items()
    ]


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def describe_process() -> dict[str, Any]:
    """The commit of footlight where it runs from a checkout, and the command line."""
    is_ours = Path(sys.argv[0]).stem in ("footlight", "__main__")
    return {"commit": _commit(), "command": sys.argv[1:] if is_ours else None}


def device_fault(error: BaseException) -> str | None:
    """In words, what failed of the device, or that there is no memory left; None where an error is another one."""
    import torch

    first = next(iter(str(error).splitlines()), "")
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in first:
        return f"there is no memory left ({type(error).__name__}: {first:.200})"
    return (
        f"the device failed ({first:.200})" if isinstance(error, torch.AcceleratorError) else None
    )


def _cpu_name() -> str:
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
    git = ["git", "--no-optional-locks", "-C", str(home)]  # which would write into the checkout
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
