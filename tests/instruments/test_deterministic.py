"""The acting module in torch against the policy: every algorithm and head."""

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from exported import (
    BOX,
    CHOICE,
    CHOICES,
    DOUBLE,
    HALF,
    SWITCHES,
    learner,
    observations_of,
    require_equal,
)
from gymnasium.spaces import Box
from variants import VARIANTS, small

from footlight.algorithms import ALGORITHMS
from footlight.instruments.deterministic import DeterministicPolicy
from footlight.learning.agent import Agent

HEADS = ("gaussian", "state-dependent-gaussian", "squashed-gaussian")
ACTIVATIONS = ("relu", "tanh", "elu", "gelu", "silu", "leaky-relu")
OFF_POLICY, ON_POLICY = (
    ("sac", "td3", "ddpg"),
    ("actor-critic", "a2c", "impala", "ppo", "reinforce", "stream-ac"),
)


def every_policy() -> Iterator[Any]:
    both = (False, True)
    for algorithm, layer_norm, normalized in itertools.product(OFF_POLICY, both, both):
        for action in (BOX, DOUBLE, HALF):
            yield (
                algorithm,
                action,
                {
                    "norm": "layer" if layer_norm else "none",
                    "normalize_observations": normalized,
                },
            )
    for action, normalized in itertools.product((BOX, DOUBLE, HALF), both):
        yield "td7", action, {"normalize_observations": normalized}
    ways = itertools.product(
        [*((BOX, head) for head in HEADS), *((a, HEADS[0]) for a in (CHOICE, CHOICES, SWITCHES))],
        both,
        both,
    )
    for algorithm, ((action, head), layer_norm, other) in itertools.product(ON_POLICY, ways):
        shared = {} if algorithm == "stream-ac" else {"shared_torso": other}
        yield (
            algorithm,
            action,
            {
                "action_head": head,
                "layer_norm": layer_norm,
                "normalize_observations": other,
                **shared,
            },
        )
    for layer_norm, shared_torso in itertools.product(both, both):
        yield (
            "replay-actor-critic",
            CHOICE,
            {"layer_norm": layer_norm, "shared_torso": shared_torso},
        )
    for layer_norm, normalized in itertools.product(both, both):
        fields = {"layer_norm": layer_norm, "normalize_observations": normalized}
        yield "sac-discrete", CHOICE, fields
    for name, normalized in itertools.product(VARIANTS, both):
        yield name, BOX, small(name) | {"normalize_observations": normalized}
    for activation in ACTIVATIONS:
        yield "ppo", BOX, {"activation": activation, "layer_norm": True}


def require_module_acts_alike(agent: Agent) -> None:
    observations = observations_of(agent, 40)
    with torch.no_grad():
        actions = DeterministicPolicy(agent.policy)(torch.from_numpy(observations)).numpy()
    require_equal(actions, agent, observations)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_module_equals_policy_for_every_algorithm_and_head(algorithm: str) -> None:
    policies = [(action, fields) for name, action, fields in every_policy() if name == algorithm]
    assert policies
    for action, fields in policies:
        require_module_acts_alike(learner(algorithm, action, **fields))


@pytest.mark.parametrize(("torso", "layer_norm"), [("small", True), ("nature", False)])
@pytest.mark.parametrize("shape", [(4, 36, 36), (36, 36, 3), (36, 36), (2, 36, 36, 3)])
def test_module_equals_policy_for_images(
    torso: str, layer_norm: bool, shape: tuple[int, ...]
) -> None:
    agent = learner(
        "a2c",
        BOX,
        Box(0, 255, shape, np.uint8),
        torso=torso,
        layer_norm=layer_norm,
        action_head="squashed-gaussian",
    )
    require_module_acts_alike(agent)
