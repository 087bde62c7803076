"""Environments and wrappers in files of the user's, FILE.py:NAME, given or recorded by a run."""

import copy
import functools
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

import gymnasium
from gymnasium.envs.registration import EnvSpec

from footlight.config.suggestions import closest
from footlight.environments.function_source import FunctionSource
from footlight.environments.make import require_allowed
from footlight.environments.registry import arguments, make_registered
from footlight.environments.source import (
    Arguments,
    Env,
    Environments,
    EnvironmentSource,
    Wanted,
)
from footlight.environments.user_function import takes_num_envs
from footlight.errors import UserError
from footlight.user_code import consent
from footlight.user_code.loading import called, load, load_checked
from footlight.user_code.reference import Reference, is_reference

_OWN = ("render_mode", "num_envs")  # arguments that footlight gives
Wrapper = Callable[[Env], Env] | str
"""What users may pass as a wrapper: a function or class that is called with an environment, or
FILE.py:NAME."""


@final
@dataclass(frozen=True)
class FileSource(EnvironmentSource):
    """A class, function or registered id in a file, with the arguments to make it with.

    It holds the reference and not the object, so that another process can load the file itself.
    """

    reference: Reference
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    def name(self, environments: Environments | None = None) -> str:
        return self.reference.name

    @property
    def is_plain_id(self) -> bool:
        return not self.kwargs

    @property
    def spec(self) -> EnvSpec | None:
        found = load(self.reference)
        return found if isinstance(found, EnvSpec) else None

    @property
    def code(self) -> list[Reference]:
        return [self.reference]

    def settings(self) -> dict[str, Any]:
        kwargs = {"env_kwargs": dict(self.kwargs)} if self.kwargs else {}
        return {"environment_source": "file", **kwargs}

    def configured(
        self, values: Mapping[str, Any] | None = None, kwargs: Arguments = None
    ) -> EnvironmentSource:
        return FileSource(self.reference, {**self.kwargs, **arguments(kwargs)})

    @property
    def is_vector(self) -> bool:
        return takes_num_envs(load(self.reference))

    def make_one(self, render_mode: str | None = None) -> Env:
        if isinstance(load(self.reference), EnvSpec):
            return make_registered(self.reference.name, self.kwargs, render_mode)
        return self._function().make_one(render_mode)

    def make(self, wanted: Wanted) -> Environments:
        return self._function().make(wanted) if self.is_vector else super().make(wanted)

    def _function(self) -> FunctionSource:
        """The function or class with its arguments. Raises `UserError`."""
        name, found = self.reference.name, load(self.reference)
        if isinstance(found, gymnasium.Env) or not callable(found):
            raise UserError(
                f"{name} in {self.reference.path} is of type {type(found).__name__} - an "
                "environment has to be a class, a function that makes one, or a registered id - "
                "name one"
            )
        _require_arguments(found, name, self.kwargs)
        return FunctionSource(functools.partial(found, **copy.deepcopy(dict(self.kwargs))), name)


def _require_arguments(function: Callable[..., Any], name: str, kwargs: Mapping[str, Any]) -> None:
    """Raise `UserError` if a class or function does not take these arguments, or needs others."""
    try:
        signature = inspect.signature(function)
        signature.bind(**({"num_envs": 1} if takes_num_envs(function) else {}), **kwargs)
    except ValueError:  # something built in, which has no signature
        return
    except TypeError as error:
        takes = [each for each in signature.parameters if each not in _OWN]
        there_are = f"it takes {', '.join(takes)}" if takes else "it takes none"
        unknown = re.search(r"unexpected keyword argument '(\w+)'", str(error))
        missing = re.search(r"missing a required (?:keyword-only )?argument: '(\w+)'", str(error))
        if unknown:
            what = f"env_kwargs has {unknown[1]!r}, which {name} does not take"
            raise UserError(f"{what}{closest(unknown[1], takes)} - {there_are}") from error
        first = missing[1] if missing else "key"
        raise UserError(
            f"{name} needs the argument {first} - it has no default - add env_kwargs {first}=VALUE"
        ) from error


