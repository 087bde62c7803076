"""Environment steps per second of footlight and of the installed peers, in turn on the same work, and their ratios.

    python benchmarks/speed.py [WORK ...] --peer-python peers/bin/python --output benchmarks/results/speed.txt

Every measurement is a fresh process that trains past its warm-up (learning has started, everything is compiled) and
then times the steps that follow. Rounds alternate the libraries, so that a machine that drifts drifts for all of them.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from report import HERE, Failure, progress, provenance, publish, run_json, table

PEERS = ("sb3", "sbx")
LIBRARIES = ("footlight", "agent", *PEERS)
Rates = dict[str, list[float]]  # library -> steps per second, one for each round
Targets = dict[str, float]  # peer -> how many times as fast


@dataclass(frozen=True, kw_only=True)
class Work:
    """One thing to train, and the ratios to each peer that footlight must and aims to reach."""

    algorithm: str
    hidden_sizes: tuple[int, ...]
    batch_size: int
    threads: int
    window: int
    """Steps timed; footlight writes its metrics every 1,000."""
    must: Targets
    aim: Targets
    environment: str = "Pendulum-v1"

    @property
    def fields(self) -> dict[str, Any]:
        """The hyperparameters, the same for every library; all others are immaterial to speed, or equal by default."""
        sizes = {"hidden_sizes": self.hidden_sizes, "batch_size": self.batch_size}
        return {**sizes, "learning_starts": 100, "buffer_size": 1_000_000, "updates_per_step": 1}

    def __str__(self) -> str:
        layers = "x".join(map(str, (len(self.hidden_sizes), self.hidden_sizes[0])))
        return f"{self.algorithm} {self.environment} {layers} batch {self.batch_size}"


def large(algorithm: str, must: Targets, aim: Targets) -> Work:
    """Networks of 2x256, two threads."""
    sizes: Any = {"hidden_sizes": (256, 256), "batch_size": 256, "threads": 2, "window": 6_000}
    return Work(algorithm=algorithm, must=must, aim=aim, **sizes)


def small(algorithm: str, must: Targets, aim: Targets) -> Work:
    """Networks of 2x64, one thread."""
    sizes: Any = {"hidden_sizes": (64, 64), "batch_size": 100, "threads": 1, "window": 10_000}
    return Work(algorithm=algorithm, must=must, aim=aim, **sizes)


WORKS = {
    "sac-256": large("sac", must={"sb3": 2.5, "sbx": 1.4}, aim={"sb3": 4.0, "sbx": 2.0}),
    "sac-64": small("sac", must={"sb3": 6.0, "sbx": 2.3}, aim={}),
    "td3-256": large("td3", must={"sb3": 2.5}, aim={"sb3": 4.0}),
    "td3-64": small("td3", must={"sb3": 6.0}, aim={"sb3": 10.0}),
    "ddpg-256": large("ddpg", must={"sb3": 2.5}, aim={"sb3": 4.0}),
    "ddpg-64": small("ddpg", must={"sb3": 6.0}, aim={"sb3": 10.0}),
}


def read_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("works", nargs="*", metavar="WORK", help=f"which of {', '.join(WORKS)} (default: all)")
    add("--peer-python", default=sys.executable, metavar="PATH", help="the interpreter that has the peers")
    add("--libraries", nargs="+", default=LIBRARIES, choices=LIBRARIES, help="agent: a hand-written loop")
    add("--threads", nargs="+", type=int, metavar="N", help="thread counts to try (default: the work's own)")
    add("--rounds", type=int, metavar="N", help="measurements of each library (default: 3)")
    add("--warmup", type=int, metavar="STEPS", help="steps before the clock starts, a multiple of 1000 (default: 2000)")
    add("--window", type=int, metavar="STEPS", help="steps timed, a multiple of 1000 (default: the work's own)")
    add("--quick", action="store_true", help="1 round of 2000 steps after 1000: a look, not a result")
    add("--output", type=Path, metavar="FILE", help="write the report here too")
    arguments = parser.parse_args()
    if unknown := {*arguments.works} - {*WORKS}:
        parser.error(f"unknown work {', '.join(sorted(unknown))} - known are {', '.join(WORKS)}")
    quick = arguments.quick
    arguments.rounds = arguments.rounds or (1 if quick else 3)
    arguments.warmup = arguments.warmup or (1_000 if quick else 2_000)
    arguments.window = arguments.window or (2_000 if quick else None)
    return arguments


def command_of(library: str, peer_python: str) -> list[str | Path]:
    """The command that measures `library`, but for the job."""
    if library in PEERS:
        return [peer_python, HERE / "peers.py", "speed", library]
    return [sys.executable, HERE / "ours.py", "train" if library == "footlight" else "agent"]


def measure(library: str, work: Work, threads: int, arguments: argparse.Namespace) -> float:
    """Steps per second of one fresh process. Raises `Failure`, also where another amount of work was done."""
    job = {
        "algorithm": work.algorithm,
        "environment": work.environment,
        "seed": 0,
        "threads": threads,
        "warmup": arguments.warmup,
        "window": arguments.window or work.window,
        "fields": work.fields,
    }
    answer = run_json([*command_of(library, arguments.peer_python), json.dumps(job)])
    if answer["updates"] != answer["steps"]:
        raise Failure(f"it made {answer['updates']} updates in {answer['steps']} steps")
    return float(answer["steps"] / answer["seconds"])


def measure_rounds(name: str, threads: int, libraries: Sequence[str], arguments: argparse.Namespace) -> tuple[Rates, list[str]]:
    """All rounds of one work, the libraries in turn; a library that fails is left out from then on, and said so."""
    rates: Rates = {library: [] for library in libraries}
    failures: dict[str, str] = {}
    for number in range(1, arguments.rounds + 1):
        for library in libraries:
            if library in failures:
                continue
            try:
                rates[library].append(measure(library, WORKS[name], threads, arguments))
                outcome = f"{rates[library][-1]:,.0f} steps/s"
            except Failure as failure:
                failures[library] = outcome = f"failed: {failure}"
            progress(f"{name}, threads {threads}, round {number}/{arguments.rounds}, {library}: {outcome}")
    whole = {library: values for library, values in rates.items() if library not in failures}
    return whole, [f"{library} on {name}, threads {threads}, {text}" for library, text in failures.items()]


def best_of(rates: Sequence[Rates], libraries: Sequence[str]) -> Rates:
    """Each library at the thread count that suits it best."""
    tried = {library: [rate[library] for rate in rates if library in rate] for library in libraries}
    return {library: max(values, key=median) for library, values in tried.items() if values}


def spread(values: Sequence[float], digits: int) -> str:
    """Median and range."""
    return f"{median(values):,.{digits}f} ({min(values):,.{digits}f}..{max(values):,.{digits}f})"


def verdict(target: float | None, reached: float) -> str:
    """A target ratio, and whether it is met."""
    return "-" if target is None else f"{target:g} {'met' if reached >= target else 'not met'}"


def ratio_rows(work: Work, threads: str, rates: Rates, judge: bool) -> list[list[str]]:
    """A row for each peer: median and range of the ratios within a round, and the targets where `judge` is set."""
    rows = []
    for peer in PEERS:
        if "footlight" not in rates or peer not in rates:
            continue
        ratios = [ours / theirs for ours, theirs in zip(rates["footlight"], rates[peer], strict=True)]
        targets = [targets.get(peer) if judge else None for targets in (work.must, work.aim)]
        rows.append([str(work), threads, peer, spread(ratios, 2), *(verdict(x, median(ratios)) for x in targets)])
    return rows


def installed(arguments: argparse.Namespace) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Versions by library, and what is to be said about libraries that are asked for and not there."""
    versions = {"footlight": run_json([sys.executable, HERE / "ours.py", "versions"])}
    notes = []
    try:
        found = run_json([arguments.peer_python, HERE / "peers.py", "versions"])
    except Failure as failure:
        found, notes = {}, [f"no peers: {failure}"]
    for peer in PEERS:
        if peer in arguments.libraries and peer not in found:
            notes.append(f"{peer} is not installed in the peers' interpreter: left out")
    return versions | {peer: found[peer] for peer in PEERS if peer in arguments.libraries and peer in found}, notes


