"""The evaluations of a run: when they are due, how many steps they have taken, and which one is the best."""

from collections.abc import Callable, Mapping
from typing import Any

from footlight.config.options import Options
from footlight.environments.make import Environments
from footlight.errors import EnvironmentFault
from footlight.instruments.progress import Display
from footlight.learning.policy import Policy
from footlight.signals import Interruption
from footlight.streams import derived_seed
from footlight.training.evaluation import Abandoned, Evaluation, evaluate, plan_evaluation


class Evaluator:
    """Schedules and runs the evaluations of a run; its counters are saved in every checkpoint.

    environments: those of the evaluations; None: there are no evaluations.
    """

    def __init__(
        self,
        environments: Environments | None,
        options: Options,
        display: Display,
        interruption: Interruption,
    ) -> None:
        self.environments, self.options = environments, options
        self.display, self.interruption = display, interruption
        self.on_fault: Callable[[EnvironmentFault, str], None] | None = None
        """Called with a fault of the environment, whose evaluation is skipped; None: the fault is raised."""
        self.due = False
        """An evaluation began at this step and was interrupted: it is repeated on resume."""
        self.best: dict[str, float] | None = None
        """Step and mean return of the best evaluation. All evaluations cut episodes off at the same step, so they compare."""
        self._latest: Evaluation | None = None
        self._latest_step = -1
        self._steps = 0  # of all evaluations so far

    def run(self, policy: Policy, step: int, finished_episodes: int) -> Evaluation | None:
        """The evaluation at `step`; None if there is none, or, with `due` set, if the run is to stop."""
        options, was_due = self.options, self.due
        self.due = False
        plan = plan_evaluation(options, step, finished_episodes, self._steps)
        if self.environments is None or plan is None:
            return None
        # Fresh episodes each time, a function of seed and step alone: neither training nor a resumed run can shift them
        self.environments.reseed(f"evaluation at step {step}")
        policy.reseed(derived_seed(options.seed, "evaluation policy", step))
        self.due = (
            not was_due
        )  # after a fault of the environment it is repeated on resume, but only once
        how: dict[str, Any] = {**plan._asdict(), "deterministic": not options.eval_stochastic}
        try:
            with self.display.activity(
                "evaluating", plan.episodes, self.interruption.goes_on
            ) as progress:
                evaluation = evaluate(policy, self.environments, **how, progress=progress)
        except Abandoned:
            self.due = True
            return None
        except EnvironmentFault as fault:
            if self.on_fault is None:
                raise
            self.due = False
            self.on_fault(fault, "this evaluation is skipped")
            for env in range(self.environments.num_envs):
                self.environments.revive(env)
            return None
        self.due, self._latest, self._latest_step = False, evaluation, step
        self._steps += sum(evaluation.lengths)
        if remark := evaluation.remark(plan.episodes):
            self.display.say(f"evaluation at step {step:,}: {remark}")
        if self.best is None or evaluation.mean_return > self.best["mean_return"]:
            self.best = {"step": step, "mean_return": evaluation.mean_return}
        return evaluation

    def at(self, step: int) -> Evaluation | None:
        """The evaluation that was made at this step."""
        return self._latest if self._latest_step == step else None

    def is_best(self, step: int) -> bool:
        """Whether the best evaluation is the one at this step."""
        return self.best is not None and self.best["step"] == step

    def manifest(self, step: int) -> dict[str, Any]:
        """Its part of a checkpoint's manifest."""
        latest = self.at(step)
        return {
            "evaluation": latest.to_json() if latest is not None else None,
            "evaluation_due": self.due,
            "evaluation_steps": self._steps,
            "best": self.best,
        }

    def restore(self, manifest: Mapping[str, Any]) -> None:
        """Continue from `manifest()`."""
        self.due, self.best = manifest["evaluation_due"], manifest["best"]
        self._steps = manifest.get("evaluation_steps", 0)  # which earlier versions did not count
        self._latest, self._latest_step = None, -1
        if manifest["evaluation"] is not None:
            self._latest, self._latest_step = (
                Evaluation.from_json(manifest["evaluation"]),
                int(manifest["step"]),
            )
            self._latest.mean_return  # noqa: B018 - raises where there are no numbers to take the mean of
