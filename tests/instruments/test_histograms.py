"""Histograms of weights and gradients: correct, complete, and without effect on training."""

import json
import shutil
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from own_examples import TorchA2C

import footlight
from footlight.equations.optimizers import Adam, RMSprop, adam_step, rmsprop_step
from footlight.instruments.histograms import histograms
from footlight.learning.agent import Agent
from footlight.storage import checkpoint
from tolerance import close

SMALL: dict[str, Any] = {
    "hidden_sizes": (8, 8),
    "compile": "off",
    "quiet": True,
    "eval_episodes": 0,
    "preset": False,
}
REPLAY = {"learning_starts": 20, "batch_size": 8, "buffer_size": 200}
SEEN, ACTED = (
    gymnasium.spaces.Box(-1, 1, (3,), np.float32),
    gymnasium.spaces.Box(-2, 2, (2,), np.float32),
)


@pytest.mark.parametrize(
    ("algorithm", "env_id", "fields"),
    [
        ("sac", "Pendulum-v1", REPLAY),
        ("a2c", "CartPole-v1", {"optimizer": "rmsprop"}),
        ("impala", "CartPole-v1", {"num_epochs": 2}),
        ("ppo", "CartPole-v1", {"n_steps": 32, "minibatch_size": 16, "target_kl": 1e-4}),
        ("replay-actor-critic", "CartPole-v1", REPLAY),
        ("sac-discrete", "CartPole-v1", REPLAY),
        ("stream-ac", "CartPole-v1", {}),
    ],
)
def test_histograms_do_not_affect_training(
    algorithm: str, env_id: str, fields: dict[str, Any], tmp_path: Path
) -> None:
    for name, wanted in (("with", True), ("without", False)):
        settings: dict[str, Any] = (
            SMALL | fields | {"steps": 150, "eval_every": 50, "track_histograms": wanted}
        )
        footlight.train(algorithm, env_id, run_dir=tmp_path / name, **settings)
    arrays = [
        checkpoint.read_arrays(checkpoint.find(tmp_path / name), "agent")
        for name in ("with", "without")
    ]
    assert all(np.array_equal(arrays[0][name], array) for name, array in arrays[1].items())
    assert all(name.endswith(".gradient") for name in arrays[0].keys() - arrays[1].keys())
    assert not (tmp_path / "without" / "histograms.jsonl").exists()
    lines = [
        json.loads(line)
        for line in (tmp_path / "with" / "histograms.jsonl").read_text().splitlines()
    ]
    assert [line["step"] for line in lines] == [50, 100, 150]
    counts = [sum(histogram["counts"]) for histogram in lines[-1]["weights"].values()]
    assert sum(counts) == Agent.load(tmp_path / "with").num_parameters
    memories = {"replay-actor-critic": 2, "stream-ac": 0}.get(algorithm, 1)
    assert len(lines[-1]["gradients"]) == memories * len(counts)


def test_resumed_run_has_the_histograms_of_an_uninterrupted_one(tmp_path: Path) -> None:
    settings = SMALL | REPLAY | {"eval_every": 50, "checkpoint_every": 70, "track_histograms": True}
    footlight.train("td3", "Pendulum-v1", steps=200, run_dir=tmp_path / "straight", **settings)
    footlight.train("td3", "Pendulum-v1", steps=140, run_dir=tmp_path / "resumed", **settings)
    shutil.rmtree(
        tmp_path / "resumed" / "checkpoints" / "step-000000140"
    )  # the lines of 100 and 140 are cut off
    footlight.resume(tmp_path / "resumed", steps=200, quiet=True)
    texts = [(tmp_path / name / "histograms.jsonl").read_text() for name in ("straight", "resumed")]
    assert texts[0] == texts[1]


def test_histogram_counts_each_value_once() -> None:
    agent = Agent("td3", SEEN, ACTED, hidden_sizes=(4,), keep_gradients=True)
    agent.state.actor.copy_(torch.linspace(-1, 1, len(agent.state.actor)))
    agent.state.actor_optimizer.gradient.fill_(3)
    made = histograms(agent.networks, agent.state)
    parts = agent.networks.actor.unflatten(agent.state.actor)
    for name, part in parts.items():
        histogram = made["weights"][f"actor.{name}"]
        assert (histogram["low"], histogram["high"]) == close(
            (part.min().item(), part.max().item())
        )
        assert (sum(histogram["counts"]), len(histogram["counts"])) == (part.numel(), 32)
        gradient = made["gradients"][f"actor.{name}"]  # all alike: a bin of width 1/32 around them
        assert (gradient["low"], gradient["high"], max(gradient["counts"])) == (
            2.5,
            3.5,
            part.numel(),
        )
    assert all(
        sum(made["gradients"][name]["counts"])
        for name in made["gradients"]
        if name.startswith("critic.")
    )


def test_values_that_are_not_finite_are_skipped() -> None:
    agent = Agent("td3", SEEN, ACTED, hidden_sizes=(4,))
    agent.state.actor[0] = torch.nan
    made = histograms(agent.networks, agent.state)
    assert sum(
        sum(histogram["counts"])
        for name, histogram in made["weights"].items()
        if name.startswith("actor")
    ) == (len(agent.state.actor) - 1)
    assert made["gradients"] == {}


@pytest.mark.parametrize("kind", [Adam, RMSprop])
def test_optimizer_keeps_the_last_gradient_if_it_has_room(kind: Any) -> None:
    parameters, gradient = torch.tensor([1.0, 2.0]), torch.tensor([0.5, -0.5])
    plain, keeping = kind.zeros_like(parameters), kind.zeros_like(parameters)
    keeping.gradient = torch.zeros(2)
    twin = parameters.clone()
    for memory, vector in ((plain, parameters), (keeping, twin)):
        step: Any = adam_step if kind is Adam else rmsprop_step
        step(vector, gradient, memory, 0.1, 1e-5)
    assert parameters.equal(twin)
    assert keeping.gradient.equal(gradient)
    assert plain.gradient is None


def test_modules_of_an_algorithm_in_ordinary_pytorch() -> None:
    agent = Agent(TorchA2C, SEEN, gymnasium.spaces.Discrete(2), n_steps=1)
    before = histograms(agent.networks, agent.state)
    assert before["gradients"] == {}
    assert before["weights"].keys() == {
        f"{module}.{layer}.{part}"
        for module in ("policy", "critic")
        for layer in (0, 2)
        for part in ("weight", "bias")
    }
    agent.observe(SEEN.low, agent.act(SEEN.low, explore=True), 1.0, SEEN.low, False, False)
    after = histograms(agent.networks, agent.state)
    assert after["gradients"].keys() == after["weights"].keys()
    assert sum(after["gradients"]["critic.0.weight"]["counts"]) == 3 * 64
    assert after["weights"]["critic.2.bias"] != before["weights"]["critic.2.bias"]
