"""Tuned values: one TOML file per algorithm, one table per environment, applied by default and named when they are."""

import tomllib
from importlib import resources
from typing import Any

from footlight.errors import UserError, closest


def all_presets() -> dict[str, dict[str, Any]]:
    """Every preset by name, `ALGORITHM/ENVIRONMENT`."""
    folder = resources.files(__name__)
    return {
        f"{file.name.removesuffix('.toml')}/{environment}": values
        for file in sorted(folder.iterdir(), key=lambda file: file.name)
        if file.name.endswith(".toml")
        for environment, values in tomllib.loads(file.read_text()).items()
    }


def preset(algorithm: str, environment: str, wanted: bool | str = True) -> tuple[str | None, dict[str, Any]]:
    """Name and values of the preset for this algorithm and environment; (None, {}) without one. "ALE/*" is for all games that
    have none of their own.

    wanted: False for none, or the name of another preset, or of an environment whose preset to take. Raises `UserError`.
    """
    if wanted is False:
        return None, {}
    presets = all_presets()
    name = f"{algorithm}/{environment}"
    if isinstance(wanted, str):
        name = wanted if "/" in wanted and wanted in presets else f"{algorithm}/{wanted}"
        if name not in presets or not name.startswith(f"{algorithm}/"):
            mine = [key for key in presets if key.startswith(f"{algorithm}/")]
            raise UserError(f"unknown preset {wanted!r}{closest(name, mine)} - for {algorithm} there are {', '.join(mine)}")
    found = name if name in presets else next((key for key in presets if key.endswith("*") and name.startswith(key[:-1])), None)
    return (found, presets[found]) if found is not None else (None, {})
