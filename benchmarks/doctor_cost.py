"""What diagnostics cost: the same training with and without them, in turn.

    python benchmarks/doctor_cost.py NAME with|without FOLDER      # one run; for `doctor.py --cost`

Without them, the object that makes them is replaced in that process by one that makes nothing.
Processor time is that of the whole call of `footlight.train`; the share of the diagnoses is
measured inside the same run, and so is not a difference of two noisy numbers.
"""

import json
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from doctor_healthy import HEALTHY
from report import HERE, progress, run_json, table
from sameness import differences

COSTED = ("sac/Pendulum-v1", "td3/Pendulum-v1", "a2c/CartPole-v1", "ppo/CartPole-v1")


def cost_lines(work: Path, rounds: int, names: Sequence[str] = COSTED) -> list[str]:
    """A row for each training. Raises `Failure` where one fails."""
    rows = [["training", "with, s", "without, s", "ratio (range)", "of the time", "same bits"]]
    for name in names:
        pairs, shares, same = [], [], True
        for number in range(rounds + 1):
            folders = {way: work / f"{name.replace('/', '-')}-{way}" for way in ("with", "without")}
            order = [*folders] if number % 2 else [*reversed(folders)]
            seconds = {way: measured(name, way, folders[way]) for way in order}
            found = [
                line
                for line in differences(folders["with"], folders["without"])
                if "compile_seconds" not in line  # a clock, and 0 where the cache has it
            ]
            same = same and not found
            for line in found[:3]:
                progress(f"{name}: {line}")
            if number:  # the first round fills the compiler's cache
                pairs.append((seconds["with"]["total"], seconds["without"]["total"]))
                shares.append(seconds["with"]["diagnoses"] / seconds["with"]["total"])
        ratios = sorted(one / other for one, other in pairs)
        rows.append([
            name, *(f"{median(column):.1f}" for column in zip(*pairs, strict=True)),
            f"{median(ratios):.3f} ({ratios[0]:.3f}..{ratios[-1]:.3f})",
            f"{median(shares):.2%}", "yes" if same else "no",
        ])  # fmt: skip
        progress("  ".join(rows[-1]))
    return [
        "Processor time of a whole training with diagnostics and without, median of "
        f"{rounds} rounds;",
        "of the time: the share of the diagnoses, measured within the run; same bits: arrays and",
        "counters of the last checkpoint, and all other logs but for clocks.",
        "",
        *table(rows),
        "",
    ]


def measured(name: str, way: str, folder: Path) -> dict[str, float]:
    """The seconds of one training in a process of its own."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    return run_json([sys.executable, HERE / "doctor_cost.py", name, way, folder])


def train(name: str, way: str, folder: Path) -> dict[str, float]:
    """Train once, with or without diagnostics."""
    import footlight
    from footlight.diagnostics.diagnose import Diagnoser

    spent, diagnose = 0.0, Diagnoser.__call__

    def timed(*given: Any) -> dict[str, float]:
        nonlocal spent
        start = time.process_time()
        try:
            return diagnose(*given)
        finally:
            spent += time.process_time() - start

    made = timed if way == "with" else lambda *given: {}
    Diagnoser.__call__ = made  # type: ignore[method-assign, assignment]
    start = time.process_time()
    arguments = HEALTHY[name].arguments()
    footlight.train(**arguments, seed=1, run_dir=folder, quiet=True, threads=1)
    return {"total": time.process_time() - start, "diagnoses": spent}


if __name__ == "__main__":
    print(json.dumps(train(sys.argv[1], sys.argv[2], Path(sys.argv[3]))))
