"""SAC, TD3 and DDPG compared with a second, obvious implementation that starts from raw steps.

Rewards are multiples of 1/8 and gamma is 15/16, so that float32 holds n-step returns exactly.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from off_policy import DDPG, REFERENCES, SAC, TD3, OffPolicy, q_value
from recorder import Parameters, Recording, Step, record, recorded
from torch import Tensor
from transitions import Row, as_batch, n_step_rows, normalized, reward_bounds, rows_of

from tolerance import assert_close

BATCH_SIZE = 6
COMMON: dict[str, Any] = {
    "num_steps": 20, "hidden_sizes": (6, 5), "batch_size": BATCH_SIZE, "buffer_size": 100,
    "learning_starts": 8, "gamma": 15 / 16, "tau": 1 / 8, "learning_rate": 2**-6,
}  # fmt: skip
ONE_UPDATE = 12  # three layers there and back, for the actor and for the critics behind it

NORMALIZATION = {"normalize_observations": True, "normalize_rewards": True}
RATES = {"actor_learning_rate": 2**-5, "critic_learning_rate": 2**-7}

CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("ddpg", "defaults", {}),
    ("ddpg", "n-step returns", {"n_steps": 3}),
    ("ddpg", "learning rates", RATES),
    ("ddpg", "LayerNorm", {"norm": "layer", "activation": "silu"}),
    ("ddpg", "no hidden layers", {"hidden_sizes": ()}),
    ("ddpg", "targets copied", {"tau": 1.0}),
    ("ddpg", "normalization", {**NORMALIZATION, "clip_normalized_reward": 0.5}),
    ("ddpg", "reset steps", {"n_steps": 2, "num_envs": 3, "reset_steps": True, **NORMALIZATION}),
    ("ddpg", "saturated", {"parameter_scale": 4.0}),
    ("td3", "defaults", {}),
    ("td3", "every update", {"policy_delay": 1}),
    ("td3", "every third update", {"policy_delay": 3, **RATES}),
    ("td3", "one critic", {"num_critics": 1}),
    ("td3", "three critics", {"num_critics": 3, "norm": "layer"}),
    ("td3", "no smoothing", {"target_policy_noise": 0.0}),
    ("td3", "wide smoothing", {"target_policy_noise": 1.0, "target_noise_clip": 0.75}),
    ("td3", "saturated", {"parameter_scale": 4.0, "activation": "tanh"}),
    ("td3", "n-step returns, one environment", {"n_steps": 4, "num_envs": 1, "num_steps": 40}),
    ("td3", "small buffer", {"n_steps": 3, "buffer_size": 9, "sample_with_replacement": False}),
    ("td3", "normalized n-step returns", {"n_steps": 3, **NORMALIZATION}),  # none is clipped
    (
        "td3",
        "clipped n-step returns",
        {"n_steps": 3, **NORMALIZATION, "clip_normalized_reward": 0.5},
    ),
    ("td3", "reset steps", {"num_envs": 3, "reset_steps": True, "clip_reward": 1.0}),
    ("sac", "defaults", {}),
    ("sac", "fixed temperature", {"learn_alpha": False, "initial_alpha": 0.25}),
    ("sac", "target entropy", {"target_entropy": -0.5, "initial_alpha": 0.3}),
    ("sac", "rescaled log std", {"log_std": "rescaled", "activation": "tanh"}),
    ("sac", "log std at its bounds", {"parameter_scale": 6.0}),
    ("sac", "target of the actor", {"target_actor": True, "n_steps": 2}),
    ("sac", "every second update", {"policy_delay": 2, "target_actor": True}),
    ("sac", "targets move at each update", {"policy_delay": 2, "delay_targets": False}),
    ("sac", "one critic", {"num_critics": 1, "norm": "layer"}),
    ("sac", "learning rates", {**RATES, "alpha_learning_rate": 2**-4, "num_critics": 3}),
    ("sac", "normalization", {**NORMALIZATION, "clip_normalized_reward": 0.5, "clip_reward": 1.5}),
    ("sac", "reset steps", {"n_steps": 3, "num_envs": 3, "reset_steps": True, **NORMALIZATION}),
]


@pytest.mark.parametrize(
    ("algorithm", "fields"),
    [pytest.param(name, fields, id=f"{name}: {title}") for name, title, fields in CASES],
)
def test_updates_equal_reference(algorithm: str, fields: dict[str, Any]) -> None:
    recording = recorded(algorithm, **{**COMMON, **fields})
    assert len(recording.updates) >= 20
    assert ends(recording) == {"terminated", "truncated", "both"}
    for update, batch in zip(recording.updates, minibatches(recording), strict=True):
        stored = {name: update.batch[name] for name in batch}
        assert_close(stored, batch, dtype=np.float32, terms=4)  # sums of up to 4 rewards
    compare(recording, REFERENCES[algorithm])


def compare(recording: Recording, reference_type: type[OffPolicy], config: Any = None) -> None:
    """Run a reference beside a recording; require equal parameters after each update."""
    config = recording.config if config is None else config
    reference = reference_type(config, recording.initial)
    require_equal(reference.parameters(), recording.initial, reference, 1)
    batches = minibatches(recording, config)
    for index, (update, batch) in enumerate(zip(recording.updates, batches, strict=True)):
        steps = recording.steps[: update.num_steps]
        reference.update(index, normalized(config, batch, steps), update.noise)
        require_equal(reference.parameters(), update.after, reference, index + 1)


def require_equal(wanted: Parameters, found: Parameters, reference: OffPolicy, count: int) -> None:
    """Equal to rounding after `count` updates, whose errors Adam's divisions amplify."""
    scale = max([1.0, reference.sensitivity, *(largest(group) for group in wanted.values())])
    assert_close(found, wanted, terms=BATCH_SIZE, depth=ONE_UPDATE * count, scale=scale)


