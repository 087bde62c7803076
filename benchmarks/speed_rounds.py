"""Rounds of `speed.py`: a new process for each library in turn, and the file that finished rounds
are kept in, so that a stopped benchmark continues."""

import argparse
import hashlib
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from report import HERE, Failure, cpu_model, progress, run_json
from speed_works import LIMITS, PEERS, WORKS, Work

SOURCES = ("hyperparameters", "off_policy_hyperparameters", "ours", "peers", "rltools_peer",
           "speed_limits", "speed_rounds")  # fmt: skip
"""The files in this folder that a measurement depends on."""
NOMINAL_SECONDS = {
    "sac-256": 170, "sac-64": 130, "td3-256": 100, "td3-64": 100, "ddpg-256": 100, "ddpg-64": 100,
    "tqc-256": 200, "crossq-256": 170, "droq-256": 260, "sac-cheetah-1": 170, "sac-cheetah-2": 130,
    "td3-cheetah-1": 140, "td3-cheetah-2": 110, "a2c-1": 120, "a2c-8": 90, "a2c-64": 90,
    "ppo-8": 130, "a2c-breakout": 110, "a2c-breakout-bf16": 70,
}  # fmt: skip
"""About how long a round of all libraries takes on two cores, for the first estimate."""
OTHERWISE_SECONDS = 90
QUICK_SHARE = 0.4  # how much of it a quick round takes
Rates = dict[str, list[float]]  # library or limit -> steps per second, one for each round


@dataclass(frozen=True)
class Round:
    """One round of one work."""

    work: str
    threads: int
    number: int

    def __str__(self) -> str:
        return f"{self.work}, threads {self.threads}, round {self.number}"


def times_of(work: Work, arguments: argparse.Namespace) -> tuple[int, int]:
    """Warm-up and window in steps, in whole rollouts; peers update after a rollout's last step."""
    warmup = arguments.warmup or work.warmup / (2 if arguments.quick else 1)
    window = arguments.window or work.window / (5 if arguments.quick else 1)
    return work.whole(max(warmup, 2 * work.rollout)), work.whole(window)


