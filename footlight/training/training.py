"""A training from its first step to `result.json`, also through faults and divergence."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from footlight.algorithms.completion import AlgorithmFailed
from footlight.collection.collection import Collection
from footlight.contexts import reporting_exit
from footlight.environments.source import Environments
from footlight.environments.watchdog import warn_if_hanging
from footlight.errors import DeviceFault, Diverged, EnvironmentFault, StorageFault, quoted
from footlight.instruments.video_recorder import VideoRecorder
from footlight.machine import (
    describe_machine,
    describe_process,
    describe_products,
    device_fault,
)
from footlight.runs.trackers.follower import run_trackers
from footlight.training.evaluator import Evaluator
from footlight.training.hook_calls import HookFailed
from footlight.training.hook_context import HookContext
from footlight.training.hook_watch import watching_hooks
from footlight.training.hooks import (
    EpisodeRows,
    EveryEpisodes,
    Hook,
    InfoLog,
    MetricsLog,
    Progress,
    Videos,
    every,
    stateful,
)
from footlight.training.loop import steps
from footlight.training.messages import stopped, summary
from footlight.training.profiling import RunProfile
from footlight.training.saving import Saver
from footlight.training.session import Session
from footlight.training.stopping import stopping_hooks
from footlight.training.threads import CoreWatch
from footlight.training.user_hooks import UserHooks
from footlight.types import Decision, Transition


class Training:
    """Runs the loop with its hooks.

    hooks: called after each step, in this order. learn: called in place of `agent.learn_from`.
    """

    def __init__(
        self,
        session: Session,
        evaluator: Evaluator,
        saver: Saver,
        metrics: MetricsLog,
        videos: Videos,
        hooks: Sequence[Hook],
        user_hooks: UserHooks | None,
        learn: Callable[[Transition, Decision | None], dict[str, float]],
    ) -> None:
        self.session, self.evaluator, self.saver = session, evaluator, saver
        self.metrics, self.videos, self.hooks = metrics, videos, hooks
        self.user_hooks = user_hooks
        self.result: dict[str, Any] = {}
        """The content of `result.json`, once the training has ended."""
        self._learn = learn
        self.profile: RunProfile | None = None
        self._began_compiled = False

    @contextlib.contextmanager
    def started(self, known_as: Path) -> Iterator[None]:
        """Compile the update; watch, track and display the block; then print the summary.

        known_as: the run folder as messages name it. A signal's exception is raised at the end.
        """
        session, notify = self.session, self.session.display.notify
        options, folder, agent = session.options, session.folder, session.agent
        try:
            session.compile()
            self.saver.save_run_config()
            self._began_compiled = agent.compiled
            self._write_machine()
            watched: list[Environments | None] = [self.evaluator.environments]
            if not isinstance(session.environments, Collection):  # whose processes watch their own
                watched.append(session.environments)
            tracking = run_trackers(folder.path, options.track, notify)
            with (
                warn_if_hanging(watched, options.env_timeout),
                watching_hooks(session.interruption, options.env_timeout)
                if self.user_hooks is not None
                else contextlib.nullcontext(),
                reporting_exit(tracking, "tracking", notify) as self.metrics.after_flush,
                reporting_exit(session.display, "the display", notify),
            ):
                yield
        finally:
            agent.learner.compilation.close()
            folder.close()
        if self.profile is not None:
            notify(self.profile.table())
        session.display.conclude(summary(known_as, self.result, session.run_config))
        if (number := session.interruption.signal) is not None:
            remark = stopped(known_as, session.agent.num_steps, session.run_config)
            raise session.interruption.exit_exception(number, remark)

    def _write_machine(self) -> None:
        agent = self.session.agent
        facts = {
            "device": str(agent.device),
            "compiled": agent.compiled,
            **describe_products(agent.compiled),
        }
        content = {**describe_machine(), **facts, **describe_process()}
        self.session.folder.write_json("machine.json", content)

    def run(self) -> None:
        """Train until `options.steps`, evaluate, save, and write `result.json`.

        A signal, the time limit or a hook stops it after the current step; a fault or divergence,
        where it happens. An intact state is saved in each case.
        """
        session, agent, interruption = self.session, self.session.agent, self.session.interruption
        status, seconds = "failed", self._stopwatch()
        interruption.polling = True
        try:
            while status == "failed":
                try:
                    with self._device_faults(), self._divergence_first():
                        self._catch_up()
                        for step in steps(
                            agent,
                            session.environments,
                            session.options.steps,
                            should_stop=self._should_stop(),
                            pending=session.pending,
                            learn=self._learn,
                        ):
                            session.seconds = seconds()
                            for hook in self.hooks:
                                hook(step)
                        status = self._conclude()
                except Diverged as error:
                    self.saver.roll_back(error)
        except EnvironmentFault:
            status = "fault"
            raise
        finally:
            try:
                session.seconds = seconds()
                self._save_all(status, sys.exception())
            finally:
                interruption.polling = False

    def _stopwatch(self) -> Callable[[], float]:
        """A function that returns the seconds of the loop in all sessions, without compiling."""
        compilation = self.session.agent.learner.compilation
        began = time.monotonic() - self.session.seconds - compilation.seconds
        return lambda: time.monotonic() - began - compilation.seconds

    def _should_stop(self) -> Callable[[], bool]:
        """The function that the loop calls before each step."""
        session, interruption = self.session, self.session.interruption
        return lambda: session.stop_reason is not None or interruption.should_stop()

    def _catch_up(self) -> None:
        """Make the evaluation that was interrupted when the run was stopped."""
        if not self.evaluator.due:
            return
        self.evaluator.catch_up()
        step = self.session.agent.num_steps
        if self.evaluator.is_best(step) and self.session.options.checkpoint_interval:
            self.saver.save_or_skip()

    def _conclude(self) -> str:
        """Evaluate a run that has all its steps; return the status of the run."""
        agent = self.session.agent
        agent.learner.require_finite()
        has_all = agent.num_steps >= self.session.options.steps
        if not has_all and self.session.stop_reason is None:
            return "stopped"
        self.evaluator.evaluate_and_log(agent.num_steps, is_final=True)
        if self.user_hooks is not None:
            self.user_hooks.finish()
        return "finished" if has_all and not self.evaluator.due else "stopped"

    @contextlib.contextmanager
    def _divergence_first(self) -> Iterator[None]:
        """Raise `Diverged` rather than the fault of an environment that got an action of NaN, or of
        a user's algorithm that got parameters of NaN."""
        try:
            yield
        except (EnvironmentFault, AlgorithmFailed):
            self.session.agent.learner.require_finite()
            raise

    @contextlib.contextmanager
    def _device_faults(self) -> Iterator[None]:
        """Turn errors of the device, such as a lack of memory, into `DeviceFault`."""
        try:
            yield
        except (MemoryError, RuntimeError) as error:
            if (what := device_fault(error)) is None:
                raise
            newest, folder = self.saver.checkpoints.newest, quoted(self.session.folder.path)
            remedy = f"make room, then `footlight resume {folder}`"
            raise DeviceFault(f"{what} - {newest} is the newest checkpoint - {remedy}") from error

    def _save_all(self, status: str, error: BaseException | None) -> None:
        """Write the last checkpoint, the logs and `result.json`, as far as `error` permits."""
        session = self.session
        # After any other error the state may be incomplete or not finite, and the newest checkpoint
        # stays.
        if error is None or isinstance(error, EnvironmentFault | StorageFault | HookFailed):
            self.saver.save_finally()
        if not isinstance(error, DeviceFault):  # which may have lost the device's metrics
            # After the checkpoint: a resumed run writes this row where an uninterrupted one does.
            self.metrics.write()
        session.folder.flush()
        if session.agent.compiled != self._began_compiled:  # the compiler has failed
            self._write_machine()
        self.result = self._result("diverged" if isinstance(error, Diverged) else status)
        # Last: a run without it has not ended.
        session.folder.write_json("result.json", self.result)
        if self.profile is not None:
            self.profile.write()
        if status == "finished" or (status == "stopped" and session.stop_reason is not None):
            # Only once everything is saved, since a graphics driver can crash the process.
            self.videos.record(session.agent.num_steps)

    def _result(self, status: str) -> dict[str, Any]:
        agent, seconds = self.session.agent, self.session.seconds
        final = self.evaluator.at(agent.num_steps)
        why = self.session.stop_reason
        if why is None and status == "stopped":
            why = self.session.interruption.time_is_up()
        reason = {} if why is None else {"stop_reason": why}
        return {
            "status": status,
            **reason,
            "steps": agent.num_steps,
            "updates": agent.num_updates,
            "seconds": round(seconds, 3),
            "steps_per_second": round(agent.num_steps / seconds, 1) if seconds else 0.0,
            "compile_seconds": round(agent.learner.compilation.seconds, 1),
            "env_faults": self.session.faults.count,
            "final_evaluation": {"step": agent.num_steps, **final.to_json()} if final else None,
        }