def main() -> int:
    """Measure, report; 1 where a figure is missing or a `must` is missed."""
    arguments = read_arguments()
    versions, notes = installed(arguments)
    libraries = [name for name in arguments.libraries if name in versions or name == "agent"]
    speeds = [["environment steps per second", "threads", *libraries]]
    ratios = [["footlight / peer", "threads", "peer", "ratio", "must", "aim"]]
    for name in arguments.works or WORKS:
        work, swept = WORKS[name], {}
        for threads in arguments.threads or [WORKS[name].threads]:
            swept[str(threads)], failures = measure_rounds(name, threads, libraries, arguments)
            notes += failures
        sweep = len(swept) > 1
        if sweep:
            swept["best"] = best_of(list(swept.values()), libraries)
        for threads_label, rates in swept.items():
            cells = [spread(rates[library], 0) if library in rates else "-" for library in libraries]
            speeds.append([str(work), threads_label, *cells])
            ratios += ratio_rows(work, threads_label, rates, judge=threads_label == "best" or not sweep)
    window = f"{arguments.window:,}" if arguments.window else "6,000 (2x256) or 10,000 (2x64)"
    lines = [
        "Whole training loop, 1 update a step; evaluation, checkpoints and video off. Median (min..max) over rounds.",
        f"Rounds: {arguments.rounds}. Each times {window} steps after {arguments.warmup:,} of warm-up.",
        "footlight: the built-in loop, which the ratios use; agent: a hand-written loop around footlight.Agent.",
    ]
    for block in (table(speeds), table(ratios) if ratios[1:] else [], notes, provenance(versions)):
        lines += ["", *block] if block else []
    publish(lines, arguments.output)
    return int(bool(notes) or any("not met" in row[4] for row in ratios))


if __name__ == "__main__":
    sys.exit(main())
