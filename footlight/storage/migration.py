"""Migration of earlier file formats: renamed keys of manifests and configs, and renamed arrays.

Format 3 differs from format 2 in names and in one new array, which is 0 at first. Each table maps
an old name to the current one.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from footlight.types import Array

CONFIG_FIELDS = {"initialisation": "initialization"}
"""Fields of an algorithm's config."""
MANIFEST_KEYS = {"stock_taken_at": "last_evaluation_step"}
"""Keys at the top of a checkpoint's manifest."""
ARRAYS = {
    "normaliser": "normalizer",
    "unanswered": "pending",
    "actor_adam": "actor_optimizer",
    "critic_adam": "critic_optimizer",
    "alpha_adam": "alpha_optimizer",
    "walk": "memory.walk",
    "exploration_noise": "memory.walk",
    "far": "kl_exceeded",
}
"""First parts of array names, up to the first dot, in any group."""


def upgrade_manifest(manifest: dict[str, Any]) -> dict[str, Any]:
    """Upgrade a manifest from format 2 to format 3."""
    renamed = _renamed(manifest, MANIFEST_KEYS)
    renamed |= {"format_version": 3, "config": _renamed(manifest["config"], CONFIG_FIELDS)}
    if "run" in manifest:
        renamed["run"] = upgrade_run_config(manifest["run"])
    return renamed


def upgrade_run_config(run_config: dict[str, Any]) -> dict[str, Any]:
    """The content of a `config.json` with current names; current content is unchanged."""
    if not isinstance(run_config.get("config"), dict):
        return run_config
    config = _renamed(run_config["config"], CONFIG_FIELDS)
    return upgrade_layer_norm({**run_config, "config": config})


def upgrade_layer_norm(content: dict[str, Any]) -> dict[str, Any]:
    """A manifest, or the content of a `config.json`, with `norm` in its config in place of
    `layer_norm`, which off-policy algorithms had; other content is unchanged."""
    config = content.get("config", {})
    if isinstance(content.get("run"), dict):  # a manifest with what is in the run's config.json
        content = {**content, "run": upgrade_layer_norm(content["run"])}
    if content.get("algorithm") not in ("ddpg", "sac", "td3") or "layer_norm" not in config:
        return content
    rest = {name: value for name, value in config.items() if name != "layer_norm"}
    return {**content, "config": {**rest, "norm": "layer" if config["layer_norm"] else "none"}}


def upgrade_arrays(arrays: Mapping[str, Array], group: str, algorithm: str) -> dict[str, Array]:
    """Upgrade the arrays of a group from format 2 to format 3."""
    renamed = {array_name(name): array for name, array in arrays.items()}
    if group == "agent" and algorithm in ("ddpg", "sac", "td3"):
        renamed["progress"] = np.zeros(1, np.float32)  # their learning rates had no schedule
    return renamed


def array_name(name: str) -> str:
    """The current name of an array of format 2."""
    first, dot, rest = name.partition(".")
    return f"{ARRAYS.get(first, first)}{dot}{rest}"


def _renamed(content: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {names.get(name, name): value for name, value in content.items()}
