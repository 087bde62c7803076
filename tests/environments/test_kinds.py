"""Which kind of source an environment is, and what each kind does differently."""

import copy
import functools
from typing import Any

import gymnasium
import pytest
from gymnasium.vector import SyncVectorEnv

from footlight.environments.atari import AtariConfig, AtariGame
from footlight.environments.kinds import (
    AtariSource,
    FunctionSource,
    IdSource,
    InstanceSource,
    SpecSource,
    VectorSource,
    kind_of,
)
from footlight.environments.source import Wanted
from footlight.errors import UserError

Counting = type[gymnasium.Env[Any, Any]]
PONG = "ALE/Pong-v5"


@pytest.mark.parametrize(
    ("environment", "kind"),
    [
        ("Pendulum-v1", IdSource),
        (PONG, AtariSource),
        (AtariGame(PONG), AtariSource),
        (gymnasium.spec("Pendulum-v1"), SpecSource),
        (gymnasium.make("Pendulum-v1"), InstanceSource),
        (SyncVectorEnv([lambda: gymnasium.make("Pendulum-v1")]), VectorSource),
        (functools.partial(gymnasium.make, "Pendulum-v1"), FunctionSource),
        (gymnasium.Env, FunctionSource),
    ],
)
def test_kind_of_everything_that_can_be_an_environment(environment: Any, kind: type[Any]) -> None:
    assert type(kind_of(environment)) is kind


@pytest.mark.parametrize("environment", [None, 3, ["Pendulum-v1"]])
def test_other_objects_are_refused(environment: Any) -> None:
    with pytest.raises(UserError, match=r"is not an environment - give an id, a gymnasium\.Env"):
        kind_of(environment)


def test_id_with_arguments_is_not_plain() -> None:
    plain = kind_of("Pendulum-v1")
    given = plain.configured(kwargs=["g=5"])
    assert (plain.is_plain_id, given.is_plain_id) == (True, False)
    assert plain.settings() == {"environment_source": "id"}
    assert given.settings() == {"environment_source": "id", "env_kwargs": {"g": 5}}
    assert given.make_one().unwrapped.g == 5  # type: ignore[attr-defined]


def test_spec_of_a_registered_id_is_that_id_with_its_arguments() -> None:
    spec = copy.deepcopy(gymnasium.spec("Pendulum-v1"))
    spec.kwargs["g"] = 5
    assert kind_of(spec).configured() == IdSource("Pendulum-v1", {"g": 5})


def test_changed_spec_is_a_function() -> None:
    spec = copy.deepcopy(gymnasium.spec("Pendulum-v1"))
    spec.max_episode_steps = 7
    source = kind_of(spec).configured()
    assert type(source) is FunctionSource
    made = source.make_one().spec
    assert made is not None
    assert made.max_episode_steps == 7


def test_settings_of_a_game_are_given_once() -> None:
    bare = kind_of(PONG)
    game = bare.configured({"frame_stack": 2})
    assert (bare.is_plain_id, bare.config_class) == (True, AtariConfig)
    assert (game.is_plain_id, game.config_class) == (False, None)
    assert game.settings()["environment_config"]["frame_stack"] == 2
    assert game.configured({"frame_stack": 3}) is game
    with pytest.raises(UserError, match="Atari games have options of their own - use frame_skip"):
        bare.configured(kwargs=["mode=1"])


def test_number_of_environments_of_objects_is_fixed(counting_env: Counting) -> None:
    with pytest.raises(UserError, match="num_envs is 2 - one environment was given"):
        kind_of(counting_env()).make(Wanted(7, 2))
    with pytest.raises(UserError, match="num_envs is 2 - the given vector environment has 3"):
        kind_of(SyncVectorEnv([counting_env] * 3)).make(Wanted(7, 2))


def test_objects_are_not_closed(counting_env: Counting) -> None:
    class Closable(counting_env):  # type: ignore[misc, valid-type]
        closed = False

        def close(self) -> None:
            self.closed = True

    env = Closable()
    kind_of(env).make(Wanted(7)).close()
    assert not env.closed
    made: list[Any] = []
    kind_of(lambda: made.append(Closable()) or made[-1]).make(Wanted(7)).close()
    assert made[0].closed
