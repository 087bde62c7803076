"""Wall-clock time from typing a command to a policy of a given return, beside the peers.

    python benchmarks/time_to_return.py --peer-python build/peers/bin/python --output FILE

SAC on Pendulum-v1 with equal values, until the mean of 10 deterministic episodes, every 500 steps,
is at least -200. A measurement is a whole process: imports, compiling, training, evaluations, and
for footlight its run folder. `new machine` compiles everything, with empty caches; RLtools compiles
its C++ program there.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from report import (
    HERE,
    Failure,
    add_peer_python,
    make_parser,
    positive,
    progress,
    provenance,
    publish,
    run,
    run_json,
    table,
)

ENVIRONMENT, RETURN, EVERY, EPISODES, LIMIT = "Pendulum-v1", -200.0, 500, 10, 20_000
FIELDS: dict[str, Any] = {
    "hidden_sizes": [64, 64],
    "batch_size": 100,
    "learning_rate": 1e-3,
    "learning_starts": 500,
    "buffer_size": 20_000,
    "updates_per_step": 1,
}
LIBRARIES = ("footlight", "sb3", "sbx", "rltools")
CACHES = {"footlight": ("TORCHINDUCTOR_CACHE_DIR", "XDG_CACHE_HOME"), "rltools": ("TMPDIR",)}
"""Where the libraries keep what they compile, as variables."""


class Reached(NamedTuple):
    """When a run was there."""

    seconds: float
    steps: int | None  # None: not within LIMIT


def measure(library: str, seed: int, peer_python: str, caches: Mapping[str, str]) -> Reached:
    """One whole process. Raises `Failure`."""
    environment = {**os.environ, **caches}
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        if library == "footlight":
            run(command_of_ours(seed, f"{folder}/run"), environment)
            seconds, steps = time.monotonic() - began, reached_by(Path(folder) / "run")
        else:
            answer = run_json(command_of(library, seed, peer_python), environment)
            seconds, steps = time.monotonic() - began, answer["steps"]
    return Reached(seconds, steps)


def command_of_ours(seed: int, folder: str) -> list[str]:
    """The command as a user types it."""
    words = [sys.executable, "-m", "footlight", "train", "sac", ENVIRONMENT, "--no-preset"]
    for name, value in FIELDS.items():
        values = value if isinstance(value, list) else [value]
        words += [f"--{name.replace('_', '-')}", *map(str, values)]
    words += ["--steps", str(LIMIT), "--seed", str(seed), "--run-dir", folder, "--threads", "1"]
    words += ["--eval-every", str(EVERY), "--eval-episodes", str(EPISODES), "--quiet"]
    words += ["--stop-at-return", str(RETURN), "--stop-on", "evaluation", "--stop-window", "1"]
    return words


def reached_by(folder: Path) -> int | None:
    """The step of the evaluation that ended a run of ours."""
    result = json.loads((folder / "result.json").read_text())
    final: int = result["final_evaluation"]["step"]
    return final if result["status"] == "stopped" else None


def command_of(library: str, seed: int, peer_python: str) -> list[str]:
    """The command that trains a peer."""
    job = {"algorithm": "sac", "environment": ENVIRONMENT, "seed": seed, "threads": 1}
    job |= {"fields": FIELDS, "wanted": RETURN, "every": EVERY, "episodes": EPISODES}
    job["limit"] = LIMIT
    if library == "rltools":
        return [peer_python, str(HERE / "rltools_peer.py"), json.dumps(job)]
    return [peer_python, str(HERE / "peers.py"), "reach", library, json.dumps(job)]


def main() -> int:
    """Measure and report."""
    arguments = read_arguments()
    found: dict[str, list[Reached]] = {}
    with tempfile.TemporaryDirectory() as kept:
        for library in arguments.libraries:
            for number in range(arguments.new_machines if library in CACHES else 0):
                with tempfile.TemporaryDirectory() as new:
                    progress(f"{library}, new machine")
                    caches = dict.fromkeys(CACHES[library], new)
                    note(found, f"{library}, new machine", library, number, arguments, caches)
        cached = {
            library: dict.fromkeys(CACHES.get(library, ()), f"{kept}/{library}")
            for library in arguments.libraries
        }
        for library, caches in cached.items():
            for folder in caches.values():
                Path(folder).mkdir(parents=True, exist_ok=True)
            if caches:  # what a first run compiles
                note({}, library, library, 0, arguments, caches)
        for seed in range(1, arguments.seeds + 1):
            for library in arguments.libraries:
                progress(f"{library}, seed {seed}")
                note(found, library, library, seed, arguments, cached[library])
    versions = {"footlight": run_json([sys.executable, HERE / "ours.py", "versions"])}
    versions |= run_json([arguments.peer_python, HERE / "peers.py", "versions"])
    publish([*report(found), "", *provenance(versions)], arguments.output)
    return 0


def note(
    found: dict[str, list[Reached]], name: str, library: str, seed: int,
    arguments: argparse.Namespace, caches: Mapping[str, str],
) -> None:  # fmt: skip
    """Measure, and add the result to those of this name; say where there is none."""
    try:
        reached = measure(library, seed, arguments.peer_python, caches)
    except Failure as failure:
        progress(f"{name}, seed {seed}: {failure}")
    else:
        found.setdefault(name, []).append(reached)


def report(found: Mapping[str, Sequence[Reached]]) -> list[str]:
    """A row for each library: the median, and every seed."""
    ours = [each.seconds for each in found.get("footlight", ())]
    rows = [["whole processes", "median s", "/ footlight", "each: seconds (steps)"]]
    for name, each in found.items():
        middle = median(one.seconds for one in each)
        cells = ", ".join(f"{one.seconds:.1f} ({one.steps or 'never'})" for one in each)
        ratio = f"{middle / median(ours):.1f}" if ours else "-"
        rows.append([name, f"{middle:.1f}", ratio, cells])
    goal = (
        f"until the mean of {EPISODES} deterministic episodes, every {EVERY} steps, is {RETURN:g}"
    )
    fields = f"The same values: {json.dumps(FIELDS)}"
    return [f"SAC on {ENVIRONMENT} {goal}.", fields, "", *table(rows)]


def read_arguments() -> argparse.Namespace:
    """The command line."""
    parser = make_parser(__doc__)
    add_peer_python(parser)
    parser.add_argument("libraries", nargs="*", default=LIBRARIES, metavar="LIBRARY")
    parser.add_argument("--seeds", type=positive, default=5, metavar="N", help="seeds (default: 5)")
    parser.add_argument(
        "--new-machines", type=int, default=1, metavar="N",
        help="runs with empty caches (default: 1)",
    )  # fmt: skip
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
