"""Runs that are killed and resumed repeatedly have to end bit for bit like uninterrupted ones.

    python benchmarks/kill.py [CASE ...] [--kills 20] [--seed 0] [--output FILE]

For each case: the run R0; R0 again, which has to be equal, or the comparison would mean nothing;
with another seed, which has to differ; then once more, killed with SIGKILL at random moments (its
process group, it alone, one worker; a quarter at a file operation) and resumed until it ends. After
each kill nothing may be lost and no process may be left. Last the controls: runs that
are resumed from a state that was tampered with have to differ from R0, or the comparison is blind.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from examination import Examination
from examination_cases import Case, Outcome
from killable import PHASES
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
from sessions import Forked, Launch, fresh

TARGETS = ("saving", "group", "parent", "worker")  # in turn: half of all kills take the whole group
MAX_LINES = 12  # of one case's failures in the report

CASES = {
    "sac": Case(
        algorithm="sac", environment="Pendulum-v1", steps=6_000,
        options={"n_steps": 3, "num_envs": 2, "vectorization": "sync", "learning_starts": 100,
        "compile": "on"},
        controls=("streams", "buffer"),
    ),
    "td3": Case(
        algorithm="td3", environment="MountainCarContinuous-v0", steps=6_000,
        options={"learning_starts": 100},
        controls=("moment",),
    ),
    "sac-mujoco": Case(
        algorithm="sac", environment="HalfCheetah-v5", steps=4_000,
        options={"hidden_sizes": (32, 32), "batch_size": 32, "learning_starts": 100},
        controls=("environments",),
    ),
    "a2c": Case(
        algorithm="a2c", environment="CartPole-v1", steps=24_000,
        options={"num_envs": 4, "vectorization": "async", "normalize_observations": True},
        controls=("logs", "environments"),
    ),
    "a2c-native": Case(
        algorithm="a2c", environment="CartPole-v1", steps=24_000, options={"num_envs": 8,
        "vectorization": "native"},
        controls=("environments",),
    ),
    "ppo": Case(
        algorithm="ppo", environment="Pendulum-v1", steps=24_000,
        options={
            "num_envs": 4, "vectorization": "sync", "n_steps": 128, "normalize_observations": True,
            "normalize_rewards": True,
        },
        controls=("normalizer",),
    ),
    "stream-ac": Case(
        algorithm="stream-ac", environment="CartPole-v1", steps=12_000, options={},
        controls=("streams", "normalizer"),
        every_operation=True,
    ),
    "replay-actor-critic": Case(
        algorithm="replay-actor-critic", environment="CartPole-v1", steps=12_000,
        options={"learning_starts": 100},
        controls=("moment", "buffer"),
    ),
    "tuple": Case(
        algorithm="ppo", environment="Blackjack-v1", steps=24_000,
        options={"num_envs": 4, "vectorization": "async", "n_steps": 128},
        controls=("streams", "moment"),
    ),
    "discrete": Case(
        algorithm="replay-actor-critic", environment="FrozenLake-v1", steps=12_000,
        options={"learning_starts": 100},
        controls=("buffer", "streams"),
    ),
    "atari": Case(
        algorithm="a2c", environment="ALE/Breakout-v5", steps=3_000, options={"num_envs": 1},
        controls=("environments",),
    ),
}  # fmt: skip


def examine(
    case: Case,
    targets: Sequence[str],
    controls: Sequence[str],
    seed: int,
    launch: Launch,
    folder: Path | None = None,
) -> Outcome:
    """Test a case in `folder`, which is kept, or else in a temporary folder."""
    with tempfile.TemporaryDirectory() as temporary:
        return Examination(case, folder or Path(temporary), seed, launch).run(targets, controls)


def read_arguments() -> argparse.Namespace:
    """The command line."""
    parser = make_parser(__doc__)
    add = parser.add_argument
    add(
        "cases",
        nargs="*",
        choices=[[], *CASES],
        metavar="CASE",
        help=f"any of {', '.join(CASES)} (default: all)",
    )
    add("--kills", type=positive, default=20, metavar="N", help="kills of each run (default: 20)")
    add(
        "--seed",
        type=int,
        default=0,
        metavar="S",
        help="of the runs, and of when and how they are killed (default: 0)",
    )
    add(
        "--quick",
        action="store_true",
        help="4 kills of runs a tenth as long, none at every file operation, and starts without "
        "imports: a look",
    )
    add(
        "--keep",
        type=Path,
        metavar="DIR",
        help="keep the run folders and outputs in this new folder",
    )
    arguments = parser.parse_args()
    arguments.kills = 4 if arguments.quick else arguments.kills
    return arguments


def main() -> int:
    """Examine, report; 1 where anything failed."""
    arguments, outcomes = read_arguments(), []
    for name in arguments.cases or CASES:
        case = CASES[name]
        if arguments.quick:
            case = replace(case, steps=case.steps // 10, every_operation=False)
        folder = None
        if arguments.keep:
            folder = arguments.keep / name
            folder.mkdir(parents=True)
        targets = [TARGETS[number % len(TARGETS)] for number in range(arguments.kills)]
        started = time.monotonic()
        outcome = examine(
            case,
            targets,
            case.controls,
            arguments.seed,
            Forked if arguments.quick else fresh,
            folder,
        )
        outcomes.append(outcome)
        verdict = f"FAILED: {outcome.failures[0]}" if outcome.failures else "equal"
        progress(
            f"{name}: {outcome.targets.total()} kills, {time.monotonic() - started:.0f} s, "
            f"{verdict}"
        )
    publish(report(outcomes), arguments.output)
    return int(any(outcome.failures for outcome in outcomes))


def report(outcomes: Sequence[Outcome]) -> list[str]:
    """Tables, failures, provenance."""
    kills = [["case", "steps", "kills", *TARGETS, *PHASES, "fruitless", "SHA-256 of the end", ""]]
    controls = [["control", "case", "first difference from R0"]]
    operations: Counter[str] = Counter()
    notes = []
    for outcome in outcomes:
        counts = [str(outcome.targets[target]) for target in TARGETS] + [
            str(outcome.phases[phase]) for phase in PHASES
        ]
        cells = [
            str(outcome.case),
            f"{outcome.case.steps:,}",
            str(outcome.targets.total()),
            *counts,
            str(outcome.fruitless),
        ]
        kills.append(
            [*cells, outcome.digest[:16] or "-", "FAILED" if outcome.failures else "equal"]
        )
        controls += [[name, str(outcome.case), found] for name, found in outcome.controls.items()]
        operations += outcome.operations
        notes += [f"{outcome.case}: {failure}" for failure in outcome.failures[:MAX_LINES]]
        more = len(outcome.failures) - MAX_LINES
        notes += [f"{outcome.case}: and {more} more"] if more > 0 else []
    shown = ", ".join(
        f"{name.removeprefix('os.')} {count}" for name, count in operations.most_common()
    )
    lines = [
        "Runs killed with SIGKILL and resumed until they ended, compared with uninterrupted runs: "
        "every array and counter",
        "of the last checkpoint, every line of the logs except times, the result. Kills by target "
        "(saving: the whole group,",
        f"before a file operation: {shown or 'none'}), then by the phase in which they happened.",
    ]
    versions = {"footlight": run_json([sys.executable, HERE / "ours.py", "versions"])}
    for block in (
        table(kills),
        table(controls) if controls[1:] else [],
        notes,
        provenance(versions),
    ):
        lines += ["", *block] if block else []
    return lines


if __name__ == "__main__":
    sys.exit(main())
