"""How a machine computes fastest: by rule, or as `footlight tune-machine` has measured it.

A run's number of threads and its matrix products are a function of its configuration and of the
file that the command writes, so that equal runs stay equal; both are recorded with the run.
"""

import contextlib
import functools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, TypedDict

from footlight.config.schema import Count, CountOrZero, violations
from footlight.errors import warn
from footlight.machine import all_cores, cpu_name, user_folder

NAME = "tuning.json"
FORMAT_VERSION = 1
THREADS_FROM = 20_000_000  # multiplications of an update; in smaller ones threads wait too long
ONEDNN_FROM = 4_000_000  # of a product; below, oneDNN takes longer to begin than it saves


class Saved(TypedDict):
    """The content of `tuning.json`. threads: pairs, as in `Tuning`."""

    format_version: int
    date: str
    cpu: str
    cores: Count
    torch: str
    threads: list[list[CountOrZero]]
    onednn_from: CountOrZero | None
    measured: list[str]


@dataclass(frozen=True)
class Tuning:
    """What a machine computes fastest with."""

    threads: tuple[tuple[int, int], ...]
    """Multiplications of an update, and the number of threads from there on, in rising order; one
    thread below the first."""
    onednn_from: int | None
    """Multiplications of a matrix product from which on oneDNN computes it; None: MKL always."""
    source: str = "rule"
    """"rule", or when it was measured."""

    def threads_for(self, multiplications: int) -> int:
        """The number of threads of an update with so many multiplications."""
        return next(
            (count for least, count in reversed(self.threads) if multiplications >= least), 1
        )


_in_use: Tuning | None = None


def rule() -> Tuning:
    """A thread for each core in large updates; oneDNN where MKL leaves AVX-512 unused.

    MKL does so where Intel is not the maker of the processor, and then takes twice as long. Where
    there is AVX2 alone, oneDNN takes a fifth longer.
    """
    return Tuning(((THREADS_FROM, all_cores()),), ONEDNN_FROM if _mkl_is_slow() else None)


def path() -> Path:
    """The file of the measurements. Raises `RuntimeError` if the user has no home."""
    return user_folder("XDG_CACHE_HOME", ".cache") / NAME


def tuning() -> Tuning:
    """What was measured on this machine; the rule where nothing was, or the file is not valid."""
    return _in_use or _found()


@contextlib.contextmanager
def using(how: Tuning) -> Iterator[None]:
    """Compute as `how` says inside the context, whatever was measured."""
    global _in_use
    before, _in_use = _in_use, how
    try:
        yield
    finally:
        _in_use = before


@functools.cache
def _found() -> Tuning:
    try:
        content = json.loads(path().read_bytes())
    except (OSError, RuntimeError, ValueError):
        content = None
    if (found := of_file(content)) is None and _is_file():
        warn(
            f"{path()} is not of this machine and version of torch, or damaged: rules decide how "
            "updates are computed (footlight tune-machine measures again)"
        )
    return found or rule()


def _is_file() -> bool:
    with contextlib.suppress(OSError, RuntimeError):
        return path().is_file()
    return False


def of_file(content: Any) -> Tuning | None:
    """The tuning in the file; None if it is invalid, or of another machine or torch."""
    if not isinstance(content, dict) or any(violations(content, Saved)):
        return None
    here = FORMAT_VERSION, cpu_name(), all_cores(), metadata.version("torch")
    if tuple(content[name] for name in ("format_version", "cpu", "cores", "torch")) != here:
        return None
    pairs = content["threads"]
    if not all(len(pair) == 2 and 1 <= pair[1] <= all_cores() for pair in pairs):
        return None
    steps = tuple(sorted((least, count) for least, count in pairs))
    return Tuning(steps, content["onednn_from"], str(content["date"]))


def _mkl_is_slow() -> bool:
    try:
        processor = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return "GenuineIntel" not in processor and "avx512f" in processor
