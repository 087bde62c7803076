"""The environment as given: answers of `EnvironmentSource` for every kind."""

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import SyncVectorEnv

from footlight.environments.serial import SerialEnvironments
from footlight.environments.source import EnvironmentSource, Wanted
from footlight.environments.vector import VectorEnvironments
from footlight.environments.workers import AsyncEnvironments
from footlight.errors import UserError

Counting = type[gymnasium.Env[Any, Any]]


def test_name_of_each_kind(counting_env: Counting) -> None:
    def name_of(environment: Any) -> str:
        return EnvironmentSource.of(environment).name()

    assert name_of("Pendulum-v1") == "Pendulum-v1"
    assert name_of(gymnasium.make("Pendulum-v1")) == "Pendulum-v1"
    assert name_of(counting_env) == name_of(counting_env()) == "CountingEnv"
    assert name_of(lambda: counting_env()) == "lambda"


def test_source_of_a_source_is_itself() -> None:
    source = EnvironmentSource.of("Pendulum-v1")
    assert EnvironmentSource.of(source) is source


def test_answers_about_a_function(counting_env: Counting) -> None:
    source = EnvironmentSource.of(counting_env)
    assert (source.is_object, source.is_vector, source.is_atari) == (False, False, False)
    assert (source.is_plain_id, source.is_simulation) == (False, False)
    assert (source.config_class, source.fixed_num_envs, source.instance) == (None, None, None)
    assert (source.spec, source.make_rows()) == (None, None)
    assert source.settings() == {"environment_source": "object"}
    assert source.remake() is source


def test_answers_about_objects(counting_env: Counting) -> None:
    env, rows = counting_env(), SyncVectorEnv([counting_env] * 3)
    single, vector = EnvironmentSource.of(env), EnvironmentSource.of(rows)
    assert (single.is_object, single.is_vector, single.fixed_num_envs) == (True, False, 1)
    assert (vector.is_object, vector.is_vector, vector.fixed_num_envs) == (True, True, 3)
    assert single.instance is env
    assert vector.instance is rows


def test_gymnasiums_own_environments_are_simulations() -> None:
    assert EnvironmentSource.of("Pendulum-v1").is_simulation
    assert EnvironmentSource.of("ALE/Pong-v5").is_simulation
    assert EnvironmentSource.of(gymnasium.make("Pendulum-v1")).is_simulation


@pytest.mark.parametrize(
    ("num_envs", "vectorization", "kind"),
    [
        (1, "native", SerialEnvironments),
        (2, "sync", SerialEnvironments),
        (2, "async", AsyncEnvironments),
        (2, "native", VectorEnvironments),
    ],
)
def test_vectorization_decides_what_is_made(num_envs: int, vectorization: str, kind: Any) -> None:
    wanted = Wanted(7, num_envs, vectorization=vectorization)
    environments = EnvironmentSource.of("CartPole-v1").make(wanted)
    assert type(environments) is kind
    assert environments.num_envs == num_envs
    environments.close()


def test_function_that_returns_one_environment_twice_is_refused(counting_env: Counting) -> None:
    env = counting_env()
    with pytest.raises(UserError, match=r"returned the same environment twice; 2 are needed"):
        EnvironmentSource.of(lambda: env).make(Wanted(7, 2))


def test_function_has_no_native_version(counting_env: Counting) -> None:
    with pytest.raises(UserError, match=r"CountingEnv has no native version, as it is not an id"):
        EnvironmentSource.of(counting_env).make(Wanted(7, 2, vectorization="native"))


def test_arguments_are_refused_except_for_ids(counting_env: Counting) -> None:
    message = r"env_kwargs size - .* such as functools.partial\(CountingEnv, size=5\)"
    with pytest.raises(UserError, match=message):
        EnvironmentSource.of(counting_env).configured(kwargs=["size=5"])


def test_evaluation_uses_a_given_object(counting_env: Counting) -> None:
    env = counting_env()
    environments = EnvironmentSource.of(env).make_for_evaluation(7, "evaluation", 1)
    environments.reset()
    assert env.seeds  # type: ignore[attr-defined]
    assert environments.step(np.zeros((1, 1), np.float32)).reward.tolist() == [1]
