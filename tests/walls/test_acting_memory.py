"""Wall C: a recurrent policy, whose buffer keeps the log-probability and the hidden state of the
moment of deciding."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pytest
import torch
from proof import make, require_learning, require_resuming, require_run, run
from torch import Tensor, nn
from torch.func import grad_and_value

from footlight.algorithms.protocol import Noise, Outcome, PolicyState
from footlight.algorithms.settings import Normalization, OptimizerSettings
from footlight.ambient import computes
from footlight.buffers.memory import fill
from footlight.equations.optimizers import Memory
from footlight.errors import UserError
from footlight.networks.bodies import as_features
from footlight.networks.flat import Network
from footlight.networks.heads import Gaussian
from footlight.types import Array, Decision, Observations, Rewards, Spaces, Transition, WholeRollout

NUM_HIDDEN, NUM_STEPS = 4, 3


class Recurrent(nn.Module):
    """Mean and raw log standard deviation, and the next hidden state."""

    def __init__(self, num_inputs: int, num_actions: int) -> None:
        super().__init__()
        self.cell = nn.Linear(num_inputs + NUM_HIDDEN, NUM_HIDDEN)
        self.last = nn.Linear(NUM_HIDDEN, 2 * num_actions)

    def forward(self, observation: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.cell(torch.cat([as_features(observation), hidden], -1)).tanh()
        return self.last(hidden), hidden


class Batch(NamedTuple):
    observation: Observations  # [T, E, O]
    action: Any  # [T, E, A]
    reward: Rewards  # [T, E]
    log_prob: Any  # [T, E], of the moment of deciding
    hidden: Any  # [T, E, H], of the moment of deciding
    continues: Any  # [T, E]


class Rollout:
    """`NUM_STEPS` steps of each environment, with what was known when they were decided on."""

    def __init__(self, spaces: Spaces, num_envs: int) -> None:
        lead = NUM_STEPS, num_envs
        shapes = spaces.observation_shape, (spaces.action.size,), (), (), (NUM_HIDDEN,), ()
        self.batch = Batch(*(np.zeros((*lead, *shape), np.float32) for shape in shapes))
        self.num_bytes = sum(array.nbytes for array in self.batch)
        self.capacity, self.num_steps, self.filled = NUM_STEPS * num_envs, 0, 0

    def add(self, transition: Transition, decision: Decision) -> None:
        ended = transition.terminated | transition.truncated
        row = transition.observation, decision.action, transition.reward
        row = *row, decision.extras["log_prob"], decision.extras["hidden"], ~ended
        for array, new in zip(self.batch, row, strict=True):
            array[self.filled] = new
        self.num_steps, self.filled = self.num_steps + len(ended), self.filled + 1

    def due(self, stream: np.random.Generator, final: bool = False) -> Iterator[WholeRollout]:
        if self.filled == NUM_STEPS:
            self.filled = 0
            yield WholeRollout(is_linked=False)

    def expected_updates(self, steps: int) -> int:
        return steps // self.capacity

    def forget_pending(self, envs_E: Array) -> None:
        self.batch.continues[max(0, self.filled - 1), envs_E] = 0

    def arrays(self) -> dict[str, Array]:
        return self.batch._asdict()

    def counters(self) -> dict[str, int]:
        return {"num_steps": self.num_steps, "filled": self.filled}

    def restore(self, arrays: dict[str, Array], counters: dict[str, int]) -> None:
        self.num_steps, self.filled = counters["num_steps"], counters["filled"]
        for name, array in self.batch._asdict().items():
            fill(array, arrays[name])


@dataclass(frozen=True, kw_only=True)
class Config(Normalization, OptimizerSettings):
    """Hyperparameters."""

    gamma: float = 0.9
    """Discount."""


@dataclass(frozen=True)
class Networks:
    recurrent: Network
    head: Gaussian

    @property
    def policy(self) -> Network:
        return self.recurrent


@dataclass
class State:
    recurrent: Tensor
    optimizer: Memory
    progress: Tensor


@dataclass(frozen=True)
class RecurrentGradient:
    """A policy gradient through time, with importance weights against the policy that acted."""

    config: Config
    networks: Networks
    spaces: Spaces

    ACTIONS: ClassVar = ("box",)
    METRICS: ClassVar = ("loss", "ratio")

    @classmethod
    def create(cls, config: Config, spaces: Spaces, network: Any = None) -> Any:
        size = spaces.action.size
        module = Recurrent(spaces.observation_shape[0], size)
        return cls(config, Networks(Network([module]), Gaussian(size)), spaces)

    def init(self, num_envs: int) -> State:
        parameters = self.networks.recurrent.initial.clone()
        return State(parameters, self.config.make_optimizer().init(parameters), torch.zeros(1))

    def buffer(self, num_envs: int) -> Rollout:
        return Rollout(self.spaces, num_envs)

    def memory(self, num_envs: int) -> Any:
        return {"hidden": np.zeros((num_envs, NUM_HIDDEN), np.float32)}

    def policy(self, state: State) -> PolicyState:
        return PolicyState(state.recurrent)

    @computes
    def act(self, policy: PolicyState, memory: Any, observation: Any, stream: Any) -> Any:
        head = self.networks.head
        with torch.no_grad():
            seen, hidden = torch.tensor(observation), torch.tensor(memory["hidden"])
            output, after = self.networks.recurrent(policy.parameters, seen, hidden)
            array = output.numpy()
            action = head.mode(array) if stream is None else head.sample(array, stream)
            log_prob = head.log_prob(output, torch.tensor(action)).numpy()
        extras = {"log_prob": log_prob, "hidden": memory["hidden"]}
        return Decision(action, extras), {"hidden": after.numpy()}

    @property
    def updates(self) -> Mapping[str, Callable[[State, Batch, Noise], Outcome]]:
        return {"rollout": self.update}

    def update(self, state: State, batch: Batch, noise: Noise) -> Outcome:
        def loss(parameters: Tensor) -> tuple[Tensor, Tensor]:
            hidden, log_probs = batch.hidden[0], []
            for time in range(NUM_STEPS):
                output, hidden = self.networks.recurrent(
                    parameters, batch.observation[time], hidden
                )
                log_probs.append(self.networks.head.log_prob(output, batch.action[time]))
                hidden = hidden * batch.continues[time][:, None]
            ratio = (torch.stack(log_probs) - batch.log_prob).exp()
            return -(ratio * batch.reward).mean(), ratio.mean()

        gradient, (value, ratio) = grad_and_value(loss, has_aux=True)(state.recurrent)
        rate = self.config.learning_rate
        self.config.make_optimizer().step(
            state.recurrent, gradient, state.optimizer, rate, state.progress
        )
        return Outcome({"loss": value, "ratio": ratio})


def test_hidden_states_compiled_or_not() -> None:
    agent = require_learning(RecurrentGradient)
    # The update unrolls from the stored state through ends of episodes: it acts as the policy did
    assert agent.metrics()["ratio"] == pytest.approx(1, abs=1e-5)


def test_memory_is_that_of_the_episode() -> None:
    agent = make(RecurrentGradient)
    world = run(agent, 4)
    assert agent.memory["hidden"].any(1).all()
    world.step(agent)  # the fifth step ends an episode of the first environment
    assert agent.memory["hidden"].any(1).tolist() == [False, True]


def test_policy_remembers_and_predict_hands_the_memory_out() -> None:
    policy = make(RecurrentGradient).policy
    seen = np.ones((2, 3), np.float32)
    first, second = policy.act(seen), policy.act(seen)
    assert not np.array_equal(first, second)
    policy.reset(np.array([True, False]))
    third = policy.act(seen)
    assert np.array_equal(third[0], first[0])
    assert not np.array_equal(third[1], first[1])
    action, memory = policy.predict(seen, deterministic=True)
    assert np.array_equal(action, first)
    again, memory = policy.predict(seen, memory, np.array([False, True]), deterministic=True)
    assert np.array_equal(again[0], second[0])
    assert np.array_equal(again[1], first[1])


def test_replaced_action_is_refused() -> None:
    agent = make(RecurrentGradient)
    seen = np.zeros((2, 3), np.float32)
    action, never = agent.act(seen, explore=True), np.zeros(2, bool)
    with pytest.raises(UserError, match="also learns from log_prob, hidden of its own actions"):
        agent.observe(seen, action + 0.5, np.zeros(2), seen, never, never)


def test_memory_survives_a_restart(tmp_path: Path) -> None:
    require_resuming(RecurrentGradient, tmp_path)


def test_run(tmp_path: Path) -> None:
    require_run(RecurrentGradient, tmp_path)
