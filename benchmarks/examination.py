"""Test of a training: uninterrupted, killed and resumed repeatedly, and with a falsified state."""

import json
import random
import shutil
import time
from collections.abc import Sequence
from itertools import count, cycle
from pathlib import Path

from examination_cases import Case, Measure, Outcome, call, has_verify, last_logged, step_of
from killable import OPERATIONS, PHASES, Plan
from report import Failure
from sameness import arrays, differences, digest
from sessions import Launch, Session

from footlight.errors import UserError
from footlight.storage import checkpoint

AIMS = (
    "training",
    "startup",
    "training",
    "evaluation",
    "training",
    "saving",
)  # phases to strike in, in turn
MAX_FRUITLESS = 3  # starts in a row without a newer checkpoint


class Examination:
    """A case put to the test in a folder; `outcome` says how it went."""

    def __init__(self, case: Case, folder: Path, seed: int, launch: Launch) -> None:
        self.case, self.folder, self.seed, self.launch = case, folder, seed, launch
        self.outcome = Outcome(case)
        self.random = random.Random(f"{seed} {case}")

    def run(self, targets: Sequence[str], controls: Sequence[str]) -> Outcome:
        """Everything; `targets` are the kills, in an order that is drawn."""
        failures = self.outcome.failures
        try:
            measure = self.uninterrupted()
            failures += self.killed(measure, self.random.sample(list(targets), len(targets)))
            for number, name in enumerate(controls):
                failures += self.control(measure, name, is_first=number == 0)
            if self.case.every_operation:
                failures += self.every_operation(measure)
        except (Failure, UserError) as failure:
            failures.append(str(failure))
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
            raise Failure(
                f"two runs of seed {self.seed} differ, so the comparison would mean nothing: "
                f"{unequal[0]}"
            )
        self._start(None, self.case.train(other, self.seed + 1)).expect(0)
        self.outcome.digest = digest(checkpoint.find(first))
        if digest(checkpoint.find(other)) == self.outcome.digest:
            raise Failure(f"seeds {self.seed} and {self.seed + 1} give the same run")
        return Measure(first, startup, session.pulse.operations, session.pulse.saves + 1)

    def killed(self, measure: Measure, targets: Sequence[str]) -> list[str]:
        """The run with kills, and its faults. Raises `Failure` if it does not finish."""
        run_dir, fruitless, failures = self.folder / "killed", 0, list[str]()
        aims = cycle(AIMS)
        for number, target in enumerate(targets):
            at = step_of(run_dir)
            if at == self.case.steps:
                break
            # The part of the run for this start: all of them together roughly reach its end.
            share = self.random.uniform(
                0, 2 * (1 - (at or 0) / self.case.steps) / (len(targets) - number + 1)
            )
            if fruitless == MAX_FRUITLESS - 1:
                share = max(share, 2 / self.case.checkpoints)
            dies_at = 1 + int(share * measure.operations) if target == "saving" else 0
            session = self._begin_or_resume(
                run_dir, at, Plan(run_dir=str(run_dir), pulse="", dies_at=dies_at)
            )
            if target != "saving":
                aim = next(aims) if fruitless < MAX_FRUITLESS - 1 else "training"
                self._await_moment(
                    session, aim, (at or 0) + share * self.case.steps, measure.startup
                )
                target = session.kill(target, self.random)
            if (
                session.expect(*((0, 3) if target == "worker" else (0, -9))) != 0
            ):  # else it was too late: it had ended
                self._count(session, target)
            session.require_no_orphans()
            failures += self._verify(
                run_dir, max(-1 if at is None else at, session.pulse.saved), session
            )
            fruitless = 0 if (step_of(run_dir) or 0) > (at or 0) else fruitless + 1
            self.outcome.fruitless = max(self.outcome.fruitless, fruitless)
            if fruitless >= MAX_FRUITLESS:
                raise Failure(
                    f"{fruitless} starts in a row have not got beyond the checkpoint of step {at}"
                )
        self._finish(run_dir)
        failures += [f"killed, then R0 - {line}" for line in differences(run_dir, measure.run_dir)]
        if left := [
            str(path.relative_to(run_dir))
            for path in sorted(run_dir.rglob(".*"))
            if path.name != ".lock"
        ]:
            failures.append(
                f"left behind in the run folder: {len(left)} hidden files or folders, such as "
                f"{left[0]}"
            )
        return failures

    def _await_moment(self, session: Session, aim: str, step: float, startup: float) -> None:
        """Until there is something to be struck: in the phase `aim`, at or after `step`."""
        if aim == "startup":
            time.sleep(self.random.uniform(0, startup))
        else:
            session.wait_for("training", step)
            session.wait_for(aim)
            time.sleep(self.random.uniform(0, 0.005))

    def _count(self, session: Session, target: str) -> None:
        self.outcome.targets[target] += 1
        self.outcome.phases[PHASES[session.pulse.phase]] += 1
        if target == "saving":
            self.outcome.operations[OPERATIONS[session.pulse.last_operation]] += 1

    def every_operation(self, measure: Measure, stride: int = 1) -> list[str]:
        """Kill a resume that saves at each `stride`-th file operation, then resume it.

        Returns the faults after any of them.
        """
        run_dir, more, failures = (
            self.folder / "operation",
            ["--steps", str(self.case.steps + 1)],
            list[str](),
        )
        straight = self._copy(measure.run_dir, "operation-none")
        self._start(None, ["resume", str(straight), *more]).expect(0)
        for stops in (True, False):  # it saves at the step of the newest checkpoint; at the next
            for number in count(1, stride):
                self._copy(measure.run_dir, run_dir.name)
                plan = Plan(run_dir=str(run_dir), pulse="", dies_at=number, stops=stops)
                session = self._start(plan, ["resume", str(run_dir), *more])
                if session.expect(-9, 0, 143) != -9:
                    break
                operation = OPERATIONS[session.pulse.last_operation]
                self.outcome.operations[operation] += 1
                try:
                    found = self._verify(run_dir, self.case.steps, session)
                    self._finish(run_dir, *more)
                    found += differences(run_dir, straight)
                except Failure as failure:
                    found = [str(failure)]
                failures += [
                    f"killed before {operation} (number {number}): {line}" for line in found[:1]
                ]
        return failures

    def _finish(self, run_dir: Path, *more: str) -> None:
        """Resume to the end; exit code 2 is for a run that was there already."""
        is_there = step_of(run_dir) == int(more[-1] if more else self.case.steps)
        self._begin_or_resume(run_dir, step_of(run_dir), None, *more).expect(
            0, *([2] if is_there else [])
        )

    def _copy(self, run_dir: Path, name: str) -> Path:
        shutil.rmtree(self.folder / name, ignore_errors=True)
        shutil.copytree(run_dir, self.folder / name)
        return self.folder / name

    def control(self, measure: Measure, name: str, is_first: bool) -> list[str]:
        """Kill late in the run, and resume from another state than was saved.

        The result has to differ from R0.
        """
        original = self.folder / "control"
        if is_first:
            # Once a log has grown since the newest checkpoint, so that there is a part to truncate.
            for save in range(measure.saves - 2, 0, -1):
                shutil.rmtree(original, ignore_errors=True)
                plan = Plan(run_dir=str(original), pulse="", dies_at=1, in_save=save)
                self._start(plan, self.case.train(original, self.seed)).expect(-9)
                if last_logged(original) > (step_of(original) or 0):
                    break
            else:
                raise Failure(
                    "no log grows between two checkpoints: the case is too short for controls"
                )
        run_dir = self._copy(original, f"control-{name}")
        session = self._start(
            Plan(run_dir=str(run_dir), pulse="", tamper=name), ["resume", str(run_dir)]
        )
        session.expect(0)
        if not session.pulse.tampered:
            raise Failure(
                f"control {name}: nothing was falsified - killable.py no longer fits the package"
            )
        found = differences(measure.run_dir, run_dir)
        self.outcome.controls[name] = found[0].partition(";")[0] if found else "no difference"
        return [] if found else [f"control {name} equals R0: the comparison is blind"]

    def _start(self, plan: Plan | None, words: list[str]) -> Session:
        self.outcome.starts += 1
        self._session = Session(
            self.launch, plan, words, self.folder / f"start-{self.outcome.starts}"
        )
        return self._session

    def _begin_or_resume(
        self, run_dir: Path, at: int | None, plan: Plan | None, *more: str
    ) -> Session:
        if at is None:  # there is nothing to go on from, and a run folder is never used twice
            shutil.rmtree(run_dir, ignore_errors=True)
            return self._start(plan, self.case.train(run_dir, self.seed))
        return self._start(plan, ["resume", str(run_dir), *more])

    def _verify(self, run_dir: Path, at_least: int, session: Session) -> list[str]:
        """The output of `footlight verify` after a kill.

        Raises `Failure` if a checkpoint of step `at_least` or later is lost.
        """
        if at_least < 0:
            return []
        where = f"after {session}"
        try:
            newest = checkpoint.find(run_dir)
            step = checkpoint.read_manifest(newest)["step"]
            arrays(newest)
            json.loads((run_dir / "config.json").read_text())
        except (UserError, OSError, ValueError) as error:
            raise Failure(f"lost {where}: {error}") from None
        if step < at_least:
            raise Failure(
                f"lost {where}: the newest checkpoint is of step {step}, and there was one of step "
                f"{at_least}"
            )
        code, said = call("verify", str(run_dir)) if has_verify() else (0, "")
        return (
            [f"`footlight verify` gives {code} {where}: {said.strip().splitlines()[-1]}"]
            if code
            else []
        )
