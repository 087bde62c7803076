"""Objects that a run is given and no file can hold."""

from typing import Any

import gymnasium
import pytest

from footlight.environments.source import EnvironmentSource
from footlight.errors import UserError
from footlight.training.objects import Objects


def test_objects_are_split_from_the_other_values() -> None:
    hooks: list[Any] = [print]
    objects, rest = Objects.split({"hooks": hooks, "gamma": 0.9, "network": int, "steps": 5})
    assert (objects.hooks, objects.network, objects.algorithm) == (hooks, int, None)
    assert rest == {"gamma": 0.9, "steps": 5}


def test_evaluation_source_is_the_environment_that_was_given() -> None:
    training = EnvironmentSource.of("Pendulum-v1").configured(kwargs={"g": 9.0, "x": 1})
    assert Objects().evaluation_source(training) is None
    source = Objects(eval_environment="CartPole-v1").evaluation_source(training)
    assert source is not None
    assert source.name() == "CartPole-v1"
    made = gymnasium.make("CartPole-v1")
    own = Objects(eval_environment=made).evaluation_source(training)
    assert own is not None
    assert own.instance is made
    with pytest.raises(UserError):
        Objects(eval_environment=3).evaluation_source(training)  # type: ignore[arg-type]


def test_arguments_of_the_evaluation_environment() -> None:
    training = EnvironmentSource.of("Pendulum-v1").configured(kwargs={"g": 9.0, "x": 1})
    same = Objects(eval_env_kwargs=["g=1.0"]).evaluation_source(training)
    assert same is not None
    assert same.settings()["env_kwargs"] == {"g": 1.0, "x": 1}
    other = Objects(eval_environment="CartPole-v1", eval_env_kwargs={"y": 2})
    source = other.evaluation_source(training)
    assert source is not None
    assert source.settings()["env_kwargs"] == {"y": 2}
    made = Objects(eval_environment=gymnasium.make("CartPole-v1"), eval_env_kwargs={"y": 2})
    with pytest.raises(UserError, match="is a Python object"):
        made.evaluation_source(training)
