"""The evaluations of a run: run and log them, count their steps, and remember the best one."""

from collections.abc import Callable, Mapping
from typing import Any

from footlight.collection.collection import Collection
from footlight.diagnostics.diagnose import Current, Diagnoser
from footlight.diagnostics.recording import Recording
from footlight.environments.make import Environments
from footlight.environments.reach import action_range
from footlight.environments.running_statistics import share_statistics
from footlight.environments.serial import SerialEnvironments
from footlight.errors import EnvironmentFault, summarize_error
from footlight.instruments.histograms import histograms
from footlight.streams import derived_seed
from footlight.training.evaluation import Abandoned, Evaluation, evaluate, plan_evaluation
from footlight.training.hooks import EpisodeRows
from footlight.training.live_checkup import LiveCheckup
from footlight.training.loop import Step
from footlight.training.session import Session

MAX_ATTEMPTS = 3  # at an evaluation in which the environment fails


class Evaluator:
    """A hook that evaluates the policy; its counters are saved in every checkpoint.

    environments: the evaluation environments; None: the policy is not evaluated.
    episodes: the log that counts the episodes of the training.
    """

    def __init__(
        self, session: Session, environments: Environments | None, episodes: EpisodeRows
    ) -> None:
        self.environments = environments
        self.due = False
        """Whether the evaluation at this step was interrupted; a resumed run repeats it."""
        self.best: dict[str, float] | None = None
        """Step and mean return of the best evaluation. Evaluations are comparable: all of them cut
        episodes off at the same length."""
        self.after_due: list[Callable[[], None]] = []
        """Called after the evaluation of a resumed run that was `due`."""
        self._session, self._episodes = session, episodes
        self._survives_faults = session.options.on_env_fault == "new-episode"
        self._last_step = -1  # of the last evaluation, also of one that was skipped
        self._latest: Evaluation | None = None
        self._latest_step = -1
        self._steps = 0  # of all evaluations so far
        self._is_requested = self._is_final = False
        self._diagnoser: Diagnoser | None = None
        self._diagnosis: dict[str, float] = {}
        self._diagnosis_failed = False
        self._check_up = LiveCheckup(session)

    def __call__(self, step: Step) -> None:
        """Evaluate at this step."""
        self.evaluate_and_log(step.number)

    def evaluate_and_log(
        self, step: int, *, is_requested: bool = False, is_final: bool = False
    ) -> None:
        """Evaluate, and log histograms if that is configured; at most once for each step.

        is_requested: also where the automatic plan would skip this evaluation. is_final: as at the
        end of a run, also after one that was made at this step during the training. If the run is
        to stop meanwhile, `due` is set and nothing is logged.
        """
        was_made, latest = self._last_step == step, self.at(step)
        is_longer = is_final and not self._was_final(step)
        if was_made and not (is_requested and latest is None) and not is_longer:
            return
        self._is_requested, self._is_final = is_requested, is_final
        session = self._session
        if self.environments is not None:
            share_statistics(session.environments, self.environments)
        evaluation = self._evaluate(step)
        if self.due:
            return
        if evaluation is not None:
            session.folder.append("evaluations", {"step": step, **evaluation.to_json()})
            if self._diagnosis:
                counts = {"step": step, "update": session.agent.num_updates}
                session.folder.append("diagnostics", {**counts, **self._diagnosis})
            session.flush_logs()
            session.display.update(
                step,
                updates=session.agent.num_updates,
                evaluation_return=evaluation.mean_return,
            )
            self._check_up(step)
        self._last_step = step
        if session.options.track_histograms and not was_made:
            counts = histograms(session.agent.networks, session.agent.state)
            session.folder.append("histograms", {"step": step, **counts})
            session.flush_logs()

    def _was_final(self, step: int) -> bool:
        """Whether the evaluation that was made at this step serves as the final one."""
        options, latest = self._session.options, self.at(step)
        has_all = latest is not None and len(latest.returns) >= options.final_eval_episodes
        return has_all or self._is_final or step >= options.steps

    def catch_up(self) -> None:
        """Make the evaluation that is `due` since the run was stopped during it."""
        step, how = self._session.agent.num_steps, (self._is_requested, self._is_final)
        self.evaluate_and_log(step, is_requested=how[0], is_final=how[1])
        if not self.due:
            for call in self.after_due:
                call()

    def _evaluate(self, step: int) -> Evaluation | None:
        """Return the evaluation at `step`; None if there is none, or, with `due` set, on a stop.

        Where faults of environments are survived, it begins again with other episodes after one.
        """
        for attempt in range(MAX_ATTEMPTS - 1):
            try:
                return self._attempt(step, attempt)
            except EnvironmentFault as fault:
                self._survive(fault, "this evaluation begins again with other episodes")
        try:
            return self._attempt(step, MAX_ATTEMPTS - 1)
        except EnvironmentFault as fault:
            self._survive(fault, "this evaluation is skipped")
            return None

    def _survive(self, fault: EnvironmentFault, then: str) -> None:
        """Report a fault, and make the environments usable again. Raises it unless faults are
        survived."""
        if not self._survives_faults or self.environments is None:
            raise fault
        self.due = False
        self._session.faults(fault, then)
        for env in range(self.environments.num_envs):
            self.environments.revive(env)

    def _attempt(self, step: int, attempt: int) -> Evaluation | None:
        options, was_due = self._session.options, self.due
        display, policy = self._session.display, self._session.agent.policy
        self.due = False
        counts = self._episodes.count, self._steps
        plan = plan_evaluation(
            options, step, *counts, is_requested=self._is_requested, is_final=self._is_final
        )
        if self.environments is None or plan is None:
            return None
        # New episodes each time, determined by seed and step alone: neither the training nor a
        # resumed run can shift them.
        again = f", attempt {attempt + 1}" if attempt else ""
        self.environments.reseed(f"evaluation at step {step}{again}")
        policy.reseed(derived_seed(options.seed, "evaluation policy", step))
        self.due = not was_due  # After an environment fault it is retried once, on resume.
        is_deterministic = not options.eval_stochastic
        should_stop = self._session.interruption.should_stop
        recording = Recording()
        try:
            with display.activity("evaluating", plan.episodes, should_stop) as progress:
                evaluation = evaluate(
                    policy, self.environments, plan.episodes, is_deterministic,
                    limit=plan.limit, max_steps=plan.max_steps, progress=progress,
                    watch=recording,
                )  # fmt: skip
        except Abandoned:
            self.due = True
            return None
        self.due, self._latest, self._latest_step = False, evaluation, step
        self._steps += sum(evaluation.lengths)
        self._diagnosis = self._diagnose(recording)
        if remark := evaluation.remark(plan.episodes):
            display.notify(f"evaluation at step {step:,}: {remark}")
        if self.best is None or evaluation.mean_return > self.best["mean_return"]:
            self.best = {"step": step, "mean_return": evaluation.mean_return}
        return evaluation

    def _diagnose(self, recording: Recording) -> dict[str, float]:
        """The diagnosis of the agent; what fails is missing, and must not end a training."""
        session, environments = self._session, self._session.environments
        current, failure, found = None, None, dict[str, float]()
        if not isinstance(environments, Collection):
            current = Current(environments.observation, environments.tracker.length > 0)
        try:
            if self._diagnoser is None:
                atari = session.run_config.get("atari") or {}
                self._diagnoser = Diagnoser(session.agent, not atari.get("life_loss_ends"))
            found = self._diagnoser(recording, current)
            failure = self._diagnoser.failure
            # They are reset before the next evaluation
            if isinstance(self.environments, SerialEnvironments):
                share = action_range(self.environments.envs[0])
                found |= {} if share is None else {"action_range": share}
        except Exception as error:
            failure = error
        if failure is not None and not self._diagnosis_failed:
            session.display.notify(f"diagnostics are incomplete: {summarize_error(failure)}")
            self._diagnosis_failed = True
        return found

    def at(self, step: int) -> Evaluation | None:
        """Return the evaluation that was made at this step."""
        return self._latest if self._latest_step == step else None

    def is_best(self, step: int) -> bool:
        """Return whether the best evaluation is the one at this step."""
        return self.best is not None and self.best["step"] == step

    def state(self) -> dict[str, Any]:
        """The counters, and the evaluation at the agent's current step, for a checkpoint."""
        latest = self.at(self._session.agent.num_steps)
        return {
            "evaluation": latest.to_json() if latest is not None else None,
            "evaluation_due": self.due,
            "evaluation_requested": self._is_requested,
            "evaluation_final": self._is_final,
            "evaluation_steps": self._steps,
            "last_evaluation_step": self._last_step,
            "best": self.best,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned; the agent is at the step of that checkpoint."""
        self.due, self.best = state["evaluation_due"], state["best"]
        self._last_step = state["last_evaluation_step"]
        self._steps = state.get("evaluation_steps", 0)  # missing in early checkpoints
        self._is_requested = state.get("evaluation_requested", False)
        self._is_final = state.get("evaluation_final", False)
        self._latest, self._latest_step = None, -1
        if state["evaluation"] is not None:
            self._latest = Evaluation.from_json(state["evaluation"])
            self._latest_step = self._session.agent.num_steps
            self._latest.mean_return  # noqa: B018 - raises if `returns` is empty
