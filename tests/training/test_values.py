"""Where the values of a run come from, and what is said about those that nobody typed."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium
import pytest
import torch

import footlight
from footlight.algorithms import config_class
from footlight.errors import UserError
from footlight.learning.agent import Agent
from footlight.training.values import (
    Values,
    initialization_warnings,
    read_toml,
    resolve,
    update_warnings,
)

PENDULUM = gymnasium.make("Pendulum-v1")
PPO = config_class("ppo")


def ppo(environment: Any = "CartPole-v1", preset: bool | str = True, **typed: Any) -> Values:
    return resolve("ppo", PPO, environment, preset, typed)


def test_presets_follow_the_number_of_environments_and_say_so() -> None:
    found = ppo(num_envs="12")
    assert (found.fields["n_steps"], found.fields["minibatch_size"]) == (21, 252)
    assert found.notes == (
        "n_steps 21 instead of 32, minibatch_size 252 instead of 256: "
        "the preset ppo/CartPole-v1 fitted to 12 environments",
    )
    assert ppo().notes == ()
    assert (
        ppo(num_envs=None).fields["n_steps"] == 256
    )  # an option that is None was not given: one environment


@pytest.mark.parametrize(
    ("environment", "num_envs"),
    [
        (gymnasium.make("CartPole-v1"), 1),
        (gymnasium.make_vec("CartPole-v1", 4, vectorization_mode="sync"), 4),
    ],
)
def test_presets_follow_a_given_object(environment: Any, num_envs: int) -> None:
    found = ppo(environment)
    assert found.preset == "ppo/CartPole-v1"
    assert "num_envs" not in found.options
    assert found.fields["n_steps"] * num_envs == found.fields["minibatch_size"] == 256


def test_preset_is_found_for_any_arguments_of_the_environment() -> None:
    found = ppo(gymnasium.make("CartPole-v1", sutton_barto_reward=True))
    assert found.preset == "ppo/CartPole-v1"
    assert ppo(env_kwargs={"sutton_barto_reward": True}).env_kwargs == {"sutton_barto_reward": True}


def test_error_about_a_value_of_the_preset_names_the_preset() -> None:
    found = resolve("sac", config_class("sac"), "Pendulum-v1", True, {"buffer_size": 100})
    with (
        pytest.raises(
            UserError,
            match=r"batch_size 128 is larger(.|\n)*batch_size 128 is a value of the preset sac/",
        ),
        found.blamed(),
    ):
        raise UserError(
            "batch_size 128 is larger than buffer_size 100 - a minibatch is drawn from the "
            "buffer - lower it"
        )
    with pytest.raises(UserError) as other, found.blamed():
        raise UserError(
            "buffer_size 100 is wrong - it has nothing to do with batch_size - raise it"
        )
    assert "preset" not in str(other.value)


def sac(**fields: Any) -> Agent:
    return Agent(
        "sac",
        PENDULUM.observation_space,
        PENDULUM.action_space,
        hidden_sizes=(4,),
        buffer_size=2000,
        **fields,
    )


def test_run_without_updates_is_warned_about() -> None:
    assert update_warnings(sac(), 1_001) == []
    for steps in (900, 1_000):
        (warning,) = update_warnings(sac(), steps)
        assert warning.startswith(
            f"warning: no updates - learning_starts is 1,000 and the run has {steps:,} steps - "
            "nothing"
        )
    (warning,) = update_warnings(sac(updates_per_step=0.0), 2_000)
    assert warning.startswith("warning: no updates - updates_per_step is 0, ")


def test_run_shorter_than_a_rollout_is_warned_about() -> None:
    agent = Agent(
        "a2c",
        PENDULUM.observation_space,
        PENDULUM.action_space,
        num_envs=4,
        n_steps=5,
        hidden_sizes=(4,),
    )
    assert update_warnings(agent, 20) == []
    (warning,) = update_warnings(agent, 19)
    assert warning.startswith(
        "warning: the run is shorter than one rollout of 20 steps (n_steps 5 x num_envs 4)"
    )


@pytest.mark.parametrize(
    ("algorithm", "fields", "learns"),
    [
        ("stream-ac", {}, True),  # of 4 observed numbers: one layer of zeros, as published
        ("stream-ac", {"hidden_sizes": (8,)}, False),
        ("stream-ac", {"hidden_sizes": (8,), "initialization": "orthogonal"}, True),
        ("ppo", {"initialization": "sparse", "activation": "tanh"}, True),
        ("ppo", {"initialization": "sparse", "activation": "relu"}, False),
        ("ppo", {"initialization": "sparse", "hidden_sizes": (16, 8), "activation": "relu"}, False),
    ],
)
def test_weights_that_begin_as_zeros_and_stay(
    algorithm: str, fields: dict[str, Any], learns: bool
) -> None:
    env = gymnasium.make("CartPole-v1")
    agent = Agent(algorithm, env.observation_space, env.action_space, compile="off", **fields)
    assert (initialization_warnings(agent) == []) == learns
    network = agent.networks.actor_critic
    parameters = network.initial.clone().requires_grad_()
    output, _ = network(parameters, torch.tensor([[0.1, -0.2, 0.3, 0.4]]))
    output[:, 0].sum().backward()
    assert parameters.grad is not None
    weights = [
        each for name, each in network.unflatten(parameters.grad).items() if "weight" in name
    ]
    assert any(bool(each.any()) for each in weights) == learns


def test_buffers_of_unknown_kind_cause_no_warning() -> None:
    assert (
        update_warnings(
            SimpleNamespace(num_updates=0, buffer=SimpleNamespace(), config=SimpleNamespace()), 1
        )
        == []
    )


def test_config_file_in_the_home_directory_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "values.toml").write_text("gamma = 0.9\nenv_kwargs = {g = 9.0}\n")
    assert read_toml("~/values.toml") == {"gamma": 0.9, "env_kwargs": {"g": 9.0}}


def test_config_file_with_a_table_of_values_is_refused(tmp_path: Path) -> None:
    (tmp_path / "values.toml").write_text("[sac]\ngamma = 0.9\n")
    with pytest.raises(UserError, match=r"has the table \[sac\] - .* leave the line \[sac\] out"):
        read_toml(tmp_path / "values.toml")


def test_run_resumed_with_another_lambda_is_marked(tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "compile": "off",
        "eval_episodes": 0,
        "quiet": True,
        "learning_starts": 1,
        "hidden_sizes": (4,),
    }
    make = lambda: gymnasium.make("Pendulum-v1")  # noqa: E731 - that is what it is about
    run = footlight.train(
        "sac", make, steps=3, run_dir=tmp_path / "run", batch_size=2, buffer_size=50, **options
    )
    assert run.config["environment"] == "Pendulum-v1"
    assert (
        footlight.resume(run.folder, environment=make, steps=4, quiet=True).config["resume"]
        == "exact"
    )
    other = footlight.resume(
        run.folder, environment=lambda: gymnasium.make("Pendulum-v1", g=9.0), steps=5, quiet=True
    )
    assert "another function for the environment" in other.config["resume"]