@final
@dataclass(frozen=True)
class WrappedSource(EnvironmentSource):
    """An environment in wrappers of the user's, the first one innermost."""

    inner: EnvironmentSource
    wrappers: tuple[Reference | Callable[[Env], Env], ...]

    def name(self, environments: Environments | None = None) -> str:
        return self.inner.name(environments)

    @property
    def spec(self) -> EnvSpec | None:
        return self.inner.spec

    @property
    def code_digest(self) -> str | None:
        return self.inner.code_digest

    @property
    def code(self) -> list[Reference]:
        own = [wrapper for wrapper in self.wrappers if isinstance(wrapper, Reference)]
        return [*self.inner.code, *own]

    def settings(self) -> dict[str, Any]:
        in_files = all(isinstance(wrapper, Reference) for wrapper in self.wrappers)
        return self.inner.settings() | ({} if in_files else {"environment_source": "object"})

    def configured(
        self, values: Mapping[str, Any] | None = None, kwargs: Arguments = None
    ) -> EnvironmentSource:
        return WrappedSource(self.inner.configured(values, kwargs), self.wrappers)

    def make_one(self, render_mode: str | None = None) -> Env:
        env = self.inner.make_one(render_mode)
        for wrapper in self.wrappers:
            function = load_checked(wrapper) if isinstance(wrapper, Reference) else wrapper
            name = str(getattr(function, "__name__", type(function).__name__))
            env = called(function, f"the wrapper {name}", env)
            if not isinstance(env, gymnasium.Env):
                raise UserError(
                    f"the wrapper {name} returned {type(env).__name__} - it is called with an "
                    "environment - return one"
                )
        return env


def wrapped(
    source: EnvironmentSource, wrappers: Wrapper | Sequence[Wrapper | Reference] | None
) -> EnvironmentSource:
    """The source in these wrappers, in this order. Raises `UserError` where that is impossible."""
    if isinstance(wrappers, str) or callable(wrappers):
        wrappers = [wrappers]
    if not wrappers:
        return source
    if source.is_object:
        names = [_name(each) for each in wrappers]
        call = functools.reduce(lambda inner, name: f"{name}({inner})", names, "environment")
        raise UserError(
            f"wrapper is for environments that footlight makes, and {source.name()} was given as "
            f"an object, which is used as it is - wrap it yourself: give {call}"
        )
    if source.is_vector:
        raise UserError(
            f"wrapper is for single environments, and {source.name()} makes vector environments - "
            "wrap what it returns, in the function itself"
        )
    if not isinstance(wrappers, Sequence):
        raise UserError(f"wrapper is {wrappers!r:.80} - give a class or a function, or a list")
    found: list[Reference | Callable[[Env], Env]] = []
    for wrapper in wrappers:
        if isinstance(wrapper, str):
            if not is_reference(wrapper):
                raise UserError(
                    f"wrapper is {wrapper!r} - that is text, not an object - write FILE.py:NAME"
                )
            wrapper = consent.given(wrapper, "wrapper")
        if isinstance(wrapper, Reference):
            load_checked(wrapper)  # a mistake in the file is reported before anything else happens
        elif not callable(wrapper):
            raise UserError(f"wrapper is {wrapper!r:.80} - give a class or a function")
        found.append(wrapper)
    return WrappedSource(source, tuple(found))


def _name(wrapper: Wrapper | Reference) -> str:
    if isinstance(wrapper, str):
        return wrapper.rpartition(":")[2]
    if isinstance(wrapper, Reference):
        return wrapper.name
    return str(getattr(wrapper, "__name__", "wrapper"))


def recorded_source(
    folder: Path, run_config: Mapping[str, Any], module_allowed: str | None, use: str
) -> EnvironmentSource:
    """The environment that a run in `folder` has recorded, without its wrappers.

    use: "environment", or "eval_environment" for that of the evaluations.
    Raises `UserError` unless the user allows what would be loaded.
    """
    recorded = run_config if use == "environment" else run_config[use]
    require_allowed(folder, recorded, module_allowed)
    values = recorded.get("environment_config"), recorded.get("env_kwargs")
    if recorded.get("environment_source") == "file":
        entry = _entry(folder, run_config, use)
        return FileSource(consent.recorded(entry, folder)).configured(*values)
    return EnvironmentSource.of(recorded["environment"]).configured(*values)


def recorded_wrappers(folder: Path, run_config: Mapping[str, Any]) -> list[Reference]:
    """The wrappers in files that a run has recorded. Raises `UserError` unless they are allowed."""
    entries = [each for each in run_config.get("code", []) if each["use"] == "wrapper"]
    return [consent.recorded(entry, folder) for entry in entries]


def _entry(folder: Path, run_config: Mapping[str, Any], use: str) -> Mapping[str, str]:
    # Evaluations may be in the environment of the training, with other arguments
    for each in dict.fromkeys((use, "environment")):
        for entry in run_config.get("code", []):
            if entry["use"] == each:
                return dict(entry)
    raise UserError(f"{folder} does not say where its {use} is - restore it from a copy")
