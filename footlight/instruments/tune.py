"""Measures what `config/tuning.py` decides: threads, matrix products and precision of updates."""

import datetime
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import gymnasium
import numpy as np
import torch

from footlight.ambient import process_restored
from footlight.config.tuning import FORMAT_VERSION, Tuning, path, rule, using
from footlight.errors import StorageFault, UserError, counted
from footlight.learning.agent import Agent
from footlight.machine import all_cores, cpu_name
from footlight.storage.files import make_folder, replace_text

ROUNDS, SECONDS = 5, 0.4  # of a comparison, and of each of its sides in a round
GAIN = 1.05  # a ratio that another way than the rule's must reach to be chosen
_OBSERVATION = gymnasium.spaces.Box(-1, 1, (17,), np.float32)  # as in HalfCheetah
_ACTION = gymnasium.spaces.Box(-1, 1, (6,), np.float32)
Notify = Callable[[str], None]


@dataclass(frozen=True)
class Size:
    """SAC with two hidden layers of this width."""

    width: int
    batch_size: int

    def __str__(self) -> str:
        return f"SAC 2x{self.width}, batch {self.batch_size}"

    @property
    def product(self) -> int:
        """Multiplications of its largest matrix product."""
        return self.batch_size * self.width**2


SIZES = (Size(64, 100), Size(128, 256), Size(256, 256), Size(512, 256))


class Update:
    """A compiled update of SAC, for so many threads."""

    def __init__(self, size: Size, threads: int, how: Tuning, precision: str = "fp32") -> None:
        self._threads = threads
        self._random = np.random.default_rng(0)
        with using(how):
            torch.set_num_threads(1)
            self._agent = Agent(
                "sac", _OBSERVATION, _ACTION, seed=0, compile="on", learning_starts=size.batch_size,
                hidden_sizes=(size.width, size.width), batch_size=size.batch_size,
                precision=precision, notice=lambda text: None,
            )  # fmt: skip
            torch.set_num_threads(threads)
            for _ in range(size.batch_size + 2):
                self._observe()
        if not self._agent.compiled:
            raise UserError("nothing was measured - updates cannot be compiled here - install g++")

    @property
    def multiplications(self) -> int:
        """As `Tuning.threads_for` counts them."""
        return self._agent.learner.rows_per_update * self._agent.num_parameters

    def seconds(self) -> float:
        """The median time of an update, with storing a transition and drawing a batch."""
        torch.set_num_threads(self._threads)
        times, end = list[float](), perf_counter() + SECONDS
        while (began := perf_counter()) < end or not times:
            self._observe()
            times.append(perf_counter() - began)
        return median(times)

    def _observe(self) -> None:
        seen = self._random.uniform(-1, 1, 17).astype(np.float32)
        self._agent.observe(seen, np.zeros(6, np.float32), 0.0, seen, False, False)


def gains(first: Update, others: Sequence[Update]) -> list[float]:
    """How many times as fast each of the others is: medians of the ratios within rounds."""
    ratios: list[list[float]] = [[] for _ in others]
    for _ in range(ROUNDS):
        seconds = first.seconds()
        for found, other in zip(ratios, others, strict=True):
            found.append(seconds / other.seconds())
    return [median(found) for found in ratios]


def measure(notify: Notify, sizes: Sequence[Size] = SIZES) -> dict[str, Any]:
    """Measure this machine, with a line to `notify` for each comparison; return `tuning.json`.

    Raises `UserError` without a C++ compiler.
    """
    lines: list[str] = []

    def say(line: str) -> None:
        lines.append(line)
        notify(line)

    with process_restored():
        best = {size: _best_threads(size, say) for size in sizes}
        onednn_from = _best_products(sizes, say)
        _compare_precision(sizes[-2:][0], say)
    return {
        "format_version": FORMAT_VERSION,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "cpu": cpu_name(),
        "cores": all_cores(),
        "torch": metadata.version("torch"),
        "threads": [list(pair) for pair in _thresholds([*best.values()])],
        "onednn_from": onednn_from,
        "measured": lines,
    }