def largest(tensors: dict[str, Tensor]) -> float:
    return max(float(tensor.abs().max()) for tensor in tensors.values())


def minibatches(recording: Recording, config: Any = None) -> Iterator[dict[str, Tensor]]:
    """The minibatches of all updates, made from the raw steps before each."""
    config = recording.config if config is None else config
    for update in recording.updates:
        steps = recording.steps[: update.num_steps]
        bounds = reward_bounds(config, steps)
        rows = n_step_rows(steps, config.gamma, config.n_steps, config.clip_reward, bounds)
        yield as_batch(rows_of(update.batch, rows[-config.buffer_size :]))


def ends(recording: Recording) -> set[str]:
    """The kinds of ends that came before the last update."""
    kinds = {(True, False): "terminated", (False, True): "truncated", (True, True): "both"}
    found = set()
    for step in recording.steps[: recording.updates[-1].num_steps]:
        found |= set(zip(step.terminated.tolist(), step.truncated.tolist(), strict=True))
    return {kinds[kind] for kind in found & kinds.keys()}


class BootstrapsAtTermination(DDPG):
    def target(self, batch: dict[str, Tensor], noise: Tensor) -> Tensor:
        discount = torch.full_like(batch["discount"], self.config.gamma)
        return super().target({**batch, "discount": discount}, noise)


class ForgetsDiscount(DDPG):
    def target(self, batch: dict[str, Tensor], noise: Tensor) -> Tensor:
        return super().target({**batch, "discount": batch["discount"].ceil()}, noise)


class OnlineNetworksInTarget(DDPG):
    def next_value(self, batch: dict[str, Tensor], noise: Tensor) -> Tensor:
        action = self.actor(batch["next_observation"]).tanh()
        return q_value(self.critics[0], batch["next_observation"], action)


class ActorFirst(DDPG):
    def update_critics(self, batch: dict[str, Tensor], target: Tensor) -> None:
        super().update_actor(batch, target)
        super().update_critics(batch, target)

    def update_actor(self, batch: dict[str, Tensor], noise: Tensor) -> None:
        pass


class TargetsAlwaysMove(TD3):
    def update(self, index: int, batch: dict[str, Tensor], noise: Tensor) -> None:
        super().update(index, batch, noise)
        if index % self.policy_delay:
            self.move_targets()


class ActorFollowsSmallest(TD3):
    def actor_loss(self, batch: dict[str, Tensor], noise: Tensor) -> Tensor:
        action = self.actor(batch["observation"]).tanh()
        return -self.smallest(self.critics, batch["observation"], action).mean()


class FirstCriticInTarget(TD3):
    @staticmethod
    def smallest(critics: Any, observation: Tensor, action: Tensor) -> Tensor:
        return q_value(critics[0], observation, action)


class EntropyAsCost(SAC):
    def next_value(self, batch: dict[str, Tensor], noise: Tensor) -> Tensor:
        without = SoftValueWithoutEntropy.next_value(self, batch, noise)
        return 2 * without - super().next_value(batch, noise)


class SoftValueWithoutEntropy(SAC):
    def next_value(self, batch: dict[str, Tensor], noise: Tensor) -> Tensor:
        action, _ = self.sample(self.actor, batch["next_observation"], noise[0])
        return self.smallest(self.target_critics, batch["next_observation"], action)


class TemperatureInWrongDirection(SAC):
    def temperature_loss(self, log_prob: Tensor) -> Tensor:
        return -super().temperature_loss(log_prob)


class DensityBeforeSquashing(SAC):
    def sample(self, actor: Any, observation: Tensor, noise: Tensor) -> tuple[Tensor, ...]:
        action, log_prob = super().sample(actor, observation, noise)
        return action, log_prob + (1 - action.square()).log().sum(1)


class NewTemperatureInActorLoss(SAC):
    def update_actor(self, batch: dict[str, Tensor], noise: Tensor) -> None:
        with torch.no_grad():
            _, log_prob = self.sample(self.actor, batch["observation"], noise[1])
        self.minimize(self.temperature_loss(log_prob), self.alpha_optimizer)
        OffPolicy.update_actor(self, batch, noise)