def assemble(
    session: Session,
    evaluation_env: Environments | None,
    recorder: VideoRecorder | None,
    hooks: UserHooks,
    other_environment: str | None = None,
) -> Training:
    """Assemble a training: everything that happens between two steps, in this order.

    other_environment: the name of an environment given in place of the recorded one.
    """
    options, run_config = session.options, session.run_config
    cores = CoreWatch(run_config["threads"], run_config["device"], session.display.notify)
    info = InfoLog(options.log_info, session)
    episodes, metrics = EpisodeRows(session.folder, info), MetricsLog(session, cores, info)
    evaluator = Evaluator(session, evaluation_env, episodes)
    videos = Videos(session, recorder)
    logs: list[Hook] = [
        episodes,
        every(options.log_interval, metrics),
        every(options.evaluation_interval, evaluator, at_end=False),
        *stopping_hooks(session, evaluator, episodes, options),
    ]
    if hooks.names:
        hooks.context = HookContext(session, evaluator, videos)
        logs.append(hooks)
        evaluator.after_due.append(hooks.finish)
        if evaluation_env is None and (waiting := hooks.waiting_for_evaluations):
            what = "is never called: the run makes no evaluations"
            session.display.notify(f"on_evaluation: {waiting} {what}")
    saver = Saver(session, evaluator, [info, *stateful(logs)], other_environment)
    later: list[Hook] = [
        saver,
        every(options.video_every, videos, at_end=False),
        EveryEpisodes(options.video_every_episodes, episodes, videos),
        Progress(session),
    ]
    called, hooked = hooks if hooks.names else None, [*logs, *later]
    profile = RunProfile(session, evaluator, saver, videos) if options.profile else None
    if profile is not None:
        hooked = profile.hooks(hooked, called)
    learn = cores.timed(session.agent.learn_from)
    training = Training(session, evaluator, saver, metrics, videos, hooked, called, learn)
    training.profile = profile
    return training
