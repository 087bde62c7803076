"""Presets: which is taken, and how one follows the number of environments."""

from typing import Any

import pytest

from footlight.config.fields import closest_divisor
from footlight.config.presets import all_presets, fit_rollout

DEFAULTS = {"n_steps": 2048, "minibatch_size": 64, "gamma": 0.99}
TUNED = {"num_envs": 8, "n_steps": 32, "minibatch_size": 256}


@pytest.mark.parametrize(
    ("num_envs", "fitted"),
    [
        (8, {}),
        (4, {"n_steps": 64}),
        (16, {"n_steps": 16}),
        (1, {"n_steps": 256}),
        (12, {"n_steps": 21, "minibatch_size": 252}),
        (3, {"n_steps": 85, "minibatch_size": 255}),
        (1000, {"n_steps": 1, "minibatch_size": 250}),
    ],
)
def test_rollout_keeps_its_size_with_another_number_of_environments(
    num_envs: int, fitted: dict[str, int]
) -> None:
    assert fit_rollout(DEFAULTS, TUNED, {}, num_envs) == fitted


@pytest.mark.parametrize("num_envs", [*range(1, 34), 100, 999])
def test_every_preset_fits_any_number_of_environments(num_envs: int) -> None:
    for name, tuned in all_presets().items():
        if name.startswith("ppo/"):
            before = {**DEFAULTS, **tuned}
            values = before | fit_rollout(DEFAULTS, tuned, {}, num_envs)
            rollout, meant = (
                values["n_steps"] * num_envs,
                before["n_steps"] * tuned.get("num_envs", num_envs),
            )
            assert rollout % values["minibatch_size"] == 0, name
            assert values["minibatch_size"] > 1
            assert meant / 2 <= rollout <= max(1.5 * meant, num_envs), name


@pytest.mark.parametrize(
    ("tuned", "typed", "num_envs", "fitted"),
    [
        (TUNED, {"n_steps": 100}, 8, {"minibatch_size": 200}),
        (TUNED, {"n_steps": 64}, 8, {}),
        (TUNED, {"minibatch_size": 100}, 4, {"n_steps": 75}),
        (
            TUNED,
            {"n_steps": 5, "minibatch_size": 7},
            4,
            {},
        ),  # both were typed: it is the user's own sum
        ({}, {"n_steps": 100}, 1, {"minibatch_size": 50}),
        ({}, {}, 3, {}),
        ({"gamma": 0.9}, {}, 12, {}),  # steps of each environment, as by default
    ],
)
def test_values_set_by_the_user_are_kept(
    tuned: dict[str, Any], typed: dict[str, Any], num_envs: int, fitted: dict[str, int]
) -> None:
    assert fit_rollout(DEFAULTS, tuned, typed, num_envs) == fitted


@pytest.mark.parametrize(
    ("num_envs", "typed", "fitted"),
    [
        (8, {}, {}),
        (6, {}, {"num_minibatches": 3}),
        (1, {}, {"num_minibatches": 1}),
        (6, {"num_minibatches": 4}, {}),  # which is refused later
    ],
)
def test_number_of_minibatches_divides_the_environments(
    num_envs: int, typed: dict[str, Any], fitted: dict[str, int]
) -> None:
    defaults = {"n_steps": 20, "num_minibatches": 1}
    tuned = {"num_envs": 8, "num_minibatches": 4}
    assert fit_rollout(defaults, tuned, typed, num_envs) == fitted
    assert fit_rollout(defaults, {}, {}, num_envs) == {}


def test_algorithms_without_minibatches_are_left_alone() -> None:
    assert fit_rollout({"n_steps": 5}, {"num_envs": 8}, {}, 3) == {}


@pytest.mark.parametrize(
    ("size", "near", "divisor"), [(800, 256, 200), (13, 4, 13), (1, 4, 1), (24, 5, 6), (24, 4, 4)]
)
def test_closest_divisor(size: int, near: int, divisor: int) -> None:
    found = closest_divisor(size, near)
    assert size % found == 0
    assert abs(found - near) == abs(divisor - near)
