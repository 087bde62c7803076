"""Config and options as objects: `footlight.SACConfig(gamma=0.98)`, `footlight.Options(steps=...)`.

Precedence: keywords, objects, TOML file, preset, defaults. An object states every field of its
class, so of a preset only what the objects have no field for applies.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from footlight.config.names import values_of_config
from footlight.config.options import Options
from footlight.environments.source import EnvironmentSource
from footlight.errors import UserError
from footlight.training.fine_tuning import FineTuning
from footlight.training.values import Values, read_toml, resolve


@dataclasses.dataclass(frozen=True)
class Given:
    """The arguments of `train` that configure the run."""

    config: object
    """A TOML file, or an object of the algorithm's config class; None: neither."""
    options: Options | None
    keywords: Mapping[str, Any]
    tuning: FineTuning

    @classmethod
    def split(cls, config: object, options: Options | None, values: Mapping[str, Any]) -> "Given":
        """What the keywords `values` say besides `config` and `options`. Raises `UserError`."""
        tuning, keywords = FineTuning.split(values)
        return cls(config, options, keywords, tuning)

    def resolve(
        self, algorithm: str, config_type: Any, environment: EnvironmentSource, preset: bool | str
    ) -> Values:
        """The values of a run. Raises `UserError`."""
        config = self.config
        if config is None or isinstance(config, str | Path):
            stated = read_toml(config)
        else:
            other = ", or the path of a TOML file"
            stated = values_of_config(config, config_type, algorithm, other)
        if self.options is not None:
            stated |= _values_of_options(self.options, environment)
        found = resolve(algorithm, config_type, environment, preset, {**stated, **self.keywords})
        return self._noted(found)

    def _noted(self, found: Values) -> Values:
        """The values with a note on how much of the preset applies beside the objects."""
        has_config = not (self.config is None or isinstance(self.config, str | Path))
        objects = ["config"] * has_config + ["options"] * (self.options is not None)
        if found.preset is None or not objects:
            return found
        names, apply = (
            ", ".join(found.of_preset),
            "apply" if len(found.of_preset) > 1 else "applies",
        )
        left = f"only {names} {apply}" if names else "nothing applies"
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
