"""Wall D: an update that hands priorities to the buffer, which draws by them."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from proof import make, require_learning, require_resuming, require_run, run
from torch import Tensor
from torch.func import grad

from footlight.algorithms.actor_critic import Config, State
from footlight.algorithms.on_policy import Networks, build_networks, optimizer_step, sample_or_mode
from footlight.algorithms.protocol import Noise, Outcome, PolicyState
from footlight.buffers.replay import Replay, ReplayPlan
from footlight.equations.returns import td_target
from footlight.types import Array, Batch, Decision, Minibatch, Spaces, Transition
from tolerance import assert_close

CAPACITY, BATCH_SIZE = 16, 4
SMALL: dict[str, Any] = {"hidden_sizes": (8,), "actor_learning_rate": None}


class Prioritized:
    """Replay whose rows are drawn in proportion to their priority; new ones have the largest."""

    def __init__(self, spaces: Spaces, num_envs: int, gamma: float) -> None:
        plan = ReplayPlan(
            gamma=gamma, batch_size=BATCH_SIZE, buffer_size=CAPACITY, learning_starts=0
        )
        self.replay = Replay(spaces, num_envs, plan)
        self.batch, self.num_bytes, self.capacity = (
            self.replay.batch,
            self.replay.num_bytes,
            CAPACITY,
        )
        self.priority, self.rows = np.zeros(CAPACITY), np.zeros(BATCH_SIZE, np.int64)

    @property
    def num_steps(self) -> int:
        return self.replay.num_steps

    def add(self, transition: Transition, decision: Decision) -> None:
        start = self.replay.num_rows
        self.replay.add(transition, decision)
        new = np.arange(start, self.replay.num_rows) % CAPACITY
        self.priority[new] = max(1.0, self.priority.max())

    def due(self, stream: np.random.Generator, final: bool = False) -> Iterator[Minibatch]:
        if not final and len(self.replay) >= 4:
            shares = self.priority / self.priority.sum()
            self.rows[:] = stream.choice(CAPACITY, BATCH_SIZE, p=shares)
            for stored, out in zip(self.replay._rows, self.batch, strict=True):
                out[...] = stored[self.rows]
            self.replay.num_drawn += 1
            yield Minibatch(self.replay.num_drawn - 1)

    def reprioritize(self, priorities_B: Array) -> None:
        self.priority[self.rows] = priorities_B + 1e-3

    def expected_updates(self, steps: int) -> int:
        return steps

    def forget_pending(self, envs_E: Array) -> None:
        self.replay.forget_pending(envs_E)

    def arrays(self) -> dict[str, Array]:
        return {**self.replay.arrays(), "priority": self.priority, "drawn": self.rows}

    def counters(self) -> dict[str, int]:
        return self.replay.counters()

    def restore(self, arrays: dict[str, Array], counters: dict[str, int]) -> None:
        rest = dict(arrays)
        self.priority[:], self.rows[:] = rest.pop("priority"), rest.pop("drawn")
        self.replay.restore(rest, counters)


@dataclass(frozen=True)
class PrioritizedActorCritic:
    """One-step actor-critic on replayed steps, those with large errors more often."""

    config: Config
    networks: Networks
    spaces: Spaces

    ACTIONS: ClassVar = ("box",)
    METRICS: ClassVar = ("td_error",)

    @classmethod
    def create(cls, config: Config, spaces: Spaces, network: Any = None) -> Any:
        return cls(config, build_networks(config, spaces, network), spaces)

    def init(self, num_envs: int) -> State:
        parameters = self.networks.actor_critic.initial.clone()
        return State(parameters, self.config.make_optimizer().init(parameters), torch.zeros(1))

    def buffer(self, num_envs: int) -> Prioritized:
        return Prioritized(self.spaces, num_envs, self.config.gamma)

    def policy(self, state: State) -> PolicyState:
        return PolicyState(state.actor_critic)

    act = sample_or_mode

    @property
    def updates(self) -> Mapping[str, Callable[[State, Batch, Noise], Outcome]]:
        return {"step": self.update}

    def update(self, state: State, batch: Batch, noise: Noise) -> Outcome:
        network = self.networks.actor_critic
        _, next_value = network(state.actor_critic, batch.next_observation)
        target = td_target(batch.reward, batch.discount, next_value)

        def loss(parameters: Tensor) -> tuple[Tensor, Tensor]:
            output, value = network(parameters, batch.observation)
            error = target - value
            log_prob = self.networks.head.log_prob(output, batch.action)
            return (error.square() - error.detach() * log_prob).mean(), error.detach()

        gradient, error = grad(loss, has_aux=True)(state.actor_critic)
        optimizer_step(self.config, self.networks, state, gradient)
        return Outcome({"td_error": error.abs().mean()}, priorities=error.abs())


def test_priorities_compiled_or_not() -> None:
    agents = [make(PrioritizedActorCritic, mode, **SMALL) for mode in ("off", "on")]
    require_learning(PrioritizedActorCritic, **SMALL)
    for agent in agents:
        run(agent, 12)
    eager, compiled = (agent.buffer.priority for agent in agents)
    assert_close(compiled, eager, terms=64, depth=400, dtype=np.float32)
    assert len(np.unique(eager)) > 4


def test_priorities_are_the_errors_of_the_last_update() -> None:
    agent = make(PrioritizedActorCritic, **SMALL)
    run(agent, 6)
    found = agent.learner._priorities.numpy() + 1e-3
    for row, priority in dict(zip(agent.buffer.rows.tolist(), found, strict=True)).items():
        assert agent.buffer.priority[row] == priority


def test_priorities_survive_a_restart(tmp_path: Path) -> None:
    require_resuming(PrioritizedActorCritic, tmp_path, **SMALL)


def test_run(tmp_path: Path) -> None:
    require_run(PrioritizedActorCritic, tmp_path, **SMALL)
