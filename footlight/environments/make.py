"""The one way in: an id, an environment, a vector environment or a function becomes `Environments`."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import VectorEnv

from footlight.config.fields import build, fields
from footlight.contexts import closing
from footlight.environments.atari import PREFIX, AtariConfig, AtariGame
from footlight.environments.naming import Registered
from footlight.environments.naming import name_of as name_of
from footlight.environments.native import make_native
from footlight.environments.registry import make_registered, registered
from footlight.environments.serial import SerialEnvironments
from footlight.environments.vector import VectorEnvironments
from footlight.environments.workers import AsyncEnvironments, Supervision
from footlight.errors import UserError, summarize_error
from footlight.signals import is_interruption

EnvironmentSource = (
    str
    | EnvSpec
    | Registered
    | gymnasium.Env[Any, Any]
    | VectorEnv[Any, Any, Any]
    | Callable[[], gymnasium.Env[Any, Any]]
)
Environments = SerialEnvironments | VectorEnvironments

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
    vectorization: how several are stepped: "sync", "async" or "native"; "auto" is sync here (`vectorization.choose` decides).
    supervision: what is done about processes that die or hang.
    What was given as an environment stays as it is, and one environment is always stepped in this process. Raises `UserError`.
    """
    source = configured(source)
    if isinstance(source, VectorEnv):
        if num_envs not in (None, source.num_envs):
            raise UserError(
                f"num_envs is {num_envs} - the given vector environment has {source.num_envs}"
            )
        return VectorEnvironments(source, seed, stream, owned=False)
    if isinstance(source, gymnasium.Env):
        if num_envs not in (None, 1):
            raise UserError(
                f"num_envs is {num_envs} - one environment was given - give a function that makes one, or an id"
            )
        return SerialEnvironments([source], seed, stream, owned=False)
    count = num_envs or 1
    if count > 1 and isinstance(source, AtariGame) and vectorization in ("native", "auto"):
        return VectorEnvironments(source.vector(count), seed, stream)
    if count > 1 and vectorization == "native":
        return VectorEnvironments(_native(source, count), seed, stream)
    if count > 1 and vectorization == "async":
        return AsyncEnvironments(
            partial(make_one, source, render_mode), count, seed, stream, supervision
        )
    envs = [make_one(source, render_mode) for _ in range(count)]
    if len({id(env.unwrapped) for env in envs}) < count:
        raise UserError(
            f"{name_of(source)} returned the same environment twice; {count} are needed - create a new one on each call"
        )
    return SerialEnvironments(envs, seed, stream)


def make_for_evaluation(
    source: EnvironmentSource,
    seed: int,
    stream: str,
    episodes: int,
    supervision: Supervision | None = None,
) -> Environments:
    """Where `episodes` whole episodes are to be evaluated: games all at once, others one after the other. Raises `UserError`.

    supervision: of a process of its own for the environment; None: it is stepped in this one.
    """
    source = configured(source)
    if isinstance(source, AtariGame):
        return make(
            source.whole(),
            seed,
            min(episodes, _MOST_EVALUATED_TOGETHER),
            stream,
            vectorization="native",
        )
    if supervision is not None and not isinstance(source, gymnasium.Env | VectorEnv):
        return AsyncEnvironments(partial(make_one, source), 1, seed, stream, supervision)
    environments = make(source, seed, stream=stream)
    environments.owned = True  # a single one that is passed here was made for this
    return environments


def config_class(source: EnvironmentSource) -> Any:
    """The class of settings that an environment of this id has, None where there are none."""
    name = source.id if isinstance(source, EnvSpec | Registered) else source
    return AtariConfig if isinstance(name, str) and name.startswith(PREFIX) else None


def configured(
    source: EnvironmentSource,
    values: Mapping[str, Any] | None = None,
    kwargs: Mapping[str, Any] | Sequence[str] | None = None,
) -> EnvironmentSource:
    """The environment with these settings, for an id that has any, and made with these arguments.

    Raises `UserError` for wrong values, and for arguments of what is not an id.
    """
    source = registered(source, kwargs)
    if config_class(source) is None or isinstance(source, AtariGame):
        return source
    if isinstance(source, Registered):
        names = ", ".join(fields(AtariConfig))
        raise UserError(
            f"env_kwargs are not for {source.id} - Atari games have options of their own - use {names}"
        )
    return AtariGame(str(source), build(AtariConfig, values or {}))


def _native(source: EnvironmentSource, num_envs: int) -> VectorEnv[Any, Any, Any]:
    if not isinstance(source, str | Registered):
        raise UserError(
            f"{name_of(source)} has no native version, as it is no id - use sync or async"
        )
    single = make_one(source)  # which also knows what to say of an id that is wrong
    with closing(single):
        return make_native(
            single,
            name_of(source),
            num_envs,
            source.kwargs if isinstance(source, Registered) else {},
        )


def make_one(
    source: str | Registered | EnvSpec | Callable[[], gymnasium.Env[Any, Any]],
    render_mode: str | None = None,
) -> gymnasium.Env[Any, Any]:
    """One environment. Raises `UserError` for an unknown id, a missing package or a function that gives something else."""
    source = configured(source)  # type: ignore[assignment]
    if isinstance(source, AtariGame):
        return source(render_mode)
    if isinstance(source, str | Registered):
        return make_registered(source, render_mode)
    if not callable(source):
        wanted = "give an id, a gymnasium.Env, a VectorEnv, or a function that makes an Env"
        raise UserError(f"{source!r:.80} is not an environment - {_foreign(source) or wanted}")
    try:
        env: Any = _called(source, render_mode)
    except UserError:
        raise
    except BaseException as error:  # the user's own code: whatever it stumbles over, and sys.exit()
        if is_interruption(error):
            raise
        raise UserError(
            f"{name_of(source)} failed to create an environment - {summarize_error(error)}"
        ) from error
    if not isinstance(env, gymnasium.Env):
        wanted = "return a gymnasium.Env"
        raise UserError(
            f"{name_of(source)} returned {type(env).__name__} - {_foreign(env) or wanted}"
        )
    return env


def _foreign(env: Any) -> str | None:
    """What to do about an environment of the package gym, which Gymnasium has replaced; None if it is none."""
    if not any(kind.__module__.partition(".")[0] == "gym" for kind in type(env).__mro__):
        return None
    return "it is an environment of Gym, which Gymnasium has replaced - derive it from gymnasium.Env instead"


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


def require_allowed(folder: Path, config: Mapping[str, Any], module_allowed: str | None) -> None:
    """Raise `UserError` if the environment that a file of `folder` names would import a module that the user has not named.

    Some environments make another one by its id, which is an argument then.
    """
    for name in (config["environment"], *_texts(config.get("env_kwargs", {}))):
        module, colon, rest = name.partition(":")
        if colon and rest and module.replace(".", "").isidentifier() and module != module_allowed:
            raise UserError(
                f"{folder} names the environment {name!r} - making it would run the module {module!r} - "
                f"if you trust that, say so: --allow-env-import {module}"
            )


def _texts(value: Any) -> Iterator[str]:
    """Every string in what JSON can hold."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _texts(part)
