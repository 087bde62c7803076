"""Critics of every kind in agents: compiled equals eager, and resumed equals uninterrupted."""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from proof_of_runs import arrays_of
from variants import VARIANTS, small

import footlight
from footlight.algorithms import config_class
from footlight.config.fields import fields as fields_of
from footlight.learning.agent import Agent
from footlight.networks.norms import uses_batches
from footlight.trees import tree_items
from tolerance import assert_close

OBSERVATIONS = gymnasium.spaces.Box(-1, 1, (3,), np.float32)
ACTIONS = gymnasium.spaces.Box(-2, 2, (1,), np.float32)
SMALL: dict[str, Any] = {
    "hidden_sizes": (16, 16), "batch_size": 8, "buffer_size": 100, "learning_starts": 8,
}  # fmt: skip
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "quantile": ("sac", {
        "critic": "quantile", "num_quantiles": 5, "dropped_quantiles": 1, "dropout": 0.1,
        "norm": "layer"}),
    "categorical": ("sac", {
        "critic": "categorical", "norm": "batch", "unit_weights": "all", "target_network": False,
        "num_bins": 11, "hidden_sizes": (16,)}),
    "blocks": ("td3", {
        "body": "residual-post-norm", "norm": "batch-renorm", "unit_weights": "all-and-norms",
        "hidden_sizes": (16,), "policy_delay": 1, "num_critics": 3, "activation": "tanh",
        "prioritization": "lap"}),
}  # fmt: skip
"""All that the variants of SAC are made of."""
UNSCHEDULED = {"updates_per_step": 2, "learning_rate_schedule": "constant"}
"""Schedules stretch over the steps that a run is extended to."""


def feed(agent: Agent, steps: int) -> None:
    """The same transitions for each agent, since rounding must not lead them to other states."""
    world = np.random.default_rng(0)
    for step in range(steps):
        observation, successor = world.uniform(-1, 1, (2, 3)).astype(np.float32)
        action = world.uniform(-2, 2, 1).astype(np.float32)
        agent.observe(
            observation, action, observation.sum(), successor, step % 7 == 6, step % 11 == 10
        )


@pytest.mark.parametrize("case", ["categorical", "blocks"])  # quantiles: parity/test_compiled.py
def test_compiled_equals_eager(case: str) -> None:
    algorithm, fields = CASES[case]
    eager, compiled = (
        Agent(algorithm, OBSERVATIONS, ACTIONS, seed=3, compile=mode, **SMALL | fields)
        for mode in ("off", "on")
    )
    before = {name: np.asarray(leaf).copy() for name, leaf in tree_items(eager.state).items()}
    for agent in (eager, compiled):
        feed(agent, 16)
    assert compiled.compiled
    assert eager.num_updates == compiled.num_updates == 8
    found = tree_items(compiled.state)
    for name, leaf in tree_items(eager.state).items():
        # Adam divides by the root of the second moment: rounding of small gradients is amplified
        assert_close(found[name], leaf, terms=64, depth=400, message=name, scale=1.0)
    statistics = [name for name in before if name.endswith("critic_statistics")]
    assert bool(statistics) is ("norm" in fields)
    assert all(not np.array_equal(np.asarray(found[name]), before[name]) for name in statistics)


@pytest.mark.parametrize("case", [*CASES, *VARIANTS])
def test_stopped_and_resumed_equals_straight(case: str, tmp_path: Path) -> None:
    algorithm, fields = CASES.get(case) or (case, small(case) | UNSCHEDULED)
    settings = {
        **SMALL, **fields, "seed": 5, "compile": "off", "quiet": True, "eval_episodes": 1,
        "eval_every": 0,
    }  # fmt: skip
    straight, part = (
        footlight.train(algorithm, "Pendulum-v1", steps=steps, run_dir=tmp_path / name, **settings)
        for name, steps in (("straight", 28), ("resumed", 15))
    )
    footlight.resume(part.folder, steps=28, quiet=True)
    wanted = arrays_of(tmp_path / "straight")
    config = config_class(algorithm)(**fields)
    keeps_statistics = uses_batches(config.norm) or config.dropout > 0
    assert any("statistics" in name for name in wanted) is keeps_statistics
    assert arrays_of(tmp_path / "resumed") == wanted
    assert straight.folder == tmp_path / "straight"


@pytest.mark.parametrize("name", ["sac", "td3", "tqc", "droq", "flashsac"])
def test_images_and_parts_of_a_dict_are_learned_from(name: str) -> None:
    image = gymnasium.spaces.Box(0, 255, (36, 36, 1), np.uint8)
    seen = gymnasium.spaces.Dict({"image": image, "speed": OBSERVATIONS})
    fields = small(name) | {"updates_per_step": 1, "learning_starts": 4, "batch_size": 4}
    fields = {key: value for key, value in fields.items() if key in fields_of(config_class(name))}
    for space in (image, seen):
        agent = Agent(name, space, ACTIONS, seed=1, compile="off", **fields)
        space.seed(1)
        for step in range(7):
            observation = space.sample()
            action = agent.act(observation, explore=True)
            agent.observe(observation, action, 1.0, space.sample(), False, step % 3 == 2)
        assert agent.num_updates == 3
        assert np.isfinite(agent.metrics()["critic_loss"])
