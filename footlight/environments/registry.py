"""Environments from Gymnasium's registry: ids, the modules that register them, and arguments."""

import copy
import importlib
import inspect
import json
import math
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import gymnasium
from gymnasium.envs.registration import (
    EnvSpec,
    find_highest_version,
    load_env_creator,
    parse_env_id,
)

from footlight.config.fields import plain
from footlight.config.suggestions import closest
from footlight.errors import UserError, first_line, summarize_error
from footlight.signals import is_interruption

_EXTRAS = {"mujoco": "mujoco", "box2d": "box2d", "classic_control": ""}
# Arguments of `gymnasium.make` that footlight passes
_RESERVED = "render_mode", "disable_env_checker", "id"
_WORDS = {"none": None, "None": None, "True": True, "False": False}  # besides those of JSON
# Names of Atari games before v5
_OLD_ATARI = re.compile(r"(\w+?)(NoFrameskip|Deterministic)?-v[04]")


def arguments(given: Mapping[str, Any] | Sequence[str] | None) -> dict[str, Any]:
    """Parse the arguments of an environment: a mapping, or `key=value` strings as in the shell.

    Values are numbers, true and false, none, strings, and lists and tables of these. Raises
    `UserError`.
    """
    if given is None:
        return {}
    if isinstance(given, str):
        given = [given]
    if not isinstance(given, Mapping):
        given = dict(map(_key_and_value, given))
    for name in given:
        if not isinstance(name, str) or not name.isidentifier():
            raise UserError(
                f"env_kwargs has the name {name!r} - it is not a valid argument name - write "
                "key=value"
            )
        if name in _RESERVED:
            raise UserError(
                f"env_kwargs has {name} - footlight passes that argument itself - leave it out"
            )
    return {name: _literal(name, value) for name, value in given.items()}


def _key_and_value(text: Any) -> tuple[str, Any]:
    key, equals, value = str(text).partition("=")
    if not equals:
        shown = re.sub(r"^(\w+):", r"\1=", str(text))
        hint = f"write {shown}" if shown != text else "write key=value, such as size=5"
        raise UserError(f"env_kwargs has {text!r} - that is not key=value - {hint}")
    if value in _WORDS:
        return key, _WORDS[value]
    try:
        return key, json.loads(value, parse_constant=str)
    except ValueError:
        return key, value


def _literal(name: str, value: Any) -> Any:
    value = plain(value)
    if isinstance(value, list | tuple):
        return [_literal(name, item) for item in value]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: _literal(name, item) for key, item in value.items()}
    if (
        value is None
        or isinstance(value, bool | int | str)
        or (isinstance(value, float) and math.isfinite(value))
    ):
        return value
    raise UserError(
        f"env_kwargs {name} is {value!r} - a run records numbers, strings, true, false, none and "
        "lists of these - give a function that makes the environment instead"
    )


def make_registered(
    name: str, kwargs: Mapping[str, Any], render_mode: str | None = None
) -> gymnasium.Env[Any, Any]:
    """The environment of the id `name`, made with these arguments.

    Raises `UserError` naming the module, the id, the package or the argument that is wrong.
    """
    passed = copy.deepcopy(dict(kwargs))
    if render_mode is not None:
        passed["render_mode"] = render_mode
    _import_module_of(name)
    _require_version(name)
    try:
        with warnings.catch_warnings():
            # About old versions of an environment: the user chose the version
            warnings.simplefilter("ignore", DeprecationWarning)
            return gymnasium.make(name, disable_env_checker=True, **passed)
    except (gymnasium.error.DependencyNotInstalled, ImportError) as error:
        # After the comma Gymnasium says how to install it without footlight
        missing = first_line(error).partition(",")[0]
        raise UserError(
            f"{name} needs a package that is missing - {missing} - {_remedy(name)}"
        ) from error
    except gymnasium.error.UnregisteredEnv as error:
        raise UserError(_unregistered(name)) from error
    except BaseException as error:  # an environment's own code may raise anything, even SystemExit
        if is_interruption(error):
            raise
        what = f"{name!r} cannot be made - {summarize_error(error)}"
        raise UserError(_wrong_argument(name, kwargs, error) or what) from error


def _import_module_of(name: str) -> None:
    """Import the module of an id such as `module:Env-v0`. Raises `UserError`."""
    module, colon, _ = name.partition(":")
    if not colon:
        return
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not (module == error.name or module.startswith(f"{error.name}.")):
            raise UserError(_broken(name, module, error)) from error
        raise UserError(
            f"there is no module {module!r}, which {name!r} names - it is not on Python's path "
            f"(working directory {Path.cwd()}) - run this in the folder of "
            f"{module.partition('.')[0]}.py, or put that folder into PYTHONPATH"
        ) from error
    except BaseException as error:  # the user's own code may raise anything, even SystemExit
        if is_interruption(error):
            raise
        raise UserError(_broken(name, module, error)) from error


