"""The kinds of environments that can be given, one final class each; `kind_of` chooses."""

import contextlib
import dataclasses
import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, final

import gymnasium
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import VectorEnv

from footlight.config.fields import build, fields
from footlight.contexts import closing
from footlight.environments.atari import PREFIX, AtariConfig, AtariGame
from footlight.environments.foreign import of_tensors, translated
from footlight.environments.function_source import FunctionSource, vector_environments
from footlight.environments.naming import name_of_instance, name_of_spec
from footlight.environments.native import make_native
from footlight.environments.registry import arguments, make_registered
from footlight.environments.remake import remake_env, remake_row, remake_rows
from footlight.environments.serial import SerialEnvironments
from footlight.environments.source import Arguments, Env, Environments, EnvironmentSource, Wanted
from footlight.environments.user_files import FileSource
from footlight.environments.user_function import gym_remedy
from footlight.environments.vector import VectorEnvironments
from footlight.errors import UserError
from footlight.user_code import consent
from footlight.user_code.reference import is_reference

MAX_GAMES_EVALUATED_TOGETHER = 32


def kind_of(environment: Any) -> EnvironmentSource:
    """The source of the kind that `environment` is. Raises `UserError` if it cannot be one."""
    if isinstance(environment, str):
        if environment.startswith(PREFIX):
            return AtariSource(AtariGame(environment), has_settings=False)
        if is_reference(environment):
            return FileSource(consent.given(environment, "environment"))
        return IdSource(environment)
    if isinstance(environment, EnvSpec):
        return SpecSource(environment)
    if (translation := of_tensors(environment) or translated(environment)) is not None:
        return VectorSource(translation)
    if isinstance(environment, VectorEnv):
        return VectorSource(environment)
    if isinstance(environment, gymnasium.Env):
        return InstanceSource(environment)
    if isinstance(environment, AtariGame):
        return AtariSource(environment)
    if callable(environment):
        return FunctionSource(environment)
    remedy = gym_remedy(environment) or (
        "give an id, a gymnasium.Env, a VectorEnv, or a function that makes an Env"
    )
    raise UserError(f"{environment!r:.80} is not an environment - {remedy}")


@final
@dataclass(frozen=True)
class IdSource(EnvironmentSource):
    """An id of Gymnasium's registry, with the arguments to make it with."""

    id: str
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    def name(self, environments: Environments | None = None) -> str:
        return self.id

    @property
    def is_plain_id(self) -> bool:
        return not self.kwargs

    @property
    def spec(self) -> EnvSpec | None:
        return gymnasium.registry.get(self.id)

    def settings(self) -> dict[str, Any]:
        kwargs = {"env_kwargs": dict(self.kwargs)} if self.kwargs else {}
        return {"environment_source": "id", **kwargs}

    def configured(
        self, values: Mapping[str, Any] | None = None, kwargs: Arguments = None
    ) -> EnvironmentSource:
        return IdSource(self.id, {**self.kwargs, **arguments(kwargs)})

    def make_one(self, render_mode: str | None = None) -> Env:
        return make_registered(self.id, self.kwargs, render_mode)

    def _make_native(self, num_envs: int) -> VectorEnv[Any, Any, Any]:
        single = self.make_one()  # reports a wrong id as well
        with closing(single):
            return make_native(single, self.id, num_envs, self.kwargs)


@final
@dataclass(frozen=True)
class SpecSource(EnvironmentSource):
    """A spec of Gymnasium's. `configured` turns it into an id with arguments, or a function."""

    given: EnvSpec

    def name(self, environments: Environments | None = None) -> str:
        return name_of_spec(self.given)

    @property
    def config_class(self) -> type[Any] | None:
        return AtariConfig if self.given.id.startswith(PREFIX) else None

    @property
    def spec(self) -> EnvSpec | None:
        return self.given

    def configured(
        self, values: Mapping[str, Any] | None = None, kwargs: Arguments = None
    ) -> EnvironmentSource:
        given, spec = arguments(kwargs), self.given
        known, merged = gymnasium.registry.get(spec.id), {**spec.kwargs, **given}
        if known is not None and dataclasses.replace(known, kwargs=spec.kwargs) == spec:
            usual = known.kwargs
            own = {k: v for k, v in merged.items() if k not in usual or usual[k] != v}
            with contextlib.suppress(UserError):  # arguments that no file can hold
                if usual.keys() <= merged.keys():
                    arguments(own)
                    return EnvironmentSource.of(spec.id).configured(values, own)
        return FunctionSource(functools.partial(gymnasium.make, spec, **given))

    def make_one(self, render_mode: str | None = None) -> Env:
        return self.configured().make_one(render_mode)


