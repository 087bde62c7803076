"""Migration of earlier formats: renamed keys and arrays, and nothing else."""

from typing import Any

import numpy as np
import pytest

from footlight.storage.migration import (
    array_name,
    upgrade_arrays,
    upgrade_manifest,
    upgrade_run_config,
)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("normaliser.mean", "normalizer.mean"),
        ("actor_adam.first_moment", "actor_optimizer.first_moment"),
        ("walk", "memory.walk"),
        ("far", "kl_exceeded"),
        ("unanswered.action", "pending.action"),
        ("actor", "actor"),
        ("buffer.walk", "buffer.walk"),  # only the first part is renamed
    ],
)
def test_array_names(old: str, new: str) -> None:
    assert array_name(old) == new


def test_manifest_of_format_2_is_upgraded_to_format_3() -> None:
    config = {"initialisation": "pytorch", "gamma": 0.9}
    old: dict[str, Any] = {"format_version": 2, "stock_taken_at": 5, "config": config, "step": 7}
    old["run"] = {"config": config, "seed": 1}
    new_config = {"initialization": "pytorch", "gamma": 0.9}
    assert upgrade_manifest(old) == {
        "format_version": 3, "last_evaluation_step": 5, "config": new_config, "step": 7,
        "run": {"config": new_config, "seed": 1},
    }  # fmt: skip


def test_current_run_config_is_unchanged() -> None:
    current = {"config": {"initialization": "pytorch"}, "seed": 1}
    assert upgrade_run_config(current) == current
    assert upgrade_run_config({"seed": 1}) == {"seed": 1}


def test_off_policy_agents_get_the_progress_of_their_schedules() -> None:
    arrays = {"critic_adam.step": np.ones(1, np.float32)}
    upgraded = upgrade_arrays(arrays, "agent", "sac")
    assert {name: array.tolist() for name, array in upgraded.items()} == {
        "critic_optimizer.step": [1.0], "progress": [0.0],
    }  # fmt: skip
    assert list(upgrade_arrays(arrays, "buffer", "sac")) == ["critic_optimizer.step"]
    assert list(upgrade_arrays(arrays, "agent", "ppo")) == ["critic_optimizer.step"]
