"""Config and options as objects: `footlight.SACConfig(gamma=0.98)`, `footlight.Options(steps=...)`.

Precedence: keywords, objects, TOML file, preset, defaults. An object states every field of its
class, so of a preset only what the objects have no field for applies.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from footlight.algorithms import CONFIGS
from footlight.algorithms.protocol import Config
from footlight.config.fields import fields
from footlight.config.options import Options
from footlight.environments.source import EnvironmentSource
from footlight.errors import UserError
from footlight.training.values import Values, read_toml, resolve


@dataclasses.dataclass(frozen=True)
class Given:
    """What `train` is given besides keywords."""

    config: str | Path | Config | None
    """A TOML file, or an object of the algorithm's config class."""
    options: Options | None

    def resolve(
        self, algorithm: str, config_type: Any, environment: EnvironmentSource, preset: bool | str,
        values: Mapping[str, Any],
    ) -> Values:  # fmt: skip
        """The values of a run; `values` are its keywords. Raises `UserError`."""
        stated: dict[str, Any] = {}
        if self.options is not None:
            stated |= _values_of_options(self.options, environment)
        if self._has_config:
            stated |= _values_of_config(self.config, config_type, algorithm)
            typed = stated | dict(values)
        else:
            assert self.config is None or isinstance(self.config, str | Path)
            typed = read_toml(self.config) | stated | dict(values)
        found = resolve(algorithm, config_type, environment, preset, typed)
        return found if self.config is None and self.options is None else self._noted(found)

    @property
    def _has_config(self) -> bool:
        return not (self.config is None or isinstance(self.config, str | Path))

    def _noted(self, found: Values) -> Values:
        """The values with a note on how much of the preset applies beside the objects."""
        objects = ["config"] * self._has_config + ["options"] * (self.options is not None)
        if found.preset is None or not objects:
            return found
        names = ", ".join(found.of_preset)
        left = (
            f"only {names} {'apply' if ',' in names else 'applies'}" if names else "nothing applies"
        )
        note = f"{' and '.join(objects)} given as an object: of the preset {found.preset}, {left}"
        preset = found.preset if found.of_preset else None
        return dataclasses.replace(found, preset=preset, notes=(*found.notes, note))


def _values_of_options(options: Options, environment: EnvironmentSource) -> dict[str, Any]:
    if not isinstance(options, Options):
        raise UserError(f"options is {options!r:.80} - give footlight.Options(...)")
    values = dict(vars(options))
    if environment.fixed_num_envs is not None and options.num_envs == Options.num_envs:
        del values["num_envs"]  # there are as many as there are
    return values


def _values_of_config(config: Any, config_type: Any, algorithm: str) -> dict[str, Any]:
    if not isinstance(config, config_type):
        wanted = f"footlight.{CONFIGS[algorithm]}" if algorithm in CONFIGS else config_type.__name__
        what = config_name(config) or f"{config!r:.80}"
        raise UserError(
            f"config is {what} - {algorithm} cannot be configured with it - give {wanted}(...), or "
            "the path of a TOML file"
        )
    return {name: vars(config)[name] for name in fields(config_type)}


def config_name(config: object) -> str | None:
    """The name at the top of the package of the class of a config; None if it is not ours."""
    words = type(config).__module__.rpartition(".")
    if words[0] != "footlight.algorithms" or type(config).__name__ != "Config":
        return None
    algorithm = words[2].replace("_", "-")
    return f"a footlight.{CONFIGS[algorithm]}, for {algorithm}" if algorithm in CONFIGS else None
