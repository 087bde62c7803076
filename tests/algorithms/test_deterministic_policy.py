"""Acting of DDPG and TD3: exploration at first and later, and what evaluation sees."""

import numpy as np
from constant import Deterministic, off_policy


def test_exploration_is_uniform_at_first_and_then_noise_within_bounds() -> None:
    agent = off_policy(
        "td3",
        Deterministic,
        learning_starts=1,
        num_envs=500,
        exploration_noise=10.0,
        updates_per_step=0.0,
    )
    seen = np.zeros((500, 1), np.float32)
    first = agent.act(seen, explore=True)
    assert len(np.unique(first)) > 400
    nothing = np.zeros(500, bool)
    agent.observe(seen, first, np.zeros(500), seen, nothing, nothing)
    noisy = agent.act(seen, explore=True)
    assert np.abs(noisy).max() <= 1
    assert np.mean(np.abs(noisy) == 1) > 0.8  # most of a deviation of 10 is outside
    assert agent.act(seen).ravel().tolist() == [0.25] * 500