def _require_version(name: str) -> None:
    """Raise `UserError` for an id without the version that it is registered with.

    Gymnasium would make its newest version, which another release may change, and neither the
    run's folder nor its preset would have the name of what was trained on.
    """
    module, colon, short = name.rpartition(":")
    if short in gymnasium.registry:
        return
    try:
        namespace, bare, version = parse_env_id(short)
    except gymnasium.error.Error:  # which `gymnasium.make` raises, too
        return
    if version is None and (newest := find_highest_version(namespace, bare)) is not None:
        full = f"{module}{colon}{short}-v{newest}"
        raise UserError(f"{name!r} has no version, which a run records - did you mean {full!r}?")


def _broken(name: str, module: str, error: BaseException) -> str:
    where, traceback = "", error.__traceback__
    while traceback is not None:  # to the innermost line outside Python's import machinery
        file = traceback.tb_frame.f_code.co_filename
        if not file.startswith("<frozen") and file not in (__file__, importlib.__file__):
            where = f" ({Path(file).name}, line {traceback.tb_lineno})"
        traceback = traceback.tb_next
    if isinstance(error, SyntaxError):
        where = f" ({Path(error.filename or '?').name}, line {error.lineno})"
    remedy = f"install {error.name}" if isinstance(error, ModuleNotFoundError) else "fix it"
    what = f"the module {module!r} of {name!r} cannot be imported"
    return f"{what} - {summarize_error(error)}{where} - {remedy}"


def _unregistered(name: str) -> str:
    module, colon, short = name.partition(":")
    if colon:
        own = [spec.id for spec in gymnasium.registry.values() if _module_of(spec) == module]
        found = f"it registers {', '.join(own)}" if own else "it registers none"
        write = f"call gymnasium.register({short!r}, ...) in it"
        if own:
            write = f"write {module}:{own[0]}"
        return f"the module {module!r} registers no environment {short!r} - {found} - {write}"
    game = _OLD_ATARI.fullmatch(name)
    if game and game[2]:
        return f"unknown environment {name!r} - did you mean 'ALE/{game[1]}-v5'?"
    otherwise = (
        f" - see `footlight list environments`, or write MODULE:{name} if a module of your own "
        "registers it"
    )
    return f"unknown environment {name!r}{closest(name, gymnasium.registry) or otherwise}"


def _module_of(spec: EnvSpec) -> str:
    entry: Any = spec.entry_point
    if isinstance(entry, str):
        return entry.partition(":")[0]
    return str(getattr(entry, "__module__", ""))


def _wrong_argument(name: str, kwargs: Mapping[str, Any], error: BaseException) -> str | None:
    """Describe an unknown or missing argument of the environment; None for any other error."""
    if not isinstance(error, TypeError):
        return None
    takes = _parameters(name)
    unknown = re.search(r"unexpected keyword argument '(\w+)'", str(error))
    if unknown and unknown[1] in kwargs:
        there_are = f"it takes {', '.join(takes)}" if takes else "it takes none"
        what = f"env_kwargs has {unknown[1]!r}, which {name} does not take"
        return f"{what}{closest(unknown[1], takes)} - {there_are}"
    missing = re.search(r"missing \d+ required .*?argument.*?: (.+?) was raised", str(error))
    if missing:
        first = next(iter(re.findall(r"'(\w+)'", missing[1])), "key")
        what = f"{name} needs the argument {missing[1]} - it has no default"
        return f"{what} - add env_kwargs {first}=VALUE"
    return None


def _parameters(name: str) -> list[str]:
    """The arguments that the environment of an id takes."""
    spec = gymnasium.registry.get(name.rpartition(":")[2])
    if spec is None or spec.entry_point is None:
        return []
    try:
        entry: Any = spec.entry_point
        creator: Callable[..., Any] = load_env_creator(entry) if isinstance(entry, str) else entry
        parameters = inspect.signature(creator).parameters.values()
    except Exception:  # an entry point that cannot be inspected
        return []
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [
        parameter.name
        for parameter in parameters
        if parameter.kind in kinds and parameter.name not in _RESERVED
    ]


def _remedy(source: str) -> str:
    spec = gymnasium.registry.get(source.split(":")[-1])
    entry = str(spec.entry_point) if spec else source
    extra = next((name for word, name in _EXTRAS.items() if word in entry and name), None)
    if extra:
        return f'pip install "footlight[{extra}]"'
    return "install the package that the message names"
