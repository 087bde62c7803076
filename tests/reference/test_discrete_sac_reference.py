"""Discrete SAC compared with a second, obvious implementation that starts from raw steps."""

import dataclasses
import functools
from typing import Any

import numpy as np
import pytest
import torch
from discrete_sac import DiscreteSAC
from recorder import Recording, record
from test_off_policy_reference import COMMON, NORMALIZATION, RATES, compare, ends, minibatches
from torch import Tensor

from tolerance import assert_close

CASES: dict[str, dict[str, Any]] = {
    "defaults": {},
    "fixed temperature": {"learn_alpha": False, "initial_alpha": 0.25},
    "target entropy": {"target_entropy_share": 0.5, "initial_alpha": 0.3},
    "every second update": {"policy_delay": 2},
    "targets move at each update": {"policy_delay": 2, "delay_targets": False},
    "large errors more often": {"prioritization": "lap"},
    "one critic": {"num_critics": 1, "layer_norm": True},
    "learning rates": {**RATES, "alpha_learning_rate": 2**-4, "num_critics": 3},
    "targets copied": {"tau": 1.0, "activation": "tanh"},
    "n-step returns, one environment": {"n_steps": 4, "num_envs": 1, "num_steps": 40},
    "small buffer": {"n_steps": 3, "buffer_size": 9, "sample_with_replacement": False},
    "normalization": {**NORMALIZATION, "clip_normalized_reward": 0.5, "clip_reward": 1.5},
    "reset steps": {"n_steps": 3, "num_envs": 3, "reset_steps": True, **NORMALIZATION},
    "far from uniform": {"parameter_scale": 2.0},
}


@functools.lru_cache(maxsize=4)
def recorded(**fields: Any) -> Recording:
    return record("sac-discrete", actions="discrete", **{**COMMON, **fields})


@pytest.mark.parametrize("fields", CASES.values(), ids=CASES)
def test_updates_equal_reference(fields: dict[str, Any]) -> None:
    recording = recorded(**fields)
    assert len(recording.updates) >= 20
    assert ends(recording) == {"terminated", "truncated", "both"}
    for update, batch in zip(recording.updates, minibatches(recording), strict=True):
        stored = {name: update.batch[name] for name in batch}
        assert_close(stored, batch, dtype=np.float32, terms=4)  # sums of up to 4 rewards
    compare(recording, DiscreteSAC)


class EntropyAsCost(DiscreteSAC):
    def next_value(self, batch: dict[str, Tensor], noise: Tensor) -> Tensor:
        entropy = torch.distributions.Categorical(logits=self.actor(batch["next_observation"]))
        paid = self.log_alpha.exp() * entropy.entropy()
        return super().next_value(batch, noise) - 2 * paid


class BestNextChoice(DiscreteSAC):
    def next_value(self, batch: dict[str, Tensor], noise: Tensor) -> Tensor:
        values = [critic(batch["next_observation"]) for critic in self.target_critics]
        return torch.stack(values).min(0).values.max(1).values


class OnlineCriticsInTarget(DiscreteSAC):
    def next_value(self, batch: dict[str, Tensor], noise: Tensor) -> Tensor:
        return self.soft_value(self.critics, batch["next_observation"])


class FirstCriticOnly(DiscreteSAC):
    def actor_loss(self, batch: dict[str, Tensor], noise: Tensor) -> Tensor:
        return -self.soft_value(self.critics[:1], batch["observation"]).mean()


class TemperatureInWrongDirection(DiscreteSAC):
    def temperature_loss(self, entropy: Tensor) -> Tensor:
        return -super().temperature_loss(entropy)


class BootstrapsAtTermination(DiscreteSAC):
    def target(self, batch: dict[str, Tensor], noise: Tensor) -> Tensor:
        discount = torch.full_like(batch["discount"], self.config.gamma)
        return super().target({**batch, "discount": discount}, noise)


@pytest.mark.parametrize(
    "wrong",
    [
        EntropyAsCost, BestNextChoice, OnlineCriticsInTarget, FirstCriticOnly,
        TemperatureInWrongDirection, BootstrapsAtTermination,
    ],
)  # fmt: skip
def test_comparison_fails_if_reference_is_wrong(wrong: type[DiscreteSAC]) -> None:
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        compare(recorded(), wrong)


@pytest.mark.parametrize(
    ("option", "other"),
    [("tau", 1 / 9), ("learn_alpha", False), ("target_entropy_share", 0.98), ("policy_delay", 2)],
)
def test_comparison_fails_if_an_option_differs(option: str, other: Any) -> None:
    recording = recorded()
    config = dataclasses.replace(recording.config, **{option: other})
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        compare(recording, DiscreteSAC, config)
