"""Environment steps per second of footlight and the installed peers on the same work, and ratios.

    python benchmarks/speed.py [WORK ...] --peer-python peers/bin/python \
        --output benchmarks/results/speed.txt

Every measurement is a new process that trains past its warm-up (learning has started, everything is
compiled) and then times the following steps. Each round measures all libraries in turn, so that a
drift of the machine affects all of them.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from report import (
    HERE,
    PEERS,
    Failure,
    add_peer_python,
    make_parser,
    progress,
    provenance,
    publish,
    run_json,
    table,
)
from speed_works import (
    LIMITS,
    PRESETS,
    Work,
    a2c,
    games,
    large,
    ppo,
    small,
    variant,
    with_preset,
)

LIBRARIES = ("footlight", "agent", *PEERS, *LIMITS)
Rates = dict[str, list[float]]  # library -> steps per second, one for each round
WORKS = {
    "sac-256": large("sac", must={"sb3": 2.5, "sbx": 1.4}, aim={"sb3": 4.0, "sbx": 2.0}),
    "sac-64": small("sac", must={"sb3": 6.0, "sbx": 2.3}, aim={}),
    "td3-256": large("td3", must={"sb3": 2.5}, aim={"sb3": 4.0}),
    "td3-64": small("td3", must={"sb3": 6.0}, aim={"sb3": 10.0}),
    "ddpg-256": large("ddpg", must={"sb3": 2.5}, aim={"sb3": 4.0}),
    "ddpg-64": small("ddpg", must={"sb3": 6.0}, aim={"sb3": 10.0}),
    "tqc-256": variant("tqc"),
    "crossq-256": variant("crossq"),
    "droq-256": variant("droq", warmup=500, window=600),
    "a2c-1": a2c(1, 5_000, 40_000, must={"sb3": 6.0}, aim={"sb3": 15.0}),
    "a2c-8": a2c(8, 5_000, 200_000, must={"sb3": 3.0}, aim={"sb3": 6.0}),
    "a2c-64": a2c(64, 8_000, 1_000_000, must={"sb3": 4.0}, aim={"sb3": 8.0}),
    "ppo-8": ppo(8, must={"sb3": 8.0, "sbx": 2.5}, aim={"sb3": 15.0}),
    "a2c-breakout": games(16, must={"sb3": 1.8}, aim={"sb3": 3.0}),
    "a2c-breakout-bf16": games(16, must={}, aim={"sb3": 3.0}, precision="bf16"),
    **{f"{algorithm}-preset": with_preset(algorithm) for algorithm in PRESETS},
}


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
        type=int,
        metavar="N",
        help="thread counts to try (default: the work's own)",
    )
    add("--rounds", type=int, metavar="N", help="measurements of each library (default: 3)")
    add(
        "--warmup",
        type=int,
        metavar="STEPS",
        help="steps before the clock starts (default: the work's own)",
    )
    add("--window", type=int, metavar="STEPS", help="steps timed (default: the work's own)")
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


def times_of(work: Work, arguments: argparse.Namespace) -> tuple[int, int]:
    """Warm-up and window in steps, in whole rollouts; peers update after a rollout's last step."""
    warmup = arguments.warmup or work.warmup / (2 if arguments.quick else 1)
    window = arguments.window or work.window / (5 if arguments.quick else 1)
    return work.whole(max(warmup, 2 * work.rollout)), work.whole(window)


def command_of(library: str, peer_python: str) -> list[str | Path]:
    """The command that measures `library`, but for the job."""
    if library in PEERS:
        return [peer_python, HERE / "peers.py", "speed", library]
    return [sys.executable, HERE / "ours.py", "train" if library == "footlight" else library]


def measure(library: str, work: Work, threads: int, arguments: argparse.Namespace) -> float:
    """Steps per second of one new process. Raises `Failure`, also for another amount of work."""
    warmup, window = times_of(work, arguments)
    job = {
        "algorithm": work.algorithm,
        "environment": work.environment,
        "seed": 0,
        "threads": threads,
        "warmup": warmup,
        "window": window,
        "fields": work.fields,
    }
    if library == "footlight":
        job["log_every"] = work.log_every
    answer = run_json([*command_of(library, arguments.peer_python), json.dumps(job)])
    if library == "stepping":
        return float(answer["steps"] / answer["seconds"])
    expected = window // work.rollout * work.updates
    # Rows in which a native vector environment resets fill rollouts but are not steps: updates per
    # step differ by up to 3 %, and a row of the log is up to a step of all environments away.
    due = expected * answer["steps"] / window
    if (
        abs(answer["steps"] - window) > 0.001 * window + work.fields.get("num_envs", 1)
        or not 0.97 * due - 1 <= answer["updates"] <= 1.03 * due + 1
    ):
        raise Failure(
            f"it made {answer['updates']} updates in {answer['steps']} steps, not {expected} in "
            f"{window}"
        )
    return float(answer["steps"] / answer["seconds"])


