"""What each part of a critic does to SAC: one run per part and seed, all else unchanged.

    python benchmarks/ablations.py --environment HalfCheetah-v5 --seeds 2 --steps 20000 \
        --output benchmarks/results/ablations.txt

Small networks and few steps: a look at many parts, not a ranking. Two parts are compared in earnest
with `mujoco_suite.py "sac:field=value" "sac:field=other value"`. Interrupt it whenever you like:
the same command continues.
"""

import argparse
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from mujoco_runs import Job
from mujoco_suite import require_environment, require_method, train_all
from mujoco_tables import Table
from report import make_parser, positive, progress, provenance, publish
from report import table as text_table

from footlight.errors import UserError

BASE = {"hidden_sizes": "128 128", "batch_size": "128", "learning_starts": "1000"}
PARTS: dict[str, Mapping[str, str]] = {
    "none": {},
    "layer norm": {"norm": "layer"},
    "RMS norm": {"norm": "rms"},
    "batch norm": {"norm": "batch"},
    "batch renorm": {"norm": "batch-renorm"},
    "batch renorm, no targets": {"norm": "batch-renorm", "target_network": "false"},
    "no targets": {"target_network": "false"},
    "residual, layer norm": {"body": "residual", "norm": "layer"},
    "residual, batch norm": {"body": "residual-post-norm", "norm": "batch"},
    "unit weights, batch norm": {"unit_weights": "hidden", "norm": "batch"},
    "dropout, layer norm": {"dropout": "0.01", "norm": "layer"},
    "quantile critics": {"critic": "quantile"},
    "scaled rewards": {"normalize_rewards": "true", "max_normalized_return": "5"},
    "categorical, scaled": {
        "critic": "categorical", "normalize_rewards": "true", "max_normalized_return": "5"},
    "mean of two": {"target_rule": "mean", "actor_rule": "mean"},
    "two of five": {"num_critics": "5", "target_rule": "subset", "actor_rule": "mean"},
    "proportional replay": {"prioritization": "proportional"},
    "LAP": {"prioritization": "lap"},
    "3-step returns": {"n_steps": "3"},
    "AdamW, beta1 0.5": {"optimizer": "adamw", "weight_decay": "0.01", "adam_beta1": "0.5"},
    "linear decay": {"learning_rate_schedule": "linear"},
    "noise held": {"hold_noise": "true"},
}  # fmt: skip
"""What is changed in each row, beside `BASE` and SAC's preset for the environment."""


def method_of(part: str) -> str:
    """The method of `mujoco_suite.py` that has this part."""
    values = {**BASE, **PARTS[part]}
    return "sac:" + ",".join(f"{field}={value}" for field, value in values.items())


def read_arguments() -> argparse.Namespace:
    """The command line. Exits with code 2 and one line for what is not valid."""
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("parts", nargs="*", metavar="PART", help=f"which of {', '.join(PARTS)} (default: all)")
    add("--environment", default="HalfCheetah-v5", metavar="ID", help="default: HalfCheetah-v5")
    add("--seeds", type=positive, default=2, metavar="N", help="seeds 1 to N (default: 2)")
    add("--steps", type=positive, default=20_000, metavar="N", help="environment steps of a run "
        "(default: 20000)")  # fmt: skip
    cores = len(os.sched_getaffinity(0))
    add("--processes", type=positive, default=cores, metavar="N", help="runs at a time, of one "
        "thread each (default: one for each core)")  # fmt: skip
    add("--work", type=Path, default=Path("runs/ablations"), metavar="DIR", help="folder of the "
        "runs")  # fmt: skip
    arguments = parser.parse_args()
    arguments.parts = arguments.parts or list(PARTS)
    if unknown := [part for part in arguments.parts if part not in PARTS]:
        parser.error(f"unknown part {unknown[0]!r} - there are {', '.join(PARTS)}")
    try:
        require_environment(arguments.environment)
        for part in arguments.parts:
            require_method(method_of(part))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    return arguments


def report(arguments: argparse.Namespace, table: Table) -> list[str]:
    """A line for each part: the final return of each seed, and the mean difference to none."""
    seeds = range(1, arguments.seeds + 1)
    rows = [["part", *map(str, seeds), "mean", "difference", "ms CPU per step"]]
    finals = {part: finals_of(part, arguments, table) for part in arguments.parts}
    for part, own in finals.items():
        cells = [f"{own[seed][0]:.0f}" if seed in own else "-" for seed in seeds]
        both = [seed for seed in own if seed in finals.get("none", {})]
        differences = [own[seed][0] - finals["none"][seed][0] for seed in both]
        rows.append([
            part, *cells, f"{np.mean([mean for mean, _ in own.values()]):.0f}" if own else "-",
            f"{np.mean(differences):+.0f}" if both and part != "none" else "-",
            f"{np.mean([cost for _, cost in own.values()]):.1f}" if own else "-",
        ])  # fmt: skip
    base = " ".join(f"{field}={value}" for field, value in BASE.items())
    return [
        f"SAC on {arguments.environment}, {arguments.steps} steps, its preset with {base}: mean",
        "return of 10 deterministic episodes at the end, by seed, and the mean difference to the",
        "same seeds without the part. Two seeds tell large effects only.", "",
        *text_table(rows), "", *provenance({}),
    ]  # fmt: skip


def finals_of(
    part: str, arguments: argparse.Namespace, table: Table
) -> dict[int, tuple[float, float]]:
    """Final return and CPU milliseconds per step, by seed."""
    found = {}
    for key, rows in table.rows.items():
        if (key.environment, key.method) == (arguments.environment, method_of(part)):
            (first, _, start), (last, mean, end) = rows[0], rows[-1]  # past compiling
            if last == arguments.steps and key.seed <= arguments.seeds:
                found[key.seed] = mean, 1000 * (end - start) / max(last - first, 1)
    return found


def main() -> int:
    """Make the runs that are missing and report; 1 if one failed, 130 after an interruption."""
    arguments = read_arguments()
    arguments.peer_python = sys.executable
    arguments.work.mkdir(parents=True, exist_ok=True)
    table, code = Table(arguments.work), 0
    table.collect(arguments.work)
    jobs = [
        Job(method_of(part), arguments.environment, seed, arguments.steps, arguments.steps // 4)
        for seed in range(1, arguments.seeds + 1)
        for part in arguments.parts
    ]
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        code = bool(train_all([job for job in jobs if not table.has(job)], arguments, table))
    except KeyboardInterrupt:
        progress("interrupted - the same command continues")
        code = 130
    publish(report(arguments, table), arguments.output)
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
