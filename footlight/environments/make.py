"""Make environments from an id, an environment, a vector environment or a function."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import gymnasium

from footlight.environments.atari import PREFIX, AtariConfig
from footlight.environments.source import Arguments as Arguments
from footlight.environments.source import EnvironmentLike as EnvironmentLike
from footlight.environments.source import Environments as Environments
from footlight.environments.source import EnvironmentSource as EnvironmentSource
from footlight.environments.source import Wanted
from footlight.environments.workers import Supervision
from footlight.errors import UserError
from footlight.user_code.reference import is_reference


def make(
    environment: EnvironmentLike | EnvironmentSource,
    seed: int,
    num_envs: int | None = None,
    stream: str = "episode",
    render_mode: str | None = None,
    vectorization: str = "auto",
    supervision: Supervision = Supervision(),  # noqa: B008
) -> Environments:
    """Environments whose episodes start from seeds derived from `seed` and the name `stream`.

    num_envs: how many; None is one, or as many as the given vector environment has.
    vectorization: how several are stepped: "sync", "async" or "native"; "auto" is "sync" here
        (`vectorization.choose` decides), and "native" for Atari games.
    supervision: what is done about worker processes that die or hang.

    An environment that is passed as an object is used as it is, and a single environment is always
    stepped in this process. Raises `UserError`.
    """
    wanted = Wanted(seed, num_envs, stream, render_mode, vectorization, supervision)
    return EnvironmentSource.of(environment).configured().make(wanted)


def make_one(
    environment: EnvironmentLike | EnvironmentSource, render_mode: str | None = None
) -> gymnasium.Env[Any, Any]:
    """One environment. Raises `UserError` if it cannot be made."""
    return EnvironmentSource.of(environment).make_one(render_mode)


def make_for_evaluation(
    environment: EnvironmentLike | EnvironmentSource, seed: int, stream: str, episodes: int
) -> Environments:
    """Environments to evaluate `episodes` whole episodes in: many Atari games at once, else one.

    They are closed by `close()`, also where an environment was passed as an object.
    Raises `UserError`.
    """
    source = EnvironmentSource.of(environment).configured()
    return source.make_for_evaluation(seed, stream, episodes)


def configured(
    environment: EnvironmentLike | EnvironmentSource,
    values: Mapping[str, Any] | None = None,
    kwargs: Arguments = None,
) -> EnvironmentSource:
    """The environment with these settings of an Atari game, or these arguments of an id.

    Raises `UserError` for wrong values, and for arguments of what is not an id.
    """
    return EnvironmentSource.of(environment).configured(values, kwargs)


def config_class(environment: str | None) -> Any:
    """The class of settings that an environment of this id has; None if there are none."""
    is_game = isinstance(environment, str) and environment.startswith(PREFIX)
    return AtariConfig if is_game else None


def require_allowed(folder: Path, config: Mapping[str, Any], module_allowed: str | None) -> None:
    """Raise `UserError` if an environment named in a file would import a module without consent.

    Some environments make another one by its id, which is an argument then.
    """
    if is_reference(config["environment"]):  # A run records the name, and the file elsewhere
        raise UserError(
            f"{folder} names the environment {config['environment']!r} - a run cannot name a file "
            "in that way - restore it from a copy"
        )
    for name, module in _imports(config):
        if module != module_allowed:
            raise UserError(
                f"{folder} names the environment {name!r} - making it would run the module "
                f"{module!r} - if you trust that, say so: --allow-env-import {module}"
            )


def option_to_allow(config: Mapping[str, Any]) -> str:
    """What a command that makes a run's environment needs, " --allow-env-import MODULE"; or ""."""
    modules = dict.fromkeys(module for _, module in _imports(config))
    return "".join(f" --allow-env-import {module}" for module in modules)


def _imports(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The ids that a configuration names with the module that each imports."""
    for name in (config["environment"], *_texts(config.get("env_kwargs", {}))):
        module, colon, rest = name.partition(":")
        if colon and rest and module.replace(".", "").isidentifier():
            yield name, module


def _texts(value: Any) -> Iterator[str]:
    """Every string in what JSON can hold."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _texts(part)
