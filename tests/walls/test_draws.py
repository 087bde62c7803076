"""Wall B: an update that takes a dropout mask, uniform numbers, and a random subset of critics."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from proof import make, require_learning, require_resuming, require_run, run
from torch import Tensor
from torch.func import grad_and_value

from footlight.algorithms.deterministic_policy import (
    DeterministicConfig,
    DeterministicState,
    act_deterministically,
    explore_with_noise,
    new_deterministic_state,
)
from footlight.algorithms.off_policy import Networks, build_networks, new_memory, replay_buffer
from footlight.algorithms.protocol import Noise, Outcome, PolicyState
from footlight.equations.draws import Bernoulli, Draw, Subset, Uniform
from footlight.equations.optimizers import polyak_
from footlight.equations.returns import td_target
from footlight.instruments.export import export
from footlight.networks.bodies import DeterministicActor
from footlight.networks.heads import Bounded
from footlight.types import Batch, Spaces

SMALL: dict[str, Any] = {
    "learning_starts": 8, "batch_size": 6, "buffer_size": 50, "hidden_sizes": (8,)
}  # fmt: skip
NUM_CRITICS, SUBSET, KEEP = 4, 2, 0.75


@dataclass(frozen=True)
class RandomSubsets:
    """A deterministic policy gradient with targets from a random subset of critics (as in REDQ) and
    dropout on what critics see (as in DroQ)."""

    config: DeterministicConfig
    networks: Networks
    spaces: Spaces

    ACTIONS: ClassVar = ("box",)
    METRICS: ClassVar = ("critic_loss", "actor_loss")

    @classmethod
    def create(cls, config: DeterministicConfig, spaces: Spaces, network: Any = None) -> Any:
        networks = build_networks(
            config, spaces, DeterministicActor, Bounded(), NUM_CRITICS, network
        )
        return cls(config, networks, spaces)

    init = new_deterministic_state
    buffer = replay_buffer
    memory = new_memory
    act = act_deterministically
    explore = explore_with_noise

    def policy(self, state: DeterministicState) -> PolicyState:
        return PolicyState(state.actor)

    def draws(self, batch: Batch) -> Mapping[str, Draw]:
        return {
            "mask": Bernoulli(batch.observation.shape, KEEP),
            "smoothing": Uniform(batch.action.shape),
            "subset": Subset(NUM_CRITICS, SUBSET),
        }

    @property
    def updates(self) -> Mapping[str, Callable[[DeterministicState, Batch, Noise], Outcome]]:
        return {"both": self.update}

    def update(self, state: DeterministicState, batch: Batch, noise: Noise) -> Outcome:
        networks, config, optimizer = self.networks, self.config, self.config.make_optimizer()
        next_action = networks.actor(state.target_actor, batch.next_observation)
        next_action = (next_action + 0.1 * (noise["smoothing"] - 0.5)).clamp(-1, 1)
        next_q = networks.critic(state.target_critic, batch.next_observation, next_action)
        target = td_target(batch.reward, batch.discount, next_q[noise["subset"]].amin(0))

        def critic_loss(critic_P: Tensor) -> Tensor:
            seen = batch.observation * noise["mask"] / KEEP
            q = networks.critic(critic_P, seen, batch.action)
            return (q - target).square().mean(1).sum()

        gradient, loss = grad_and_value(critic_loss)(state.critic)
        rate = config.learning_rate
        optimizer.step(state.critic, gradient, state.critic_optimizer, rate, state.progress)

        def actor_loss(actor_P: Tensor) -> Tensor:
            action = networks.actor(actor_P, batch.observation)
            return -networks.critic(state.critic, batch.observation, action).mean()

        gradient, climbed = grad_and_value(actor_loss)(state.actor)
        optimizer.step(state.actor, gradient, state.actor_optimizer, rate, state.progress)
        polyak_(state.target_critic, state.critic, config.tau)
        return Outcome({"critic_loss": loss, "actor_loss": climbed})


def test_named_draws_compiled_or_not() -> None:
    require_learning(RandomSubsets, **SMALL)


def test_draws_are_what_they_are_called() -> None:
    agent = make(RandomSubsets, **SMALL)
    world, masks, numbers, pairs = run(agent, 4), [], [], set()
    for _ in range(60):
        world.step(agent)
        drawn = {name: array.copy() for name, array in agent.learner.batch().items()}
        masks.append(drawn["noise.mask"])
        numbers.append(drawn["noise.smoothing"])
        pairs.add(tuple(sorted(drawn["noise.subset"].tolist())))
    assert set(np.unique(masks)) == {0, 1}
    spread = 4 * (KEEP * (1 - KEEP) / np.size(masks)) ** 0.5
    assert abs(np.mean(masks) - KEEP) < spread
    assert 0 <= np.min(numbers) < np.max(numbers) < 1
    assert len(pairs) == 6  # all of them, and none twice the same


def test_draws_survive_a_restart(tmp_path: Path) -> None:
    require_resuming(RandomSubsets, tmp_path, **SMALL)


def test_run_and_export(tmp_path: Path) -> None:
    folder = require_run(RandomSubsets, tmp_path, **SMALL)
    assert export(folder, tmp_path / "policy.onnx", algorithm=RandomSubsets).difference < 1e-5
