"""What the benchmarks tell Stable-Baselines3 and SBX, without these libraries."""

import importlib
import re
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import hyperparameters
import off_policy_hyperparameters
import peers
import pytest
import report
import rltools_peer
import speed_works
from gymnasium.spaces import Box

from footlight.algorithms import config_class
from footlight.algorithms.settings import Normalization
from footlight.config import options
from footlight.config.fields import build, fields
from footlight.environments.atari import AtariConfig

VARIANTS = [
    (library, algorithm)
    for library, algorithms in report.PEERS.items()
    for algorithm in ("sac", *speed_works.VARIANTS)
    if algorithm in algorithms
]


def test_translated_hyperparameters_exist() -> None:
    known = {*fields(options.Options), *fields(AtariConfig), "features"}  # the last is its own
    for name in ("a2c", "ddpg", "ppo", "sac", "td3"):
        known |= {*fields(config_class(name))}
    modules = hyperparameters, off_policy_hyperparameters
    source = "".join(Path(module.__file__).read_text() for module in modules)
    named = set(re.findall(r'(?:given\.(?:pop|get)\(|found\[)"(\w+)"', source))
    named |= set(re.findall(r'"(\w+)" (?:not )?in given', source))
    assert len(named) > 30
    assert named | {name for module in modules for name in module.UNSAID} <= known


@pytest.mark.parametrize("name", ["tqc-256", "crossq-256", "droq-256"])
def test_work_says_all_in_which_a_variant_differs(name: str) -> None:
    """Its peers are told nothing else."""
    work = speed_works.WORKS[name]
    variant, sac = (asdict(build(config_class(of), work.fields)) for of in (work.algorithm, "sac"))
    assert variant == sac


def translated(library: str, algorithm: str, **values: Any) -> tuple[Any, Any]:
    """The peer's arguments for all fields of a config, and what it has no word for."""
    given = asdict(build(config_class(algorithm), values))
    space = Box(-2, 2, (3,))
    env = SimpleNamespace(num_envs=1, action_space=space)
    for name in fields(Normalization):  # which are those of the environments
        del given[name]
    arguments, _ = off_policy_hyperparameters.off_policy(library, algorithm, env, given)
    if library == "sbx":
        assert given.pop("initialization") == "pytorch"  # flax has others
    return arguments, given


@pytest.mark.parametrize(("library", "algorithm"), VARIANTS)
def test_peer_has_a_word_for_all_fields(library: str, algorithm: str) -> None:
    values = {"num_critics": 2, "actor_rule": "mean" if algorithm == "tqc" else "minimum"}
    assert translated(library, algorithm, **values)[1] == {}


@pytest.mark.parametrize(("library", "algorithm"), VARIANTS)
def test_what_a_peer_lacks_is_left_over(library: str, algorithm: str) -> None:
    lacking = {
        "critic": "categorical",
        "num_bins": 51,
        "target_rule": "subset",
        "norm": "rms",
        "normalize_input": True,
        "body": "residual",
        "dropout": 0.0,
        "unit_weights": "all",
        "hold_noise": True,
        "precision": "bf16",
        "target_actor": True,
    }
    _, left = translated(library, algorithm, **lacking)
    # SBX has dropout, and none is what the others have
    expected = {name: lacking[name] for name in lacking if name != "dropout"}
    if algorithm == "crossq":
        del expected["normalize_input"]  # as CrossQ does
    assert {name: value for name, value in left.items() if name in lacking} == expected


def test_words_of_the_peers() -> None:
    droq, left = translated("sbx", "droq")
    assert droq["policy_kwargs"] == {
        "net_arch": [256, 256], "n_critics": 2, "dropout_rate": 0.01, "layer_norm": True,
    }  # fmt: skip
    assert (droq["gradient_steps"], droq["policy_delay"]) == (20, 20)
    assert left == {"actor_rule": "mean"}  # SBX's actor follows the minimum

    tqc, left = translated("sbx", "tqc", dropped_quantiles=5, target_entropy_per_action=-0.5)
    assert tqc["policy_kwargs"] == {
        "net_arch": {"pi": [256, 256], "qf": [512, 512, 512]}, "n_quantiles": 25,
    }  # fmt: skip
    assert (tqc["top_quantiles_to_drop_per_net"], tqc["target_entropy"]) == (5, -1.5)
    assert left == {"num_critics": 5}  # SBX has two

    crossq, left = translated("sb3", "crossq", adam_beta1=0.9)
    assert crossq["policy_kwargs"]["optimizer_kwargs"] == {"betas": (0.9, 0.999), "eps": 1e-8}
    assert "tau" not in crossq
    assert left == {}
    assert "optimizer_kwargs" not in translated("sb3", "crossq")[0]["policy_kwargs"]  # 0.5
    assert translated("sbx", "crossq", target_network=True)[1] == {
        "target_network": True, "tau": 0.005,
    }  # fmt: skip

    assert translated("sb3", "sac", policy_delay=2)[1] == {"policy_delay": 2}
    assert translated("sbx", "sac", policy_delay=2)[1] == {"delay_targets": True}
    assert translated("sbx", "sac", alpha_learning_rate=1e-3)[1] == {"alpha_learning_rate": 1e-3}


def test_classes_of_the_peers(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are asked for where they are."""
    monkeypatch.setattr(
        importlib, "import_module", lambda name: SimpleNamespace(CrossQ=name, TQC=name, SAC=name)
    )
    assert peers.class_of("sb3", "crossq") == peers.class_of("sb3", "tqc") == "sb3_contrib"
    assert peers.class_of("sb3", "sac") == "stable_baselines3"
    assert peers.class_of("sbx", "droq") == peers.class_of("sbx", "crossq") == "sbx"


def test_words_of_rltools() -> None:
    fields = speed_works.WORKS["sac-64"].fields
    found = rltools_peer.arguments_of(fields)
    assert found["CRITIC_HIDDEN_DIM"] == found["ACTOR_HIDDEN_DIM"] == 64
    assert (found["N_WARMUP_STEPS"], found["REPLAY_BUFFER_CAP"]) == (100, 1_000_000)
    config = build(config_class("sac"), fields)
    ours = config.gamma, config.initial_alpha, config.learning_rate, config.optimizer_epsilon
    names = "GAMMA", "ALPHA", "OPTIMIZER_ALPHA", "OPTIMIZER_EPSILON"
    assert ours == tuple(found[name] for name in names)
    assert rltools_peer.arguments_of(fields | {"learning_rate": 1e-3})["OPTIMIZER_ALPHA"] == 1e-3
    for change in ({"policy_delay": 2}, {"updates_per_step": 2}, {"hidden_sizes": (64, 32)}):
        with pytest.raises(SystemExit, match="rltools has no word for"):
            rltools_peer.arguments_of(fields | change)
