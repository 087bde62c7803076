"""TD7 compared with a second, obvious implementation that starts from raw steps."""

import dataclasses
import functools
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from recorder import Recording, record
from td7 import TD7, schedule
from test_off_policy_reference import (
    COMMON,
    NORMALIZATION,
    RATES,
    ends,
    minibatches,
    require_equal,
)
from torch import Tensor
from transitions import normalized

from footlight.buffers.assessed import AssessedReplay
from tolerance import assert_close

FIELDS = {
    **{name: value for name, value in COMMON.items() if name != "tau"},
    "embedding_size": 4, "copy_interval": 5, "late_phase_starts": 12, "late_episodes": 2,
}  # fmt: skip

CASES: dict[str, dict[str, Any]] = {
    "defaults": {"num_steps": 24},
    "a copy after each update": {"copy_interval": 1, "use_checkpoints": False},
    "every update, far from the start": {
        "policy_delay": 1, "copy_interval": 3, "parameter_scale": 2.0},
    "every third update": {"policy_delay": 3, **RATES},
    "one critic, n-step returns": {"num_critics": 1, "n_steps": 3, "use_checkpoints": False},
    "three critics": {"num_critics": 3, "activation": "tanh", "actor_activation": "elu"},
    "neither priorities nor checkpoints": {"prioritization": "none", "use_checkpoints": False},
    "priorities, wide smoothing": {
        "priority_exponent": 0.75, "late_phase_factor": 0.5, "target_policy_noise": 1.0,
        "target_noise_clip": 0.75},
    "late phase at once": {"late_phase_starts": 0, "num_steps": 40},
    "several episodes, one environment": {"num_envs": 1, "early_episodes": 3, "num_steps": 90},
    "half as many updates": {"updates_per_step": 0.5, "num_steps": 44},
    "normalization": {**NORMALIZATION, "clip_normalized_reward": 0.5},
    "reset steps": {"num_envs": 3, "reset_steps": True},
}  # fmt: skip


@functools.lru_cache(maxsize=4)
def recorded(**fields: Any) -> tuple[Recording, list[np.ndarray]]:
    """A recording, and the priorities that its updates have returned."""
    found: list[np.ndarray] = []
    keep = AssessedReplay.reprioritize

    def kept(buffer: AssessedReplay, priorities: np.ndarray) -> None:
        found.append(priorities.copy())
        keep(buffer, priorities)

    with mock.patch.object(AssessedReplay, "reprioritize", kept):
        return record("td7", **{**FIELDS, **fields}), found


def compare(
    recording: Recording, reference_type: type[TD7] = TD7, config: Any = None,
    priorities: list[np.ndarray] | None = None,
) -> None:  # fmt: skip
    """Run a reference beside a recording; require equal parameters after each update."""
    config = recording.config if config is None else config
    reference, count = reference_type(config, recording.initial), 0
    left = list(priorities or [])
    learned = [update for update in recording.updates if update.name != "checkpoint"]
    recording = dataclasses.replace(recording, updates=learned)  # the first may have no minibatch
    for update, batch in zip(recording.updates, minibatches(recording, config), strict=True):
        steps = recording.steps[: update.num_steps]
        given = {name: update.batch[name] for name in batch} | batch
        reference.learn(update.name, normalized(config, given, steps), update.noise)
        after = {name: value for name, value in update.after.items() if name != "checkpoint"}
        count += update.name.startswith("critic")
        require_equal(reference.parameters(), after, reference, max(count, 1))
        if left and update.name.startswith("critic"):
            assert_close(left.pop(0), reference.priorities, dtype=np.float32, terms=8, depth=9)


