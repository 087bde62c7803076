"""Runs that are killed again and again and resumed, against the same runs left alone: every bit of the end has to be the same.

    python benchmarks/kill.py [CASE ...] [--kills 20] [--seed 0] [--output benchmarks/results/kill.txt]

For each case: the run R0; again, which has to be equal, or the comparison would mean nothing; with another seed, which must
differ; then once more, killed with SIGKILL at random moments (its process group, it alone, one worker; a quarter at a file
operation) and resumed until it ends. After each kill nothing may be lost and no process may be left. Last the controls: runs that
are resumed from a state that was tampered with have to differ from R0, or the comparison is blind.
"""

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field, replace
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any

from killable import OPERATIONS, PHASES, Plan
from report import HERE, Failure, progress, provenance, publish, run_json, table
from sameness import arrays, differences, digest
from sessions import Forked, Launch, Session, fresh

from footlight import checkpoint
from footlight.cli import main as footlight
from footlight.errors import UserError

TARGETS = ("saving", "group", "parent", "worker")  # in turn: half of all kills take the whole group
AIMS = ("training", "startup", "training", "evaluation", "training", "saving")  # phases to strike in, in turn
MOST_FRUITLESS = 3  # starts in a row without a newer checkpoint
POINTS = 60  # checkpoints in a run


