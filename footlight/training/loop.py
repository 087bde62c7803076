"""The loop, and the run around it: evaluations, logs, checkpoints, signals."""

import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from footlight.config.options import Options
from footlight.environments.make import Environments
from footlight.environments.reproduce import SurvivedFaults
from footlight.environments.wrappers import share_statistics
from footlight.errors import (
    DeviceFault,
    Diverged,
    EnvironmentFault,
    StorageFault,
    UserError,
    quoted,
)
from footlight.instruments.histograms import histograms
from footlight.instruments.progress import MEAN_OF, Display
from footlight.instruments.videos import Recorder
from footlight.learning.agent import Agent
from footlight.machine import describe_machine, device_fault
from footlight.runs.folder import RunFolder
from footlight.runs.lock import require_held
from footlight.runs.read import last_returns
from footlight.signals import Interruption
from footlight.storage import checkpoint
from footlight.storage.files import make_own_folder
from footlight.storage.manager import Rotation
from footlight.streams import Streams, derived_seed
from footlight.training.evaluator import Evaluator
from footlight.training.instances import announce_replay, judge_replay
from footlight.training.threads import CrowdWatch
from footlight.types import Array

MOST_ROLLBACKS = 2  # of a run that diverges, to its last good state
MOST_FAILURES = 3  # checkpoints in a row that could not be written
# Array of a checkpoint that was written after a fault; the agent has the decision behind it
_UNANSWERED = "unanswered.action"
LAST_PAUSES = (1.0, 5.0)  # seconds before the last one is tried again


