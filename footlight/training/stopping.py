"""Hooks that end a training early: at a return, after so many episodes, without improvement.

A training that they end is evaluated like one that has all its steps, and can be resumed.
"""

import contextlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from statistics import fmean
from typing import Any

from footlight.config.options import Options
from footlight.errors import UserError, counted
from footlight.training.evaluator import Evaluator
from footlight.training.hooks import EpisodeRows, Hook
from footlight.training.loop import Step
from footlight.training.session import Session

Judge = Callable[[int, float], str | None]
"""From the step and mean return of an evaluation to a reason for ending the run, or None."""
_judge: Judge | None = None  # of the runs of this process


@contextlib.contextmanager
def judged_by(judge: Judge | None) -> Iterator[None]:
    """Let the evaluations of the runs in this block decide whether they continue."""
    global _judge
    before, _judge = _judge, judge
    try:
        yield
    finally:
        _judge = before


def require_target(options: Options) -> None:
    """Raise `UserError` for options that say how to compare with `stop_at_return` without it."""
    idle = "stop_window" if options.stop_window is not None else "stop_on"
    if options.stop_at_return is None and (options.stop_window or options.stop_on == "evaluation"):
        raise UserError(
            f"{idle} {vars(options)[idle]} needs stop_at_return - there is no return to stop at "
            f"- give it: --stop-at-return R, or leave {idle} out"
        )


def stopping_hooks(
    session: Session, evaluator: Evaluator, episodes: EpisodeRows, options: Options
) -> list[Hook]:
    """The hooks that the options ask for; those of evaluations are called after a late one, too."""
    hooks: list[Hook] = []
    of_evaluations: list[OfEvaluations] = []
    if options.stop_at_return is not None:
        of_evaluations.append(StopAtReturn(session, evaluator, options))
    if options.stop_patience is not None:
        of_evaluations.append(StopWithoutImprovement(session, evaluator, options.stop_patience))
    if _judge is not None:
        of_evaluations.append(StopByJudge(session, evaluator, _judge))
    for hook in of_evaluations:
        hooks.append(hook)
        evaluator.after_due.append(partial(_after_late, hook, session))
    if options.episodes is not None:
        hooks.append(StopAfterEpisodes(session, episodes, options.episodes))
    return hooks


def _after_late(hook: "OfEvaluations", session: Session) -> None:
    hook.after_evaluation(session.agent.num_steps)


class StopAtReturn:
    """Ends the training when the mean of the last returns reaches `options.stop_at_return`."""

    def __init__(self, session: Session, evaluator: Evaluator, options: Options) -> None:
        assert options.stop_at_return is not None
        self._session, self._evaluator, self._target = session, evaluator, options.stop_at_return
        self._of_evaluations = options.stop_on == "evaluation"
        self._returns: deque[float] = deque(maxlen=options.stop_episodes)

    def __call__(self, step: Step) -> None:
        """Add the returns of this step; the window has to be full."""
        if self._of_evaluations:
            self.after_evaluation(step.number)
        elif step.episodes:
            self._add([episode.total for episode in step.episodes])

    def after_evaluation(self, step: int) -> None:
        """Add the mean return of the evaluation at this step, if it is those that count."""
        evaluation = self._evaluator.at(step)
        if self._of_evaluations and evaluation is not None:
            self._add([evaluation.mean_return])

    def _add(self, returns: Sequence[float]) -> None:
        self._returns.extend(returns)
        if len(self._returns) == self._returns.maxlen and fmean(self._returns) >= self._target:
            what = "evaluation" if self._of_evaluations else "training episode"
            of = f"the last {counted(len(self._returns), what)}"
            self._session.stop_reason = (
                f"the mean return of {of} is {fmean(self._returns):.4g}, "
                f"at least {self._target:.4g}"
            )

    def state(self) -> dict[str, Any]:
        """The returns of the window."""
        return {"stop_returns": list(self._returns)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned; as much of it as the window holds now."""
        self._returns.clear()
        self._returns.extend(state.get("stop_returns", []))


class StopWithoutImprovement:
    """Ends the training after so many evaluations in a row that were not the best so far."""

    def __init__(self, session: Session, evaluator: Evaluator, patience: int) -> None:
        self._session, self._evaluator, self._patience = session, evaluator, patience
        self._count = 0

    def __call__(self, step: Step) -> None:
        """Count the evaluation of this step, if there was one."""
        self.after_evaluation(step.number)

    def after_evaluation(self, step: int) -> None:
        """Count the evaluation at this step, if there was one."""
        if self._evaluator.at(step) is None:
            return
        self._count = 0 if self._evaluator.is_best(step) else self._count + 1
        if self._count >= self._patience:
            best = self._evaluator.best
            assert best is not None
            self._session.stop_reason = (
                f"no evaluation has been better than {best['mean_return']:.4g} "
                f"(step {int(best['step']):,}) for {counted(self._count, 'evaluation')}"
            )

    def state(self) -> dict[str, Any]:
        """The count."""
        return {"evaluations_without_improvement": self._count}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned."""
        self._count = int(state.get("evaluations_without_improvement", 0))


class StopByJudge:
    """Ends the training when `judge` says so after an evaluation; it has no state of its own."""

    def __init__(self, session: Session, evaluator: Evaluator, judge: Judge) -> None:
        self._session, self._evaluator, self._judge = session, evaluator, judge

    def __call__(self, step: Step) -> None:
        """Show the judge the evaluation of this step, if there was one."""
        self.after_evaluation(step.number)

    def after_evaluation(self, step: int) -> None:
        """Show the judge the evaluation at this step, if there was one."""
        evaluation = self._evaluator.at(step)
        is_over = self._session.stop_reason is not None or step >= self._session.options.steps
        if evaluation is not None and not is_over:
            self._session.stop_reason = self._judge(step, evaluation.mean_return)

    def state(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Do nothing."""


OfEvaluations = StopAtReturn | StopWithoutImprovement | StopByJudge


class StopAfterEpisodes:
    """Ends the training once so many training episodes have ended."""

    def __init__(self, session: Session, episodes: EpisodeRows, limit: int) -> None:
        self._session, self._episodes, self._limit = session, episodes, limit

    def __call__(self, step: Step) -> None:
        """Check the count, which includes the episodes that ended in this step."""
        if self._episodes.count >= self._limit:
            self._session.stop_reason = f"{counted(self._episodes.count, 'episode')} have ended"