@dataclass(frozen=True, kw_only=True)
class Case:
    """A training to be killed."""

    algorithm: str
    environment: str
    steps: int
    options: dict[str, Any]
    controls: tuple[str, ...] = ()
    """Keys of `killable.TAMPERINGS` that it is to notice."""

    @property
    def checkpoint_every(self) -> int:
        """Environment steps between two checkpoints."""
        return max(1, self.steps // POINTS)

    @property
    def eval_every(self) -> int:
        """Environment steps between two evaluations: some lie where checkpoints do, some between."""
        return self.checkpoint_every * 7 // 2

    def train(self, run_dir: Path, seed: int) -> list[str]:
        """The words of the command that begins it."""
        options = {"steps": self.steps, "seed": seed, "run_dir": run_dir, "compile": "off", "threads": 1, "eval_episodes": 1}
        options |= {"checkpoint_every": self.checkpoint_every, "eval_every": self.eval_every, **self.options}
        words = ["train", self.algorithm, self.environment]
        for name, value in options.items():
            values = value if isinstance(value, tuple) else (value,)
            words += [f"--{name.replace('_', '-')}", *map(str, values)]
        return words

    def __str__(self) -> str:
        return f"{self.algorithm} {self.environment}"


CASES = {
    "sac": Case(
        algorithm="sac", environment="Pendulum-v1", steps=6_000,
        options={"n_steps": 3, "num_envs": 2, "vectorization": "sync", "compile": "on"},
        controls=("streams", "buffer"),
    ),
    "td3": Case(
        algorithm="td3", environment="MountainCarContinuous-v0", steps=6_000, options={}, controls=("moment",),
    ),
    "sac-mujoco": Case(
        algorithm="sac", environment="HalfCheetah-v5", steps=4_000,
        options={"hidden_sizes": (32, 32), "batch_size": 32, "learning_starts": 500}, controls=("environments",),
    ),
    "a2c": Case(
        algorithm="a2c", environment="CartPole-v1", steps=24_000,
        options={"num_envs": 4, "vectorization": "async", "normalize_observations": True}, controls=("logs", "environments"),
    ),
    "ppo": Case(
        algorithm="ppo", environment="Pendulum-v1", steps=24_000,
        options={
            "num_envs": 4, "vectorization": "sync", "n_steps": 128, "normalize_observations": True, "normalize_rewards": True,
        },
        controls=("normaliser",),
    ),
    "stream-ac": Case(
        algorithm="stream-ac", environment="CartPole-v1", steps=12_000, options={}, controls=("streams", "normaliser"),
    ),
    "replay-actor-critic": Case(
        algorithm="replay-actor-critic", environment="CartPole-v1", steps=12_000, options={}, controls=("moment", "buffer"),
    ),
    "atari": Case(
        algorithm="a2c", environment="ALE/Breakout-v5", steps=3_000, options={"num_envs": 1}, controls=("environments",),
    ),
}  # fmt: skip


@dataclass
class Outcome:
    """What one case came to."""

    case: Case
    failures: list[str] = field(default_factory=list)
    digest: str = ""
    starts: int = 0
    fruitless: int = 0
    """The most starts in a row that came to no newer checkpoint."""
    targets: Counter[str] = field(default_factory=Counter)
    phases: Counter[str] = field(default_factory=Counter)
    operations: Counter[str] = field(default_factory=Counter)
    """What was not lived to be done, in the kills at file operations."""
    controls: dict[str, str] = field(default_factory=dict)
    """Control -> the first difference that it made."""


@dataclass(frozen=True)
class Measure:
    """What is known of an uninterrupted run before one is killed."""

    run_dir: Path
    startup: float
    """Seconds before the loop begins."""
    operations: int
    """File operations in the run folder."""
    saves: int
    """Checkpoints, the first of which is at step 0."""


class Examination:
    """A case put to the test in a folder; `outcome` says how it went."""

    def __init__(self, case: Case, folder: Path, seed: int, launch: Launch) -> None:
        self.case, self.folder, self.seed, self.launch = case, folder, seed, launch
        self.outcome = Outcome(case)
        self.random = random.Random(f"{seed} {case}")

    def run(self, targets: Sequence[str], controls: Sequence[str]) -> Outcome:
        """Everything; `targets` are the kills, in an order that is drawn."""
        try:
            measure = self.uninterrupted()
            self.killed(measure, self.random.sample(list(targets), len(targets)))
            for number, name in enumerate(controls):
                self.control(measure, name, is_first=number == 0)
        except (Failure, UserError) as failure:
            self.outcome.failures.append(str(failure))
        finally:
            self._session.end()
        return self.outcome

    def uninterrupted(self) -> Measure:
        """R0 as a user would type it; the same again, watched; and another seed."""
        first, again, other = (self.folder / name for name in ("R0", "R0-again", "RS"))
        self._start(None, self.case.train(first, self.seed)).expect(0)
        session = self._start(Plan(run_dir=str(again), pulse=""), self.case.train(again, self.seed))
        startup = session.wait_for("training")
        session.expect(0)
        if unequal := differences(first, again):
            raise Failure(f"two runs of seed {self.seed} differ, so the comparison would mean nothing: {unequal[0]}")
        self._start(None, self.case.train(other, self.seed + 1)).expect(0)
        self.outcome.digest = digest(checkpoint.find(first))
        if digest(checkpoint.find(other)) == self.outcome.digest:
            self.outcome.failures.append(f"seeds {self.seed} and {self.seed + 1} give the same run")
        return Measure(first, startup, session.pulse.operations, session.pulse.saves + 1)

    def killed(self, measure: Measure, targets: Sequence[str]) -> None:
        """The run with kills, and its comparison with R0."""
        run_dir, fruitless = self.folder / "killed", 0
        for number, target in enumerate(targets):
            at = step_of(run_dir)
            if at == self.case.steps:
                break
            # How much of the run this start may do: such that all of them together come to its end, more or less
            share = self.random.uniform(0, 2 * (1 - (at or 0) / self.case.steps) / (len(targets) - number + 1))
            if fruitless == MOST_FRUITLESS - 1:
                share = max(share, 2 / POINTS)
            dies_at = 1 + int(share * measure.operations) if target == "saving" else 0
            session = self._begin_or_resume(run_dir, at, Plan(run_dir=str(run_dir), pulse="", dies_at=dies_at))
            if target != "saving":
                aim = AIMS[number % len(AIMS)] if fruitless < MOST_FRUITLESS - 1 else "training"
                self._await_moment(session, aim, (at or 0) + share * self.case.steps, measure.startup)
                target = session.kill(target, self.random)
            if session.expect(*((0, 3) if target == "worker" else (0, -9))) != 0:  # else it was too late: it had ended
                self._count(session, target)
            session.require_no_orphans()
            self._require_nothing_lost(run_dir, max(-1 if at is None else at, session.pulse.saved), session)
            fruitless = 0 if (step_of(run_dir) or 0) > (at or 0) else fruitless + 1
            self.outcome.fruitless = max(self.outcome.fruitless, fruitless)
            if fruitless >= MOST_FRUITLESS:
                raise Failure(f"{fruitless} starts in a row came to no newer checkpoint than that of step {at}")
        self._begin_or_resume(run_dir, step_of(run_dir), None).expect(0, *([2] if step_of(run_dir) == self.case.steps else []))
        self.outcome.failures += [f"killed, then R0 - {line}" for line in differences(run_dir, measure.run_dir)]
        if left := [str(path.relative_to(run_dir)) for path in sorted(run_dir.rglob(".*")) if path.name != ".lock"]:
            self.outcome.failures.append(f"left behind in the run folder: {len(left)} hidden files or folders, such as {left[0]}")

    def _await_moment(self, session: Session, aim: str, step: float, startup: float) -> None:
        """Until there is something to be struck: in the phase `aim`, at or after `step`."""
        if aim == "startup":
            time.sleep(self.random.uniform(0, startup))
        else:
            session.wait_for("training", step)
            session.wait_for(aim)
            time.sleep(self.random.uniform(0, 0.02))

    def _count(self, session: Session, target: str) -> None:
        self.outcome.targets[target] += 1
        self.outcome.phases[PHASES[session.pulse.phase]] += 1
        if target == "saving":
            self.outcome.operations[OPERATIONS[session.pulse.last_operation]] += 1

    def control(self, measure: Measure, name: str, is_first: bool) -> None:
        """One kill late in the run, and a resume that goes on from another state than was saved. Has to differ from R0."""
        original, run_dir = self.folder / "control", self.folder / f"control-{name}"
        if is_first:
            every, evals = self.case.checkpoint_every, self.case.eval_every
            # An evaluation since the last checkpoint has written into a log, which is longer now than the checkpoint says
            save = max(k for k in range(1, measure.saves - 1) if k * every // evals > (k - 1) * every // evals)
            plan = Plan(run_dir=str(original), pulse="", dies_at=1, in_save=save)
            self._start(plan, self.case.train(original, self.seed)).expect(-9)
        shutil.copytree(original, run_dir)
        session = self._start(Plan(run_dir=str(run_dir), pulse="", tamper=name), ["resume", str(run_dir)])
        session.expect(0)
        if not session.pulse.tampered:
            raise Failure(f"control {name}: nothing was falsified - killable.py no longer fits the package")
        found = differences(measure.run_dir, run_dir)
        self.outcome.controls[name] = found[0].partition(";")[0] if found else "no difference"
        if not found:
            self.outcome.failures.append(f"control {name} equals R0: the comparison is blind")

    def _start(self, plan: Plan | None, words: list[str]) -> Session:
        self.outcome.starts += 1
        self._session = Session(self.launch, plan, words, self.folder / f"start-{self.outcome.starts}")
        return self._session

    def _begin_or_resume(self, run_dir: Path, at: int | None, plan: Plan | None) -> Session:
        if at is None:  # there is nothing to go on from, and a run folder is never used twice
            shutil.rmtree(run_dir, ignore_errors=True)
            return self._start(plan, self.case.train(run_dir, self.seed))
        return self._start(plan, ["resume", str(run_dir)])

    def _require_nothing_lost(self, run_dir: Path, at_least: int, session: Session) -> None:
        """After a kill: the newest checkpoint is whole and as new as one that was whole before, and `verify` agrees."""
        if at_least < 0:
            return
        where = f"after {session}"
        try:
            newest = checkpoint.find(run_dir)
            step = checkpoint.read_manifest(newest)["step"]
            arrays(newest)
            json.loads((run_dir / "config.json").read_text())
        except (UserError, OSError, ValueError) as error:
            raise Failure(f"lost {where}: {error}") from None
        if step < at_least:
            raise Failure(f"lost {where}: the newest checkpoint is of step {step}, and there was one of step {at_least}")
        code, said = call("verify", str(run_dir)) if has_verify() else (0, "")
        if code != 0:
            self.outcome.failures.append(f"`footlight verify` gives {code} {where}: {said.strip()}")


def step_of(run_dir: Path) -> int | None:
    """The step of the newest checkpoint; None where there is none."""
    try:
        return int(checkpoint.read_manifest(checkpoint.find(run_dir))["step"])
    except UserError:
        return None


def call(*words: str) -> tuple[int, str]:
    """A command of footlight in this process: its exit code, and what it said."""
    said = StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        try:
            code = footlight(words)
        except SystemExit as leaving:
            code = int(leaving.code or 0)
    return code, said.getvalue()


@cache
def has_verify() -> bool:
    """Whether this footlight has the command `verify`."""
    return call("verify", "--help")[0] == 0


def examine(
    case: Case, targets: Sequence[str], controls: Sequence[str], seed: int, launch: Launch, folder: Path | None = None
) -> Outcome:
    """A case put to the test. `folder` is kept; without it, everything happens in one that is thrown away."""
    with tempfile.TemporaryDirectory() as temporary:
        return Examination(case, folder or Path(temporary), seed, launch).run(targets, controls)


def read_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("cases", nargs="*", choices=[[], *CASES], metavar="CASE", help=f"any of {', '.join(CASES)} (default: all)")
    add("--kills", type=int, default=20, metavar="N", help="kills of each run (default: 20)")
    add("--seed", type=int, default=0, metavar="S", help="of the runs, and of when and how they are killed (default: 0)")
    add("--quick", action="store_true", help="3 kills of runs a tenth as long, and starts without imports: a look")
    add("--keep", type=Path, metavar="DIR", help="keep the run folders and outputs in this new folder")
    add("--output", type=Path, metavar="FILE", help="write the report here too")
    arguments = parser.parse_args()
    arguments.kills = 3 if arguments.quick else arguments.kills
    return arguments


def main() -> int:
    """Examine, report; 1 where anything failed."""
    arguments, outcomes = read_arguments(), []
    for name in arguments.cases or CASES:
        case = CASES[name]
        if arguments.quick:
            case = replace(case, steps=case.steps // 10)
        folder = None
        if arguments.keep:
            folder = arguments.keep / name
            folder.mkdir(parents=True)
        targets = [TARGETS[number % len(TARGETS)] for number in range(arguments.kills)]
        started = time.monotonic()
        outcome = examine(case, targets, case.controls, arguments.seed, Forked if arguments.quick else fresh, folder)
        outcomes.append(outcome)
        verdict = f"FAILED: {outcome.failures[0]}" if outcome.failures else "equal"
        progress(f"{name}: {outcome.targets.total()} kills, {time.monotonic() - started:.0f} s, {verdict}")
    publish(report(outcomes), arguments.output)
    return int(any(outcome.failures for outcome in outcomes))


def report(outcomes: Sequence[Outcome]) -> list[str]:
    """Tables, failures, provenance."""
    kills = [["case", "steps", "kills", *TARGETS, *PHASES, "fruitless", "SHA-256 of the end", ""]]
    controls = [["control", "case", "first difference from R0"]]
    operations: Counter[str] = Counter()
    notes = []
    for outcome in outcomes:
        counts = [str(outcome.targets[target]) for target in TARGETS] + [str(outcome.phases[phase]) for phase in PHASES]
        cells = [str(outcome.case), f"{outcome.case.steps:,}", str(outcome.targets.total()), *counts, str(outcome.fruitless)]
        kills.append([*cells, outcome.digest[:16] or "-", "FAILED" if outcome.failures else "equal"])
        controls += [[name, str(outcome.case), found] for name, found in outcome.controls.items()]
        operations += outcome.operations
        notes += [f"{outcome.case}: {failure}" for failure in outcome.failures]
    shown = ", ".join(f"{name.removeprefix('os.')} {count}" for name, count in operations.most_common())
    lines = [
        "Runs killed with SIGKILL and resumed until they ended, compared with the same runs left alone: every array and counter",
        "of the last checkpoint, every line of the logs but for clocks, the result. Kills by target (saving: the whole group,",
        f"before a file operation: {shown or 'none'}), then by the phase that they struck in.",
    ]
    versions = {"footlight": run_json([sys.executable, HERE / "ours.py", "versions"])}
    for block in (table(kills), table(controls) if controls[1:] else [], notes, provenance(versions)):
        lines += ["", *block] if block else []
    return lines


if __name__ == "__main__":
    sys.exit(main())