def measure_rounds(
    name: str, threads: int, libraries: Sequence[str], arguments: argparse.Namespace
) -> tuple[Rates, list[str]]:
    """All rounds of one work, the libraries in turn; one that fails is skipped from then on."""
    rates: Rates = {library: [] for library in libraries if WORKS[name].has(library)}
    failures: dict[str, str] = {}
    for number in range(1, arguments.rounds + 1):
        for library in rates:
            if library in failures:
                continue
            try:
                rates[library].append(measure(library, WORKS[name], threads, arguments))
                outcome = f"{rates[library][-1]:,.0f} steps/s"
            except Failure as failure:
                failures[library] = outcome = f"failed: {failure}"
            progress(
                f"{name}, threads {threads}, round {number}/{arguments.rounds}, {library}: "
                f"{outcome}"
            )
    whole = {library: values for library, values in rates.items() if library not in failures}
    return whole, [
        f"{library} on {name}, threads {threads}, {text}" for library, text in failures.items()
    ]


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
    """A row per peer: median and range of the ratios within a round, and targets if `judge`."""
    rows = []
    for peer in PEERS:
        if "footlight" not in rates or peer not in rates:
            continue
        ratios = [
            ours / theirs for ours, theirs in zip(rates["footlight"], rates[peer], strict=True)
        ]
        targets = [targets.get(peer) if judge else None for targets in (work.must, work.aim)]
        rows.append(
            [
                str(work),
                threads,
                peer,
                spread(ratios, 2),
                *(verdict(x, median(ratios)) for x in targets),
            ]
        )
    return rows


def installed(arguments: argparse.Namespace) -> tuple[dict[str, dict[str, str]], list[str]]:
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


def main() -> int:
    """Measure, report; 1 where a figure is missing or a `must` is missed."""
    arguments = read_arguments()
    versions, notes = installed(arguments)
    libraries = [
        name for name in arguments.libraries if name in versions or name in ("agent", *LIMITS)
    ]
    works = arguments.works or list(WORKS)
    libraries = [name for name in libraries if any(WORKS[work].has(name) for work in works)]
    speeds = [["environment steps per second", "steps", "threads", *libraries]]
    ratios = [["footlight / peer", "threads", "peer", "ratio", "must", "aim"]]
    for name in works:
        work, swept = WORKS[name], {}
        for threads in arguments.threads or [WORKS[name].threads]:
            swept[str(threads)], failures = measure_rounds(name, threads, libraries, arguments)
            notes += failures
        sweep = len(swept) > 1
        if sweep:
            swept["best"] = best_of(list(swept.values()), libraries)
        for threads_label, rates in swept.items():
            cells = [
                spread(rates[library], 0) if library in rates else "-" for library in libraries
            ]
            speeds.append([str(work), f"{times_of(work, arguments)[1]:,}", threads_label, *cells])
            ratios += ratio_rows(
                work, threads_label, rates, judge=threads_label == "best" or not sweep
            )
    lines = [
        "Whole training loop, equal updates; evaluation, checkpoints and video off. Median "
        "(min..max) over rounds.",
        f"Rounds: {arguments.rounds}, each of that many steps after a warm-up. Batch: 1 update per "
        "step, or as many as the number before it.",
        "footlight: the built-in loop, which the ratios use; agent: a hand-written loop around "
        "footlight.Agent.",
        "stepping, network: the games alone under random actions, and acting and updates alone.",
        "-: missing (SBX has no A2C, SB3 no DroQ), or not applicable (the hand-written loop is not "
        "for games).",
    ]
    for block in (table(speeds), table(ratios) if ratios[1:] else [], notes, provenance(versions)):
        lines += ["", *block] if block else []
    publish(lines, arguments.output)
    return int(bool(notes) or any("not met" in row[4] for row in ratios))


if __name__ == "__main__":
    sys.exit(main())