def write(content: Mapping[str, Any]) -> str:
    """Write `tuning.json` into the user's cache; return its path. Raises `StorageFault`."""
    replace_text(path(), json.dumps(content, indent=2, allow_nan=False) + "\n")
    return str(path())


def require_place() -> None:
    """Make the folder of `tuning.json`. Raises `UserError` and `StorageFault` if nothing can be
    written there, before minutes of measurements are lost."""
    folder = _place().parent
    make_folder(folder)
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise StorageFault(
            f"cannot write into {folder} - {error.strerror} - free some space, or set "
            "XDG_CACHE_HOME to another folder"
        ) from error


def forget() -> None:
    """Remove `tuning.json`, if there is one. Raises `UserError` and `StorageFault`."""
    try:
        _place().unlink(missing_ok=True)
    except NotADirectoryError:  # on the way there: no file to remove
        pass
    except OSError as error:
        what = f"cannot remove {_place()} - {error.strerror}"
        raise StorageFault(f"{what} - remove it in another way") from error


def _place() -> Path:
    try:
        return path()
    except RuntimeError as error:
        raise UserError(
            "there is no home to keep the measurements in - set XDG_CACHE_HOME to a folder"
        ) from error


def _best_threads(size: Size, say: Notify) -> tuple[int, int]:
    """The multiplications of an update of this size, and its best number of threads."""
    how = rule()
    counts = sorted({*(2**power for power in range(1, 8) if 2**power < all_cores()), all_cores()})
    one = Update(size, 1, how)
    others = [Update(size, count, how) for count in counts if count > 1]
    ratios = [1.0, *gains(one, others)]
    counts = [1, *(count for count in counts if count > 1)]
    expected = how.threads_for(one.multiplications)
    by_rule = ratios[counts.index(expected)]
    fastest = max(zip(ratios, counts, strict=True), key=lambda pair: (pair[0], -pair[1]))
    chosen = fastest[1] if fastest[0] >= GAIN * by_rule else expected
    shown = ", ".join(
        f"{counted(count, 'thread')} {ratio:.2f}"
        for ratio, count in zip(ratios, counts, strict=True)
    )
    say(f"{size}: updates per second against 1 thread: {shown}; {_verdict(chosen, expected)}")
    return one.multiplications, chosen


def _verdict(chosen: int, expected: int) -> str:
    rule_says = counted(expected, "thread")
    if chosen == expected:
        return f"the rule ({rule_says}) is right"
    return f"{counted(chosen, 'thread')} instead of the rule's {rule_says}"


def _thresholds(best: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """`Tuning.threads` from the best numbers of threads: the rule's own if they agree with it."""
    how = rule()
    if all(how.threads_for(size) == count for size, count in best):
        return how.threads
    changes, before = list[tuple[int, int]](), 1
    for size, count in sorted(best):
        if count != before:
            changes.append((size, count))
        before = count
    return tuple(changes)


def _best_products(sizes: Sequence[Size], say: Notify) -> int | None:
    """`Tuning.onednn_from`: the smallest of the sizes from which on oneDNN is faster than MKL."""
    found, how = rule().onednn_from, rule()
    least: int | None = None
    for size in sorted(sizes, key=lambda size: -size.product)[:3]:
        by_mkl = Update(size, 1, replace(how, onednn_from=None))
        [ratio] = gains(by_mkl, [Update(size, 1, replace(how, onednn_from=size.product))])
        expected = found is not None and size.product >= found
        is_better = ratio >= (1 / GAIN if expected else GAIN)
        verdict = "the rule is right" if is_better == expected else "against the rule"
        say(f"{size}: updates per second with oneDNN against MKL: {ratio:.2f}; {verdict}")
        if not is_better:
            break
        least = size.product
    agree = (least is None) == (found is None) and (found is None or (least or 0) <= 2 * found)
    return found if agree else least


def _compare_precision(size: Size, say: Notify) -> None:
    how = rule()
    [ratio] = gains(Update(size, 1, how), [Update(size, 1, how, "bf16")])
    remark = "worth trying" if ratio >= GAIN else "not worth it on this machine"
    say(f"{size}: updates per second with --precision bf16 against fp32: {ratio:.2f}; {remark}")
