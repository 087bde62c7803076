"""What a run is asked to be: algorithm, environment and values, before anything is made."""

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from footlight.algorithms import ALGORITHMS, config_class, name_of
from footlight.algorithms.protocol import Config
from footlight.config import best
from footlight.config.fields import build
from footlight.config.options import Options
from footlight.environments.source import EnvironmentLike, EnvironmentSource
from footlight.errors import UserError
from footlight.learning.blueprint import AnyAlgorithmClass
from footlight.runs.trackers.track import require_trackers
from footlight.training.objects import Objects
from footlight.training.stopping import require_target
from footlight.training.typed_values import Given
from footlight.training.user_hooks import UserHooks
from footlight.training.values import Values

_NAMED = "config", "options", "preset"  # arguments of `train` besides `values`


@dataclass(frozen=True)
class Request:
    """The arguments of `train`, checked and resolved."""

    algorithm: str | AnyAlgorithmClass
    name: str
    """Of the algorithm."""
    source: EnvironmentSource
    objects: Objects
    hooks: UserHooks
    given: Given
    found: Values
    options: Options
    fields: Any
    """The algorithm's config."""
    first_lines: Callable[[Mapping[str, Any]], list[str]]
    """The lines about what `best` stands for, from the preset's values; empty for other names."""

    @classmethod
    def of(
        cls,
        algorithm: str | AnyAlgorithmClass,
        environment: EnvironmentLike,
        values: Mapping[str, Any],
        config: str | Path | Config | None = None,
        options: Options | None = None,
        preset: bool | str = True,
    ) -> "Request":
        """Resolve the arguments of `train`, with its other keywords in `values`.

        Raises `UserError`.
        """
        objects, values = Objects.split({**values, "algorithm": algorithm})
        source, hooks = EnvironmentSource.of(environment), UserHooks(objects.hooks)
        algorithm, first_lines = best.chosen(objects.algorithm or algorithm, source.name)
        config_type, name = config_class(algorithm), name_of(algorithm)
        given = Given.split(config, options, values)
        found = given.resolve(name, config_type, source, preset)
        chosen, fields = _options(found.options), build(config_type, found.fields)
        source = objects.wrapped(source.configured(found.environment, found.env_kwargs))
        return cls(
            algorithm=algorithm,
            name=name,
            source=source,
            objects=objects,
            hooks=hooks,
            given=given,
            found=found,
            options=chosen,
            fields=fields,
            first_lines=first_lines,
        )

    @classmethod
    def from_arguments(
        cls,
        algorithm: str | AnyAlgorithmClass,
        environment: EnvironmentLike,
        arguments: Mapping[str, Any],
    ) -> "Request":
        """The same, with all other arguments of `train` in one mapping. Raises `UserError`."""
        named = {name: arguments[name] for name in _NAMED if name in arguments}
        values = {name: value for name, value in arguments.items() if name not in _NAMED}
        return cls.of(algorithm, environment, values, **named)

    @property
    def given_seed(self) -> int | None:
        """The seed, if one was given; an object of options has one in any case."""
        seed = self.found.options.get("seed")
        is_of_object = self.given.options is not None and "seed" not in self.given.keywords
        return None if seed is None or (is_of_object and seed == Options.seed) else int(seed)

    def require_many(self) -> None:
        """Raise `UserError` if the environment is one object, which several runs cannot share."""
        evaluated_in = self.objects.evaluation_source(self.source)
        for source in (self.source, evaluated_in):
            if source is not None and source.instance is not None:
                raise UserError(
                    f"{source.name()} is one environment, and each seed needs its own - "
                    "give its id, or a function that makes it"
                )

    def record(self) -> dict[str, Any]:
        """The arguments of `train` as plain data, with the values in force, but for the seed."""
        found, source = self.found, self.source.settings()
        values = {name: vars(self.options)[name] for name in found.options if name != "seed"}
        values |= {name: vars(self.fields)[name] for name in found.fields} | found.environment
        record = {
            "algorithm": self.name,
            "environment": self.source.name(),
            "env_kwargs": source.get("env_kwargs", {}),
            "preset": found.preset or False,
            "values": values,
            "own": self._own(),
        }
        return dict(json.loads(json.dumps(record, default=str)))

    def _own(self) -> list[str]:
        """Names of the arguments that are objects or files of the user's, or other runs."""
        none, given = Objects(), self.objects
        names = [
            field.name
            for field in dataclasses.fields(Objects)
            if field.name != "algorithm" and vars(given)[field.name] != vars(none)[field.name]
        ]
        if not (isinstance(self.algorithm, str) and self.algorithm in ALGORITHMS):
            names.append("algorithm")
        if self.source.settings()["environment_source"] != "id" or ":" in self.source.name():
            names.append("environment")
        return [*names, *(["init_from"] if self.given.tuning.path is not None else [])]


def _options(values: Mapping[str, Any]) -> Options:
    """The options of a new run. Raises `UserError`, also for those that lack what they need."""
    options = build(Options, values)
    require_trackers(options.track)
    require_target(options)
    return options