def job_of(work: Work, threads: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """What the processes of a round are told, as it comes back from JSON."""
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
    decoded: dict[str, Any] = json.loads(json.dumps(job))
    return decoded


def command_of(library: str, peer_python: str) -> list[str | Path]:
    """The command that measures `library`, but for the job."""
    if library == "rltools":
        return [peer_python, HERE / "rltools_peer.py"]
    if library in PEERS:
        return [peer_python, HERE / "peers.py", "speed", library]
    if library == "limits":
        return [sys.executable, HERE / "speed_limits.py"]
    return [sys.executable, HERE / "ours.py", "train" if library == "footlight" else library]


def measure(
    library: str, work: Work, threads: int, arguments: argparse.Namespace
) -> dict[str, float]:
    """Steps per second in one new process, by the name of the library, or of each limit.

    Raises `Failure`, also where the process made another number of updates.
    """
    job = job_of(work, threads, arguments)
    window, per_step = job["window"], work.updates / work.rollout
    if library == "footlight":
        job["log_every"] = work.log_every
    answer = run_json([*command_of(library, arguments.peer_python), json.dumps(job)])
    if library == "limits":
        steps = {"stepping": 1.0, "update": 1 / per_step, "products": 1 / per_step}
        return {name: answer[name] * steps[name] for name in LIMITS}
    expected = round(window * per_step)
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
    return {library: float(answer["steps"] / answer["seconds"])}


def setting_of(versions: Mapping[str, Mapping[str, str]]) -> str:
    """A digest of what all rounds have in common: the machine, versions, and the source files."""
    common = [cpu_model(), len(os.sched_getaffinity(0)), versions]
    digest = hashlib.sha256(json.dumps(common, sort_keys=True).encode())
    package = (HERE.parent / "footlight").rglob("*.py")
    for path in sorted([*package, *(HERE / f"{name}.py" for name in SOURCES)]):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


class Journal:
    """Finished rounds as lines of JSON. Those of another machine, other versions or other source
    files are left alone, and not found."""

    def __init__(self, path: Path, setting: str) -> None:
        self.path, self.setting = path, setting
        text = path.read_text() if path.exists() else ""
        rows = map(_row, text.splitlines())
        self._rows = [row for row in rows if row.get("setting") == setting]
        self._is_torn = bool(text) and not text.endswith("\n")

    def find(self, one: Round, job: Mapping[str, Any], names: Sequence[str]) -> dict[str, float]:
        """The steps per second of these names in a round, by name; {} unless all are there."""
        for row in self._rows:
            same = (row["work"], row["round"], row["job"]) == (one.work, one.number, job)
            if same and {*names} <= row["rates"].keys():
                return {name: row["rates"][name] for name in names}
        return {}

    def add(
        self, one: Round, job: Mapping[str, Any], rates: Mapping[str, float], seconds: float
    ) -> None:
        """Append a round that has just been measured."""
        row = {"setting": self.setting, "work": one.work, "round": one.number, "job": job,
               "rates": rates, "seconds": round(seconds, 1)}  # fmt: skip
        self._rows.append(row)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a") as file:
            file.write("\n" * self._is_torn + json.dumps(row) + "\n")
        self._is_torn = False

    def seconds(self) -> dict[str, float]:
        """How long the last round of each work took."""
        return {row["work"]: row["seconds"] for row in self._rows}


def _row(line: str) -> dict[str, Any]:
    try:
        row: dict[str, Any] = json.loads(line)
    except json.JSONDecodeError:  # the program was killed while it wrote the line
        return {}
    return row


def names_of(libraries: Sequence[str], work: Work) -> list[str]:
    """Those of the libraries that a work has, with the limits in place of `limits`."""
    own = [library for library in libraries if work.has(library)]
    return [name for library in own for name in (LIMITS if library == "limits" else [library])]


def seconds_left(todo: Sequence[Round], measured: Mapping[str, float], first: float) -> float:
    """About how long these rounds take, from what rounds took, or from nominal times.

    measured: seconds of a round, by work. first: the factor on nominal times before any is known.
    """
    nominal = {name: NOMINAL_SECONDS.get(name, OTHERWISE_SECONDS) for name in [*WORKS, *measured]}
    known = sum(nominal[name] for name in measured)
    factor = sum(measured.values()) / known if known else first
    return sum(measured.get(one.work, factor * nominal[one.work]) for one in todo)


def in_words(seconds: float) -> str:
    """A duration as hours and minutes."""
    minutes = max(1, round(seconds / 60))
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"


def measure_round(
    one: Round, libraries: Sequence[str], failed: dict[str, str], arguments: argparse.Namespace
) -> dict[str, float]:
    """Each library once, in turn. Notes in `failed` which one failed, and leaves those out."""
    rates: dict[str, float] = {}
    for library in libraries:
        place = f"{library} on {one.work}, threads {one.threads}"
        if place in failed or not WORKS[one.work].has(library):
            continue
        try:
            found = measure(library, WORKS[one.work], one.threads, arguments)
            rates |= found
            outcome = ", ".join(
                f"{name} {value:,.{0 if value >= 20 else 1}f} steps/s"
                for name, value in found.items()
            )
        except Failure as failure:
            failed[place] = f"{failure}"
            outcome = f"{library} failed: {failure}"
        progress(f"{one}: {outcome}")
    return rates


def measure_all(
    rounds: Sequence[Round],
    libraries: Sequence[str],
    journal: Journal,
    arguments: argparse.Namespace,
) -> tuple[dict[tuple[str, int], list[dict[str, float]]], dict[str, str], int]:
    """Measure the rounds that the journal lacks; Ctrl-C ends this early.

    Returns the rates by work and threads, a dict for each round; what failed, and why; and how
    many rounds are missing. A round in which a library failed is measured again the next time.
    """
    jobs = {one: job_of(WORKS[one.work], one.threads, arguments) for one in rounds}
    names = {one: names_of(libraries, WORKS[one.work]) for one in rounds}
    found = {one: journal.find(one, jobs[one], names[one]) for one in rounds}
    todo = [one for one in rounds if not found[one]]
    failed: dict[str, str] = {}
    if len(todo) < len(rounds):
        progress(f"{len(rounds) - len(todo)} rounds are in {journal.path}; without it they are "
                 "measured again")  # fmt: skip
    try:
        while todo:
            left = seconds_left(todo, journal.seconds(), QUICK_SHARE if arguments.quick else 1)
            progress(f"{len(todo)} of {len(rounds)} rounds to measure, about {in_words(left)}")
            one, start = todo[0], time.monotonic()
            found[one] = measure_round(one, libraries, failed, arguments)
            if {*names[one]} <= found[one].keys():
                journal.add(one, jobs[one], found[one], time.monotonic() - start)
            todo.pop(0)
    except KeyboardInterrupt:
        progress("stopped; the same command continues")
    rates: dict[tuple[str, int], list[dict[str, float]]] = {}
    for one in rounds:
        if found[one]:
            rates.setdefault((one.work, one.threads), []).append(found[one])
    return rates, failed, len(todo)