@pytest.mark.parametrize("fields", CASES.values(), ids=CASES)
def test_updates_equal_reference(fields: dict[str, Any]) -> None:
    recording, priorities = recorded(**fields)
    made = [(update.num_steps, update.name) for update in recording.updates]
    assert made == list(schedule(recording.config, recording.steps))
    names = [name for _, name in made]
    assert names.count("copy") >= 2
    assert sum(name.startswith("critic") for name in names) >= 16
    assert ("checkpoint" in names) == recording.config.use_checkpoints
    assert ends(recording) == {"terminated", "truncated", "both"}
    has_priorities = recording.config.prioritization != "none"
    assert len(priorities) == has_priorities * (
        len(names) - names.count("copy") - names.count("checkpoint")
    )
    compare(recording, priorities=priorities)


class TargetsOfCurrentEncoder(TD7):
    def copy(self) -> None:
        super().copy()
        self.target_encoder = self.encoder


class CriticsSeeCurrentEncoder(TD7):
    def update_critics(self, batch: dict[str, Tensor], target: Tensor) -> None:
        fixed, self.fixed_encoder = self.fixed_encoder, self.encoder
        super().update_critics(batch, target)
        self.fixed_encoder = fixed


class NextEmbeddingLearnsToo(TD7):
    def update_encoder(self, batch: dict[str, Tensor]) -> None:
        following = self.encoder.z_s(batch["next_observation"])
        predicted = self.encoder.z_sa(self.encoder.z_s(batch["observation"]), batch["action"])
        self.minimize((predicted - following).square().mean(), self.encoder_optimizer)


class ValuesAreNotClipped(TD7):
    def copy(self) -> None:
        super().copy()
        self.low, self.high = -1e8, 1e8


class ActorFollowsSmallest(TD7):
    def actor_loss(self, batch: dict[str, Tensor], noise: Tensor) -> Tensor:
        observation = batch["observation"]
        z_s = self.fixed_encoder.z_s(observation).detach()
        action = self.actor(observation, z_s)
        z_sa = self.fixed_encoder.z_sa(z_s, action)
        values = [critic(observation, action, z_sa, z_s) for critic in self.critics]
        return -torch.stack(values).min(0).values.mean()


class ActorSeesActionEmbeddingAsConstant(TD7):
    def actor_loss(self, batch: dict[str, Tensor], noise: Tensor) -> Tensor:
        observation = batch["observation"]
        z_s = self.fixed_encoder.z_s(observation).detach()
        action = self.actor(observation, z_s)
        z_sa = self.fixed_encoder.z_sa(z_s, action).detach()
        return -torch.stack([c(observation, action, z_sa, z_s) for c in self.critics]).mean()


class SquaredErrors(TD7):
    def critic_loss(self, value: Tensor, target: Tensor) -> Tensor:
        return (value - target).square().mean()


class BootstrapsAtTermination(TD7):
    def target(self, batch: dict[str, Tensor], noise: Tensor) -> Tensor:
        discount = torch.full_like(batch["discount"], self.config.gamma)
        return super().target({**batch, "discount": discount}, noise)


@pytest.mark.parametrize(
    "wrong",
    [
        TargetsOfCurrentEncoder, CriticsSeeCurrentEncoder, NextEmbeddingLearnsToo,
        ValuesAreNotClipped, ActorFollowsSmallest, ActorSeesActionEmbeddingAsConstant,
        SquaredErrors, BootstrapsAtTermination,
    ],
)  # fmt: skip
def test_comparison_fails_if_reference_is_wrong(wrong: type[TD7]) -> None:
    recording, _ = recorded(use_checkpoints=False, num_steps=30, gamma=0.9375)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        compare(recording, wrong)


@pytest.mark.parametrize(
    ("option", "other"),
    [
        ("target_policy_noise", 0.1), ("target_noise_clip", 0.1), ("critic_learning_rate", 2**-7),
        ("actor_learning_rate", 2**-7), ("prioritization", "none"),
    ],
)  # fmt: skip
def test_comparison_fails_if_an_option_differs(option: str, other: Any) -> None:
    recording, _ = recorded(use_checkpoints=False)
    config = dataclasses.replace(recording.config, **{option: other})
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        compare(recording, TD7, config)