@final
@dataclass(frozen=True)
class AtariSource(EnvironmentSource):
    """An Atari game."""

    game: AtariGame
    has_settings: bool = True
    """False: it is a bare id, whose settings may still be given."""

    is_atari: ClassVar[bool] = True
    is_simulation: ClassVar[bool] = True

    def name(self, environments: Environments | None = None) -> str:
        return self.game.id

    @property
    def is_plain_id(self) -> bool:
        return not self.has_settings

    @property
    def config_class(self) -> type[Any] | None:
        return None if self.has_settings else AtariConfig

    def settings(self) -> dict[str, Any]:
        config = dataclasses.asdict(self.game.config)
        return {"environment_source": "id", "environment_config": config}

    def configured(
        self, values: Mapping[str, Any] | None = None, kwargs: Arguments = None
    ) -> EnvironmentSource:
        if arguments(kwargs):
            names = ", ".join(fields(AtariConfig))
            raise UserError(
                f"env_kwargs are not for {self.game.id} - Atari games have options of their own - "
                f"use {names}"
            )
        if self.has_settings:
            return self
        return AtariSource(AtariGame(self.game.id, build(AtariConfig, values or {})))

    def make_one(self, render_mode: str | None = None) -> Env:
        return self.game(render_mode)

    def make(self, wanted: Wanted) -> Environments:
        count = wanted.num_envs or 1
        if count > 1 and wanted.vectorization in ("native", "auto"):
            return VectorEnvironments(self.game.vector(count), wanted.seed, wanted.stream)
        return super().make(wanted)

    def make_for_evaluation(self, seed: int, stream: str, episodes: int) -> Environments:
        """Whole games, many at once."""
        count = min(episodes, MAX_GAMES_EVALUATED_TOGETHER)
        games = AtariSource(self.game.whole())
        return games.make(Wanted(seed, count, stream, vectorization="native"))


@final
@dataclass(frozen=True)
class InstanceSource(EnvironmentSource):
    """An environment, which is used as it is."""

    env: Env

    is_object: ClassVar[bool] = True

    def name(self, environments: Environments | None = None) -> str:
        return name_of_instance(self.env)

    @property
    def fixed_num_envs(self) -> int | None:
        return 1

    @property
    def instance(self) -> Any:
        return self.env

    @property
    def spec(self) -> EnvSpec | None:
        return self.env.spec

    def make_one(self, render_mode: str | None = None) -> Env:
        return self.remake(render_mode).make_one(render_mode)

    def remake(self, render_mode: str | None = None) -> EnvironmentSource:
        return FunctionSource(remake_env(self.env, render_mode))

    def make(self, wanted: Wanted) -> Environments:
        if wanted.num_envs not in (None, 1):
            raise UserError(
                f"num_envs is {wanted.num_envs} - one environment was given - give a function that "
                "makes one, or an id"
            )
        return SerialEnvironments([self.env], wanted.seed, wanted.stream, owned=False)


@final
@dataclass(frozen=True)
class VectorSource(EnvironmentSource):
    """A vector environment, which is used as it is."""

    env: VectorEnv[Any, Any, Any]

    is_object: ClassVar[bool] = True

    @property
    def is_vector(self) -> bool:
        return True

    def name(self, environments: Environments | None = None) -> str:
        return name_of_instance(self.env)

    @property
    def fixed_num_envs(self) -> int | None:
        return int(self.env.num_envs)

    @property
    def instance(self) -> Any:
        return self.env

    @property
    def spec(self) -> EnvSpec | None:
        return self.env.spec

    def make_one(self, render_mode: str | None = None) -> Env:
        return self.remake(render_mode).make_one(render_mode)

    def remake(self, render_mode: str | None = None) -> EnvironmentSource:
        return FunctionSource(remake_row(self.env, render_mode))

    def make_rows(self) -> VectorEnv[Any, Any, Any] | None:
        return remake_rows(self.env, self.env.num_envs)

    def make(self, wanted: Wanted) -> Environments:
        if wanted.num_envs not in (None, self.env.num_envs):
            raise UserError(
                f"num_envs is {wanted.num_envs} - the given vector environment has "
                f"{self.env.num_envs}"
            )
        return vector_environments(self.env, wanted, owned=False)
