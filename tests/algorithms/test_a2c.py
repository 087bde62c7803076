"""A2C on images computes each value once, unless an episode is truncated within a rollout."""

from typing import Any

import gymnasium
import numpy as np
import pytest

from footlight.algorithms import a2c
from footlight.learning.agent import Agent
from tolerance import assert_close

SEEN, CHOICES = gymnasium.spaces.Box(0, 255, (2, 40, 40), np.uint8), gymnasium.spaces.Discrete(3)


def fed(steps: int, terminated_at: int, truncated_at: int, **fields: Any) -> Agent:
    """An agent that has observed images of two environments, the second of which has the ends."""
    options = {"torso": "small", "hidden_sizes": (8,), "compile": "off", **fields}
    agent = Agent("a2c", SEEN, CHOICES, seed=1, num_envs=2, n_steps=4, **options)
    world = np.random.default_rng(0)
    seen = world.integers(0, 256, (2, 2, 40, 40), dtype=np.uint8)
    for step in range(steps):
        successor = world.integers(0, 256, seen.shape, dtype=np.uint8)
        ends = [np.array([False, step == at]) for at in (terminated_at, truncated_at)]
        agent.observe(seen, world.integers(3, size=2), world.normal(size=2), successor, *ends)
        seen = successor.copy()
        if step in (terminated_at, truncated_at):
            seen[1] = world.integers(0, 256, seen[1].shape)
    return agent


@pytest.mark.parametrize(
    ("terminated_at", "truncated_at", "is_linked"),
    [
        (-1, -1, True),
        (1, -1, True),  # nothing follows: the value does not count
        (-1, 3, True),  # behind the last row the successor is asked for anyway
        (-1, 1, False),
        (1, 2, False),
    ],
)
def test_values_of_the_next_row_stand_for_those_of_successors(
    terminated_at: int, truncated_at: int, is_linked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: list[str] = []
    update_for = a2c.A2C.update_for

    def noted(self: a2c.A2C, due: Any) -> str:
        names.append(update_for(self, due))
        return names[-1]

    monkeypatch.setattr(a2c.A2C, "update_for", noted)
    agent = fed(4, terminated_at, truncated_at)
    assert names == ["linked_rollout" if is_linked else "rollout"]
    monkeypatch.setattr(a2c.A2C, "update_for", lambda self, due: "rollout")
    plain = fed(4, terminated_at, truncated_at)
    # Three layers, forward and backward
    assert_close(agent.state.actor_critic, plain.state.actor_critic, terms=64, depth=6)


def test_a_new_episode_without_an_end_is_not_linked() -> None:
    agent = fed(2, -1, -1)
    agent.forget_episodes([0])
    assert agent.buffer._is_linked() is False  # type: ignore[attr-defined]
