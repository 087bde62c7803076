"""What updates return, checked; and a user's algorithm tried out before anything is created."""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from footlight.algorithms.completion import AlgorithmFailed
from footlight.algorithms.object_state import HasState
from footlight.algorithms.ordinary_parts import StateHolder
from footlight.algorithms.protocol import Outcome
from footlight.algorithms.requirements import Derived, is_ours
from footlight.errors import UserError

if TYPE_CHECKING:
    from footlight.learning.learner import Learner
    from footlight.learning.policy import Policy

_SHAPE = re.compile(r"\b(shapes?|sizes?|dtypes?)\b")


def new_metrics(
    algorithm: Any, name: str, outcome: Any, known: Sequence[str], first: bool
) -> list[str]:
    """Names of metrics that an update has returned and that are not `known`.

    first: whether it is the first update of this name, whose values are looked at. Raises
    `UserError` for anything but an `Outcome`, and for names that METRICS should have.
    """
    if first:
        _require_outcome(f"{type(algorithm).__name__}.{name}", outcome)
    new = [each for each in outcome.metrics if each not in known]
    if new and not isinstance(algorithm.METRICS, Derived):
        raise UserError(
            f"update {name!r} returned a metric {min(new)!r} that METRICS does not name "
            "- add it there"
        )
    return new


def _require_outcome(what: str, outcome: Any) -> None:
    if not isinstance(outcome, Outcome):
        found = "None" if outcome is None else f"a {type(outcome).__name__}"
        raise UserError(
            f"{what} returned {found} - an update returns its metrics in an Outcome - "
            'end it with `return Outcome({"loss": loss})`'
        )
    for name, value in outcome.metrics.items():
        if not isinstance(value, Tensor) or value.dim():
            shape = f" of shape {list(value.shape)}" if isinstance(value, Tensor) else ""
            raise UserError(
                f"{what} returned {name} as a {type(value).__name__}{shape} - a metric is a tensor "
                "with one number - take its mean"
            )


def require_none_new(new: Sequence[str]) -> None:
    """Raise `UserError` if an update that is being compiled returned other metrics than before."""
    if new:
        raise UserError(
            f"an update returned the metric {new[0]!r}, which it did not return before - "
            "return the same metrics each time"
        )


def try_out(policy: "Policy", learner: "Learner", memory: Any) -> None:
    """Decide and update once on zeros, changing nothing, so that what a user's own algorithm
    returns is checked before a run is created. Raises `UserError`."""
    algorithm = policy.algorithm
    if is_ours(type(algorithm)):
        return
    if isinstance(algorithm, StateHolder):
        with algorithm.tried_out() as twin:
            # An update of the algorithm itself would change its state
            _call(policy, learner, memory, twin, {} if twin is algorithm else twin.updates)
    else:
        _call(policy, learner, memory, algorithm, algorithm.updates)


def _call(
    policy: "Policy", learner: "Learner", memory: Any, algorithm: Any, updates: Mapping[str, Any]
) -> None:
    shape = learner.num_envs, *policy.spaces.observation_shape
    zeros = np.zeros(shape, policy.spaces.observation_dtype)
    for stream in (None, np.random.default_rng(0)):
        algorithm.act(policy.state, memory, zeros, stream)
    for name, update in updates.items():
        try:
            learner.try_out(name, update)
        except AlgorithmFailed as error:
            if _depends_on_numbers(error.__cause__):
                continue  # zeros may not be what it works on; the first update says so if not
            raise


def _depends_on_numbers(error: BaseException | None) -> bool:
    """Whether an exception might not be raised for other numbers in the batch."""
    if isinstance(error, AttributeError):  # a copy of an optimizer may lack what it had
        return isinstance(error.obj, HasState)
    if isinstance(error, NameError | TypeError | ImportError):
        return False
    return not (isinstance(error, RuntimeError) and _SHAPE.search(str(error)))
