"""Environments and wrappers in files: how they are made, and what is wrong with them."""

import pickle
from pathlib import Path
from typing import Any

import gymnasium
import pytest
from user_files import write

from footlight.environments.make import make_one, require_allowed
from footlight.environments.source import EnvironmentSource, Wanted
from footlight.environments.user_files import (
    FileSource,
    WrappedSource,
    recorded_source,
    recorded_wrappers,
    wrapped,
)
from footlight.errors import UserError


@pytest.fixture
def mine(tmp_path: Path) -> str:
    return str(write(tmp_path))


def length(source: EnvironmentSource) -> Any:
    env = source.make_one()
    assert env.observation_space.shape is not None
    return env.observation_space.shape[0]


def test_a_class_a_function_and_a_registered_id_are_made_with_arguments(mine: str) -> None:
    for name, usual in (("MyEnv", 3), ("make", 4), ("Mine-v0", 3)):
        source = EnvironmentSource.of(f"{mine}:{name}")
        assert isinstance(source, FileSource)
        assert (source.name(), source.is_plain_id) == (name, True)
        assert source.settings() == {"environment_source": "file"}
        assert length(source.configured()) == usual
        sized = source.configured(None, ["size=5"])
        assert length(sized) == 5
        assert sized.settings()["env_kwargs"] == {"size": 5}
        assert not sized.is_plain_id
        assert length(pickle.loads(pickle.dumps(sized))) == 5  # in a process that is not a fork
    assert make_one(f"{mine}:MyEnv", "rgb_array").render_mode == "rgb_array"


@pytest.mark.parametrize(
    ("name", "kwargs", "message"),
    [
        ("MyEnv", ["sise=3"], r"has 'sise', which MyEnv does not take - did you mean 'size'\?"),
        ("add", None, r"add needs the argument env - .* add env_kwargs env=VALUE"),
        ("np", None, "np in .* is of type module - an environment has to be a class"),
        ("show", ["training=3"], r"show failed to create .*AttributeError.*\(mine.py, line \d+\)"),
        ("Count", None, "Count returned Count - return a gymnasium.Env"),
        ("Mine-v1", None, "has no 'Mine-v1' - did you mean 'Mine-v0'"),
        ("CartPole-v1", None, "has no 'CartPole-v1'"),
    ],
)
def test_mistakes_are_named(name: str, kwargs: Any, message: str, mine: str) -> None:
    source = EnvironmentSource.of(f"{mine}:{name}").configured(None, kwargs)
    with pytest.raises(UserError, match=message):
        source.make_one()


def rewards(source: EnvironmentSource) -> list[float]:
    env = source.make_one()
    env.reset(seed=0)
    return [float(env.step(0)[1]) for _ in range(10)]


def test_wrappers_are_applied_in_their_order(mine: str) -> None:
    plain = EnvironmentSource.of(f"{mine}:MyEnv")
    add, double = f"{mine}:add", f"{mine}:double"
    both = wrapped(plain, [add, double])
    assert rewards(both) == [2 * (reward + 1) for reward in rewards(plain)]
    assert rewards(wrapped(plain, [double, add])) == [2 * r + 1 for r in rewards(plain)]
    assert rewards(wrapped(plain, [double, double])) == [4 * r for r in rewards(plain)]
    assert [each.name for each in both.code] == ["MyEnv", "add", "double"]
    assert both.name() == "MyEnv"
    assert wrapped(plain, None) is plain
    environments = both.configured(None, {"size": 5}).make(Wanted(0, 2, vectorization="async"))
    try:
        assert environments.observation_space.shape == (5,)
    finally:
        environments.close()


def test_wrappers_in_memory_make_the_environment_an_object(mine: str) -> None:
    source = wrapped(EnvironmentSource.of("CartPole-v1"), gymnasium.wrappers.FlattenObservation)
    assert isinstance(source, WrappedSource)
    assert source.settings()["environment_source"] == "object"
    assert not source.is_plain_id  # so that no native version is chosen
    assert source.spec is not None
    in_file = wrapped(EnvironmentSource.of("CartPole-v1"), f"{mine}:add")
    assert in_file.settings()["environment_source"] == "id"


def test_wrappers_that_cannot_be_applied_are_refused(mine: str) -> None:
    plain = EnvironmentSource.of(f"{mine}:MyEnv")
    for wrapper, message in (
        ("double", "wrapper is 'double' - .* write FILE.py:NAME"),
        ([3], "wrapper is 3 - give a class or a function"),
        (3, "wrapper is 3 - give a class or a function, or a list"),
        (f"{mine}:np", "of type module - wrapper has to be"),
    ):
        with pytest.raises(UserError, match=message):
            wrapped(plain, wrapper)  # type: ignore[arg-type]
    made = EnvironmentSource.of(gymnasium.make("CartPole-v1"))
    add, yourself = f"{mine}:add", r"was given as an object, .* wrap it yourself"
    with pytest.raises(UserError, match=rf"{yourself}: give double\(add\(environment\)\)"):
        wrapped(made, [add, f"{mine}:double"])
    with pytest.raises(UserError, match=rf"{yourself}: give TimeLimit\(environment\)"):
        wrapped(made, gymnasium.wrappers.TimeLimit)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"the wrapper .* returned int - it is called with"):
        wrapped(plain, lambda env: 3).make_one()
    with pytest.raises(UserError, match=r"failed - ZeroDivisionError.*\(test_user_files.py, line"):
        wrapped(plain, lambda env: 1 / 0).make_one()  # type: ignore[arg-type,return-value]


def test_an_atari_game_is_wrapped_as_any_environment(mine: str) -> None:
    pytest.importorskip("ale_py")
    game = EnvironmentSource.of("ALE/Pong-v5").configured({"screen_size": 42})
    source = wrapped(game, f"{mine}:add")
    assert source.settings() == game.settings()
    assert (source.is_atari, source.name()) == (False, "ALE/Pong-v5")
    env = source.make_one()
    try:
        assert env.observation_space.shape == (4, 42, 42)
        env.reset(seed=0)
        assert env.step(0)[1] == 1.0
    finally:
        env.close()


def test_a_record_cannot_name_a_file_as_an_id(mine: str, tmp_path: Path) -> None:
    for source in ({"environment_source": "id"}, {}):
        config = {"environment": f"{mine}:MyEnv", **source}
        with pytest.raises(UserError, match="a run cannot name a file in that way"):
            require_allowed(tmp_path, config, None)
        with pytest.raises(UserError, match="a run cannot name a file in that way"):
            recorded_source(tmp_path, config, None, "environment")
    recorded = {"environment": "MyEnv", "environment_source": "file"}
    with pytest.raises(UserError, match="does not say where its environment is"):
        recorded_source(tmp_path, recorded, None, "environment")
    assert not (tmp_path / "marker").exists()


def test_a_record_is_made_again(mine: str, tmp_path: Path) -> None:
    source = wrapped(
        EnvironmentSource.of(f"{mine}:MyEnv").configured(None, "size=5"), f"{mine}:add"
    )
    config = {
        "environment": source.name(),
        **source.settings(),
        "code": [each.record() for each in source.code],
    }
    again = recorded_source(tmp_path, config, None, "environment")
    assert wrapped(again, recorded_wrappers(tmp_path, config)) == source
