"""Names of environments in files, folders and messages, with the arguments they were made with."""

import contextlib
import functools
import hashlib
import inspect
from collections.abc import Mapping, Sequence
from types import CellType, CodeType
from typing import Any

import gymnasium
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import VectorEnv

_NOT_ARGUMENTS = {"render_mode"}  # how an environment is looked at does not make it another one
_MAX_CHARACTERS = 100


def name_of_function(function: Any, environments: Any = None) -> str:
    """The name of a function or class that makes an environment.

    A partial function's name includes its arguments. A lambda has no name, and the functions that
    another function returns share one: these are named after the first of the `environments` that
    they made, if there is one yet.
    """
    if isinstance(function, functools.partial):
        return _name_of_partial(function)
    made = environments.name_of_first() if environments and _is_anonymous(function) else None
    if made is not None:
        return str(made)
    return str(getattr(function, "__name__", type(function).__name__)).strip("<>")


def name_of_spec(spec: EnvSpec) -> str:
    """The id, with the arguments that are not those which it is registered with."""
    return _with_arguments(spec.id, _own_arguments(spec))


def name_of_instance(env: Any) -> str:
    """The name of an environment or vector environment: its spec's, else that of its class."""
    if env.spec is None:
        plain = env.unwrapped
        return _with_arguments(type(plain).__name__, _constructor_arguments(plain))
    return str(env.spec.id) if isinstance(env, VectorEnv) else name_of_spec(env.spec)


def digest_of_function(function: Any) -> str | None:
    """Digest of the code and values of a function without a name of its own; None for others.

    Environments that two lambdas make may have the same name: this distinguishes their runs.
    """
    if not _is_anonymous(function):
        return None
    cells = [_cell_in_short(cell) for cell in function.__closure__ or ()]
    parts = [
        _code_parts(function.__code__),
        cells,
        [_in_short(value) for value in function.__defaults__ or ()],
    ]
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:8]


def _cell_in_short(cell: CellType) -> str:
    try:
        return _in_short(cell.cell_contents)
    except ValueError:  # it is empty: its variable has no value yet
        return ""


def _code_parts(code: CodeType) -> tuple[Any, ...]:
    return (
        code.co_code,
        code.co_names,
        code.co_varnames,
        [_constant(part) for part in code.co_consts],
    )


def _constant(part: Any) -> Any:
    if isinstance(part, CodeType):
        return _code_parts(part)
    # A set's order depends on hashes, which differ from process to process
    return sorted(map(repr, part)) if isinstance(part, frozenset) else repr(part)


def identifier(name: str) -> str:
    """The name without arguments: that of a preset."""
    return name.partition("(")[0]


def _is_anonymous(source: Any) -> bool:
    if not inspect.isfunction(source):
        return False
    return source.__name__ == "<lambda>" or source.__closure__ is not None


def _name_of_partial(source: functools.partial[Any]) -> str:
    if source.func in (gymnasium.make, gymnasium.make_vec) and source.args:
        inner, *positional = source.args
        return _with_arguments(_name_of_target(inner), _numbered(positional) | source.keywords)
    try:
        parameters = list(inspect.signature(source.func).parameters)
    except (TypeError, ValueError):  # of something built in
        parameters = []
    named = dict(zip(parameters, source.args, strict=False)) | _numbered(
        source.args[len(parameters) :]
    )
    return _with_arguments(name_of_function(source.func), named | source.keywords)


def _name_of_target(target: Any) -> str:
    """The name of the first argument of `gymnasium.make`."""
    if isinstance(target, str):
        return target
    return name_of_spec(target) if isinstance(target, EnvSpec) else name_of_function(target)


def _numbered(arguments: Sequence[Any]) -> dict[str, Any]:
    return {str(number): value for number, value in enumerate(arguments)}


def _own_arguments(spec: EnvSpec) -> dict[str, Any]:
    """The arguments of a spec that are not those which its id is registered with."""
    registered = gymnasium.registry.get(spec.id)
    usual: Mapping[str, Any] = registered.kwargs if registered is not None else {}
    return {
        name: value
        for name, value in spec.kwargs.items()
        if name not in usual or not _same(value, usual[name])
    }


def _constructor_arguments(env: Any) -> dict[str, Any]:
    """Non-default arguments that an environment keeps in attributes of the same name."""
    found = {}
    with contextlib.suppress(TypeError, ValueError):
        for name, parameter in inspect.signature(type(env)).parameters.items():
            value = vars(env).get(name, parameter.default)
            if not _same(value, parameter.default):
                found[name] = value
    return found


def _same(one: Any, other: Any) -> bool:
    try:
        return bool(one is other or one == other)
    except Exception:  # arrays, and whatever else cannot be compared with one word
        return False


def _with_arguments(name: str, arguments: Mapping[str, Any]) -> str:
    listed = {key: value for key, value in arguments.items() if key not in _NOT_ARGUMENTS}
    shown = ", ".join(f"{key}={_in_short(value)}" for key, value in listed.items())
    return f"{name}({shown})"[:_MAX_CHARACTERS] if shown else name


def _in_short(value: Any) -> str:
    """A value in a name: literals as they are, else the type, as its text may hold an address."""
    if value is None or isinstance(value, bool | int | float | str):
        return str(value).replace("/", "-")  # which would be a folder of its own
    if isinstance(value, list | tuple) and all(
        isinstance(item, bool | int | float | str) for item in value
    ):
        return "-".join(map(str, value))
    return str(getattr(value, "__name__", type(value).__name__))
