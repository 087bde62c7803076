"""The environment as given: an id, a spec, an environment, a vector environment or a function.

`EnvironmentSource.of` turns it into one object at the door, with a method or an attribute for
every question about it. No other module asks what kind of thing was given.
"""

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import gymnasium
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import VectorEnv

from footlight.environments.autoreset import OnDevice
from footlight.environments.registry import arguments
from footlight.environments.serial import SerialEnvironments
from footlight.environments.vector import VectorEnvironments
from footlight.environments.workers import AsyncEnvironments, Supervision
from footlight.environments.wrappers import without_recorders
from footlight.errors import UserError
from footlight.user_code.reference import Reference

Env = gymnasium.Env[Any, Any]
EnvironmentLike = str | EnvSpec | Env | VectorEnv[Any, Any, Any] | OnDevice | Callable[..., Any]
"""What users may pass as an environment."""
Environments = SerialEnvironments | VectorEnvironments
Arguments = Mapping[str, Any] | Sequence[str] | None


@dataclass(frozen=True)
class Wanted:
    """Environments to be made from a source: how many, and how they are seeded and stepped."""

    seed: int
    num_envs: int | None = None
    """None: one, or as many as a given vector environment has."""
    stream: str = "episode"
    """Name of the stream that the seeds of episodes are derived from."""
    render_mode: str | None = None
    vectorization: str = "auto"
    """"sync", "async" or "native"; "auto" is "sync", and "native" for Atari games."""
    supervision: Supervision = field(default_factory=Supervision)
    """What is done about worker processes that die or hang."""


class EnvironmentSource(ABC):
    """An environment as given. The defaults below are those of something that can be called."""

    is_object: ClassVar[bool] = False
    """It is an object in memory: no file holds it, and it may be impossible to make another."""
    is_atari: ClassVar[bool] = False

    @staticmethod
    def of(environment: Any) -> "EnvironmentSource":
        """Wrap whatever was given as an environment. Raises `UserError` if it cannot be one."""
        if isinstance(environment, EnvironmentSource):
            return environment
        from footlight.environments.kinds import kind_of  # which are kinds of this class

        return kind_of(environment)

    # What it is

    @abstractmethod
    def name(self, environments: Environments | None = None) -> str:
        """The name in files, folders and messages.

        A function without a name of its own is named after what it made: the first of
        `environments`, if there is one yet.
        """

    @property
    def is_plain_id(self) -> bool:
        """Whether it is an id without arguments or settings."""
        return False

    @property
    def is_vector(self) -> bool:
        """Whether it is a vector environment, or makes them."""
        return False

    @property
    def config_class(self) -> type[Any] | None:
        """The class of the settings that can still be given; None if there are none."""
        return None

    @property
    def fixed_num_envs(self) -> int | None:
        """How many environments an object is; None: as many as are wanted."""
        return None

    @property
    def instance(self) -> Any:
        """The object that was given; None if it was not one."""
        return None

    @property
    def spec(self) -> EnvSpec | None:
        """The spec in Gymnasium's registry; None if there is none."""
        return None

    @property
    def is_simulation(self) -> bool:
        """Whether it is known to be one of Gymnasium's own environments or an Atari game."""
        return str(self.spec.entry_point if self.spec else "").startswith("gymnasium.envs.")

    @property
    def code_digest(self) -> str | None:
        """Digest of the code of a function without a name of its own; None for anything else."""
        return None

    @property
    def code(self) -> list[Reference]:
        """The files of the user's that it is made from."""
        return []

    def settings(self) -> dict[str, Any]:
        """What `config.json` holds about it besides its name."""
        return {"environment_source": "object"}

    def configured(
        self, values: Mapping[str, Any] | None = None, kwargs: Arguments = None
    ) -> "EnvironmentSource":
        """The same with these settings and arguments.

        Raises `UserError` for wrong values, and for arguments of what is not an id.
        """
        if given := arguments(kwargs):
            shown = ", ".join(f"{name}={value!r}" for name, value in given.items())
            name = self.name()
            raise UserError(
                f"env_kwargs {', '.join(given)} - they are for an environment's id, and {name} is "
                "a Python object - give a function that makes it, such as "
                f"functools.partial({name}, {shown})"
            )
        return self

    # What can be made from it

    @abstractmethod
    def make_one(self, render_mode: str | None = None) -> Env:
        """One environment. Raises `UserError` where it cannot be made."""

    def remake(self, render_mode: str | None = None) -> "EnvironmentSource":
        """What makes another environment like this one. Raises `UserError` if it is impossible."""
        return self

    def make_another(self, render_mode: str | None = None) -> Env:
        """Another environment like this one, without wrappers that write files of its episodes."""
        return without_recorders(self.remake(render_mode).make_one(render_mode))

    def make_rows(self) -> VectorEnv[Any, Any, Any] | None:
        """Another vector environment, if the rows of this one cannot be seeded one by one."""
        return None

    def make(self, wanted: Wanted) -> Environments:
        """Environments to train in. Raises `UserError`."""
        count, seed, stream = wanted.num_envs or 1, wanted.seed, wanted.stream
        make_one = functools.partial(self.make_one, wanted.render_mode)
        if count > 1 and wanted.vectorization == "native":
            return VectorEnvironments(self._make_native(count), seed, stream)
        if count > 1 and wanted.vectorization == "async":
            return AsyncEnvironments(make_one, count, seed, stream, wanted.supervision)
        envs = [make_one() for _ in range(count)]
        if len({id(env.unwrapped) for env in envs}) < count:
            raise UserError(
                f"{self.name()} returned the same environment twice; {count} are needed - create a "
                "new one on each call"
            )
        return SerialEnvironments(envs, seed, stream)

    def make_for_evaluation(self, seed: int, stream: str, episodes: int) -> Environments:
        """Environments to evaluate `episodes` whole episodes in, which the caller closes."""
        return SerialEnvironments([self.instance or self.make_one()], seed, stream)

    def _make_native(self, num_envs: int) -> VectorEnv[Any, Any, Any]:
        raise UserError(
            f"{self.name()} has no native version, as it is not an id - use sync or async"
        )
