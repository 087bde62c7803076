"""Fields of off-policy networks: their ranges, what does not go together, what they build."""

from typing import Any

import gymnasium
import numpy as np
import pytest
from torch import nn

from footlight.errors import UserError
from footlight.learning.agent import Agent
from footlight.networks.norms import BatchNorm

OBSERVATIONS = gymnasium.spaces.Box(-1, 1, (3,), np.float32)
ACTIONS = gymnasium.spaces.Box(-1, 1, (2,), np.float32)


def agent_of(algorithm: str = "sac", **fields: Any) -> Agent:
    settings = {"hidden_sizes": (8, 8), "compile": "off", **fields}
    return Agent(algorithm, OBSERVATIONS, ACTIONS, **settings)


@pytest.mark.parametrize("algorithm", ["sac", "td3", "ddpg"])
@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("dropout", 1.0, r"dropout is 1.0 - it must be a number in \[0, 1\)"),
        ("dropout", -0.1, "dropout is -0.1 - it must be"),
        ("num_bins", 1, "num_bins is 1 - it must be an integer >= 2"),
        ("bin_bound", 0.0, "bin_bound is 0.0 - it must be a number > 0"),
        ("num_quantiles", 1, "num_quantiles is 1 - it must be an integer >= 2"),
        ("dropped_quantiles", -1, "dropped_quantiles is -1 - it must be an integer >= 0"),
        ("subset_size", 0, "subset_size is 0 - it must be an integer >= 1"),
        ("num_critics", 0, "num_critics is 0 - it must be an integer >= 1"),
        ("norm", "batchnorm", "norm is 'batchnorm' - it must be one of none, layer, rms, batch,"),
        ("critic", "quantiles", "critic is 'quantiles' - it must be one of scalar, quantile,"),
        ("target_rule", "min", "target_rule is 'min' - it must be one of minimum, mean, subset"),
        ("unit_weights", "norms", "unit_weights is 'norms' - it must be one of none, hidden, all,"),
        ("body", "resnet", "body is 'resnet' - it must be one of mlp, residual, residual-post"),
    ],
)
def test_values_out_of_range_are_refused(
    algorithm: str, field: str, value: Any, message: str
) -> None:
    with pytest.raises(UserError, match=f"^{message}"):
        agent_of(algorithm, **{field: value})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"critic": "quantile", "num_quantiles": 5, "dropped_quantiles": 5},
            "dropped_quantiles is 5 of 5 quantiles - the target would be empty - drop fewer",
        ),
        (
            {"critic": "quantile", "target_rule": "mean"},
            "target_rule is mean with quantile critics - their targets pool the quantiles of all",
        ),
        (
            {"target_rule": "subset", "num_critics": 2, "subset_size": 3},
            "subset_size is 3 of 2 critics - a subset has no more critics than there are - raise",
        ),
        (
            {"dropout": 0.1, "body": "residual"},
            "dropout is 0.1 with body residual - residual blocks have none - use body mlp",
        ),
        (
            {"norm_after_activation": True, "norm": "layer", "body": "residual"},
            "norm_after_activation is true with body residual - the order within residual blocks",
        ),
        (
            {"body": "residual", "hidden_sizes": (8, 4)},
            r"hidden_sizes is \[8, 4\] - residual blocks add their output to their input",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=f"^{message}"):
        agent_of(**fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"dropout": 0.999},
        {"num_bins": 2, "critic": "categorical"},
        {"critic": "quantile", "num_quantiles": 5, "dropped_quantiles": 4},
        {"num_quantiles": 2},  # no more than dropped_quantiles, but a scalar critic has none
        {"target_rule": "subset", "num_critics": 3, "subset_size": 3},
        {"body": "residual", "hidden_sizes": (8,), "actor_hidden_sizes": (4, 4)},
    ],
)
def test_outermost_values_are_accepted(fields: dict[str, Any]) -> None:
    agent = agent_of(**fields)
    assert agent.state.critic.isfinite().all()


def norms(agent: Agent, part: str) -> int:
    module = getattr(agent.networks, part).module
    return sum(isinstance(each, BatchNorm | nn.LayerNorm) for each in module.modules())


@pytest.mark.parametrize("norm", ["layer", "batch"])
def test_normalized_parts(norm: str) -> None:
    both = agent_of(norm=norm)
    assert (norms(both, "actor"), norms(both, "critic")) == (2, 2)
    of_inputs = agent_of(norm=norm, normalize_input=True)
    assert (norms(of_inputs, "actor"), norms(of_inputs, "critic")) == (3, 3)
    critics_only = agent_of(norm=norm, normalize_input=True, normalize_actor=False)
    assert (norms(critics_only, "actor"), norms(critics_only, "critic")) == (0, 3)


@pytest.mark.parametrize(
    ("fields", "num_outputs"),
    [
        ({}, 1),
        ({"critic": "quantile", "num_quantiles": 7}, 7),
        ({"critic": "categorical", "num_bins": 11}, 11),
    ],
)
def test_outputs_of_a_critic(fields: dict[str, Any], num_outputs: int) -> None:
    agent = agent_of(num_critics=3, **fields)
    shapes = agent.networks.critic.shapes
    assert shapes["body.4.weight"] == (3, num_outputs, 8)


def test_actor_may_have_other_sizes_and_has_no_dropout() -> None:
    agent = agent_of(actor_hidden_sizes=(4,), dropout=0.5)
    assert agent.networks.actor.shapes["body.0.weight"] == (4, 3)
    assert agent.networks.critic.shapes["body.0.weight"] == (2, 8, 5)
    assert agent.state.actor_statistics is None
    assert agent.state.critic_statistics is not None


@pytest.mark.parametrize(
    ("given", "expected"),
    [((4,), (4,)), ("4 8", (4, 8)), (["4", "8"], (4, 8)), (["none"], None), ("none", None)],
)
def test_actor_sizes_in_python_and_as_text(given: Any, expected: Any) -> None:
    assert agent_of(actor_hidden_sizes=given).config.actor_hidden_sizes == expected
    with pytest.raises(UserError, match=r"^actor_hidden_sizes is .* - it must be a list of integ"):
        agent_of(actor_hidden_sizes=(0,))


def test_without_target_networks() -> None:
    for algorithm in ("sac", "td3", "ddpg"):
        assert agent_of(algorithm, target_network=False).state.target_critic is None
        assert agent_of(algorithm).state.target_critic is not None
