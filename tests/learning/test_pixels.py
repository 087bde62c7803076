"""A2C and PPO with convolutions solve an environment of images, through `footlight.train`."""

from pathlib import Path
from typing import Any

import pytest

import footlight
from footlight.environments.pixel_probe import FollowSquare

SETTINGS: dict[str, Any] = {
    "torso": "small",
    "hidden_sizes": (64,),
    "activation": "relu",
    "shared_torso": True,
    "gamma": 0.5,
    "entropy_coef": 0.01,
    "optimizer": "adam",
    "num_envs": 8,
    "vectorization": "sync",
    "threads": 1,
    "seed": 3,
}
OF_METHOD: dict[str, dict[str, Any]] = {
    "a2c": {"learning_rate": 2e-3, "steps": 7_000},
    "impala": {"learning_rate": 1e-3, "steps": 8_000, "num_epochs": 2, "num_minibatches": 2},
    "ppo": {
        "seed": 1,
        "learning_rate": 1e-3,
        "steps": 5_000,
        "n_steps": 64,
        "minibatch_size": 64,
        "num_epochs": 3,
        "gae_lambda": 0.5,
    },
}


def best_return(episodes: int) -> float:
    """Mean return of the optimal policy."""
    world, total = FollowSquare(), 0.0
    for episode in range(episodes):
        world.reset(seed=episode)
        truncated = False
        while not truncated:
            _, reward, _, truncated, _ = world.step(world.best())
            total += reward
    return total / episodes


def test_the_best_player_loses_only_the_way_to_the_first_square() -> None:
    assert 29 < best_return(200) < 31


@pytest.mark.parametrize("algorithm", OF_METHOD)
def test_follows_the_bright_square(algorithm: str, tmp_path: Path) -> None:
    settings = SETTINGS | OF_METHOD[algorithm]
    run = footlight.train(
        algorithm,
        FollowSquare,
        run_dir=tmp_path / "run",
        eval_every=0,
        quiet=True,
        compile="off",
        **settings,
    )
    assert run.result is not None
    assert run.result["final_evaluation"]["mean_return"] > 0.85 * best_return(200)
