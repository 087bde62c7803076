"""The values of a run. Precedence: given values, TOML file, preset, defaults."""

import contextlib
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from footlight.config.fields import convert, describe_value, fields
from footlight.config.options import Options
from footlight.config.presets import fit_rollout
from footlight.config.presets import preset as find_preset
from footlight.config.suggestions import closest
from footlight.environments.atari import AtariConfig
from footlight.environments.naming import identifier
from footlight.environments.source import EnvironmentLike, EnvironmentSource
from footlight.errors import UserError, counted
from footlight.learning.blueprint import networks_of
from footlight.storage.files import user_path


@dataclass(frozen=True)
class Values:
    """The values of a run by what they configure, and the origin of those that were not given."""

    options: dict[str, Any]
    fields: dict[str, Any]
    environment: dict[str, Any]
    """Settings of an Atari game."""
    env_kwargs: Any
    """Arguments that the environment is created with."""
    preset: str | None
    """Its name."""
    of_preset: dict[str, Any]
    """Values in force that are the preset's own."""
    notes: tuple[str, ...] = ()
    """Messages about values that were fitted to the number of environments."""

    @contextlib.contextmanager
    def blamed(self) -> Iterator[None]:
        """Add to a `UserError` from the block which of the values it names come from the preset."""
        try:
            yield
        except UserError as error:
            first = str(error).partition(" - ")[0]
            named = [name for name in self.of_preset if re.search(rf"\b{name}\b", first)]
            if not named:
                raise
            shown = ", ".join(f"{name} {describe_value(self.of_preset[name])}" for name in named)
            are = "are values" if len(named) > 1 else "is a value"
            remedy = "set them yourself, or use no preset (--no-preset)"
            raise UserError(
                f"{error}\n{shown} {are} of the preset {self.preset} - {remedy}"
            ) from error


def resolve(
    algorithm: str,
    config: Any,
    environment: EnvironmentLike | EnvironmentSource,
    preset: bool | str,
    typed: Mapping[str, Any],
) -> Values:
    """Return the values of a run. Raises `UserError` for an unknown name.

    config: the config class of the algorithm.
    typed: values from the command line, Python or a file, with `env_kwargs` among them.
    n_steps and minibatch_size of a preset are fitted to the number of environments unless given.
    """
    typed, environment = {**typed}, EnvironmentSource.of(environment)
    env_kwargs = typed.pop("env_kwargs", None)
    name, tuned = _preset(algorithm, environment, preset)
    num_envs = _num_envs(environment, {**tuned, **typed})
    usual = {field.name: field.default for field in fields(config).values()}
    fitted = fit_rollout(usual, tuned, _integers(config, typed), num_envs)
    if environment.is_object:
        tuned.pop("num_envs", None)  # there are as many as there are
    classes = (Options, config, environment.config_class)
    options, config_fields, settings = _split(classes, {**tuned, **fitted, **typed})
    own = {name: value for name, value in tuned.items() if name not in typed and name not in fitted}
    return Values(
        options,
        config_fields,
        settings,
        env_kwargs,
        name,
        own,
        _notes(fitted, {**usual, **tuned}, name, num_envs),
    )


