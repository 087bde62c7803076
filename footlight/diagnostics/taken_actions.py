"""The policy at states of an evaluation, and the actions that were taken there."""

from collections import Counter

import numpy as np

from footlight.diagnostics.value_errors import quantile
from footlight.types import Array, BoxAction, Diagnosis, Spaces

NEAR_BOUND = 0.99


def policy_quantities(at: Diagnosis, spaces: Spaces) -> dict[str, float]:
    """Entropy and spread of the policy's distribution, and what the critics disagree about."""
    found: dict[str, float] = {}
    if at.entropy is not None:
        found["entropy"] = float(at.entropy.mean())
        if not isinstance(spaces.action, BoxAction):
            largest = float(np.log(spaces.action.sizes).sum())
            found["relative_entropy"] = found["entropy"] / largest if largest else 1.0
        elif spaces.action.size:
            # The width of a uniform distribution with this entropy, as a share of the range
            width = np.exp(min(found["entropy"] / spaces.action.size, 30.0)) / 2
            found["relative_entropy"] = float(width)
    if at.std is not None:
        found["policy_std"] = float(at.std.mean())
    if at.mean is not None:
        found["action_saturation"] = float((np.abs(at.mean) > NEAR_BOUND).mean())
    if at.values is not None and at.values.shape[1] > 1:
        gap = float(np.ptp(at.values, axis=1).mean())
        found["twin_gap"] = gap / max(float(at.value.std()), 1e-12)
    if at.edge_mass is not None:
        found["edge_mass"] = float(at.edge_mass.mean())
    return found


def action_scale(action_N: Array, at: Diagnosis, spaces: Spaces) -> dict[str, float]:
    """The actions that were taken, relative to the modes of the policy at the same states."""
    space = spaces.action
    if at.mean is None or not isinstance(space, BoxAction):
        return {}
    mean_NA = np.clip(at.mean, -1, 1).astype(np.float64)
    if (size := float((mean_NA**2).sum())) < 1e-6 * mean_NA.size:
        return {}
    return {"action_scale": float((space.from_environment(action_N) * mean_NA).sum()) / size}


def action_quantities(action_N: Array, spaces: Spaces) -> dict[str, float]:
    """How the actions of an evaluation, in the environment's units, vary, and how far they
    reach."""
    space = spaces.action
    if isinstance(space, BoxAction):
        unit_NA = space.from_environment(action_N)
        return {
            "action_variation": float(unit_NA.std(0).mean()),
            "action_reach": quantile(np.abs(unit_NA), 0.95),
        }
    choice_NA = space.from_environment(action_N)
    most = [Counter(column).most_common(1)[0][1] for column in choice_NA.T.tolist()]
    return {"action_variation": 1 - float(np.mean(most)) / len(choice_NA)}
