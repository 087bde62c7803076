"""The configs' shared fields, and the optimizers that they describe."""

from dataclasses import FrozenInstanceError, fields, is_dataclass

import pytest

from footlight.algorithms import ALGORITHMS, config_class
from footlight.algorithms.settings import OffPolicyOptimizer, OptimizerSettings
from footlight.equations.optimizers import Optimizer


@pytest.mark.parametrize("kind", ["adam", "adamw", "rmsprop", "rmsprop-tf", "sgd"])
def test_optimizer_has_every_setting(kind: str) -> None:
    settings = OptimizerSettings(
        optimizer=kind, adam_beta1=0.5, adam_beta2=0.6, optimizer_epsilon=0.1, weight_decay=0.2,
        max_grad_norm=3.0, learning_rate_schedule="cosine",
    )  # fmt: skip
    assert settings.make_optimizer() == Optimizer(
        kind=kind, betas=(0.5, 0.6), epsilon=0.1, weight_decay=0.2, max_grad_norm=3.0,
        schedule="cosine",
    )  # fmt: skip


def test_off_policy_gradients_are_not_clipped_by_default() -> None:
    optimizer = OffPolicyOptimizer().make_optimizer()
    assert (optimizer.max_grad_norm, optimizer.epsilon) == (None, 1e-8)
    assert OptimizerSettings().make_optimizer().max_grad_norm == 0.5


@pytest.mark.parametrize("name", sorted(ALGORITHMS))
def test_every_config_is_frozen_and_has_a_discount(name: str) -> None:
    config = config_class(name)()
    assert is_dataclass(config)
    with pytest.raises(FrozenInstanceError):
        config.gamma = 0.5
    names = {field.name for field in fields(config)}
    assert {"gamma", "normalize_observations", "hidden_sizes"} <= names
