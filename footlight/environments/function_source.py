"""Functions and classes that make environments: one, or with an argument `num_envs` several."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

from gymnasium.vector import VectorEnv

from footlight.environments.foreign import OfTensors, of_tensors, translated
from footlight.environments.naming import digest_of_function, name_of_function
from footlight.environments.remake import SingleRow
from footlight.environments.source import Env, Environments, EnvironmentSource, Wanted
from footlight.environments.user_function import call, make_env, takes_num_envs
from footlight.environments.vector import VectorEnvironments
from footlight.errors import UserError


@final
@dataclass(frozen=True)
class FunctionSource(EnvironmentSource):
    """A function or class that makes an environment.

    If it has an argument `num_envs`, it makes vector environments of that many.
    """

    function: Callable[..., Any]
    given_name: str | None = None

    @property
    def is_vector(self) -> bool:
        return takes_num_envs(self.function)

    def name(self, environments: Environments | None = None) -> str:
        return self.given_name or name_of_function(self.function, environments)

    @property
    def code_digest(self) -> str | None:
        return digest_of_function(self.function)

    def settings(self) -> dict[str, Any]:
        code = {} if self.code_digest is None else {"environment_code": self.code_digest}
        return {**super().settings(), **code}

    def make_one(self, render_mode: str | None = None) -> Env:
        if self.is_vector:
            return SingleRow(self._make_several(1, render_mode))
        return make_env(self.function, self.name(), render_mode)

    def make(self, wanted: Wanted) -> Environments:
        if not self.is_vector:
            return super().make(wanted)
        made = self._make_several(wanted.num_envs or 1, wanted.render_mode)
        return vector_environments(made, wanted, owned=True)

    def _make_several(self, num_envs: int, render_mode: str | None) -> VectorEnv[Any, Any, Any]:
        name = self.name()
        made = call(self.function, name, render_mode, num_envs=num_envs)
        env = of_tensors(made) or translated(made) or made
        if not isinstance(env, VectorEnv):
            raise UserError(
                f"{name} has an argument num_envs and returned {type(env).__name__} - it should "
                "return a vector environment - return one, or rename the argument"
            )
        if env.num_envs != num_envs:
            raise UserError(
                f"{name} was called with num_envs={num_envs} and returned an environment with "
                f"num_envs {env.num_envs} - make as many as are asked for"
            )
        return env


def vector_environments(
    env: VectorEnv[Any, Any, Any], wanted: Wanted, owned: bool
) -> VectorEnvironments:
    """The environments of a vector environment; `owned` ones are closed after use."""
    if isinstance(env, OfTensors):
        env.notify = wanted.supervision.notify
    return VectorEnvironments(env, wanted.seed, wanted.stream, owned)
