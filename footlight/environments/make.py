"""The one way in: an id, an environment, a vector environment or a function becomes `Environments`."""

import inspect
import re
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
from gymnasium.vector import VectorEnv

from footlight.config import build
from footlight.environments.atari import PREFIX, AtariConfig, AtariGame
from footlight.environments.native import make_native
from footlight.environments.serial import SerialEnvironments
from footlight.environments.vector import VectorEnvironments
from footlight.environments.workers import AsyncEnvironments, Supervision
from footlight.errors import UserError, closest

EnvironmentSource = str | gymnasium.Env[Any, Any] | VectorEnv[Any, Any, Any] | Callable[[], gymnasium.Env[Any, Any]]
Environments = SerialEnvironments | VectorEnvironments

_EXTRAS = {"mujoco": "mujoco", "box2d": "box2d", "classic_control": ""}
_MOST_EVALUATED_TOGETHER = 32


def make(
    source: EnvironmentSource,
    seed: int,
    num_envs: int | None = None,
    stream: str = "episode",
    render_mode: str | None = None,
    vectorization: str = "auto",
    supervision: Supervision = Supervision(),  # noqa: B008
) -> Environments:
    """Environments whose episodes start from seeds derived from `seed` and the name `stream`.

    num_envs: how many; None is one, or as many as the given vector environment has.
    vectorization: how several are stepped: "sync", "async" or "native"; "auto" is sync here (`vectorization.choose` measures).
    supervision: what is done about processes that die or hang.
    What was given as an environment stays as it is, and one environment is always stepped in this process. Raises `UserError`.
    """
    source = configured(source)
    if isinstance(source, VectorEnv):
        if num_envs not in (None, source.num_envs):
            raise UserError(f"num_envs is {num_envs} - the given vector environment has {source.num_envs}")
        return VectorEnvironments(source, seed, stream)
    if isinstance(source, gymnasium.Env):
        if num_envs not in (None, 1):
            raise UserError(f"num_envs is {num_envs} - one environment was given - give a function that makes one, or an id")
        return SerialEnvironments([source], seed, stream)
    count = num_envs or 1
    if count > 1 and isinstance(source, AtariGame) and vectorization in ("native", "auto"):
        return VectorEnvironments(source.vector(count), seed, stream)
    if count > 1 and vectorization == "native":
        return VectorEnvironments(_native(source, count), seed, stream)
    if count > 1 and vectorization == "async":
        return AsyncEnvironments(partial(make_one, source, render_mode), count, seed, stream, supervision)
    envs = [make_one(source, render_mode) for _ in range(count)]
    if len({id(env.unwrapped) for env in envs}) < count:
        raise UserError(f"{name_of(source)} gave one environment twice - {count} are needed - let it make a new one at each call")
    return SerialEnvironments(envs, seed, stream)


def make_for_evaluation(
    source: EnvironmentSource, seed: int, stream: str, episodes: int, supervision: Supervision | None = None
) -> Environments:
    """Where `episodes` whole episodes are to be evaluated: games all at once, others one after the other. Raises `UserError`.

    supervision: of a process of its own for the environment; None: it is stepped in this one.
    """
    source = configured(source)
    if isinstance(source, AtariGame):
        return make(source.whole(), seed, min(episodes, _MOST_EVALUATED_TOGETHER), stream, vectorization="native")
    if supervision is not None and not isinstance(source, gymnasium.Env | VectorEnv):
        return AsyncEnvironments(partial(make_one, source), 1, seed, stream, supervision)
    return make(source, seed, stream=stream)


def config_class(source: EnvironmentSource) -> Any:
    """The class of settings that an environment of this id has, None where there are none."""
    return AtariConfig if isinstance(source, str) and source.startswith(PREFIX) else None


def configured(source: EnvironmentSource, values: Mapping[str, Any] | None = None) -> EnvironmentSource:
    """The environment with these settings, for an id that has any. Raises `UserError` for wrong values."""
    if isinstance(source, str) and source.startswith(PREFIX):
        return AtariGame(source, build(AtariConfig, values or {}))
    return source


