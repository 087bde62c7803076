"""CPU time per iteration of a hand-written loop beside the built-in one's, on the same work.

    python benchmarks/own_loop.py [WORK ...] --output benchmarks/results/speed-own-loop.txt

Every measurement is a new process on one core and one thread; the two loops take turns. Its time is
the difference of two run lengths, in CPU seconds of the process, so that other programs on the
machine count for little. An iteration is one step of all environments.
"""

import argparse
import json
import os
import sys
import time
from statistics import median
from types import SimpleNamespace

from report import (
    HERE,
    make_parser,
    positive,
    progress,
    provenance,
    publish,
    run_json,
    table,
)
from speed_works import WORKS

LOOPS = {"train": "built-in", "agent": "by hand"}
LENGTHS = {  # steps before the clock starts, and steps timed
    "sac-64": (1_000, 4_000),
    "td3-64": (1_000, 4_000),
    "a2c-1": (2_000, 16_000),
    "a2c-8": (4_000, 80_000),
    "ppo-8": (16_384, 32_768),
}


def read_arguments() -> argparse.Namespace:
    """The command line."""
    parser = make_parser(__doc__)
    parser.add_argument("works", nargs="*", metavar="WORK", help=f"which of {', '.join(LENGTHS)}")
    parser.add_argument("--rounds", type=positive, default=5, help="processes of each loop")
    parser.add_argument("--core", type=int, metavar="N", help="the core to run on (default: any)")
    return parser.parse_args()


def measure(loop: str, job: str, core: int | None) -> dict[str, float]:
    """Run a job of `ours.py` in this process, with the CPU's clock in place of the wall's."""
    if core is not None:
        os.sched_setaffinity(0, {core})
    import ours

    import footlight.training.training

    clock = SimpleNamespace(monotonic=time.process_time, perf_counter=time.process_time)
    for module in (ours, footlight.training.training):
        vars(module)["time"] = clock
    return ours.COMMANDS[loop](**json.loads(job))


def microseconds(name: str, loop: str, core: int | None) -> float:
    """CPU time of an iteration in one new process."""
    work = WORKS[name]
    warmup, window = LENGTHS[name]
    job = {
        "algorithm": work.algorithm, "environment": work.environment, "seed": 0, "threads": 1,
        "warmup": warmup, "window": window, "fields": work.fields,
    }  # fmt: skip
    if loop == "train":
        job["log_every"] = work.log_every
    where = [] if core is None else [str(core)]
    program = [sys.executable, str(HERE / "own_loop.py")]
    answer = run_json([*program, "measure", loop, json.dumps(job), *where])
    return 1e6 * answer["seconds"] / answer["steps"] * work.fields.get("num_envs", 1)


def main() -> None:
    """Measure and report."""
    if sys.argv[1:2] == ["measure"]:
        loop, job, *where = sys.argv[2:]
        print(json.dumps(measure(loop, job, int(where[0]) if where else None)))
        return
    arguments = read_arguments()
    rows = [["CPU microseconds per iteration", "built-in: min", "median", "by hand: min", "median",
             "ratio of min", "of medians"]]  # fmt: skip
    for name in arguments.works or LENGTHS:
        found: dict[str, list[float]] = {loop: [] for loop in LOOPS}
        for number in range(arguments.rounds):
            for loop, times in found.items():
                times.append(microseconds(name, loop, arguments.core))
                progress(f"{name}, round {number + 1}, {LOOPS[loop]}: {times[-1]:.1f} us")
        ours, own = found["train"], found["agent"]
        pairs = [(min(ours), min(own)), (median(ours), median(own))]
        ratios = [f"{by_hand / built_in:.2f}" for built_in, by_hand in pairs]
        cells = [f"{value:.1f}" for each in (ours, own) for value in (min(each), median(each))]
        rows.append([str(WORKS[name]), *cells, *ratios])
    lines = [
        "A hand-written loop around footlight.Agent, as the README shows it, beside the built-in "
        "one; equal work.",
        f"{arguments.rounds} processes of each, in turn, on one core; evaluation, checkpoints and "
        "video off.",
        "",
        *table(rows),
        "",
        *provenance({"footlight": run_json([sys.executable, HERE / "ours.py", "versions"])}),
    ]
    publish(lines, arguments.output)


if __name__ == "__main__":
    main()
