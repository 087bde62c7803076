"""The user's own network: called with which spaces, and whose exceptions are named.

More of it is tested with the agents that use it, in `test_off_policy.py` and `test_on_policy.py`.
"""

from typing import Any

import gymnasium
import numpy as np
import pytest
from torch import nn

from footlight.algorithms.network_source import call_source, naming_part
from footlight.environments.spaces import describe
from footlight.errors import UserError

BOX = gymnasium.spaces.Box(-2, 2, (3,), np.float32)
MANY = gymnasium.spaces.MultiDiscrete([3, 2], start=[1, 0])


def received(observation_space: Any, action_space: Any) -> tuple[Any, Any]:
    """The spaces that a source of networks is called with."""
    found = []

    def network(observations: Any, actions: Any) -> nn.Module:
        found.append((observations, actions))
        return nn.Linear(1, 1)

    module = call_source(network, describe(observation_space, action_space))
    assert type(module) is nn.Linear
    return found[0]


@pytest.mark.parametrize(
    "action_space", [BOX, MANY, gymnasium.spaces.Discrete(4), gymnasium.spaces.Discrete(4, start=2)]
)
def test_source_receives_the_action_space(action_space: Any) -> None:
    _, actions = received(BOX, action_space)
    assert actions == action_space


def test_source_receives_observations_as_they_are_stored() -> None:
    observations, _ = received(BOX, BOX)
    assert (observations.shape, observations.dtype) == ((3,), np.float32)
    image = gymnasium.spaces.Box(0, 255, (4, 8, 8), np.uint8)
    assert received(image, BOX)[0] == image
    both, _ = received(gymnasium.spaces.Dict({"image": image, "vector": BOX}), BOX)
    assert isinstance(both, gymnasium.spaces.Dict)
    assert both["image"] == image
    assert both["vector"].shape == (3,)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (nn.Linear(1, 1), "^network is a module - a new one is needed for each run and part"),
        (5, "^network is 5 - it cannot be called"),
        (lambda: nn.Linear(1, 1), "^the network <lambda> cannot be called - too many positional"),
        (lambda observations, actions: 3, "^network returned int - it must return a torch.nn"),
        (lambda observations, actions: 1 / 0, "^the network <lambda> failed - ZeroDivisionError"),
    ],
)
def test_unsuitable_source_is_refused(network: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        call_source(network, describe(BOX, BOX))


def test_lack_of_memory_and_own_errors_are_left_unchanged() -> None:
    for failure in (MemoryError(), UserError("own - words - here")):

        def network(observations: Any, actions: Any, failure: Any = failure) -> nn.Module:
            raise failure

        with pytest.raises(type(failure)) as caught:
            call_source(network, describe(BOX, BOX))
        assert caught.value is failure


def test_part_is_named_with_how_it_is_called() -> None:
    with (
        pytest.raises(
            UserError, match=r"^the actor of the network cannot be called - .* - as f"
        ) as caught,
        naming_part("actor", "as f(x)"),
    ):
        raise ValueError("wrong shape")
    assert isinstance(caught.value.__cause__, ValueError)
    own = UserError("own words")
    with pytest.raises(UserError) as caught, naming_part("actor", "as f(x)"):
        raise own
    assert caught.value is own
