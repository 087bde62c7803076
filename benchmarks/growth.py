"""How footlight's speed and memory grow with batch, width, environments, buffer, and run length.

    python benchmarks/growth.py [PART ...] --output benchmarks/results/growth.txt

Every line is a new process on one thread, which trains until updates are compiled and then for
`--seconds`; those of a run's length train for a number of steps. About ten minutes.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from report import (
    HERE,
    Failure,
    make_parser,
    positive_number,
    progress,
    provenance,
    publish,
    run_json,
    table,
)

SETTLED = 300  # updates before the clock starts; compiling is over, and so is warming up
BLOCK = 10_000  # rows that a buffer is filled with at once
Fields = dict[str, Any]


def sac(**changes: Any) -> Fields:
    """SAC on Pendulum-v1 with networks of 2x256 and a batch of 256, one update per step."""
    fields = {"hidden_sizes": [256, 256], "batch_size": 256, "learning_starts": 256}
    fields |= {"buffer_size": 100_000, **changes}
    return {"algorithm": "sac", "environment": "Pendulum-v1", "fields": fields}


def small_sac(**changes: Any) -> Fields:
    """The same with 2x64 and 100."""
    return sac(hidden_sizes=[64, 64], batch_size=100, **changes)


def a2c(num_envs: int) -> Fields:
    """A2C on CartPole-v1, rollouts of 5 steps, networks of 2x64."""
    fields = {"hidden_sizes": [64, 64], "n_steps": 5}
    return {
        "algorithm": "a2c", "environment": "CartPole-v1", "fields": fields, "num_envs": num_envs
    }  # fmt: skip


PARTS: dict[str, tuple[str, dict[str, Fields]]] = {
    "batch": (
        "SAC Pendulum-v1, 2x256, by batch",
        {f"{size:,}": sac(batch_size=size, learning_starts=size) for size in (32, 256, 2048)},
    ),
    "width": (
        "SAC Pendulum-v1, batch 256, by width of both layers",
        {f"{width:,}": sac(hidden_sizes=[width, width]) for width in (64, 256, 1024)},
    ),
    "environments": (
        "A2C CartPole-v1, 2x64, by environments",
        {f"{count}": a2c(count) for count in (1, 8, 64)},
    ),
    "buffer": (
        "SAC Pendulum-v1, 2x64, batch 100, by rows of a full buffer",
        {
            f"{size:,}": {**small_sac(buffer_size=size, learning_starts=size), "fill": size}
            for size in (10_000, 100_000, 1_000_000, 10_000_000)
        },
    ),
    "steps": (
        "the same run, from step to step",
        {
            "a2c, 64 environments": {**a2c(64), "part": 1_000_000, "parts": 4},
            "sac, 2x64, buffer of 20,000": {
                **small_sac(buffer_size=20_000), "part": 10_000, "parts": 4
            },
        },
    ),
}  # fmt: skip
"""By name: what the table says above the lines, and a job for each line."""


def mebibytes(name: str) -> float:
    """A line of this process's status: VmRSS, memory in use, or VmHWM, its peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


