"""Environment steps per second of footlight and the installed peers on the same work, and ratios.

    make benchmark                                     # all of it, with the peers' interpreter
    python benchmarks/speed.py [WORK ...] --peer-python build/peers/bin/python

Every measurement is a new process that trains past its warm-up (learning has started, everything is
compiled) and then times the following steps. Each round measures all libraries in turn, so that a
drift of the machine affects all of them, and every work before the next round. Ctrl-C stops it, and
the same command continues: finished rounds are kept in a file. With --output, a figure is drawn
beside the report.
"""

import argparse
import sys
from pathlib import Path
from statistics import median

import speed_figure
from report import (
    HERE,
    Failure,
    add_peer_python,
    make_parser,
    positive,
    progress,
    provenance,
    publish,
    run_json,
)
from speed_rounds import Journal, Round, measure_all, setting_of, times_of
from speed_tables import Comparison, Rounds, best_of, compare, limit_table, ratio_table, speed_table
from speed_works import PEERS, WORKS, Work

LIBRARIES = ("footlight", "agent", *PEERS, "limits")
KEPT = HERE.parent / "build" / "speed" / "rounds.jsonl"
HEADER = [
    "Whole training loop, equal updates; evaluation, checkpoints and video off. Median (min..max) "
    "over rounds,",
    "each of that many steps after a warm-up. Batch: 1 update per step, or as many as the number "
    "before it.",
    "footlight: the built-in loop, which the ratios use; agent: a hand-written loop around "
    "footlight.Agent.",
    "Limits, measured in the same rounds: the environments alone under random actions; updates "
    "alone; their matrix",
    'products and convolutions alone. "both" is stepping and updating, one after the other.',
    "-: missing (SBX has no A2C, SB3 no DroQ), or not measured.",
]


def read_arguments() -> argparse.Namespace:
    """The command line."""
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("works", nargs="*", metavar="WORK", help=f"which of {', '.join(WORKS)} (default: all)")
    add_peer_python(parser)
    add(
        "--libraries",
        nargs="+",
        default=LIBRARIES,
        choices=LIBRARIES,
        help="agent: a hand-written loop",
    )
    add(
        "--threads",
        nargs="+",
        type=positive,
        metavar="N",
        help="thread counts to try (default: the work's own)",
    )
    add(
        "--kept",
        type=Path,
        default=KEPT,
        metavar="FILE",
        help=f"where finished rounds are kept (default: {KEPT.relative_to(HERE.parent)})",
    )
    add("--rounds", type=positive, metavar="N", help="measurements of each library (default: 3)")
    add(
        "--warmup",
        type=int,
        metavar="STEPS",
        help="steps before the clock starts (default: the work's own)",
    )
    add("--window", type=positive, metavar="STEPS", help="steps timed (default: the work's own)")
    add(
        "--quick",
        action="store_true",
        help="1 round, half the warm-up, a fifth of the window: a look, not a result",
    )
    arguments = parser.parse_args()
    if unknown := {*arguments.works} - {*WORKS}:
        parser.error(f"unknown work {', '.join(sorted(unknown))} - known are {', '.join(WORKS)}")
    arguments.rounds = arguments.rounds or (1 if arguments.quick else 3)
    return arguments


def installed(
    arguments: argparse.Namespace,
) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Versions by library, and notes about requested libraries that are missing."""
    versions = {"footlight": run_json([sys.executable, HERE / "ours.py", "versions"])}
    notes = []
    try:
        found = run_json([arguments.peer_python, HERE / "peers.py", "versions"])
    except Failure as failure:
        found, notes = {}, [f"no peers: {failure}"]
    for peer in PEERS:
        if peer in arguments.libraries and peer not in found:
            notes.append(f"{peer} is not installed in the peers' interpreter: left out")
    return versions | {
        peer: found[peer] for peer in PEERS if peer in arguments.libraries and peer in found
    }, notes


def suitable() -> list[str]:
    """All works, without those in bf16 where the processor has no instructions for it."""
    info = Path("/proc/cpuinfo")
    flags = info.read_text() if info.exists() else ""
    names = [name for name, work in WORKS.items() if work.suits(flags)]
    if left_out := [name for name in WORKS if name not in names]:
        progress(f"left out, as this processor has no bf16: {', '.join(left_out)}")
    return names


def gather(
    rates: dict[tuple[str, int], list[dict[str, float]]], arguments: argparse.Namespace
) -> tuple[list[tuple[Work, str, int, Rounds]], list[Comparison]]:
    """The rows of the tables, and what is compared; several numbers of threads have a row for
    the best of each library, which is judged."""
    rows: list[tuple[Work, str, int, Rounds]] = []
    comparisons: list[Comparison] = []
    for name in dict.fromkeys(name for name, _ in rates):
        work = WORKS[name]
        swept: dict[str, Rounds] = {
            str(threads): found for (other, threads), found in rates.items() if other == name
        }
        if len(swept) > 1:
            swept["best"] = best_of([*swept.values()])
        for threads, found in swept.items():
            rows.append((work, threads, times_of(work, arguments)[1], found))
            comparisons += compare(work, threads, found, threads == "best" or len(swept) == 1)
    return rows, comparisons


def main() -> int:
    """Measure, report; 1 where a figure is missing or a `must` is missed, 130 after Ctrl-C."""
    arguments = read_arguments()
    versions, notes = installed(arguments)
    libraries = [name for name in arguments.libraries if name in (*versions, "agent", "limits")]
    tried = [
        (name, threads)
        for name in arguments.works or suitable()
        for threads in arguments.threads or [WORKS[name].threads]
    ]
    rounds = [Round(*one, number) for number in range(1, arguments.rounds + 1) for one in tried]
    journal = Journal(arguments.kept, setting_of(versions))
    rates, failed, num_missing = measure_all(rounds, libraries, journal, arguments)
    notes += [f"{place}, failed: {reason}" for place, reason in failed.items()]
    rows, comparisons = gather(rates, arguments)
    columns = [
        name for name in libraries if name != "limits" and any(work.has(name) for work, *_ in rows)
    ]
    lines = [*HEADER, f"Rounds: {arguments.rounds}."]
    blocks = (
        speed_table(rows, columns), ratio_table(comparisons), limit_table(rows), notes,
        provenance(versions),
    )  # fmt: skip
    for block in blocks:
        lines += ["", *block] if block else []
    if num_missing:
        publish([f"{num_missing} rounds are missing.", *lines], None)
        return 130
    publish(lines, arguments.output)
    if arguments.output and comparisons:
        speed_figure.draw(comparisons, arguments.output.with_suffix(".png"))
    is_missed = any(one.must and median(one.ratios) < one.must for one in comparisons)
    return int(bool(notes) or is_missed)


if __name__ == "__main__":
    sys.exit(main())
