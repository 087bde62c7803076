"""The arguments of `train`, resolved, and as plain data."""

from typing import Any

import gymnasium
import pytest

import footlight
from footlight.errors import UserError
from footlight.training.request import Request


def test_record_has_the_values_in_force_as_plain_data() -> None:
    given = {"steps": "500", "hidden_sizes": "8 8", "seed": 3, "gamma": 0.9}
    request = Request.of("sac", "Pendulum-v1", given)
    record = request.record()
    assert {key: record[key] for key in ("algorithm", "environment", "preset", "env_kwargs")} == {
        "algorithm": "sac", "environment": "Pendulum-v1", "preset": "sac/Pendulum-v1",
        "env_kwargs": {},
    }  # fmt: skip
    values = record["values"]
    assert (values["steps"], values["hidden_sizes"], values["gamma"]) == (500, [8, 8], 0.9)
    assert values["batch_size"] == 128, "of the preset"
    assert "seed" not in values
    assert "tau" in values
    again = Request.of(
        record["algorithm"], record["environment"], {**values, "seed": 3}, preset=record["preset"]
    )
    assert (again.options, again.fields) == (request.options, request.fields)


def test_record_of_config_object_and_arguments_of_the_environment() -> None:
    given = {"env_kwargs": ["g=9.0"], "steps": 10}
    record = Request.from_arguments(
        "td3", "Pendulum-v1", {**given, "config": footlight.TD3Config(tau=0.5), "preset": False}
    ).record()
    assert (record["values"]["tau"], record["env_kwargs"]) == (0.5, {"g": 9.0})


class MyNetwork:
    pass


def make() -> gymnasium.Env[Any, Any]:
    return gymnasium.make("Pendulum-v1")


@pytest.mark.parametrize(
    ("environment", "values", "own"),
    [
        (make, {}, ["environment"]),
        ("Pendulum-v1", {"wrapper": gymnasium.wrappers.RescaleAction}, ["wrapper", "environment"]),
        ("Pendulum-v1", {"hooks": [print]}, ["hooks"]),
        ("Pendulum-v1", {"network": MyNetwork}, ["network"]),
        ("Pendulum-v1", {"init_from": "somewhere"}, ["init_from"]),
        ("math:Env-v0", {}, ["environment"]),
        ("Pendulum-v1", {}, []),
    ],
)
def test_record_names_objects_and_files_of_the_users(
    environment: Any, values: dict[str, Any], own: list[str]
) -> None:
    assert Request.of("sac", environment, values).record()["own"] == own


def test_one_environment_is_not_enough_for_many_runs() -> None:
    with pytest.raises(UserError, match="each seed needs its own"):
        Request.of("sac", gymnasium.make("Pendulum-v1"), {}).require_many()
    Request.of("sac", "Pendulum-v1", {}).require_many()