def fill(agent: Any, rows: int) -> None:
    """Fill the agent's replay buffer with random transitions."""
    import numpy as np

    from footlight.types import Decision, Transition

    spaces, count = agent.spaces, min(BLOCK, rows)
    random = np.random.default_rng(0)
    for _ in range(rows // count):
        observation = random.standard_normal((count, *spaces.observation_shape), np.float32)
        over = np.zeros(count, bool)
        action = random.uniform(-1, 1, (count, *spaces.action.shape)).astype(np.float32)
        reward = random.standard_normal(count, np.float32)
        transition = Transition(observation, action, reward, observation, over, over, None)
        agent.buffer.add(transition, Decision(action))


def train(
    algorithm: str, environment: str, fields: Fields, seconds: float, num_envs: int = 1, **more: int
) -> dict[str, list[float]]:
    """Steps per second and memory in MiB: one figure, or one for each of `parts`."""
    import footlight
    from footlight.environments.make import configured, make
    from footlight.environments.vectorization import choose

    source = configured(environment)
    how = choose(source, num_envs, "auto", progress)  # as `footlight train` does
    environments = make(source, 0, num_envs, vectorization=how)
    environments.reset()
    agent = footlight.Agent(
        algorithm, environments.observation_space, environments.action_space, seed=0,
        num_envs=num_envs, compile="on", threads=1, **fields,
    )  # fmt: skip
    if rows := more.get("fill"):
        fill(agent, rows)
    steps = footlight.steps(agent, environments)
    while agent.learner.num_updates < SETTLED:
        next(steps)
    rates, memory = [], []
    for _ in range(more.get("parts", 1)):
        rates.append(rate(agent, steps, more.get("part", 0), seconds))
        memory.append(mebibytes("VmRSS"))
    return {"rates": rates, "memory": memory}


def rate(agent: Any, steps: Iterator[Any], number: int, seconds: float) -> float:
    """Steps per second over this number of steps, or, where it is 0, over this time."""
    before, start = agent.num_steps, time.perf_counter()
    while agent.num_steps - before < number or not number:
        next(steps)
        if not number and time.perf_counter() - start >= seconds:
            break
    return float((agent.num_steps - before) / (time.perf_counter() - start))


def lines_of(jobs: dict[str, Fields], seconds: float, notes: list[str]) -> list[list[str]]:
    """The table of one part, measured now. Notes what failed."""
    rows = [["", "steps/s", "of the first", "memory in MiB"]]
    first = None
    for label, job in jobs.items():
        document = json.dumps({**job, "seconds": seconds})
        try:
            answer = run_json([sys.executable, HERE / "growth.py", "measure", document])
        except Failure as failure:
            notes.append(f"{label} failed: {failure}")
            progress(notes[-1])
            continue
        rates, memory = answer["rates"], answer["memory"]
        progress(f"{label}: " + ", ".join(f"{value:,.0f}" for value in rates) + " steps/s")
        if len(rates) > 1:  # parts of one run, each compared with its first
            part = job["part"]
            for index, (value, used) in enumerate(zip(rates, memory, strict=True)):
                name = f"{label}: {index * part:,} to {(index + 1) * part:,}"
                rows.append(_row(name, value, rates[0], used))
            continue
        first = first or rates[0]
        rows.append(_row(label, rates[0], first, memory[0]))
    return rows


def _row(label: str, value: float, first: float, used: float) -> list[str]:
    return [label, f"{value:,.0f}", f"{value / first:.2f}", f"{used:,.0f}"]


def read_arguments() -> argparse.Namespace:
    """The command line."""
    parser = make_parser(__doc__)
    known = ", ".join(PARTS)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"which of {known} (default: all)")
    parser.add_argument(
        "--seconds", type=positive_number, default=8, help="for a line (default: 8)"
    )
    arguments = parser.parse_args()
    if unknown := {*arguments.parts} - {*PARTS}:
        parser.error(f"unknown part {', '.join(sorted(unknown))} - known are {known}")
    return arguments


def main() -> int:
    """Measure and report; 1 where a figure is missing."""
    if sys.argv[1:2] == ["measure"]:
        print(json.dumps(train(**json.loads(sys.argv[2]))))
        return 0
    arguments = read_arguments()
    notes: list[str] = []
    lines = [
        "How footlight grows: environment steps per second of the whole loop on one thread, and "
        "memory of the process.",
        f"Every line is a new process, timed for {arguments.seconds:g} s, or for the steps that it "
        "names.",
    ]
    for name in arguments.parts or PARTS:
        title, jobs = PARTS[name]
        lines += ["", f"{title}", "", *table(lines_of(jobs, arguments.seconds, notes))]
    lines += ["", *notes] if notes else []
    versions = {"footlight": run_json([sys.executable, HERE / "ours.py", "versions"])}
    publish([*lines, "", *provenance(versions)], arguments.output)
    return int(bool(notes))


if __name__ == "__main__":
    sys.exit(main())
