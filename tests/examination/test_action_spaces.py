"""Bounds of actions that mislead a policy."""

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

from footlight.examination.action_spaces import bound_findings


@pytest.mark.parametrize(
    ("space", "expected"),
    [
        (Discrete(3), []),
        (Box(-1, 1, (2,)), []),
        (Box(-3, 3, (1,)), []),
        (Box(-np.inf, np.inf, (1,)), ["critical action-unbounded"]),
        (
            Box(np.array([-1, -np.inf], np.float32), np.array([1, 2], np.float32)),
            ["critical action-unbounded"],
        ),
        (Box(-1e4, 1e4, (1,)), ["warning action-wide"]),
        (Box(0, 1, (2,)), ["note action-asymmetric"]),
        (Box(1, 1, (1,)), ["critical action-empty"]),
    ],
)
def test_bounds(space: gymnasium.Space[Any], expected: list[str]) -> None:
    found = bound_findings(space)
    assert [f"{each.severity} {each.check}" for each in found] == expected
