"""Making environments: what can be passed, and the errors for what cannot."""

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import SyncVectorEnv

from footlight.environments.make import make
from footlight.environments.serial import SerialEnvironments
from footlight.environments.vector import VectorEnvironments
from footlight.errors import UserError
from footlight.streams import derived_seed

Counting = type[gymnasium.Env[Any, Any]]
Register = Callable[..., str]


def test_make_from_an_id() -> None:
    environments = make("Pendulum-v1", 0, 3)
    assert isinstance(environments, SerialEnvironments)
    assert environments.num_envs == 3
    assert len({id(env) for env in environments.envs}) == 3
    assert environments.reset().shape == (3, 3)
    environments.close()


def test_make_from_an_object(counting_env: Counting) -> None:
    env = counting_env()
    for num_envs in (None, 1):
        environments = make(env, 0, num_envs)
        assert isinstance(environments, SerialEnvironments)
        assert environments.envs == [env]
    with pytest.raises(
        UserError,
        match="num_envs is 2 - one environment was given - give a function that makes one, or an",
    ):
        make(env, 0, 2)


def test_make_from_a_function(counting_env: Counting) -> None:
    assert make(counting_env, 0, 2).num_envs == 2
    environments = make(lambda: counting_env(), 0)
    assert environments.reset().tolist() == [[0, 0, 0]]


def test_make_from_a_vector_environment(counting_env: Counting) -> None:
    env = SyncVectorEnv([counting_env] * 3)
    for num_envs in (None, 3):
        environments = make(env, 0, num_envs)
        assert isinstance(environments, VectorEnvironments)
        assert environments.num_envs == 3
    with pytest.raises(UserError, match="num_envs is 2 - the given vector environment has 3"):
        make(env, 0, 2)


def test_seed_and_stream_reach_the_environment(counting_env: Counting) -> None:
    env: Any = counting_env()
    make(env, 5, stream="evaluation").reset()
    assert env.seeds == [derived_seed(5, "evaluation", 0, 0)]


@pytest.mark.parametrize(
    ("wrong", "near"),
    [
        ("Pendulm-v1", "Pendulum-v1"),
        ("pendulum-v1", "Pendulum-v1"),
        ("MountainCarContinous-v0", "MountainCarContinuous-v0"),
    ],
)
def test_unknown_id_suggests_the_closest(wrong: str, near: str) -> None:
    with pytest.raises(UserError, match=f"unknown environment '{wrong}' - did you mean '{near}'"):
        make(wrong, 0)


def test_unknown_id_without_a_close_one() -> None:
    with pytest.raises(
        UserError, match="unknown environment 'zzzzzzzz' - see `footlight list environments`"
    ):
        make("zzzzzzzz", 0)


@pytest.mark.parametrize(
    "wrong", ["", "two words", "Pendulum-v0", "Pendulum-v99", "no_such_module:Env-v0"]
)
def test_invalid_ids_are_user_errors(wrong: str) -> None:
    with pytest.raises(UserError):
        make(wrong, 0)


@pytest.mark.parametrize(
    "nonsense", [lambda: None, lambda: 3, lambda: "Pendulum-v1", object, 3, None]
)
def test_function_that_returns_no_environment_is_refused(nonsense: Any) -> None:
    with pytest.raises(
        UserError,
        match=r"return a gymnasium\.Env|give an id, a gymnasium\.Env, a VectorEnv, or a function",
    ):
        make(nonsense, 0)


def test_registered_id_of_the_user(register: Register, counting_env: Counting) -> None:
    environments = make(
        register("Count-v0", counting_env), 0
    )  # whose constructor has never heard of `render_mode`
    assert environments.reset().tolist() == [[0, 0, 0]]


# A package that is missing, pretended by an entry point that needs it


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (
            gymnasium.error.DependencyNotInstalled(
                "MuJoCo is not installed, run `pip install x`\nand more"
            ),
            "MuJoCo is not installed",
        ),
        (ModuleNotFoundError("No module named 'mujoco'"), "No module named 'mujoco'"),
        (ImportError("libGL.so.1: cannot open shared object file"), "libGL.so.1"),
    ],
)
@pytest.mark.parametrize(
    ("module", "extra"), [("pretend_mujoco", "mujoco"), ("pretend.box2d.car", "box2d")]
)
def test_missing_package_suggests_the_extra(
    register: Register,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    shown: str,
    module: str,
    extra: str,
) -> None:
    def make_it(**options: Any) -> Any:
        raise error

    pretend = ModuleType(module)
    pretend.Pretend = make_it  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module, pretend)
    name = register("Pretend-v0", f"{module}:Pretend")
    with pytest.raises(
        UserError,
        match=rf"Pretend-v0 needs a package that is missing - {shown}.*pip install "
        rf'"footlight\[{extra}\]"',
    ):
        make(name, 0)


def test_missing_package_of_a_users_environment(register: Register) -> None:
    with pytest.raises(
        UserError,
        match="No module named 'no_such_package' - install the package that the message names",
    ):
        make(register("Pretend-v0", "no_such_package:Pretend"), 0)


# Functions that take a render mode


def test_environments_of_different_spaces_are_refused(counting_env: Counting) -> None:
    class Other(counting_env):  # type: ignore[misc, valid-type]
        action_space = gymnasium.spaces.Box(-2, 2, (1,), np.float32)

    made = iter([counting_env, Other])
    with pytest.raises(
        UserError,
        match=r"the environments differ: actions are Box\(-1.0, 1.0, .* in one and Box\(-2.0, 2.0",
    ):
        make(lambda: next(made)(), 0, 2)