class Training:
    """A run in progress: an agent in its environments, and the folder that remembers."""

    def __init__(
        self, agent: Agent, environments: Environments, evaluation_env: Environments | None, options: Options,
        folder: RunFolder, display: Display, record: Mapping[str, Any], interruption: Interruption,
        recorder: Recorder | None = None, other_environment: str | None = None,
    ) -> None:  # fmt: skip
        self.agent, self.environments = agent, environments
        self.options, self.folder, self.display, self.recorder = options, folder, display, recorder
        self.record, self._saved_record = record, record
        self._other_environment = (
            other_environment  # the name of one that is given in place of the recorded one
        )
        self.checkpoints = Rotation(folder.path, options.keep_checkpoints)
        self.interruption = interruption
        self.evaluator = Evaluator(evaluation_env, options, display, interruption)
        self.finished_episodes = 0
        self.seconds = 0.0  # of the loop, over all sessions of the run
        self.rollbacks = 0  # to the last good state, after divergence
        self._failures = 0  # to save, in a row
        self.after_flush: Callable[[], None] = lambda: (
            None
        )  # called now and then, between two steps
        self._stock_taken_at = -1
        self._unanswered: Array | None = (
            None  # the actions of a step that has failed, or is under way
        )
        self._last_step = agent.num_steps
        self.crowd = CrowdWatch(record["threads"], record["device"], display.say)
        self.faults = SurvivedFaults(folder.path, record, display.say)
        if options.on_env_fault == "new-episode":
            environments.on_fault = self.evaluator.on_fault = self.faults

    def compile(self) -> float:
        """Compile the update, if it is to be compiled, and say so; the seconds that it took."""
        is_wanted = self.agent.compiled  # which the agent gives up where there is no compiler
        if not is_wanted:
            return 0.0
        self.display.say(
            "compiling the update (once for each configuration; a new machine takes longest) ..."
        )
        started = time.monotonic()
        self.agent.compile()
        seconds = time.monotonic() - started
        if self.agent.compiled:
            self.display.say(f"compiled in {seconds:.1f} s")
        elif self.agent.num_steps:  # eager numbers are rounded otherwise
            self.mark_inexact("resumed without the compiler that it began with")
        return seconds

    def mark_inexact(self, reason: str) -> None:
        """Say, and have the record say, why numbers may differ from here on, besides what it says already."""
        known = self.record["resume"]
        if reason not in known:
            self.record = {
                **self.record,
                "resume": reason if known == "exact" else f"{known}; {reason}",
            }
        self.display.say(f"inexact: {reason} - numbers may differ from an uninterrupted run's")

    def save_record(self) -> None:
        """Save where the record has changed, so that it holds for later, too, and have `config.json` say it."""
        if self.record != self._saved_record:
            self.save()
            self.folder.write_json("config.json", self.record)

    def run(self) -> dict[str, Any]:
        """`train_and_save`, stopped cleanly by SIGINT, SIGTERM and the end of its time."""
        self.interruption.is_looked_at = True
        try:
            result = self.train_and_save()
            if result["status"] == "finished":
                self._record(
                    self.agent.num_steps
                )  # when everything is saved: drivers have ended whole processes
            return result
        finally:
            self.interruption.is_looked_at = False

    def train_and_save(self) -> dict[str, Any]:
        """Train until `options.steps`, evaluate, save; the content of `result.json`.

        A signal stops it at the next step, a fault or divergence where it happens; what is whole is saved either way.
        """
        status, before, started = "failed", self.seconds, time.monotonic()
        try:
            while status == "failed":
                try:
                    status = self._train(before - started)
                except Diverged as error:
                    self._roll_back(error)
                except (MemoryError, RuntimeError) as error:
                    if (what := device_fault(error)) is None:
                        raise
                    remedy = f"make room, then `footlight resume {quoted(self.folder.path)}`"
                    raise DeviceFault(
                        f"{what} - {self.checkpoints.newest} is the newest checkpoint - {remedy}"
                    ) from error
        except EnvironmentFault:
            status = "fault"
            raise
        finally:
            raised = sys.exception()
            diverged = isinstance(raised, Diverged)
            self.seconds = before + time.monotonic() - started
            # After any other exception the state may be half made, or not finite: the last good one stays the newest
            if raised is None or isinstance(raised, EnvironmentFault | StorageFault):
                self._save_at_last()
            if not isinstance(
                raised, DeviceFault
            ):  # which has perhaps taken along what metrics are read from
                self._log_metrics()  # behind the checkpoint: a resumed run writes this line where an uninterrupted one would
            self.folder.flush()
            result = self._result("diverged" if diverged else status)
            self.folder.write_json("result.json", result)  # last: a run without it has not ended
        return result

    def _train(self, clock: float) -> str:
        """Train to the end, or until something asks for a stop; which of the two. `clock` is added to the monotonic one."""
        try:
            if self.evaluator.due:
                self._take_stock(self.agent.num_steps)
                if (
                    self.evaluator.is_best(self.agent.num_steps)
                    and self.options.checkpoint_interval
                ):
                    self._save_now()
            for step in self._steps():
                self.seconds = clock + time.monotonic()
                self._after_step(step)
            finished = self.agent.num_steps >= self.options.steps
            if finished:
                self.agent.finish()
            self.agent.require_finite()
            if finished:
                self._take_stock(self.agent.num_steps)
            return "finished" if finished and not self.evaluator.due else "stopped"
        except EnvironmentFault:
            self.agent.require_finite()  # an action that is no number is not the environment's fault
            raise

    def _roll_back(self, error: Diverged) -> None:
        """Keep what the agent diverged on, and go back to the last good state, with other random numbers from there on.

        Raises the error instead once that has not helped `MOST_ROLLBACKS` times.
        """
        number, good = self.rollbacks + 1, self._newest_whole()
        kept = self.folder.path / "crash" / f"diverged-{number}"
        try:
            make_own_folder(kept.parent)
            checkpoint.write(
                kept,
                {"batch": self.agent.batch()},
                {"message": str(error), "step": self.agent.num_steps},
            )
            where = f"the batch is in {kept}"
        except (OSError, StorageFault) as fault:
            where = f"the batch could not be kept: {fault}"
        if number > MOST_ROLLBACKS or good is None:
            raise Diverged(
                f"{error}\n{where}; going back has not helped {MOST_ROLLBACKS} times"
            ) from error
        self.agent.restore(good)
        self.restore(good)
        self.rollbacks = number
        self.agent.streams = Streams(derived_seed(self.options.seed, "rollback", number))
        self.save_record()
        self.display.say(
            f"{error}\n{where}; going on from {good.name} with other random numbers ({number} of {MOST_ROLLBACKS})"
        )

    def _newest_whole(self) -> Path | None:
        try:
            return checkpoint.find(self.folder.path, self.display.say)
        except UserError as error:
            self.display.say(str(error))
            return None

    def _steps(self) -> Iterator[int]:
        """The loop. A loop written by hand makes the same two calls: `act` and `observe`."""
        agent, environments, observe = (
            self.agent,
            self.environments,
            self.crowd.timed(self.agent.observe),
        )
        buffer: Any = agent.buffer
        abandons = environments.can_abandon and hasattr(buffer, "is_dropped")
        while (left := self.options.steps - agent.num_steps) > 0 and self.interruption.goes_on():
            # Not in the step of the update: a reset may fail, and what that step brought has to be logged and saved first
            if abandons and (dropped := np.flatnonzero(buffer.is_dropped).tolist()):
                environments.abandon(dropped)
                agent.forget_episodes(dropped)
            # A fault in the last session may have come between the two: random numbers are drawn for each step once
            action = (
                agent.act(environments.observation, explore=True)
                if self._unanswered is None
                else self._unanswered
            )
            self._unanswered = action
            transition = environments.step(action)
            self._unanswered = None
            if environments.failed:
                agent.forget_episodes(environments.failed)
            if left < environments.num_envs:  # the run has exactly as many steps as were asked for
                counted = np.arange(environments.num_envs) < left
                transition = transition._replace(
                    valid=counted if transition.valid is None else counted & transition.valid
                )
                agent.forget_episodes(np.flatnonzero(~counted).tolist())
                environments.finished = [
                    episode for episode in environments.finished if counted[episode.env]
                ]
            observe(*transition)
            yield agent.num_steps

    def _after_step(self, step: int) -> None:
        before, self._last_step = self._last_step, step
        self.finished_episodes += len(self.environments.finished)
        for episode in self.environments.finished:
            end = "terminated" if episode.terminated else "truncated"
            record = {
                "step": step,
                "env": episode.env,
                "return": episode.total,
                "length": episode.length,
                end: True,
            }
            self.folder.append("episodes", record | ({"fault": True} if episode.fault else {}))
        if _crossed(before, step, self.options.log_interval):
            self._log_metrics()
        if _crossed(before, step, self.options.evaluation_interval) and step < self.options.steps:
            self._take_stock(step)
        due = (
            _crossed(before, step, self.options.checkpoint_interval)
            or self.interruption.wants_checkpoint
        )
        if (
            due or (self.evaluator.is_best(step) and self.options.checkpoint_interval)
        ) and step < self.options.steps:
            self._save_now()
        if _crossed(before, step, self.options.video_every) and step < self.options.steps:
            self._record(step)
        returns = [episode.total for episode in self.environments.finished]
        self.display.update(step, updates=self.agent.num_updates, returns=returns)

    def _log_metrics(self) -> None:
        metrics = {
            name: value for name, value in self.agent.metrics().items() if math.isfinite(value)
        }
        if metrics:
            step, update = self.agent.num_steps, self.agent.num_updates
            self.folder.append(
                "metrics",
                {"step": step, "update": update, "time_s": round(self.seconds, 3), **metrics},
            )
            self._flush()
            self.display.update(step, updates=update, metrics=metrics)
            self.crowd.look()
            self.after_flush()

    def _flush(self) -> None:
        """Hand the logs to the system. What cannot be written waits; saving, which needs them, judges how long."""
        try:
            self.folder.flush()
        except StorageFault as fault:
            if not self._failures:
                self.display.say(f"{fault}\ngoing on; lines wait in memory")

    def _take_stock(self, step: int) -> None:
        """Evaluate, and log histograms where they are asked for; once at each step, and later where a signal came in between."""
        if self._stock_taken_at == step:
            return
        if self.evaluator.environments is not None:
            share_statistics(self.environments, self.evaluator.environments)
        evaluation = self.evaluator.run(self.agent.policy, step, self.finished_episodes)
        if self.evaluator.due:
            return
        if evaluation is not None:
            self.folder.append("evaluations", {"step": step, **evaluation.to_json()})
            self._flush()
            self.display.update(
                step, updates=self.agent.num_updates, evaluation_return=evaluation.mean_return
            )
        self._stock_taken_at = step
        if self.options.track_histograms:
            self.folder.append(
                "histograms", {"step": step, **histograms(self.agent.networks, self.agent.state)}
            )
            self._flush()

    def _record(self, step: int) -> None:
        if self.recorder is not None:
            path = self.folder.path / "videos" / f"step-{step:09d}.mp4"
            with self.display.activity(
                "recording a video", 1, self.interruption.goes_on
            ) as progress:
                self.recorder.record(path, lambda: not progress(0))

    def _result(self, status: str) -> dict[str, Any]:
        steps = self.agent.num_steps
        final = self.evaluator.at(steps)
        return {
            "status": status,
            "steps": steps,
            "updates": self.agent.num_updates,
            "seconds": round(self.seconds, 3),
            "steps_per_second": round(steps / self.seconds, 1) if self.seconds else 0.0,
            "env_faults": self.faults.count,
            "final_evaluation": {"step": steps, **final.to_json()} if final else None,
        }

    def save(self) -> None:
        """Write a checkpoint of everything, point LATEST at it, and remove those that are too old.

        Raises `Diverged` where the state is not finite, and `StorageFault`.
        """
        self.agent.require_finite()
        step = self.agent.num_steps
        manifest = {
            **self.agent.manifest(),
            "step": step,
            "seconds": self.seconds,
            "stock_taken_at": self._stock_taken_at,
            "finished_episodes": self.finished_episodes,
            **self.evaluator.manifest(step),
            "rollbacks": self.rollbacks,
            "env_faults": self.faults.count,
            "logs": self.folder.marks(),
            "run": self.record,
            "machine": describe_machine(),
        }
        require_held(self.folder.path)
        acted = {} if self._unanswered is None else {_UNANSWERED: self._unanswered}
        groups = {**self.agent.groups(), "environments": {**self.environments.arrays(), **acted}}
        spans = {
            name: checkpoint.Span(*span)
            for name, span in getattr(self.agent.buffer, "spans", dict)().items()
        }
        best = self.evaluator.best
        self.checkpoints.save(
            step, groups, manifest, {"buffer": spans}, int(best["step"]) if best else None
        )
        self._saved_record = self.record

    def _save_now(self) -> None:
        """`save`, but a disk that is full may have been cleared by the next time: only several failures in a row are raised."""
        self.interruption.wants_checkpoint = False
        try:
            self.save()
            self._failures = 0
        except StorageFault as fault:
            self._failures += 1
            if self._failures == MOST_FAILURES:
                raise
            self.display.say(
                f"{fault}\ngoing on without this checkpoint ({self._failures} of {MOST_FAILURES} failures)"
            )

    def _save_at_last(self) -> None:
        for pause in LAST_PAUSES:
            try:
                return self.save()
            except StorageFault as fault:
                self.display.say(f"{fault}\ntrying again in {pause:.0f} s")
                time.sleep(pause)
        self.save()

    def restore(self, folder: Path) -> None:
        """Go on from a checkpoint: logs are cut back to it and environments put where they stood. Raises `UserError`."""
        manifest = checkpoint.read_manifest(folder)
        with checkpoint.fitting(folder):
            self.seconds = float(manifest["seconds"])
            self.rollbacks, self._stock_taken_at = manifest["rollbacks"], manifest["stock_taken_at"]
            self.finished_episodes = manifest.get(
                "finished_episodes", 0
            )  # which earlier versions did not count
            self.faults.count = manifest.get("env_faults", 0)
            self.evaluator.restore(manifest)
            marks, self._saved_record = manifest["logs"], manifest["run"]
        self._last_step = self.agent.num_steps
        self.checkpoints.go_on_from(folder)
        arrays = checkpoint.read_arrays(folder, "environments")
        self._unanswered = arrays.get(_UNANSWERED)
        steps = announce_replay(arrays, self.display.say)
        with checkpoint.fitting(folder):
            if self._unanswered is not None and len(self._unanswered) != self.environments.num_envs:
                raise ValueError(f"{_UNANSWERED} has {len(self._unanswered)} rows")
            astray = self.environments.restore(arrays)
        if (
            reason := judge_replay(self._other_environment, self.record, bool(astray), steps)
        ) is not None:
            self.mark_inexact(reason)
        if astray:
            self._unanswered = None  # actions for observations that are no more
            self.agent.forget_episodes(astray)
            self.display.say(
                f"environment {', '.join(map(str, astray))} cannot be put where it stood - a new episode begins there, "
                "and the run will differ from an uninterrupted one"
            )
            self.mark_inexact(
                f"an environment could not be put where it stood at step {manifest['step']:,}"
            )
        for lost in self.folder.cut(marks):
            self.display.say(lost)
        self.display.show_returns(last_returns(self.folder.path, MEAN_OF))


def _crossed(before: int, now: int, interval: int) -> bool:
    """Whether a multiple of `interval` lies in (before, now]; several environments may step over it."""
    return interval > 0 and now // interval > before // interval
