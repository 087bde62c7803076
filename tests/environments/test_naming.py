"""Names of environments in files and folders."""

import functools
import os
import subprocess
import sys
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.wrappers import TimeLimit

from footlight.environments.kinds import IdSource
from footlight.environments.naming import digest_of_function, identifier
from footlight.environments.serial import SerialEnvironments
from footlight.environments.source import EnvironmentSource
from footlight.environments.workers import AsyncEnvironments, Supervision


class Sized(gymnasium.Env[Any, Any]):
    observation_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)

    def __init__(
        self, size: int = 1, goal: str = "near", weights: Any = None, render_mode: str | None = None
    ) -> None:
        self.size, self.goal, self.weights, self.render_mode = size, goal, weights, render_mode


def make_sized(size: int = 1) -> Sized:
    return Sized(size)


def made(env: gymnasium.Env[Any, Any]) -> Any:
    """As the environments of a training have it."""
    return SerialEnvironments([env], 0, "episode")


def name_of(source: Any, environments: Any = None) -> str:
    return EnvironmentSource.of(source).name(environments)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("ALE/Pong-v5", "ALE/Pong-v5"),
        (IdSource("Pendulum-v1", {"g": 9}), "Pendulum-v1"),
        (Sized, "Sized"),
        (make_sized, "make_sized"),
        (functools.partial(Sized, 5), "Sized(size=5)"),
        (functools.partial(Sized, size=5, goal="far/away"), "Sized(size=5, goal=far-away)"),
        (functools.partial(Sized, render_mode="rgb_array"), "Sized"),
        (
            functools.partial(functools.partial(Sized, size=5), goal="far"),
            "Sized(size=5, goal=far)",
        ),
        (
            functools.partial(Sized, weights=np.ones(3)),
            "Sized(weights=ndarray)",
        ),  # without an address, the same each time
        (functools.partial(gymnasium.make, "Pendulum-v1"), "Pendulum-v1"),
        (functools.partial(gymnasium.make, "Pendulum-v1", g=9.0), "Pendulum-v1(g=9.0)"),
        (gymnasium.spec("Pendulum-v1"), "Pendulum-v1"),
        (lambda: Sized(), "lambda"),
    ],
)
def test_names_before_anything_is_made(source: Any, name: str) -> None:
    assert name_of(source) == name


def test_objects_are_named_by_their_spec_and_its_unusual_arguments() -> None:
    assert name_of(gymnasium.make("Pendulum-v1", g=9.0)) == "Pendulum-v1(g=9.0)"
    assert name_of(gymnasium.make("Pendulum-v1", render_mode="rgb_array")) == "Pendulum-v1"
    assert name_of(gymnasium.make_vec("CartPole-v1", 2, vectorization_mode="sync")) == "CartPole-v1"
    assert name_of(TimeLimit(Sized(3), 5)) == "Sized(size=3)"


def test_function_without_a_name_is_named_after_what_it_made() -> None:
    def outer(size: int) -> Any:
        def thunk() -> Sized:
            return Sized(size)

        return thunk

    assert (
        name_of(lambda: Sized(3), made(Sized(3)))
        == name_of(outer(3), made(Sized(3)))
        == "Sized(size=3)"
    )
    assert name_of(lambda: None, made(gymnasium.make("Pendulum-v1"))) == "Pendulum-v1"
    assert name_of(make_sized, made(Sized(3))) == "make_sized"


def test_lambda_in_a_worker_is_named_after_what_it_made_there() -> None:
    make = lambda: Sized(7)  # noqa: E731 - that is what it is about
    environments = AsyncEnvironments(make, 1, 0, "episode", Supervision(60.0))
    try:
        assert name_of(make, environments) == "Sized(size=7)"
    finally:
        environments.close()


def test_arguments_are_not_part_of_the_name_of_a_preset() -> None:
    assert identifier("Pendulum-v1(g=9.0)") == "Pendulum-v1"
    assert identifier("Pendulum-v1") == "Pendulum-v1"


def test_lambdas_differ_by_their_code_and_values() -> None:
    def outer(size: int) -> Any:
        return lambda: Sized(size)

    first, again, other = (digest_of_function(outer(size)) for size in (3, 3, 4))
    assert first == again != other
    assert digest_of_function(lambda: Sized(1)) != digest_of_function(lambda: Sized(2))
    assert digest_of_function(Sized) is digest_of_function(make_sized) is None


def test_closures_without_a_value_and_sets_of_constants_differ() -> None:
    def outer(goal: str) -> Any:
        if goal == "later":
            return lambda: unset  # the cell of a variable that has no value yet
        unset = goal
        return lambda: unset

    assert digest_of_function(outer("later")) is not None
    code = (
        "from footlight.environments.naming import digest_of_function as digest; "
        "print(digest(lambda: 'x' in {'a', 'b', 'c', 'd', 'e'}))"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1
