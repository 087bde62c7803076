"""Names that users of other libraries type, and what they are told."""

import dataclasses

import pytest

from footlight.algorithms import ALGORITHMS, config_class
from footlight.cli.train import build_train_parser
from footlight.config.fields import fields
from footlight.config.options import Options
from footlight.config.suggestions import _OTHERS, closest
from footlight.environments.atari import AtariConfig
from footlight.training.objects import Objects

# Of `train`, besides fields and objects; `--hook` is the shell's word for `hooks`
OTHER_KEYWORDS = {"run_dir", "env_kwargs", "quiet", "hook", "init_from", "init_buffer"}


def known(algorithm: str) -> list[str]:
    return [*fields(Options), *fields(config_class(algorithm)), "run_dir", "help"]


@pytest.mark.parametrize(
    ("algorithm", "typed", "meant"),
    [
        ("sac", "lr", "learning_rate"),
        ("sac", "--lr", "learning_rate"),
        ("ppo", "--total-timesteps", "steps"),
        ("sac", "ent_coef", "initial_alpha"),
        ("ppo", "ent_coef", "entropy_coef"),
        ("ppo", "vf_coef", "value_coef"),
        ("ppo", "n_envs", "num_envs"),
        ("td3", "polyak", "tau"),
        ("td3", "train_freq", "updates_per_step"),
        ("sac", "gradient_steps", "updates_per_step"),
        ("ppo", "clip_coef", "clip_range"),
        ("ppo", "update_epochs", "num_epochs"),
        ("ppo", "num_minibatches", "minibatch_size"),
        ("ppo", "batch_size", "minibatch_size"),
        ("impala", "rho_bar", "rho_clip"),
        ("impala", "clip_c_threshold", "c_clip"),
        ("sac", "net_arch", "hidden_sizes"),
        ("sac", "GAMMA", "gamma"),
        ("sac", "gama", "gamma"),
    ],
)
def test_name_of_another_library_is_translated(algorithm: str, typed: str, meant: str) -> None:
    assert f"did you mean {meant!r}" in closest(typed, known(algorithm))


def test_counterpart_with_another_meaning_is_explained() -> None:
    assert closest("polyak", known("td3")) == " - did you mean 'tau' (1 minus that)?"
    assert "in steps rather than their number" in closest("num_minibatches", known("ppo"))


@pytest.mark.parametrize("typed", ["ent_coef", "beta", "frobnicate", "xyz"])
def test_dissimilar_names_are_not_suggested(typed: str) -> None:
    assert closest(typed, known("td3")) == ""


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("SAC", "sac"),
        ("sak", "sac"),
        ("PPO", "ppo"),
        ("actor_critic", "actor-critic"),
        ("a3c", "a2c"),
        ("PG", "reinforce"),
        ("V-trace", "impala"),
    ],
)
def test_algorithms_are_found_in_other_letters(typed: str, meant: str) -> None:
    assert closest(typed, ALGORITHMS) == f" - did you mean {meant!r}?"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("--callback", "--hook"),
        ("--trained-agent", "--init-from"),
        ("--pretrained", "--init-from"),
        ("--env-wrapper", "--wrapper"),
        ("--info-keywords", "--log-info"),
    ],
)
def test_options_of_the_shell_are_found_by_their_names_elsewhere(typed: str, meant: str) -> None:
    parser = build_train_parser("a2c", "CartPole-v1")
    options = [option for action in parser._actions for option in action.option_strings]
    assert closest(typed, options) == f" - did you mean {meant!r}?"


def test_environments_are_found_in_other_letters() -> None:
    assert (
        closest("cartpole-v1", ["CartPole-v0", "CartPole-v1"]) == " - did you mean 'CartPole-v1'?"
    )


def test_every_entry_leads_to_a_name_that_exists() -> None:
    names = {*fields(Options), *fields(AtariConfig), *OTHER_KEYWORDS, *ALGORITHMS}
    names |= {field.name for field in dataclasses.fields(Objects)}
    names |= {name for algorithm in ALGORITHMS for name in fields(config_class(algorithm))}
    assert _OTHERS.keys() <= names
    for ours, others in _OTHERS.items():
        assert not {*others} & {ours}