def parse_toml(path: str | Path) -> dict[str, Any]:
    """The content of a TOML file. Raises `UserError`."""
    try:
        return tomllib.loads(user_path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(
            f"cannot read {path} - {error.strerror} - give an existing TOML file"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid TOML - {error} - fix the syntax") from error


def read_toml(path: str | Path | None) -> dict[str, Any]:
    """The values in a TOML file. Raises `UserError`."""
    found = {} if path is None else parse_toml(path)
    for name, value in found.items():
        if isinstance(value, dict) and name not in _TABLES:
            raise UserError(
                f"{path} has the table [{name}] - its values belong to no table, whatever the "
                f"algorithm - leave the line [{name}] out"
            )
    return found


@runtime_checkable
class _HasNumEnvs(Protocol):
    """A buffer that knows its number of environments."""

    num_envs: int


def update_warnings(agent: Any, steps: int) -> list[str]:
    """Warn about a run of `steps` environment steps without updates before its last step."""
    if agent.num_updates:
        return []
    config, buffer = vars(agent.config), agent.buffer
    start, rate = config.get("learning_starts", 0), config.get("updates_per_step")
    if start >= steps:
        return [
            f"warning: no updates - learning_starts is {start:,} and the run has {steps:,} steps - "
            "nothing will be learned: give more steps, or lower learning_starts"
        ]
    if rate is not None and buffer.expected_updates(steps) == 0:
        return [
            f"warning: no updates - updates_per_step is {rate:g}, less than one update in "
            f"{steps - start:,} steps - nothing will be learned: raise updates_per_step, or give "
            "more steps"
        ]
    n_steps = config.get("n_steps", 0)
    num_envs = buffer.num_envs if isinstance(buffer, _HasNumEnvs) else 0
    rollout = n_steps * num_envs
    if rollout > steps - start:
        return [
            f"warning: the run is shorter than one rollout of {rollout:,} steps "
            f"(n_steps {n_steps:,} x num_envs {num_envs}) - it learns only after its "
            "last step: give more steps, or lower n_steps"
        ]
    return []


def initialization_warnings(agent: Any) -> list[str]:
    """Warn about a new built-in network with so many weights at 0 that no gradient gets through.

    Sparse weights of a unit with fewer than 10 inputs are all 0. Two layers of zeros learn nothing,
    nor does one that ReLU follows, whose derivative at 0 is 0.
    """
    config = vars(agent.config)
    if agent.num_updates or agent.blueprint.network or config.get("initialization") != "sparse":
        return []
    layers: dict[str, list[bool]] = {}
    for name, network in networks_of(agent.algorithm):
        for parameter, values in network.unflatten(network.initial).items():
            if parameter.endswith("weight") and values.dim() > 1:
                layers.setdefault(name + parameter.partition(".")[0], []).append(not values.any())
    is_relu = config.get("activation") == "relu"
    if not any(sum(zeros) > 1 or (is_relu and any(zeros[:-1])) for zeros in layers.values()):
        return []
    return [
        "warning: whole layers begin as zeros - initialization sparse zeroes nine tenths of a "
        "unit's weights, rounded up, so all of fewer than 10 - nothing can be learned from "
        "observations: take initialization orthogonal, or wider layers and no relu"
    ]


def _preset(
    algorithm: str, environment: EnvironmentSource, wanted: bool | str
) -> tuple[str | None, dict[str, Any]]:
    """Name and values of the preset, without those of an Atari game for other environments."""
    name, tuned = find_preset(algorithm, identifier(environment.name()), wanted)
    useless = set() if environment.config_class is not None else set(fields(AtariConfig))
    return name, {field: value for field, value in tuned.items() if field not in useless}


def _num_envs(environment: EnvironmentSource, values: Mapping[str, Any]) -> int:
    if environment.fixed_num_envs is not None:
        return environment.fixed_num_envs
    return int(_integers(Options, values).get("num_envs", 1))


def _integers(config: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of integer fields of `config`, converted. Raises `UserError`."""
    found = {}
    for name, field in fields(config).items():
        if values.get(name) is not None and field.type is int:
            found[name] = convert(field, values[name])
    return found


def _notes(
    fitted: Mapping[str, int], before: Mapping[str, Any], preset: str | None, num_envs: int
) -> tuple[str, ...]:
    if not fitted:
        return ()
    shown = ", ".join(f"{name} {value} instead of {before[name]}" for name, value in fitted.items())
    whose = f"preset {preset}" if preset else "defaults"
    return (f"{shown}: the {whose} fitted to {counted(num_envs, 'environment')}",)


def _split(classes: Sequence[Any], values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Split values by the class that has the field; None is a class without fields."""
    members = [fields(one) if one is not None else {} for one in classes]
    known = [name for names in reversed(members) for name in names]
    for name in values:
        if name == "seeds":
            raise UserError(
                "seeds is not a field - one run has one seed - give --seeds on the command line, "
                "or call footlight.train_seeds"
            )
        if name not in known:
            elsewhere = (*known, *_KEYWORDS)
            hint = closest(name, elsewhere) or " - see --help for all fields"
            raise UserError(f"unknown field {name!r}{hint}")
    given = {
        name: value
        for name, value in values.items()
        if value is not None or name not in fields(Options)
    }
    if isinstance(folder := given.get("buffer_dir"), str | Path) and str(folder) != "none":
        # An environment may change the working directory.
        given["buffer_dir"] = str(user_path(folder).absolute())
    return [{name: value for name, value in given.items() if name in names} for names in members]


_TABLES = ("env_kwargs", "eval_env_kwargs")  # the values that are tables
_KEYWORDS = (  # of `train`, besides fields
    "run_dir", "env_kwargs", "preset", "network", "quiet", "init_from", "init_buffer", "hooks",
    "eval_environment", "eval_env_kwargs", "wrapper",
)  # fmt: skip
