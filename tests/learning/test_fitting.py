"""Which parameters of two agents differ in shape, and what to change."""

import dataclasses
from typing import Any

import gymnasium
import numpy as np
import pytest

import footlight
from footlight.errors import UserError
from footlight.learning.blueprint import Blueprint
from footlight.learning.fitting import MAX_NAMED, differences, require_fit

OBSERVATIONS = gymnasium.spaces.Box(-1, 1, (3,), np.float32)
ACTIONS = gymnasium.spaces.Box(-2, 2, (1,), np.float32)


def blueprint(
    algorithm: str = "sac", observations: Any = OBSERVATIONS, actions: Any = ACTIONS, **values: Any
) -> Blueprint:
    given = {"hidden_sizes": (4,), **values}
    return footlight.Agent(algorithm, observations, actions, **given).blueprint


def test_other_values_of_fields_that_no_shape_depends_on_fit() -> None:
    other = blueprint(gamma=0.5, activation="tanh", batch_size=3, learning_rate=1.0)
    require_fit("it", other, blueprint())
    wider = gymnasium.spaces.Box(-9, 9, (1,), np.float32)
    require_fit("it", blueprint(actions=wider), blueprint())


def test_each_parameter_is_named_with_both_shapes_and_the_field_to_set() -> None:
    with pytest.raises(UserError) as caught:
        require_fit("old/run", blueprint(gamma=0.5), blueprint(hidden_sizes=(5,)))
    first, second, third = str(caught.value).split("\n")
    assert first == "old/run does not fit this run - its networks differ"
    assert second == (
        "actor.body.0.weight is [4, 3] there and [5, 3] here; "
        "actor.body.0.bias is [4] there and [5] here; "
        "actor.body.2.weight is [2, 4] there and [2, 5] here; "
        "critic.body.0.weight is [2, 4, 4] there and [2, 5, 4] here; "
        "critic.body.0.bias is [2, 4] there and [2, 5] here; "
        "critic.body.2.weight is [2, 1, 4] there and [2, 1, 5] here"
    )
    assert third == "- set hidden_sizes 4, as there"


def test_all_fields_that_make_a_difference_are_named() -> None:
    with pytest.raises(UserError, match="- set norm none, num_critics 2, as there"):
        require_fit("it", blueprint(), blueprint(num_critics=3, norm="layer", gamma=0.5))


@pytest.mark.parametrize(
    ("observations", "actions", "words"),
    [
        (gymnasium.spaces.Box(-1, 1, (4,), np.float32), ACTIONS, ["[4, 3] there and [4, 4] here"]),
        (gymnasium.spaces.Box(0, 9, (3,), np.uint8), ACTIONS, ["here: observations uint8[3]"]),
        (
            OBSERVATIONS, gymnasium.spaces.Box(-1, 1, (2,), np.float32),
            ["actor.body.2.weight is [2, 4] there and [4, 4] here"],
        ),
    ],
)  # fmt: skip
def test_other_spaces_are_named(observations: Any, actions: Any, words: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        require_fit("it", blueprint(), blueprint("sac", observations, actions))
    text = str(caught.value)
    assert text.count("\n") == 2
    wanted = "trained with observations float32[3] and actions box[1]"
    assert all(word in text for word in [*words, "its spaces differ", wanted])


def test_kinds_of_actions_and_choices_are_told_apart() -> None:
    two = gymnasium.spaces.Discrete(2)
    shifted = gymnasium.spaces.Discrete(2, start=5)
    require_fit("it", blueprint("ppo", actions=two), blueprint("ppo", actions=shifted))
    with pytest.raises(UserError, match=r"actions discrete\[2\]"):
        require_fit("it", blueprint("ppo", actions=two), blueprint("ppo"))
    one, other = (
        gymnasium.spaces.Dict({"a": gymnasium.spaces.Discrete(n), "b": OBSERVATIONS})
        for n in (3, 4)
    )
    with pytest.raises(UserError, match=r"a int64\[\] of \[3\] choices, b float32\[3\]"):
        require_fit("it", blueprint("ppo", one), blueprint("ppo", other))


def test_long_lists_are_cut() -> None:
    before = {f"p{i}": (i,) for i in range(MAX_NAMED + 3)}
    text = differences(before, {"p0": (0,)})
    assert text.startswith("p1 is [1] there and missing here; p2")
    assert text.endswith("; and 2 more")
    assert differences(before, before) == ""


def test_own_network_is_compared_as_it_is_built() -> None:
    here = blueprint()

    class Refusing:
        def __init__(self, *spaces: Any) -> None:
            raise UserError("built")

    with pytest.raises(UserError, match="built"):
        require_fit("it", dataclasses.replace(here, network=Refusing), here)
