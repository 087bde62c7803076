"""Does the doctor name what is wrong? Small trainings with planted mistakes, and ones without.

    python benchmarks/doctor.py --seeds 3 --output benchmarks/results/doctor.txt
    python benchmarks/doctor.py --faults "sign of" "gamma" --seeds 1
    python benchmarks/doctor.py --healthy sac/Pendulum-v1 --faults none
    python benchmarks/doctor.py --cost

Each mistake of `doctor_faults.py` is trained with every seed, and so is each training of
`doctor_healthy.py`; `footlight.doctor.examine` then looks at their run folders. The same command
continues after an interruption: what has been trained lies in `--work`, and only the examination
is made again. Delete the folder after a change of what a training logs.
"""

import argparse
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

from doctor_cost import cost_lines
from doctor_faults import FAULTS
from doctor_healthy import HEALTHY, LONG
from doctor_tables import Examined, alarm_lines, examined, fault_lines, is_good
from doctor_training import folder_of, is_trained, make_run
from report import HERE, make_parser, positive, progress, provenance, publish, run_json

from footlight.errors import describe_error


def read_arguments() -> argparse.Namespace:
    """The command line. Exits with code 2 where a name is unknown."""
    parser = make_parser(__doc__)
    add, cores = parser.add_argument, len(os.sched_getaffinity(0))
    add("--faults", nargs="+", metavar="NAME", help="mistakes whose name contains NAME, or none "
        "(default: all)")  # fmt: skip
    add("--healthy", nargs="+", metavar="NAME", help="the same for trainings without a mistake")
    add("--long", action="store_true", help="also those that take hours")
    add("--seeds", type=positive, default=3, metavar="N", help="seeds 1 to N (default: 3)")
    add("--processes", type=positive, default=cores, metavar="N", help="at a time (default: "
        "one for each core)")  # fmt: skip
    add("--work", type=Path, default=Path("runs/doctor"), metavar="DIR", help="folder of the runs")
    add("--examine-only", action="store_true", help="train nothing, examine what there is")
    add("--cost", action="store_true", help="measure what diagnostics cost, and nothing else")
    add("--rounds", type=positive, default=5, metavar="N", help="rounds of --cost (default: 5)")
    arguments = parser.parse_args()
    healthy = {**HEALTHY, **LONG} if arguments.long or arguments.healthy else HEALTHY
    arguments.faults = chosen(arguments.faults, FAULTS, parser)
    arguments.healthy = chosen(arguments.healthy, healthy, parser)
    return arguments


def chosen(
    words: Sequence[str] | None, known: Mapping[str, object], parser: argparse.ArgumentParser
) -> list[str]:
    """The names that contain one of the words."""
    if words is None:
        return [*known]
    if words == ["none"]:
        return []
    for word in words:
        if not any(word in name for name in known):
            parser.error(f"nothing is called {word!r} - there are: " + "; ".join(known))
    return [name for name in known if any(word in name for word in words)]


def train_all(jobs: Sequence[tuple[str, int]], work: Path, processes: int) -> list[str]:
    """Make the runs that are missing; return what failed."""
    missing = [job for job in jobs if not is_trained(folder_of(work, *job))]
    progress(f"{len(missing)} of {len(jobs)} runs are missing")
    failures = []
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        futures = {pool.submit(make_run, name, seed, work): (name, seed) for name, seed in missing}
        try:
            for number, future in enumerate(as_completed(futures), 1):
                name, seed = futures[future]
                error = future.exception()
                line = future.result() if error is None else f"{name}, seed {seed}: " + (
                    f"failed, {describe_error(error)}"
                )  # fmt: skip
                failures += [] if error is None else [line]
                progress(f"{number}/{len(missing)}  {line}")
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)
            raise
    return failures


def report(arguments: argparse.Namespace, failures: Iterable[str]) -> tuple[list[str], bool]:
    """The report on what has been trained, and whether the goals are reached."""
    seeds = range(1, arguments.seeds + 1)

    def look(names: Iterable[str]) -> dict[str, list[Examined]]:
        def trained(name: str) -> list[Path]:
            folders = [folder_of(arguments.work, name, seed) for seed in seeds]
            return [folder for folder in folders if is_trained(folder)]

        return {name: [*map(examined, found)] for name in names if (found := trained(name))}

    faulty, healthy = look(arguments.faults), look(arguments.healthy)
    bases = {**look(HEALTHY), **healthy}
    lines = [*fault_lines(faulty, bases), *alarm_lines(healthy), *failures, ""]
    return lines, is_good(faulty, healthy) and not [*failures]


def main() -> int:
    """Train, examine and report. Returns 1 if a run failed or a goal is missed."""
    arguments = read_arguments()
    good = True
    if arguments.cost:
        lines = cost_lines(arguments.work / "cost", arguments.rounds)
    else:
        names = [*arguments.healthy, *arguments.faults]
        jobs = [(name, seed) for seed in range(1, arguments.seeds + 1) for name in names]
        try:
            failures = [] if arguments.examine_only else (
                train_all(jobs, arguments.work, arguments.processes)
            )  # fmt: skip
        except KeyboardInterrupt:
            progress("interrupted - the same command continues")
            return 130
        lines, good = report(arguments, failures)
    versions = run_json([sys.executable, HERE / "ours.py", "versions"])
    publish([*lines, *provenance({"footlight": versions})], arguments.output)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
