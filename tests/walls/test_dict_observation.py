"""Wall E: an algorithm that learns from a Dict of an image, a vector and a choice."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from dict_environment import SIZE, Vote
from torch import Tensor, nn
from torch.func import grad

import footlight
from footlight.algorithms.protocol import Noise, Outcome, PolicyState
from footlight.algorithms.settings import Normalization, OptimizerSettings
from footlight.buffers.rollout import Rollout
from footlight.environments.serial import SerialEnvironments
from footlight.equations.optimizers import Memory
from footlight.instruments.export import export
from footlight.learning import saved_agent
from footlight.learning.agent import Agent
from footlight.networks.flat import Network
from footlight.networks.heads import Categorical
from footlight.storage import checkpoint
from footlight.trees import map_leaves, tree_items
from footlight.types import Array, Decision, RolloutBatch, Spaces
from tolerance import assert_close

NUM_STEPS, NUM_ENVS = 8, 2


class Eyes(nn.Module):
    """Logits of the choices, and a value, of all leaves together."""

    def __init__(self, num_choices: int) -> None:
        super().__init__()
        self.camera = nn.Conv2d(1, 2, 12, 12)
        self.body = nn.Linear(2 * (SIZE // 12) ** 2 + 3 + 1, 16)
        self.last = nn.Linear(16, num_choices + 1)

    def forward(self, observation: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        seen = self.camera(observation["camera"][:, None].float() / 255).flatten(1)
        mode = observation["mode"][:, None].float() - 1
        parts = [seen, observation["body.position"], mode]
        output = self.last(self.body(torch.cat(parts, -1)).tanh())
        return output[:, :-1], output[:, -1]


@dataclass(frozen=True, kw_only=True)
class Config(Normalization, OptimizerSettings):
    """Hyperparameters."""

    gamma: float = 0.0
    """Discount: a vote is about this step alone."""


@dataclass(frozen=True)
class Networks:
    eyes: Network
    head: Categorical

    @property
    def policy(self) -> Network:
        return self.eyes


@dataclass
class State:
    eyes: Tensor
    optimizer: Memory
    progress: Tensor


@dataclass(frozen=True)
class Voter:
    """A policy gradient with a baseline."""

    config: Config
    networks: Networks
    spaces: Spaces

    ACTIONS: ClassVar = ("discrete",)
    METRICS: ClassVar = ("reward",)

    @classmethod
    def create(cls, config: Config, spaces: Spaces, network: Any = None) -> Any:
        head = Categorical(spaces.action.sizes)  # type: ignore[union-attr]
        return cls(config, Networks(Network([Eyes(head.num_outputs)]), head), spaces)

    def init(self, num_envs: int) -> State:
        parameters = self.networks.eyes.initial.clone()
        return State(parameters, self.config.make_optimizer().init(parameters), torch.zeros(1))

    def buffer(self, num_envs: int) -> Rollout:
        return Rollout(self.spaces, num_envs, self.config.gamma, NUM_STEPS)

    def policy(self, state: State) -> PolicyState:
        return PolicyState(state.eyes)

    def act(self, policy: PolicyState, memory: None, observation: Array, stream: Any) -> Any:
        logits, _ = self.networks.eyes.infer(policy.parameters, observation)
        head = self.networks.head
        return Decision(head.mode(logits) if stream is None else head.sample(logits, stream)), None

    @property
    def updates(self) -> Mapping[str, Callable[[State, RolloutBatch, Noise], Outcome]]:
        return {"rollout": self.update}

    def update(self, state: State, batch: RolloutBatch, noise: Noise) -> Outcome:
        observation = map_leaves(lambda leaf: leaf.flatten(0, 1), batch.observation)
        action, reward = batch.action.flatten(0, 1), batch.reward.flatten()

        def loss(parameters: Tensor) -> Tensor:
            logits, value = self.networks.eyes(parameters, observation)
            log_prob = self.networks.head.log_prob(logits, action)
            advantage = reward - value.detach()
            return ((value - reward).square() - advantage * log_prob).mean()

        gradient, rate = grad(loss)(state.eyes), self.config.learning_rate
        self.config.make_optimizer().step(
            state.eyes, gradient, state.optimizer, rate, state.progress
        )
        return Outcome({"reward": reward.mean()})


FIELDS: dict[str, Any] = {"normalize_observations": True, "learning_rate": 0.01}


class World:
    """Two environments and an agent in them, stepped by hand."""

    def __init__(self, algorithm: Any = Voter, compile: Any = "off", **fields: Any) -> None:
        continuous = algorithm == "sac"
        envs: list[Any] = [Vote(continuous) for _ in range(NUM_ENVS)]
        self.environments = SerialEnvironments(envs, 3, "episode")
        env = envs[0]
        self.agent = Agent(
            algorithm, env.observation_space, env.action_space, seed=1, num_envs=NUM_ENVS,
            compile=compile, **fields,
        )  # fmt: skip
        self.environments.reset()

    def run(self, steps: int) -> "World":
        for _ in range(steps):
            seen = self.environments.observation
            step = self.environments.step(self.agent.act(seen, explore=True))
            self.agent.observe(
                seen, step.action, step.reward, step.next_observation, step.terminated,
                step.truncated,
            )  # fmt: skip
        return self


ALGORITHMS: dict[str, tuple[Any, dict[str, Any]]] = {
    "by hand": (Voter, FIELDS),
    "sac": (
        "sac",
        {
            "learning_starts": 10, "batch_size": 8, "buffer_size": 60, "n_steps": 2,
            "hidden_sizes": (8,), "normalize_observations": True,
        },
    ),
    "ppo": (
        "ppo",
        {
            "n_steps": 8, "minibatch_size": 8, "num_epochs": 2, "hidden_sizes": (8,),
            "normalize_observations": True,
        },
    ),
    "a2c": ("a2c", {"hidden_sizes": (8,), "normalize_observations": True}),
    "impala": ("impala", {"n_steps": 4, "num_epochs": 2, "hidden_sizes": (8,)}),
    "reinforce": ("reinforce", {"hidden_sizes": (8,)}),
    "replay-actor-critic": (
        "replay-actor-critic",
        {"learning_starts": 10, "batch_size": 8, "hidden_sizes": (8,)},
    ),
}  # fmt: skip


def bits(agent: Agent) -> dict[str, Any]:
    """All arrays of an agent, records by the bytes of their leaves."""
    groups = saved_agent.groups(agent)
    return {
        f"{group}.{name}": map_leaves(lambda leaf: leaf.tobytes(), array)
        for group, arrays in groups.items()
        for name, array in arrays.items()
    }


def test_learns_from_all_leaves() -> None:
    world = World(**FIELDS).run(2100)
    world.agent.metrics()
    world.run(300)
    assert world.agent.metrics()["reward"] > 0.85  # one leaf alone brings 0.75
    assert set(world.agent.normalizer.moments) == {"body.position"}  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["by hand", "sac", "a2c"])
def test_compiled_equals_eager(name: str) -> None:
    """Learning and acting."""
    algorithm, fields = ALGORITHMS[name]
    eager, compiled = (World(algorithm, mode, **fields).run(20) for mode in ("off", "on"))
    assert eager.agent.num_updates == compiled.agent.num_updates > 1
    assert compiled.agent.compiled
    for leaf, found in zip(
        tree_items(eager.agent.state).values(),
        tree_items(compiled.agent.state).values(),
        strict=True,
    ):
        assert_close(found, leaf, terms=SIZE**2, depth=400, scale=1.0)
    if algorithm is not Voter:  # what acts is compiled where it has convolutions of footlight's own
        assert compiled.agent.networks.policy._compiled is not None
    seen = compiled.environments.observation
    found, action = (world.agent.act(seen) for world in (compiled, eager))
    assert_close(torch.tensor(found), torch.tensor(action), terms=SIZE**2, depth=400, scale=1.0)


@pytest.mark.parametrize("name", [name for name in ALGORITHMS if name != "a2c"])
def test_saved_and_continued_to_the_same_bits(name: str, tmp_path: Path) -> None:
    algorithm, fields = ALGORITHMS[name]
    straight, other = (World(algorithm, **fields).run(21) for _ in range(2))
    straight.agent.save(tmp_path / "agent")
    written = checkpoint.read_manifest(tmp_path / "agent")
    assert ("records" in written) == (name != "sac")  # whose replay stores frames by leaf
    other.agent = Agent.load(
        tmp_path / "agent", algorithm=None if isinstance(algorithm, str) else algorithm
    )
    assert bits(other.agent) == bits(straight.agent)
    for world in (straight, other):
        world.run(14)
    assert bits(other.agent) == bits(straight.agent)


def test_files_name_the_leaves(tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    World(**FIELDS).run(3).agent.save(tmp_path / "agent")
    names = load_file(tmp_path / "agent" / "buffer.safetensors")
    assert names["observation.camera"].shape == (NUM_STEPS, NUM_ENVS, SIZE, SIZE)
    assert names["observation.body.position"].dtype == np.float32
    assert names["next_observation.mode"].shape == (NUM_STEPS, NUM_ENVS)
    policy = load_file(tmp_path / "agent" / "policy.safetensors")
    assert policy["normalizer.mean.body.position"].shape == (3,)


KILLED = """
import os, sys
sys.path[:0] = {path}
import footlight
from dict_environment import Vote
from test_dict_observation import Voter
class Dies(Vote):
    count = 0
    def step(self, action):
        Dies.count += 1
        if Dies.count == 150:
            os.kill(os.getpid(), 9)
        return super().step(action)