def _native(source: str | Callable[[], gymnasium.Env[Any, Any]], num_envs: int) -> VectorEnv[Any, Any, Any]:
    if not isinstance(source, str):
        raise UserError(f"{name_of(source)} has no native version, as it is no id - use sync or async")
    single = make_one(source)  # which also knows what to say of an id that is wrong
    try:
        return make_native(single, source, num_envs)
    finally:
        single.close()


def make_one(source: str | Callable[[], gymnasium.Env[Any, Any]], render_mode: str | None = None) -> gymnasium.Env[Any, Any]:
    """One environment. Raises `UserError` for an unknown id, a missing package or a function that gives something else."""
    source = configured(source)  # type: ignore[assignment]
    if isinstance(source, AtariGame):
        return source(render_mode)
    if not isinstance(source, str):
        if not callable(source):
            raise UserError(
                f"{source!r} is no environment - give an id, a gymnasium.Env, a VectorEnv, or a function that makes an Env"
            )
        try:
            env = _called(source, render_mode)
        except UserError:
            raise
        except Exception as error:  # the user's own code: whatever it stumbles over
            raise UserError(f"{name_of(source)} made no environment - {type(error).__name__}: {_first_line(error)}") from error
        if not isinstance(env, gymnasium.Env):
            raise UserError(f"{name_of(source)} gave {type(env).__name__} - it must give a gymnasium.Env")
        return env
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of old versions of an environment: the user chose the version
            asked: dict[str, Any] = (
                {} if render_mode is None else {"render_mode": render_mode}
            )  # not every environment takes the argument
            return gymnasium.make(source, disable_env_checker=True, **asked)
    except (gymnasium.error.DependencyNotInstalled, ImportError) as error:
        missing = _first_line(error).partition(",")[0]  # behind the comma: how to install it without footlight
        raise UserError(f"{source} needs a package that is missing - {missing} - {_remedy(source)}") from error
    except gymnasium.error.UnregisteredEnv as error:
        game = re.fullmatch(r"(\w+?)(NoFrameskip|Deterministic)?-v[04]", source)  # what Atari games were called until v5
        known = closest(source, gymnasium.registry) or " - see `footlight list environments`"
        hint = f" - did you mean '{PREFIX}{game[1]}-v5'?" if game and game[2] else known
        raise UserError(f"unknown environment {source!r}{hint}") from error
    except Exception as error:  # an environment's own code: whatever it stumbles over
        raise UserError(f"{source!r} cannot be made - {type(error).__name__}: {_first_line(error)}") from error


def _called(make_it: Callable[..., Any], render_mode: str | None) -> Any:
    """What the user's function or class returns; it is given `render_mode` where its signature has it."""
    if render_mode is None:
        return make_it()
    try:
        parameters = inspect.signature(make_it).parameters
    except (TypeError, ValueError):  # of some built-in callables nothing is known
        return make_it()
    named = parameters.get("render_mode")
    if named is not None and named.kind in (named.KEYWORD_ONLY, named.POSITIONAL_OR_KEYWORD):
        return make_it(render_mode=render_mode)
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        try:
            return make_it(render_mode=render_mode)
        except TypeError as error:  # whatever it hands its keywords on to has no such argument
            if "render_mode" not in str(error):
                raise
    return make_it()


def require_allowed(folder: Path, environment: str, module_allowed: str | None) -> None:
    """Raise `UserError` where an id that stands in a file of `folder` would import a module that the user has not named."""
    module, colon, _ = environment.partition(":")
    if colon and module != module_allowed:
        raise UserError(
            f"{folder} names the environment {environment!r} - making it would run the module {module!r} - "
            f"if you trust that, say so: --allow-env-import {module}"
        )


def name_of(source: EnvironmentSource) -> str:
    """The word that names the environment in files and folders."""
    if isinstance(source, str):
        return source
    spec = getattr(source, "spec", None)
    if spec is not None:
        return str(spec.id)
    plain = source.unwrapped if isinstance(source, gymnasium.Env) else source
    return str(getattr(plain, "__name__", type(plain).__name__)).strip("<>")


def _remedy(source: str) -> str:
    spec = gymnasium.registry.get(source.split(":")[-1])
    entry = str(spec.entry_point) if spec else source
    extra = next((name for word, name in _EXTRAS.items() if word in entry and name), None)
    return f"pip install 'footlight[{extra}]'" if extra else "install the package that the message names"


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__).rstrip(".")
