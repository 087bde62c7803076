"""Decisions that wait for what follows: which one is behind the actions that an agent observes."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from footlight.errors import UserError
from footlight.learning.policy import Policy
from footlight.types import Array, Decision

_EXTRAS = "extras."


class Pending(NamedTuple):
    """The last decision, until it is known what followed."""

    given: Array  # [E, *action shape], the actions that `act` returned
    decision: Decision

    def arrays(self) -> dict[str, Array]:
        """What a checkpoint has to hold."""
        extras = {_EXTRAS + name: array for name, array in self.decision.extras.items()}
        return {"given": self.given, "action": self.decision.action, **extras}

    @staticmethod
    def from_arrays(arrays: Mapping[str, Array]) -> "Pending":
        """The inverse of `arrays`. Raises `KeyError` where one is missing."""
        extras = {
            name.removeprefix(_EXTRAS): array
            for name, array in arrays.items()
            if name.startswith(_EXTRAS)
        }
        return Pending(arrays["given"], Decision(arrays["action"], extras))


def decision_behind(action: Array, pending: Pending | None, policy: Policy) -> Decision:
    """The decision behind actions [E, *action shape] in the environment's own units.

    It is the pending one, except for actions that were replaced since, by a safety layer perhaps:
    those are taken to be drawn as they are. Raises `UserError` for replaced actions of an algorithm
    that also learns from what only it knows of its own actions.
    """
    if pending is not None and np.array_equal(pending.given, action):
        return pending.decision
    replaced_EA = policy.from_environment(action)
    if pending is None or pending.given.shape != action.shape:
        return Decision(replaced_EA)
    if pending.decision.extras:
        raise UserError(
            f"the action is not the one that act() returned - {policy.blueprint.name} also learns "
            f"from {', '.join(pending.decision.extras)} of its own actions - use them as they are"
        )
    same_E = (pending.given == action).reshape(len(action), -1).all(1)
    return Decision(np.where(same_E[:, None], pending.decision.action, replaced_EA))
