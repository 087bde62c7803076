"""Presets: tuned values, one TOML file per algorithm with a table per environment."""

import math
import tomllib
from collections.abc import Mapping
from importlib import resources
from typing import Any

from footlight.config.fields import closest_divisor
from footlight.config.suggestions import closest
from footlight.errors import UserError


def all_presets() -> dict[str, dict[str, Any]]:
    """Every preset by name, `ALGORITHM/ENVIRONMENT`."""
    folder = resources.files(__name__)
    return {
        f"{file.name.removesuffix('.toml')}/{environment}": values
        for file in sorted(folder.iterdir(), key=lambda file: file.name)
        if file.name.endswith(".toml")
        for environment, values in tomllib.loads(file.read_text(encoding="utf-8")).items()
    }


def preset(
    algorithm: str, environment: str, wanted: bool | str = True
) -> tuple[str | None, dict[str, Any]]:
    """Return name and values of the preset for an algorithm and environment, or (None, {}).

    "ALE/*" applies to all games without a preset of their own.
    wanted: False for none, or the name of another preset, or of the environment to take it from.
    Raises `UserError`.
    """
    if wanted is False:
        return None, {}
    presets = all_presets()
    name = f"{algorithm}/{environment}"
    if isinstance(wanted, str):
        name = wanted if "/" in wanted and wanted in presets else f"{algorithm}/{wanted}"
        if name not in presets or not name.startswith(f"{algorithm}/"):
            own = [key for key in presets if key.startswith(f"{algorithm}/")]
            raise UserError(
                f"unknown preset {wanted!r}{closest(name, own)} - "
                f"for {algorithm} there are {', '.join(own)}"
            )
    found = (
        name
        if name in presets
        else next((key for key in presets if key.endswith("*") and name.startswith(key[:-1])), None)
    )
    return (found, presets[found]) if found is not None else (None, {})


def fit_rollout(
    defaults: Mapping[str, Any], tuned: Mapping[str, Any], typed: Mapping[str, Any], num_envs: int
) -> dict[str, int]:
    """Adapt n_steps and minibatch_size to `num_envs` unless the user has set them.

    A rollout keeps about as many steps as in the preset, and its minibatches keep their size, or
    else their number, or else about their size. {} if nothing has to change, or if the algorithm
    has no minibatches. With num_minibatches, that of environments, it is adapted alone.
    typed: converted values that the user has set.
    """
    if "num_minibatches" in defaults and "num_minibatches" not in typed:
        number = {**defaults, **tuned}["num_minibatches"]
        fits = num_envs % number == 0
        return {} if fits else {"num_minibatches": closest_divisor(num_envs, number)}
    if "n_steps" not in defaults or "minibatch_size" not in defaults:
        return {}
    before = {**defaults, **tuned}
    n_steps, size = before["n_steps"], before["minibatch_size"]
    usual_envs = tuned.get("num_envs", num_envs if "n_steps" not in tuned else 1)
    wanted = {"n_steps": n_steps, "minibatch_size": size, **typed}
    rollout = n_steps * usual_envs
    if "n_steps" not in typed and num_envs != usual_envs:
        wanted["n_steps"] = _nearest_multiple(
            rollout / num_envs, wanted["minibatch_size"], num_envs
        )
        if (
            "minibatch_size" not in typed
            and abs(wanted["n_steps"] * num_envs - rollout) > rollout / 8
        ):
            count = max(1, rollout // size)  # minibatches
            wanted["n_steps"] = _nearest_multiple(rollout / num_envs, count, num_envs)
            wanted["minibatch_size"] = max(2, wanted["n_steps"] * num_envs // count)
            if abs(wanted["n_steps"] * num_envs - rollout) > rollout / 8:
                wanted |= {"n_steps": max(1, round(rollout / num_envs)), "minibatch_size": size}
    total = wanted["n_steps"] * num_envs
    if "minibatch_size" not in typed and total % wanted["minibatch_size"]:
        wanted["minibatch_size"] = closest_divisor(total, size)
    names = ("n_steps", "minibatch_size")
    return {
        name: wanted[name] for name in names if name not in typed and wanted[name] != before[name]
    }


def _nearest_multiple(wanted: float, divisor: int, num_envs: int) -> int:
    """The steps nearest to `wanted` whose product with `num_envs` is a multiple of `divisor`."""
    unit = divisor // math.gcd(divisor, num_envs)
    return unit * max(1, round(wanted / unit))
