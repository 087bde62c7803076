"""Wall A: running statistics that an update changes, in actor and critic (batch normalization)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from proof import make, require_learning, require_resuming, require_run, run
from torch import Tensor, nn
from torch.func import grad_and_value

from footlight.algorithms.deterministic_policy import DeterministicConfig
from footlight.algorithms.protocol import Noise, Outcome, PolicyState
from footlight.buffers.frames import replay_for
from footlight.equations.optimizers import Memory
from footlight.equations.returns import td_target
from footlight.instruments.export import export
from footlight.networks.bodies import as_features
from footlight.networks.flat import Network
from footlight.networks.heads import Bounded
from footlight.types import Batch, Decision, Spaces
from tolerance import assert_close

SMALL: dict[str, Any] = {"learning_starts": 8, "batch_size": 6, "buffer_size": 50}


class Normalized(nn.Module):
    """One hidden layer behind batch normalization."""

    def __init__(self, num_inputs: int, squashes: bool) -> None:
        super().__init__()
        self.norm, self.hidden = nn.BatchNorm1d(num_inputs, momentum=0.25), nn.Linear(num_inputs, 8)
        self.last, self.squashes = nn.Linear(8, 1), squashes

    def forward(self, observation: Tensor, *action: Tensor) -> Tensor:
        x = torch.cat([as_features(observation), *action], -1)
        output = self.last(self.hidden(self.norm(x)).relu())
        return output.tanh() if self.squashes else output.squeeze(-1)


@dataclass(frozen=True)
class Networks:
    actor: Network
    critic: Network
    head: Bounded

    @property
    def policy(self) -> Network:
        return self.actor


@dataclass
class State:
    actor: Tensor
    critic: Tensor
    actor_statistics: Tensor
    critic_statistics: Tensor
    actor_optimizer: Memory
    critic_optimizer: Memory
    progress: Tensor


@dataclass(frozen=True)
class BatchNormalized:
    """A deterministic policy gradient without target networks (in the manner of CrossQ)."""

    config: DeterministicConfig
    networks: Networks
    spaces: Spaces

    ACTIONS: ClassVar = ("box",)
    METRICS: ClassVar = ("critic_loss", "actor_loss")

    @classmethod
    def create(cls, config: DeterministicConfig, spaces: Spaces, network: Any = None) -> Any:
        size = spaces.observation_shape[0]
        parts = Normalized(size, True), Normalized(size + spaces.action.size, False)
        actor, critic = (Network([part], keeps_statistics=True) for part in parts)
        return cls(config, Networks(actor, critic, Bounded()), spaces)

    def init(self, num_envs: int) -> State:
        parts, optimizer = (self.networks.actor, self.networks.critic), self.config.make_optimizer()
        actor, critic = (part.initial.clone() for part in parts)
        statistics = (part.initial_statistics.clone() for part in parts)  # type: ignore[union-attr]
        memories = optimizer.init(actor), optimizer.init(critic)
        return State(actor, critic, *statistics, *memories, torch.zeros(1))

    def buffer(self, num_envs: int) -> Any:
        return replay_for(self.spaces, num_envs, self.config)

    def policy(self, state: State) -> PolicyState:
        return PolicyState(state.actor, state.actor_statistics)

    def act(self, policy: PolicyState, memory: None, observation: Any, stream: Any) -> Any:
        action = self.networks.actor.infer(policy.parameters, observation, policy.statistics)
        noise = 0 if stream is None else 0.1 * stream.standard_normal(action.shape, np.float32)
        return Decision(np.clip(action + noise, -1, 1)), None

    @property
    def updates(self) -> Mapping[str, Callable[[State, Batch, Noise], Outcome]]:
        return {"both": self.update}

    def update(self, state: State, batch: Batch, noise: Noise) -> Outcome:
        actor, critic, config = self.networks.actor, self.networks.critic, self.config
        next_action, _ = actor.with_statistics(
            state.actor, state.actor_statistics, batch.next_observation
        )
        next_q, _ = critic.with_statistics(
            state.critic, state.critic_statistics, batch.next_observation, next_action
        )
        target = td_target(batch.reward, batch.discount, next_q)

        def critic_loss(critic_P: Tensor) -> tuple[Tensor, Tensor]:
            q, after = critic.with_statistics(
                critic_P, state.critic_statistics, batch.observation, batch.action, training=True
            )
            return (q - target).square().mean(), after

        gradient, (loss, after) = grad_and_value(critic_loss, has_aux=True)(state.critic)
        optimizer, rate = config.make_optimizer(), config.learning_rate
        optimizer.step(state.critic, gradient, state.critic_optimizer, rate, state.progress)
        state.critic_statistics.copy_(after)

        def actor_loss(actor_P: Tensor) -> tuple[Tensor, Tensor]:
            action, after = actor.with_statistics(
                actor_P, state.actor_statistics, batch.observation, training=True
            )
            q, _ = critic.with_statistics(
                state.critic, state.critic_statistics, batch.observation, action
            )
            return -q.mean(), after

        gradient, (climbed, after) = grad_and_value(actor_loss, has_aux=True)(state.actor)
        optimizer.step(state.actor, gradient, state.actor_optimizer, rate, state.progress)
        state.actor_statistics.copy_(after)
        return Outcome({"critic_loss": loss, "actor_loss": climbed})


def test_statistics_are_learned_compiled_or_not() -> None:
    agent = require_learning(BatchNormalized, **SMALL)
    named = agent.policy.arrays()
    assert named["norm.num_batches_tracked"] == agent.num_updates
    assert agent.networks.actor.named_state(*agent.policy.state)["norm.running_var"].ne(1).all()


def test_running_mean_follows_the_batches() -> None:
    agent = make(BatchNormalized, **SMALL)
    world = run(agent, 3)
    mean = np.zeros(3)
    for _ in range(5):
        before = agent.num_updates
        world.step(agent)
        if agent.num_updates == before + 1:
            mean = 0.75 * mean + 0.25 * agent.buffer.batch.observation.mean(0)
        elif agent.num_updates > before:  # two steps, two updates: only the last batch is there
            mean = np.array(agent.policy.arrays()["norm.running_mean"])
    assert_close(agent.policy.arrays()["norm.running_mean"], mean.astype(np.float32), terms=64)


def test_statistics_survive_a_restart(tmp_path: Path) -> None:
    require_resuming(BatchNormalized, tmp_path, **SMALL)


def test_run_and_export(tmp_path: Path) -> None:
    folder = require_run(BatchNormalized, tmp_path, **SMALL)
    found = export(folder, tmp_path / "policy.onnx", algorithm=BatchNormalized)
    assert found.difference < 1e-5