footlight.train(Voter, Dies, steps=200, run_dir=sys.argv[1], checkpoint_every=40, **{options})
"""
OPTIONS: dict[str, Any] = {
    "num_envs": NUM_ENVS, "seed": 2, "compile": "off", "quiet": True, "eval_every": 0,
    "eval_episodes": 2, "threads": 1, "probe": "off", **FIELDS,
}  # fmt: skip


def test_killed_and_resumed_run_ends_with_the_same_bits(tmp_path: Path) -> None:
    here = [str(Path(__file__).parent), str(Path(__file__).parents[1]), os.getcwd()]
    code = KILLED.format(path=here, options=OPTIONS)
    killed = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "killed")], capture_output=True, check=False
    )
    assert killed.returncode == -9, killed.stderr
    footlight.resume(tmp_path / "killed", algorithm=Voter, environment=Vote, quiet=True)
    whole = footlight.train(Voter, Vote, steps=200, run_dir=tmp_path / "whole", **OPTIONS)
    one, other = (checkpoint.find(tmp_path / name) for name in ("killed", "whole"))
    for group in ("policy", "agent", "buffer", "environments"):
        arrays, wanted = (checkpoint.read_arrays(folder, group) for folder in (one, other))
        assert arrays.keys() == wanted.keys()
        for name, array in arrays.items():
            found = map_leaves(lambda leaf: leaf.tobytes(), array)
            assert found == map_leaves(lambda leaf: leaf.tobytes(), wanted[name]), name
    assert 0 <= whole.evaluate(episodes=2).mean_return <= 8


def test_policy_takes_what_the_environment_gives(tmp_path: Path) -> None:
    world = World(**FIELDS).run(16)
    observation, _ = Vote().reset(seed=4)
    single = world.agent.act(observation)
    batch = {
        "camera": observation["camera"][None],
        "body": {"position": observation["body"]["position"][None]},
        "mode": np.array([observation["mode"]]),
    }
    assert single.shape == ()
    assert world.agent.act(batch).tolist() == [single]
    with pytest.raises(footlight.UserError, match=r"has the parts 'camera', 'mode' - .*body"):
        world.agent.act({"camera": observation["camera"], "mode": observation["mode"]})
    observation["body"]["position"][1] = np.nan
    with pytest.raises(footlight.UserError, match=r"part body.position\[1\] is nan"):
        world.agent.act(observation)


def test_exported_policy_has_an_input_for_each_leaf(tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    world = World(**FIELDS).run(16)
    world.agent.save(tmp_path / "agent")
    export(tmp_path / "agent", tmp_path / "policy.onnx", algorithm=Voter)
    session = runtime.InferenceSession(tmp_path / "policy.onnx")
    inputs = {each.name: each.type for each in session.get_inputs()}
    assert inputs == {
        "observation.body.position": "tensor(float)",
        "observation.camera": "tensor(uint8)",
        "observation.mode": "tensor(int64)",
    }
    seen = world.environments.observation
    leaves = {f"observation.{name}": np.ascontiguousarray(seen[name]) for name in seen.dtype.names}
    assert np.array_equal(session.run(["action"], leaves)[0], world.agent.act(seen))
