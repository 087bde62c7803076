"""Seeds that do not determine episodes, or that change nothing."""

from typing import Any

import broken_environments as broken
import gymnasium
import numpy as np

from footlight.environments.source import EnvironmentSource
from footlight.examination.contract import Contract
from footlight.examination.equal_seeds import other_seeds, same_seed


def test_seeds_of_a_healthy_environment() -> None:
    assert same_seed(EnvironmentSource.of(broken.Healthy), 1) == (None, None)
    assert other_seeds(Contract(broken.Healthy()), 1) is None


def test_unseeded_randomness() -> None:
    found, reason = same_seed(EnvironmentSource.of(broken.Unseeded), 1)
    assert reason is None
    assert found is not None
    assert (found.check, found.severity) == ("seed-not-reproducing", "warning")


def test_dependence_on_earlier_episodes_is_a_note() -> None:
    class Remembers(broken.Healthy):
        episodes = 0.0

        def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
            self.episodes += 0.01
            super().reset(seed=seed)
            self.position = self.position + self.episodes
            return self.observation(), {}

    found, _ = same_seed(EnvironmentSource.of(Remembers), 1)
    assert found is None or found.severity == "note"
    assert found is not None


def test_a_failing_episode_is_not_judged() -> None:
    found, reason = same_seed(EnvironmentSource.of(broken.NotFinite), 1)
    assert found is None
    assert reason is not None
    assert "failed at step 9" in reason


def test_a_seed_that_is_replaced_by_another() -> None:
    class Fixed(broken.Healthy):
        def seeded(self, seed: int | None) -> Any:
            known = self.__dict__.setdefault("own", np.random.default_rng(0))
            return known if seed is None else np.random.default_rng(0)

    found = other_seeds(Contract(Fixed()), 1)
    assert found is not None
    assert "without a seed, first observations differ" in found.evidence


def test_a_grid_may_always_begin_at_one_place() -> None:
    env = gymnasium.make("FrozenLake-v1", is_slippery=False, disable_env_checker=True)
    found = other_seeds(Contract(env), 1)
    assert found is not None
    assert found.severity == "note"
