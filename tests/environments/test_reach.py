"""Which part of its action range an environment's wrappers leave."""

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box

from footlight.environments.reach import action_range


class Narrow(gymnasium.ActionWrapper[Any, Any, Any]):
    """Declares [-1, 1], and passes actions on as they are."""

    def __init__(self, env: Any) -> None:
        super().__init__(env)
        self.action_space = Box(-1, 1, (1,))

    def action(self, action: Any) -> Any:
        return action


class Halved(gymnasium.Wrapper[Any, Any, Any, Any]):
    def step(self, action: Any) -> Any:
        return super().step(action / 2)


def pendulum() -> Any:
    return gymnasium.make("Pendulum-v1")  # torques in [-2, 2]


@pytest.mark.parametrize(
    ("make", "share"),
    [
        (pendulum, 1.0),
        (lambda: Narrow(pendulum()), 0.5),
        (lambda: gymnasium.wrappers.RescaleAction(pendulum(), np.float32(-1), np.float32(1)), 1.0),
        (lambda: gymnasium.wrappers.ClipAction(pendulum()), None),  # without bounds
        (lambda: gymnasium.wrappers.TimeLimit(Narrow(pendulum()), 9), 0.5),
        (lambda: gymnasium.wrappers.TransformReward(pendulum(), lambda r: 2 * r), 1.0),
        (lambda: Halved(pendulum()), None),
        (lambda: gymnasium.wrappers.TransformAction(pendulum(), lambda a: a / 9, None), 1.0),
        (lambda: gymnasium.make("CartPole-v1"), None),
    ],
)
def test_range_after_all_wrappers(make: Any, share: float | None) -> None:
    assert action_range(make()) == share


def test_generators_of_the_process_stay_where_they_are() -> None:
    class Noisy(gymnasium.ActionWrapper[Any, Any, Any]):
        def action(self, action: Any) -> Any:
            return action + np.random.normal()

    before = np.random.get_state()[1].tolist()
    assert action_range(Noisy(pendulum())) == 1.0
    assert np.random.get_state()[1].tolist() == before
