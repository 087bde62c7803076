"""Small trainings with a planted mistake, 4: which there are, and which check has to find each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import doctor_algorithms as algorithms
import doctor_environments as environments
import doctor_notebooks as notebooks
import numpy as np
import torch
from doctor_environments import observations, rewards
from torch import Tensor, nn

Fields = Mapping[str, Any]


@dataclass(frozen=True)
class Training:
    """What `footlight.train` is given, but for the seed."""

    algorithm: Any
    environment: str
    fields: Fields
    network: Any = None
    wrapper: environments.Wrapper | None = None
    """Changes what the policy sees or does, in training and where its return is measured."""
    rewards: environments.Wrapper | None = None
    """Changes what the training gets. The return that is measured is that of the task itself."""
    broken: environments.Wrapper | None = None
    """What one of eight environments is wrapped in."""

    def arguments(self) -> dict[str, Any]:
        """Arguments of `footlight.train`."""
        wrappers = [each for each in (self.wrapper, self.rewards) if each is not None]
        environment: Any = self.environment
        if self.broken is not None:
            environment = environments.OneOfEight(self.environment, self.broken)
        given = {"algorithm": self.algorithm, "environment": environment, "network": self.network}
        return {**given, "wrapper": wrappers or None, **self.fields}


@dataclass(frozen=True)
class Fault:
    """A planted mistake."""

    base: str
    """The training that it is planted in, one of `BASES`."""
    causes: frozenset[str]
    """The checks that name it."""
    changes: dict[str, Any] = field(default_factory=dict)
    """Fields of the training that differ from the base's."""

    @property
    def training(self) -> Training:
        """The base with the mistake."""
        return changed(BASES[self.base], **self.changes)


def changed(base: Training, **changes: Any) -> Training:
    """A training with other arguments; those that are not of `Training` are config fields."""
    own = {name: changes.pop(name) for name in vars(base) if name in changes}
    return Training(**{**vars(base), "fields": {**base.fields, **changes}, **own})


_OFF_POLICY = {
    "steps": 8_000, "gamma": 0.98, "tau": 0.01, "learning_rate": 1e-3, "hidden_sizes": (64, 64),
    "batch_size": 64, "learning_starts": 500,
}  # fmt: skip
_A2C = {
    "steps": 40_000, "num_envs": 8, "n_steps": 8, "learning_rate": 2e-3, "optimizer": "adam",
    "learning_rate_schedule": "linear", "compile": "off",  # 625 updates
}  # fmt: skip
_PPO = {
    "steps": 30_000, "num_envs": 8, "n_steps": 32, "minibatch_size": 64, "num_epochs": 10,
    "learning_rate": 1e-3, "gamma": 0.98, "gae_lambda": 0.9,
}  # fmt: skip
BASES: dict[str, Training] = {
    "sac": Training("sac", "Pendulum-v1", _OFF_POLICY),
    "td3": Training("td3", "Pendulum-v1", _OFF_POLICY),
    "a2c": Training("a2c", "CartPole-v1", {**_A2C, "gae_lambda": 0.9}),
    "ppo": Training("ppo", "CartPole-v1", _PPO),
    "own": Training(
        algorithms.OwnA2C, "CartPole-v1", {**_A2C, "n_steps": 16, "learning_rate": 1e-3}
    ),
}
"""The trainings without a mistake."""
RANDOM = {"CartPole-v1": 22.0, "Pendulum-v1": -1_230.0}
"""Mean returns of random actions."""


class CertainActor(nn.Module):
    """An actor for SAC whose standard deviation is 0 but for rounding."""

    def __init__(self, observation_space: Any, action_space: Any) -> None:
        super().__init__()
        self.actor = _Certain(observation_space.shape[0], action_space.shape[0])


