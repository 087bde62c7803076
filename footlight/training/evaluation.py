"""When a run is evaluated, and on how many episodes."""

from typing import NamedTuple

from footlight.config.options import Options
from footlight.learning.evaluation import Abandoned as Abandoned
from footlight.learning.evaluation import Evaluation as Evaluation
from footlight.learning.evaluation import episode_limit
from footlight.learning.evaluation import evaluate as evaluate


class Plan(NamedTuple):
    """The extent of an evaluation. It depends on counts, never on time: equal runs stay equal."""

    episodes: int
    limit: int
    """Steps after which an episode is cut off."""
    max_steps: int | None
    """Steps after which no further episode begins; None: no limit."""


def plan_evaluation(
    options: Options, step: int, finished: int, evaluated: int, *,
    is_requested: bool = False, is_final: bool = False,
) -> Plan | None:  # fmt: skip
    """Return the plan of the evaluation at `step`; None if it is to be skipped.

    By default, the evaluations together take at most as many steps as the training, and so does the
    final one alone; explicit values, and what `is_requested`, are always honored.

    finished: episodes of the training so far, from which the length of an episode is estimated.
    evaluated: environment steps of all previous evaluations. is_final: that of a run which ends
    here, before it has all its steps.
    """
    is_final |= step >= options.steps
    episodes = options.final_eval_episodes if is_final else options.training_eval_episodes
    limit = episode_limit(options.steps)
    if episodes == 0:
        return None
    expected = episodes * min(step / max(finished, 1), limit)
    is_automatic = options.eval_every is None and not (is_final or is_requested)
    if is_automatic and evaluated + expected > step:
        return None
    return Plan(episodes, limit, options.steps if options.eval_episodes is None else None)
