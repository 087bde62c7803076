"""Which decision is behind observed actions, and pending decisions as arrays."""

from typing import Any

import gymnasium
import numpy as np
import pytest

from footlight.errors import UserError
from footlight.learning.agent import Agent
from footlight.learning.decisions import Pending, decision_behind
from footlight.learning.policy import Policy
from footlight.types import Array, Decision

GIVEN = np.array([[2.0, -2.0], [1.0, 0.0]], np.float32)  # in the environment's units
DRAWN = np.array([[9.0, -9.0], [0.5, 0.0]], np.float32)  # beyond the bounds: clipped since


@pytest.fixture(scope="module")
def policy() -> Policy:
    observations = gymnasium.spaces.Box(-1, 1, (3,), np.float32)
    actions = gymnasium.spaces.Box(-2, 2, (2,), np.float32)
    return Agent("a2c", observations, actions, hidden_sizes=(4,)).policy


def pending(**extras: Array) -> Pending:
    return Pending(GIVEN, Decision(DRAWN, extras))


def test_unchanged_actions_have_the_pending_decision(policy: Policy) -> None:
    waiting = pending(log_prob=np.zeros(2))
    assert decision_behind(GIVEN.copy(), waiting, policy) is waiting.decision


def test_replaced_actions_are_taken_to_be_drawn_as_they_are(policy: Policy) -> None:
    """In environment 0 a safety layer has replaced the action; in environment 1 it has not."""
    action = GIVEN.copy()
    action[0] = [0.0, 1.0]
    decision = decision_behind(action, pending(), policy)
    assert decision.action.tolist() == [[0, 0.5], [0.5, 0]]
    assert not decision.extras


@pytest.mark.parametrize("waiting", [None, Pending(GIVEN[:1], Decision(DRAWN[:1]))])
def test_actions_that_the_agent_did_not_choose(policy: Policy, waiting: Any) -> None:
    assert decision_behind(GIVEN, waiting, policy).action.tolist() == [[1, -1], [0.5, 0]]


def test_replaced_actions_are_refused_where_extras_are_learned_from(policy: Policy) -> None:
    waiting = pending(log_prob=np.zeros(2), hidden=np.zeros((2, 5)))
    with pytest.raises(UserError) as refused:
        decision_behind(GIVEN + 1, waiting, policy)
    assert str(refused.value) == (
        "the action is not the one that act() returned - a2c also learns from log_prob, hidden of "
        "its own actions - use them as they are"
    )


@pytest.mark.parametrize("extras", [{}, {"log_prob": np.ones(2), "extras.of": np.zeros((2, 3))}])
def test_arrays_and_back(extras: dict[str, Array]) -> None:
    waiting = pending(**extras)
    again = Pending.from_arrays(waiting.arrays())
    assert np.array_equal(again.given, GIVEN)
    assert np.array_equal(again.decision.action, DRAWN)
    assert again.decision.extras.keys() == extras.keys()
    for name, array in extras.items():
        assert np.array_equal(again.decision.extras[name], array)