class _Certain(nn.Module):
    def __init__(self, num_inputs: int, num_actions: int) -> None:
        super().__init__()
        self.mean = algorithms.perceptron(num_inputs, num_actions, nn.ReLU)

    def forward(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        mean = self.mean(observation)
        return mean, torch.full_like(mean, -20.0)


def _fault(base: str, causes: str, **changes: Any) -> Fault:
    return Fault(base, frozenset(causes.split()), changes)


def _large(scale: float) -> Callable[[Any], Any]:
    return lambda observation: scale * np.asarray(observation)


def _repeated(observation: Any) -> Any:
    return np.ones_like(observation)


_HIGH, _LOW = "learning-rate-too-high", "learning-rate-too-low"
_CRITIC = (
    "critic-overestimates critic-underestimates critic-explains-nothing critic-loss-rises "
    "value-impossible"
)
FAULTS: dict[str, Fault] = {
    "time limit as termination: wrapper, SAC": _fault(
        "sac", "time-limit-as-termination", wrapper=environments.EndsAreTerminal
    ),
    "time limit as termination: buffer, TD3": _fault(
        "td3", "buffer-ends-at-limits", algorithm=algorithms.TD3Ends
    ),
    "no target network: TD3": _fault("td3", "target-missing", target_network=False),
    "no target network: SAC, tau 1": _fault("sac", "target-missing", tau=1.0),
    "frozen target network: TD3": _fault(
        "td3", "target-frozen", algorithm=algorithms.TD3FrozenTarget
    ),
    "learning rate x 100: SAC": _fault("sac", _HIGH, learning_rate=0.1),
    "learning rate x 100: PPO": _fault("ppo", _HIGH, learning_rate=0.1),
    "learning rate / 100: SAC": _fault("sac", _LOW, learning_rate=1e-5),
    "learning rate / 100: PPO": _fault("ppo", _LOW, learning_rate=1e-5),
    "reward x 1000: SAC": _fault("sac", "reward-scale", rewards=rewards(lambda r: 1e3 * r)),
    "reward x 1000: A2C": _fault("a2c", "reward-scale", rewards=rewards(lambda r: 1e3 * r)),
    "reward + 100: SAC": _fault("sac", "reward-shifted", rewards=rewards(lambda r: r + 100)),
    "reward - 2: PPO": _fault("ppo", "reward-shifted", rewards=rewards(lambda r: r - 2)),
    "reward constant: TD3": _fault("td3", "reward-constant", rewards=rewards(lambda r: 1.0)),
    "observations x 10,000: SAC": _fault(
        "sac", "observation-scale", wrapper=observations(_large(1e4))
    ),
    "observations x 10,000: PPO": _fault(
        "ppo", "observation-scale", wrapper=observations(_large(1e4))
    ),
    "observations all equal: A2C": _fault(
        "a2c", "observation-constant", wrapper=observations(_repeated)
    ),
    "actions not rescaled: wrapper, SAC": _fault(
        "sac", "actions-not-rescaled", wrapper=environments.UnscaledActions
    ),
    "actions not rescaled: algorithm, SAC": _fault(
        "sac", "actions-not-rescaled", algorithm=algorithms.SACHalvedActions
    ),
    "entropy 0 from the start: A2C": _fault(
        "a2c", "entropy-collapsed", network=environments.CertainPolicy
    ),
    "entropy 0 from the start: SAC": _fault("sac", "entropy-collapsed", network=CertainActor),
    "entropy far too high: PPO": _fault("ppo", "entropy-too-high", entropy_coef=10.0),
    "entropy far too high: SAC": _fault(
        "sac", "entropy-too-high", initial_alpha=100.0, learn_alpha=False
    ),
    "gamma 1: SAC": _fault("sac", "horizon-too-long", gamma=1.0),
    "gamma 0.5: SAC": _fault("sac", "horizon-too-short", gamma=0.5),
    "advantage not detached: own A2C": _fault(
        "own", _CRITIC, algorithm=algorithms.A2CAttached
    ),
    "sign of the policy's loss: own A2C": _fault(
        "own", "policy-gets-worse", algorithm=algorithms.A2CReversedPolicy
    ),
    "sign of the policy's loss: SAC": _fault(
        "sac", "policy-gets-worse policy-against-critic", algorithm=algorithms.SACReversedActor
    ),
    "sign of the critic's loss: own A2C": _fault(
        "own", _CRITIC, algorithm=algorithms.A2CReversedCritic
    ),
    "sign of the critic's loss: TD3": _fault(
        "td3", _CRITIC, algorithm=algorithms.TD3ReversedCritic
    ),
    "dead ReLUs: A2C": _fault("a2c", "units-dead", network=environments.DeadUnits),
    "saturated tanh: PPO": _fault("ppo", "units-saturated", network=environments.SaturatedUnits),
    "buffer of 100: SAC": _fault("sac", "buffer-too-small", buffer_size=100),
    "stale rollouts: A2C": _fault("a2c", "rollouts-stale", algorithm=algorithms.A2CLate),
    "one of eight has no reward: A2C": _fault(
        "a2c", "environment-differs", broken=environments.NoReward
    ),
    "one of eight ends at once: PPO": _fault(
        "ppo", "environment-differs", broken=environments.EndsAtOnce
    ),
    "one of eight stands still: A2C": _fault(
        "a2c", "environment-differs", broken=environments.FrozenObservation
    ),
    "equal seeds in all environments: A2C": _fault(
        "a2c", "environments-equal", wrapper=environments.SameSeed
    ),
    "batch of 2: SAC": _fault("sac", "batch-too-small", batch_size=2),
    "an update every 100 steps: SAC": _fault("sac", "updates-too-few", updates_per_step=0.01),
    "learning starts near the end: TD3": _fault("td3", "updates-too-few", learning_starts=7_500),
    "100 epochs: PPO": _fault("ppo", "too-many-epochs", num_epochs=100),
    "notebook with a replay that is emptied (001)": _fault(
        "own", f"{_CRITIC} buffer-too-small policy-gets-worse",
        algorithm=notebooks.ReplayNotebook, num_envs=1, n_steps=16, learning_rate=5e-4,
        steps=30_000,
    ),
    "notebook of single steps without gamma (004)": _fault(
        "own", f"{_CRITIC} horizon-too-long batch-too-small",
        algorithm=notebooks.OneStepNotebook, num_envs=1, n_steps=1, learning_rate=1e-4,
        gamma=0.99, steps=8_000,
    ),
}  # fmt: skip
"""By name."""
