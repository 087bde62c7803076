"""Policies and actions with known entropy, spread and reach."""

import math

import numpy as np

from footlight.diagnostics.taken_actions import action_quantities, policy_quantities
from footlight.types import BoxAction, Diagnosis, DiscreteAction, Spaces
from tolerance import assert_close

BOUNDS = BoxAction(low=np.array([-2.0, 0.0]), high=np.array([2.0, 4.0]))
BOX = Spaces(observation_shape=(1,), observation_dtype="float32", action=BOUNDS)
CHOICES = Spaces(
    observation_shape=(1,), observation_dtype="float32",
    action=DiscreteAction(sizes=(4, 2), starts=(1, 0), shape=(2,)),
)  # fmt: skip


def test_entropy_is_relative_to_the_uniform_policy() -> None:
    uniform = Diagnosis(entropy=np.full(3, math.log(8)))
    assert_close(policy_quantities(uniform, CHOICES)["relative_entropy"], 1.0, terms=8)
    # Of a box: two dimensions, uniform over half of the range
    half = Diagnosis(entropy=np.zeros(2), mean=np.zeros((2, 2)))
    assert policy_quantities(half, BOX)["relative_entropy"] == 0.5


def test_saturated_means_are_counted() -> None:
    at = Diagnosis(mean=np.array([[0.995, 0.5], [-1.0, 0.0]]), std=np.full((2, 2), 0.25))
    found = policy_quantities(at, BOX)
    assert (found["action_saturation"], found["policy_std"]) == (0.5, 0.25)


def test_gap_between_critics_is_relative_to_the_spread_of_values() -> None:
    at = Diagnosis(value=np.array([0.0, 4.0]), values=np.array([[0.0, 1.0], [4.0, 7.0]]))
    assert policy_quantities(at, BOX)["twin_gap"] == 1.0


def test_actions_are_seen_in_the_environments_units() -> None:
    found = action_quantities(np.array([[1.0, 2.0], [-1.0, 2.0]]), BOX)
    assert found == {"action_variation": 0.25, "action_reach": 0.5}


def test_choices_vary_as_far_as_they_differ_from_the_most_frequent() -> None:
    found = action_quantities(np.array([[1, 0], [1, 1], [1, 0], [3, 0]]), CHOICES)
    assert found == {"action_variation": 0.25}
