"""Objects that a run is given and no file can hold."""

from typing import Any

import gymnasium
import pytest

from footlight.errors import UserError
from footlight.training.objects import Objects


def test_objects_are_split_from_the_other_values() -> None:
    hooks: list[Any] = [print]
    objects, rest = Objects.split({"hooks": hooks, "gamma": 0.9, "network": int, "steps": 5})
    assert (objects.hooks, objects.network, objects.algorithm) == (hooks, int, None)
    assert rest == {"gamma": 0.9, "steps": 5}


def test_evaluation_source_is_the_environment_that_was_given() -> None:
    assert Objects().evaluation_source is None
    source = Objects(eval_environment="CartPole-v1").evaluation_source
    assert source is not None
    assert source.name() == "CartPole-v1"
    made = gymnasium.make("CartPole-v1")
    own = Objects(eval_environment=made).evaluation_source
    assert own is not None
    assert own.instance is made
    with pytest.raises(UserError):
        _ = Objects(eval_environment=3).evaluation_source  # type: ignore[arg-type]