@pytest.mark.parametrize(
    "wrong",
    [
        BootstrapsAtTermination, ForgetsDiscount, OnlineNetworksInTarget, ActorFirst,
        TargetsAlwaysMove, ActorFollowsSmallest, FirstCriticInTarget,
        EntropyAsCost, SoftValueWithoutEntropy, TemperatureInWrongDirection,
        DensityBeforeSquashing, NewTemperatureInActorLoss,
    ],
)  # fmt: skip
def test_comparison_fails_if_reference_is_wrong(wrong: type[OffPolicy]) -> None:
    algorithm = next(name for name, right in REFERENCES.items() if wrong.__base__ is right)
    recording = recorded(algorithm, **COMMON)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        compare(recording, wrong)


@pytest.mark.parametrize(
    ("algorithm", "fields", "option", "other"),
    [
        ("ddpg", {}, "tau", 1 / 9),
        ("ddpg", {}, "gamma", 0.9),
        ("ddpg", {"n_steps": 2}, "n_steps", 1),
        ("ddpg", RATES, "actor_learning_rate", None),
        ("ddpg", RATES, "critic_learning_rate", None),
        ("ddpg", {"clip_reward": 1.0}, "clip_reward", None),
        ("ddpg", {"normalize_observations": True}, "normalize_observations", False),
        ("ddpg", {"normalize_rewards": True}, "normalize_rewards", False),
        ("ddpg", {**NORMALIZATION, "clip_normalized_reward": 0.5}, "clip_normalized_reward", 1.0),
        ("td3", {}, "policy_delay", 1),
        ("td3", {}, "target_policy_noise", 0.1),
        ("td3", {"target_noise_clip": 0.25}, "target_noise_clip", 0.5),
        ("sac", {}, "learn_alpha", False),
        ("sac", {}, "target_entropy", -1.0),
        ("sac", {}, "log_std", "rescaled"),
        ("sac", {"target_actor": True}, "tau", 1.0),
    ],
)
def test_comparison_fails_if_an_option_differs(
    algorithm: str, fields: dict[str, Any], option: str, other: Any,
) -> None:  # fmt: skip
    recording = recorded(algorithm, **{**COMMON, **fields})
    config = dataclasses.replace(recording.config, **{option: other})
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        compare(recording, REFERENCES[algorithm], config)


@pytest.mark.parametrize("rate", [0.25, 1.0, 2.0])
@pytest.mark.parametrize("reset_steps", [False, True])
def test_updates_per_step_counts_all_environments(rate: float, reset_steps: bool) -> None:
    fields = {"updates_per_step": rate, "reset_steps": reset_steps, "num_envs": 3}
    recording = record("td3", **{**COMMON, **fields})
    wanted, taken = [], 0
    for time, step in enumerate(recording.steps, 1):
        taken += int(step.valid.sum())
        while len(wanted) + 1 <= rate * (taken - COMMON["learning_starts"]):
            wanted.append(time)
    assert [update.num_steps for update in recording.updates] == wanted
    names = ("critic_and_actor", "critic")  # the actor every second time, beginning with the first
    assert [u.name for u in recording.updates] == [names[i % 2] for i in range(len(wanted))]


def test_recording_in_float64_changes_only_the_precision() -> None:
    fields = {**COMMON, "num_steps": 5}
    double = record("sac", **fields).updates[0]
    single = record("sac", double=False, **fields).updates[0]
    assert torch.equal(single.batch["observation"], double.batch["observation"])
    for name in ("critic_loss", "q_mean", "target_q_mean", "entropy"):
        found, wanted = single.metrics[name], double.metrics[name]
        scale = max(1.0, abs(wanted))
        assert_close(
            found, wanted, dtype=np.float32, terms=BATCH_SIZE, depth=ONE_UPDATE, scale=scale,
        )  # fmt: skip


def test_n_step_rows_by_hand() -> None:
    """Rewards 1, 2, 4, 8 and gamma 1/2; the second step terminates, the fourth is truncated."""
    steps = [
        Step(
            observation=np.array([[time]], np.float32),
            action=np.array([[0.0]], np.float32),
            reward=np.array([2.0**time], np.float32),
            next_observation=np.array([[time + 0.5]], np.float32),
            terminated=np.array([time == 1]),
            truncated=np.array([time == 3]),
            valid=np.array([True]),
        )
        for time in range(5)
    ]
    found = n_step_rows(steps, gamma=0.5, n=3, clip=None)
    assert [summary(row) for row in found] == [
        (0.0, 1 + 2 / 2, 1.5, 0.0),
        (1.0, 2.0, 1.5, 0.0),
        (2.0, 4 + 8 / 2, 3.5, 0.25),
        (3.0, 8.0, 3.5, 0.5),
    ]  # the fifth waits for two more rewards
    assert [row.reward for row in n_step_rows(steps, 0.5, 1, clip=3.0)] == [1, 2, 3, 3, 3]


def summary(row: Row) -> tuple[float, ...]:
    """Observation, reward, next observation and discount."""
    return float(row.observation[0]), row.reward, float(row.next_observation[0]), row.discount
