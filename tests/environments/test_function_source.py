"""Functions that make one environment, or with an argument `num_envs` a vector environment."""

import functools
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv
from tensor_environments import CartPole, Pendulum

import footlight
from footlight.environments.determinism import announcement
from footlight.environments.function_source import FunctionSource
from footlight.environments.serial import SerialEnvironments
from footlight.environments.source import EnvironmentSource, Wanted
from footlight.environments.user_files import wrapped
from footlight.environments.vector import VectorEnvironments
from footlight.environments.vectorization import choose
from footlight.errors import UserError

QUIET: dict[str, Any] = {"compile": "off", "quiet": True}


def pendulums(num_envs: int) -> Pendulum:
    return Pendulum(num_envs, time_limit=10)


def test_function_of_num_envs_makes_vector_environments() -> None:
    source = EnvironmentSource.of(pendulums)
    assert (source.is_vector, source.is_object, source.fixed_num_envs) == (True, False, None)
    assert source.name() == "pendulums"
    environments = source.make(Wanted(7, 5))
    assert isinstance(environments, VectorEnvironments)
    assert (environments.num_envs, environments.owned) == (5, True)
    assert announcement(source, "pendulums") is None
    assert choose(source, 5, "auto", print) == "auto"
    with pytest.raises(UserError, match="vectorization is 'async'"):
        choose(source, 5, "async", print)


@pytest.mark.parametrize(
    "function",
    [
        CartPole,
        CartPoleVectorEnv,
        functools.partial(gymnasium.make_vec, "CartPole-v1"),
        lambda num_envs=1: gymnasium.make_vec("CartPole-v1", num_envs=num_envs),
    ],
)
def test_class_or_partial_function_is_called_with_num_envs(function: Any) -> None:
    assert EnvironmentSource.of(function).make(Wanted(7, 3)).num_envs == 3
    assert EnvironmentSource.of(function).make(Wanted(7)).num_envs == 1


def test_wrapper_for_single_environments_is_refused() -> None:
    with pytest.raises(UserError, match="pendulums makes vector environments - wrap what it"):
        wrapped(EnvironmentSource.of(pendulums), gymnasium.wrappers.ClipReward)


def test_single_environment_is_a_row() -> None:
    made = EnvironmentSource.of(pendulums).make_one()
    environments = SerialEnvironments([made], 7, "episode")
    environments.reset()
    steps = [environments.step(np.zeros((1, 1), np.float32)) for _ in range(10)]
    assert [s.truncated.tolist() for s in steps] == [[False]] * 9 + [[True]]
    assert environments.finished[0].length == 10


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda num_envs: 3, "has an argument num_envs and returned int - it should return"),
        (lambda num_envs: gymnasium.make("CartPole-v1"), "has an argument num_envs and returned"),
        (lambda num_envs: CartPole(2), "with num_envs=3 and returned an environment with num_envs"),
        (lambda num_envs: 1 / 0, "failed to create an environment - ZeroDivisionError"),
        (
            lambda: CartPoleVectorEnv(3),
            "returned CartPoleVectorEnv - a function that makes several",
        ),
        (functools.partial(CartPoleVectorEnv, num_envs=3), "a function that makes several needs"),
    ],
)
def test_wrong_function_is_named(function: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        FunctionSource(function).make(Wanted(7, 3))


def test_run_in_a_function_of_tensors_is_evaluated_and_resumes_exactly(tmp_path: Path) -> None:
    small: dict[str, Any] = {**QUIET, "n_steps": 10, "minibatch_size": 40, "num_envs": 4}
    runs = [
        footlight.train(
            "ppo", pendulums, steps=steps, eval_episodes=2, run_dir=tmp_path / str(steps), **small
        )
        for steps in (400, 200)
    ]
    assert runs[0].config["no_evaluations"] is None
    assert runs[0].config["resume"] == "exact"
    resumed = footlight.resume(runs[1].folder, environment=pendulums, steps=400, quiet=True)
    assert resumed.episodes() == runs[0].episodes()
    assert resumed.evaluations()[-1]["returns"] == runs[0].evaluations()[-1]["returns"]


def test_function_in_a_file_is_called_with_num_envs(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    source = Path(__file__).parent.parent / "tensor_environments.py"
    file.write_text(
        f"import sys\nsys.path.append({str(source.parent)!r})\n"
        "import tensor_environments\n"
        "def make(num_envs, time_limit=10):\n"
        "    return tensor_environments.Pendulum(num_envs, time_limit=time_limit)\n"
    )
    run = footlight.train(
        "ppo", f"{file}:make", env_kwargs={"time_limit": 5}, num_envs=4, n_steps=10,
        minibatch_size=40, steps=80, run_dir=tmp_path / "run", **QUIET,
    )  # fmt: skip
    assert {row["length"] for row in run.episodes()} == {5}
    assert run.config["num_envs"] == 4
    with pytest.raises(UserError, match=r"which make does not take .*it takes time_limit"):
        footlight.train("ppo", f"{file}:make", env_kwargs={"limit": 5}, num_envs=4, **QUIET)
