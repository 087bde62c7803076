"""Several seeds side by side (`footlight train --seeds`) against the same runs one after another.

    python benchmarks/several_seeds.py [WORK ...] --output benchmarks/results/several-seeds.txt

A measurement is a whole command, with the imports and the set-up of each run; the compiled updates
are at hand, as a first command makes them. Rounds go together, one after another, together, ...
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from report import (
    make_parser,
    positive,
    progress,
    provenance,
    publish,
    run,
    run_json,
    table,
)

HERE = Path(__file__).parent
QUIET = ("--eval-episodes", "0", "--checkpoint-every", "0", "--probe", "off", "--quiet")
SMALL = ("--no-preset", "--hidden-sizes", "64", "64", "--batch-size", "100")
LARGE = ("--no-preset", "--hidden-sizes", "256", "256", "--batch-size", "256")
WORKS = {  # by name: the words of the command, steps, and the ratios that are must and aim
    "sac-64": (("sac", "Pendulum-v1", *SMALL), 20_000, 1.2, 1.5),
    "a2c-1": (("a2c", "CartPole-v1", "--no-preset", "--num-envs", "1"), 100_000, 2.0, 3.0),
    "sac-256": (("sac", "Pendulum-v1", *LARGE), 1_500, None, None),
}


def read_arguments() -> argparse.Namespace:
    """The command line."""
    parser = make_parser(__doc__)
    names = ", ".join(WORKS)
    parser.add_argument("works", nargs="*", metavar="WORK", help=f"which of {names} (default: all)")
    parser.add_argument("--seeds", type=positive, default=5, metavar="N", help="default: 5")
    parser.add_argument("--rounds", type=positive, default=3, metavar="N", help="default: 3")
    parser.add_argument("--steps", type=positive, metavar="N", help="default: the work's own")
    arguments = parser.parse_args()
    if unknown := {*arguments.works} - {*WORKS}:
        parser.error(f"unknown work {', '.join(sorted(unknown))} - known are {names}")
    return arguments


def command(words: Sequence[str], steps: int, folder: str, *more: str) -> list[str]:
    """The command that trains `words` in a new folder."""
    footlight = [sys.executable, "-m", "footlight", "train", *words, "--compile", "on"]
    return [*footlight, "--steps", str(steps), "--run-dir", folder, *QUIET, *more]


def seconds(commands: Sequence[Sequence[str]]) -> float:
    """How long the commands take, one after another. Raises `Failure`."""
    began = time.monotonic()
    for each in commands:
        run(each)
    return time.monotonic() - began


def compare(name: str, arguments: argparse.Namespace) -> list[str]:
    """The row of one work."""
    words, usual, must, aim = WORKS[name]
    steps, seeds = arguments.steps or usual, range(1, arguments.seeds + 1)
    together, apart = list[float](), list[float]()
    with tempfile.TemporaryDirectory() as place:
        seconds([command(words, steps, f"{place}/first", "--seed", "0")])
        for number in range(1, arguments.rounds + 1):
            group = command(words, steps, f"{place}/group-{number}", "--seeds", *map(str, seeds))
            together.append(seconds([group]))
            singles = [
                command(words, steps, f"{place}/{number}-{seed}", "--seed", str(seed))
                for seed in seeds
            ]
            apart.append(seconds(singles))
            shown = f"together {together[-1]:.0f} s, one after another {apart[-1]:.0f} s"
            progress(f"{name}, round {number}: {shown}")
    ratios = [one / other for one, other in zip(apart, together, strict=True)]
    total = len(seeds) * steps
    return [
        f"{name}, {len(seeds)} x {steps:,} steps",
        *(f"{median(total / x for x in times):,.0f}" for times in (together, apart)),
        f"{median(ratios):.2f} ({min(ratios):.2f}..{max(ratios):.2f})",
        *("-" if target is None else f"{target:g}" for target in (must, aim)),
    ]


def main() -> int:
    """Measure and report."""
    arguments = read_arguments()
    rows = [["work", "together", "one after another", "ratio", "must", "aim"]]
    rows += [compare(name, arguments) for name in arguments.works or WORKS]
    lines = [
        "Environment steps per second of all seeds, whole commands with start-up: median of "
        f"{arguments.rounds} rounds.",
        "together: footlight train --seeds; the ratio is within a round, with its range.",
        "",
        *table(rows),
        "",
        *provenance({"footlight": run_json([sys.executable, HERE / "ours.py", "versions"])}),
    ]
    publish(lines, arguments.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
