"""Agents to export, and the comparison of actions with an agent's own."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete, MultiBinary, MultiDiscrete

from footlight.algorithms import config_class
from footlight.errors import UserError
from footlight.instruments.deterministic import DeterministicPolicy
from footlight.instruments.export import export
from footlight.learning.agent import Agent
from tolerance import largest_intermediate, longest_sum, rounding_error

NUMBERS, IMAGES, COUNTS = (
    Box(-np.inf, np.inf, (3,), np.float32),
    Box(0, 255, (4, 36, 36), np.uint8),
    Box(0, 9, (3,), np.int64),
)
BOX = Box(np.array([-2, 0], np.float32), np.array([2, 0.3], np.float32))
DOUBLE, HALF = Box(-1, 3, (1, 2), np.float64), Box(-1, 3, (2,), np.float16)
CHOICE, CHOICES, SWITCHES = (
    Discrete(3, start=-1),
    MultiDiscrete([[2, 3], [4, 5]], start=[[1, 2], [3, -4]]),
    MultiBinary((2, 2)),
)


def learner(algorithm: Any, action: Any, seen: Any = NUMBERS, **fields: Any) -> Agent:
    """An agent with parameters and statistics unlike those of a new one."""
    known = config_class(algorithm).__dataclass_fields__
    if "buffer_size" in known:
        fields = {"buffer_size": 100, "batch_size": 16, "learning_starts": 0, **fields}
    agent = Agent(
        algorithm, seen, action, seed=1, compile="off", **{"hidden_sizes": (8, 8), **fields}
    )
    generator = torch.Generator().manual_seed(2)
    parameters_P = agent.policy.state.parameters
    # Images resemble each other to convolutions.
    gain = 3 if len(agent.spaces.observation_shape) > 1 else 1.5
    noise_P = torch.randn(parameters_P.shape, generator=generator)
    for view in agent.networks.policy.unflatten(noise_P).values():
        # No output of a layer is much larger than its input.
        view *= gain / view[0].numel() ** 0.5 if view.dim() > 1 else 0.2
    parameters_P += noise_P
    if agent.normalizer is not None and agent.normalizer.observations:
        stream = np.random.default_rng(3)
        agent.normalizer.mean[...] = stream.uniform(-1, 1, agent.normalizer.mean.shape)
        agent.normalizer.scale[...] = stream.uniform(0.5, 2, agent.normalizer.scale.shape)
    return agent


def observations_of(agent: Agent, number: int) -> Any:
    stream, spaces = np.random.default_rng(number), agent.spaces
    drawn = stream.normal(0, 5, (number, *spaces.observation_shape))
    if spaces.observation_dtype == "uint8":
        drawn = stream.integers(0, 256, drawn.shape) * stream.uniform(
            0, 1, (*drawn.shape[:2], *[1] * (drawn.ndim - 2))
        )
    return drawn.astype(spaces.observation_dtype)


def require_equal(found: Any, agent: Agent, observations: Any) -> None:
    wanted = agent.act(observations)
    assert (found.dtype, found.shape) == (wanted.dtype, wanted.shape)
    acting = DeterministicPolicy(agent.policy)
    seen = torch.from_numpy(observations)
    depth = 1 + sum(
        parameter.dim() > 1 for name, parameter in acting.named_parameters() if "critic" not in name
    )
    scale = largest_intermediate(acting, seen)
    allowed = rounding_error(terms=longest_sum(acting), depth=depth, scale=scale)
    if wanted.dtype.kind == "f":
        allowed += rounding_error(wanted.dtype, scale=float(np.abs(wanted).max()))
        np.testing.assert_allclose(
            found.astype(np.float64), wanted.astype(np.float64), rtol=0, atol=allowed
        )
    else:  # choices differ only where rounding decides between two logits
        with torch.no_grad():
            logits_EH = acting.output(seen).numpy()
        first_A = np.cumsum((0, *agent.spaces.action.sizes[:-1]))
        one_EA, other_EA = (
            np.take_along_axis(logits_EH, agent.spaces.action.from_environment(each) + first_A, 1)
            for each in (found, wanted)
        )
        np.testing.assert_allclose(one_EA, other_EA, rtol=0, atol=allowed)
    if len(wanted) > 10:
        assert (
            len(np.unique(wanted.reshape(len(wanted), -1), axis=0)) > 1
        )  # a policy that sees something


class Parts(torch.nn.Module):
    """A user's network that uses one layer twice."""

    def __init__(self, observation_space: Any, action_space: Any) -> None:
        super().__init__()
        layer = torch.nn.Linear(3, 3)
        self.actor = torch.nn.Sequential(layer, torch.nn.Softplus(), layer, torch.nn.Linear(3, 3))
        self.critic = torch.nn.Linear(3, 1)


def require_refused(words: list[str], **options: Any) -> None:
    with pytest.raises(UserError) as refused:
        export("agent", "policy.onnx", **options)
    assert all(word in str(refused.value) for word in words), refused.value
    assert len(str(refused.value).splitlines()) <= 3
    assert Path("policy.onnx").read_text() == "before"
    assert sorted(path.name for path in Path().iterdir()) == ["agent", "policy.onnx"]
