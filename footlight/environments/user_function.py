"""Call the function or class that makes a user's environment, and check what it returns."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import gymnasium
from gymnasium.vector import VectorEnv

from footlight.errors import UserError, place_of, summarize_error
from footlight.signals import is_interruption


def make_env(
    function: Callable[..., Any], name: str, render_mode: str | None = None
) -> gymnasium.Env[Any, Any]:
    """The environment that `function` returns; `name` names the function in messages.

    Raises `UserError` where it fails or returns something else.
    """
    env = call(function, name, render_mode)
    if not isinstance(env, gymnasium.Env):
        remedy = gym_remedy(env) or "return a gymnasium.Env"
        if isinstance(env, VectorEnv):
            remedy = "a function that makes several needs an argument num_envs - add it"
        raise UserError(f"{name} returned {type(env).__name__} - {remedy}")
    return env


def takes_num_envs(function: Any) -> bool:
    """Whether a function or class makes vector environments: it has an argument `num_envs`."""
    if isinstance(function, functools.partial) and "num_envs" in function.keywords:
        return False  # it makes as many as it likes
    try:
        return "num_envs" in inspect.signature(function).parameters
    except (TypeError, ValueError):  # some built-in callables have no signature
        return False


def call(
    function: Callable[..., Any], name: str, render_mode: str | None = None, **named: Any
) -> Any:
    """What `function` returns. Raises `UserError` where it fails."""
    try:
        return _call(function, render_mode, **named)
    except UserError:
        raise
    except BaseException as error:  # the user's own code may raise anything, SystemExit included
        if is_interruption(error):
            raise
        raise UserError(
            f"{name} failed to create an environment - {summarize_error(error)}{place_of(error)}"
        ) from error


def gym_remedy(env: Any) -> str | None:
    """What to do about an environment of the old package gym; None for anything else."""
    if not any(kind.__module__.partition(".")[0] == "gym" for kind in type(env).__mro__):
        return None
    return (
        "it is an environment of Gym, which Gymnasium has replaced - derive it from gymnasium.Env "
        "instead"
    )


def _call(function: Callable[..., Any], render_mode: str | None, **named: Any) -> Any:
    """Call the user's function or class; pass `render_mode` if its signature has it."""
    if render_mode is None:
        return function(**named)
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # some built-in callables have no signature
        return function(**named)
    own = parameters.get("render_mode")
    if own is not None and own.kind in (own.KEYWORD_ONLY, own.POSITIONAL_OR_KEYWORD):
        return function(render_mode=render_mode, **named)
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        try:
            return function(render_mode=render_mode, **named)
        except TypeError as error:  # what it passes its keywords on to has no such argument
            if "render_mode" not in str(error):
                raise
    return function(**named)
