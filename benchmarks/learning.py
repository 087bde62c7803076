"""Algorithm x environment x seeds: every final evaluation, mean and 95 % interval, and peers.

    python benchmarks/learning.py sac Pendulum-v1 --steps 10000 --seeds 5 --must -200 [--jobs 2]
    python benchmarks/learning.py td3 HalfCheetah-v5 --steps 100000 --peer sb3 \
        --peer-python peers/bin/python

    python benchmarks/learning.py ppo ALE/Breakout-v5 --steps 2000000 --seeds 2 \
        --runs runs/seed-1 runs/seed-2

Arguments after `--` are passed on to `footlight train`. `--runs` reads runs that were started by
hand with the options that a run here has, such as runs of hours that are stopped and resumed. A
peer gets the hyperparameters in the run's config.json.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from statistics import fmean

from learning_tables import Column, Outcome, curve_table, finished, reaches, seed_table
from report import (
    HERE,
    PEERS,
    Failure,
    add_peer_python,
    make_parser,
    positive,
    progress,
    provenance,
    publish,
    run,
    run_json,
)

from footlight.errors import counted
from footlight.runs.read import read_run

EPISODES, POINTS = 20, 10  # of an evaluation; evaluations of a run


def read_arguments() -> argparse.Namespace:
    """The command line; `options` is what follows `--`."""
    words = sys.argv[1:]
    end = words.index("--") if "--" in words else len(words)
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("algorithm")
    add("environment")
    add("--steps", type=positive, required=True, metavar="N", help="environment steps of each run")
    add("--seeds", type=positive, default=5, metavar="N", help="how many seeds (default: 5)")
    add("--first-seed", type=int, default=1, metavar="K", help="seeds K, K + 1, ... (default: 1)")
    add(
        "--jobs",
        type=positive,
        default=1,
        metavar="N",
        help="runs at a time; with more than 1, each has one thread",
    )
    add("--peer", choices=PEERS, help="train this peer on the same work too")
    add_peer_python(parser)
    add(
        "--runs",
        type=Path,
        nargs="+",
        metavar="RUN_DIR",
        help="finished runs of these seeds, in this order; nothing is trained",
    )
    add("--must", type=float, metavar="RETURN", help="what every seed has to reach")
    arguments = parser.parse_args(words[:end])
    arguments.options = words[end + 1 :]
    arguments.numbers = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    if arguments.runs and (
        len(arguments.runs) != arguments.seeds or arguments.peer or arguments.options
    ):
        parser.error("--runs needs one run for each of --seeds, and nothing is trained beside it")
    if arguments.peer and arguments.algorithm not in PEERS[arguments.peer]:
        has = ", ".join(PEERS[arguments.peer])
        parser.error(
            f"{arguments.peer} has no {arguments.algorithm} - it has {has} - leave out --peer to "
            "train footlight alone"
        )
    if arguments.peer and arguments.environment.startswith("ALE/"):
        parser.error("peers are not evaluated on Atari games here - leave out --peer")
    return arguments


def train_ours(arguments: argparse.Namespace, seed: int) -> Outcome:
    """One `footlight train`, as a user types it, read back from its run folder."""
    with tempfile.TemporaryDirectory() as folder:
        run_dir = Path(folder) / "run"
        command = [
            sys.executable,
            "-m",
            "footlight",
            "train",
            arguments.algorithm,
            arguments.environment,
        ]
        command += [
            "--steps",
            str(arguments.steps),
            "--seed",
            str(seed),
            "--run-dir",
            str(run_dir),
            "--quiet",
        ]
        command += [
            "--eval-every",
            str(max(arguments.steps // POINTS, 1)),
            "--eval-episodes",
            str(EPISODES),
        ]
        command += ["--threads", "1"] if arguments.jobs > 1 else []
        start = time.perf_counter()
        run([*command, *arguments.options])
        return read_outcome(arguments, run_dir, time.perf_counter() - start)


def read_made(arguments: argparse.Namespace, seed: int) -> Outcome:
    """A run that is there already. Raises `Failure` where it is not the one that is asked for."""
    run_dir = arguments.runs[arguments.numbers.index(seed)]
    found = read_run(run_dir)
    told = {name: found.config.get(name) for name in ("algorithm", "environment", "steps", "seed")}
    wanted = {
        "algorithm": arguments.algorithm,
        "environment": arguments.environment,
        "steps": arguments.steps,
        "seed": seed,
    }
    result = found.result or {}
    if told != wanted or result.get("status") != "finished":
        raise Failure(f"{run_dir} is {told}, {result.get('status')} - expected {wanted}, finished")
    return read_outcome(arguments, run_dir, result["seconds"])


def read_outcome(arguments: argparse.Namespace, run_dir: Path, seconds: float) -> Outcome:
    """What a run came to that took so many seconds."""
    lines = [json.loads(line) for line in (run_dir / "evaluations.jsonl").read_text().splitlines()]
    result = json.loads((run_dir / "result.json").read_text())
    config = json.loads((run_dir / "config.json").read_text())
    every = config["eval_every"] or max(1, config["steps"] // 20)  # null: automatic
    # Where several environments step together, an evaluation comes some steps behind
    steps = [
        line["step"] if line["step"] >= arguments.steps else line["step"] // every * every
        for line in lines
    ]
    curve = dict(zip(steps, (line["mean_return"] for line in lines), strict=True))
    return Outcome(
        result["final_evaluation"]["mean_return"], curve, result["steps"], seconds, config
    )


def train_peer(arguments: argparse.Namespace, ours: Outcome, seed: int) -> Outcome:
    """The peer with the hyperparameters of one of our runs, evaluated at the same steps."""
    job = {
        "algorithm": arguments.algorithm,
        "environment": arguments.environment,
        "seed": seed,
        "threads": 1 if arguments.jobs > 1 else len(os.sched_getaffinity(0)),
        "steps": arguments.steps,
        "points": sorted(ours.curve),
        "episodes": EPISODES,
        "fields": ours.config["config"] | {"num_envs": ours.config["num_envs"]},
    }
    start = time.perf_counter()
    answer = run_json(
        [arguments.peer_python, HERE / "peers.py", "learn", arguments.peer, json.dumps(job)]
    )
    seconds = time.perf_counter() - start
    curve = {line["step"]: fmean(line["returns"]) for line in answer["evaluations"]}
    return Outcome(curve[arguments.steps], curve, answer["steps"], seconds, answer["left_out"])


def train_all(name: str, train: Callable[[int], Outcome], arguments: argparse.Namespace) -> Column:
    """Every seed, `jobs` at a time; a seed that fails keeps its place."""

    def attempt(seed: int) -> Outcome | Failure:
        try:
            outcome: Outcome | Failure = train(seed)
        except Failure as failure:
            outcome = failure
        text = f"failed: {outcome}" if isinstance(outcome, Failure) else f"{outcome.final:.1f}"
        progress(f"{name}, seed {seed}: {text}")
        return outcome

    with ThreadPoolExecutor(arguments.jobs) as pool:
        return list(pool.map(attempt, arguments.numbers))


def notes_on(columns: dict[str, Column], arguments: argparse.Namespace) -> list[str]:
    """Notes: failed seeds, hyperparameters that a peer lacks, and peers that trained for longer."""
    notes = []
    for name, column in columns.items():
        failures = [
            (seed, outcome)
            for seed, outcome in zip(arguments.numbers, column, strict=True)
            if isinstance(outcome, Failure)
        ]
        notes += [f"{name}, seed {seed}, failed: {failure}" for seed, failure in failures]
        if name != "footlight" and finished(column):
            left_out, steps = finished(column)[0].config, finished(column)[0].steps
            words = ", ".join(f"{field} {value}" for field, value in left_out.items())
            notes.append(f"{name} has no word for, and keeps its own: {words or 'nothing'}")
            notes += (
                [f"{name} trains on whole rollouts only: {steps:,} steps"]
                if steps != arguments.steps
                else []
            )
    return notes


def main() -> int:
    """Train, report; 1 where a seed failed or missed `--must`."""
    arguments = read_arguments()
    columns = {
        "footlight": train_all(
            "footlight", partial(read_made if arguments.runs else train_ours, arguments), arguments
        )
    }
    versions = {"footlight": run_json([sys.executable, HERE / "ours.py", "versions"])}
    ours = finished(columns["footlight"])
    preset = f"preset {ours[0].config['preset'] or 'none'}, " if ours else ""
    if arguments.peer and ours:
        columns[arguments.peer] = train_all(
            arguments.peer, partial(train_peer, arguments, ours[0]), arguments
        )
        versions |= peer_versions(arguments)
    kind = "stochastic" if ours and ours[0].config["eval_stochastic"] else "deterministic"
    work = f"{arguments.algorithm} on {arguments.environment}, {arguments.steps:,} steps"
    lines = [
        f"{work}, {preset}{counted(arguments.seeds, 'seed')}:",
        f"mean raw return of {EPISODES} episodes of the {kind} policy, 95 % intervals over seeds "
        "(Student t).",
    ]
    tables = (seed_table(columns, arguments.numbers, arguments.must), curve_table(columns))
    for block in (*tables, notes_on(columns, arguments), provenance(versions)):
        lines += ["", *block] if block else []
    publish(lines, arguments.output)
    failed = any(isinstance(outcome, Failure) for column in columns.values() for outcome in column)
    missed = arguments.must is not None and not all(
        reaches(o, arguments.must) for o in columns["footlight"]
    )
    return int(failed or missed)


def peer_versions(arguments: argparse.Namespace) -> dict[str, dict[str, str]]:
    """The versions of the peer that was trained."""
    try:
        return {
            arguments.peer: run_json([arguments.peer_python, HERE / "peers.py", "versions"])[
                arguments.peer
            ]
        }
    except (Failure, KeyError):
        return {}


if __name__ == "__main__":
    sys.exit(main())
