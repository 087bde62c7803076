"""Random spaces and configs: the agent works and is restored bit for bit, or is rejected."""

import tempfile
from pathlib import Path
from typing import Any, get_args

import gymnasium
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from variants import DIFFERENT

from footlight.algorithms import config_class, find
from footlight.config.fields import fields
from footlight.errors import FootlightError, UserError
from footlight.learning.agent import Agent
from footlight.trees import tree_items

RANDOM = settings(
    max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
SMALL: dict[str, Any] = {
    "hidden_sizes": (4,), "buffer_size": 40, "batch_size": 3, "learning_starts": 4, "n_steps": 2,
    "num_epochs": 1, "updates_per_step": 1,
    "minibatch_size": 2, "episodes_per_update": 1, "chunk_size": 8,
}  # fmt: skip

shapes = st.lists(st.integers(1, 4), min_size=0, max_size=4).map(tuple)
floats = st.sampled_from([np.float16, np.float32, np.float64])
observations = st.one_of(
    st.builds(lambda shape, dtype: gymnasium.spaces.Box(-1, 1, shape, dtype), shapes, floats),
    st.builds(lambda shape: gymnasium.spaces.Box(0, 255, shape, np.uint8), shapes),
    st.builds(
        lambda size: gymnasium.spaces.Box(-np.inf, np.inf, (size,), np.float32), st.integers(1, 5)
    ),
    st.builds(gymnasium.spaces.Discrete, st.integers(1, 5)),
)
actions = st.one_of(
    st.builds(
        lambda shape, dtype, low, width: gymnasium.spaces.Box(dtype(low), dtype(low + width),
        shape, dtype),
        shapes, floats, st.integers(-50, 50), st.integers(0, 100),
    ),
    st.builds(lambda count, start: gymnasium.spaces.Discrete(count, start=start), st.integers(1,
    5), st.integers(-3, 3)),
    st.builds(gymnasium.spaces.MultiDiscrete, st.lists(st.integers(1, 4), min_size=1, max_size=3)),
    st.builds(gymnasium.spaces.MultiBinary, st.integers(1, 4)),
)  # fmt: skip


def leaves(agent: Agent) -> dict[str, bytes]:
    found = {
        **tree_items(agent.state),
        **{f"buffer.{name}": array for name, array in agent.buffer.arrays().items()},
    }
    return {name: np.asarray(leaf).tobytes() for name, leaf in found.items()}


def require_words(error: Exception) -> None:
    assert 1 <= len(str(error).splitlines()) <= 3


def live(agent: Agent, observation_space: gymnasium.Space[Any], seed: int, steps: int) -> None:
    """Some steps with some ends."""
    draws = np.random.default_rng(seed)
    shape = (agent.num_envs, *observation_space.shape)  # type: ignore[misc]

    def seen() -> np.ndarray:
        is_bytes = observation_space.dtype == np.uint8
        return (
            draws.integers(0, 256, shape, np.uint8)
            if is_bytes
            else draws.uniform(-1, 1, shape).astype(observation_space.dtype)
        )

    for _ in range(steps):
        observation = seen()
        acted = agent.act(observation, explore=True)
        assert all(agent.spaces.action.shape == np.shape(action) for action in acted)
        ends = draws.random((2, agent.num_envs)) < 0.2
        agent.observe(
            observation,
            acted,
            draws.standard_normal(agent.num_envs),
            seen(),
            ends[0],
            ends[1] & ~ends[0],
        )


@pytest.mark.parametrize("algorithm", DIFFERENT)
@RANDOM
@given(observations, actions, st.integers(1, 3), st.booleans())
def test_random_spaces(
    algorithm: str, seen: Any, acted: Any, num_envs: int, normalized: bool
) -> None:
    known = fields(config_class(algorithm))
    given_fields = {name: value for name, value in SMALL.items() if name in known}
    given_fields |= (
        {"normalize_observations": normalized} if "normalize_observations" in known else {}
    )
    try:
        agent = Agent(algorithm, seen, acted, num_envs=num_envs, compile="off", **given_fields)
    except UserError as error:
        return require_words(error)
    live(agent, seen, 0, 8)
    with tempfile.TemporaryDirectory() as folder:
        agent.save(Path(folder) / "agent")
        again = Agent.load(Path(folder) / "agent")
    assert leaves(again) == leaves(agent)
    for either in (agent, again):
        live(either, seen, 1, 6)
    assert leaves(again) == leaves(agent)


def values(field: Any) -> st.SearchStrategy[Any]:
    """Right and wrong ones for a field of a config."""
    choices: list[Any] = [
        None,
        True,
        0,
        1,
        2,
        -1,
        0.5,
        1e-3,
        1e9,
        "none",
        "auto",
        "",
        [],
        [4],
        float("nan"),
        field.default,
    ]
    choices += [
        value for value in get_args(field.type) if isinstance(value, str | int | float | bool)
    ]
    return st.sampled_from(choices)


@pytest.mark.parametrize("algorithm", DIFFERENT)
@RANDOM
@given(st.data())
def test_random_configs(algorithm: str, data: Any) -> None:
    known = fields(config_class(algorithm))
    small = {name: value for name, value in SMALL.items() if name in known}
    names = data.draw(st.lists(st.sampled_from(sorted(known)), max_size=3, unique=True))
    chosen = {name: data.draw(values(known[name]), label=name) for name in names}
    seen = gymnasium.spaces.Box(-1, 1, (3,), np.float32)
    is_discrete = bool({"discrete", "single"} & set(find(algorithm).ACTIONS))
    box = gymnasium.spaces.Box(-2, 2, (2,), np.float32)
    acted = gymnasium.spaces.Discrete(3) if is_discrete else box
    try:
        agent = Agent(algorithm, seen, acted, num_envs=1, compile="off", **small | chosen)
        live(agent, seen, 0, 12)
    except FootlightError as error:
        return require_words(error)
    assert agent.buffer.num_steps == 12
    state = tree_items(agent.state).items()
    assert not [name for name, leaf in state if not np.isfinite(np.asarray(leaf)).all()]
