"""What updates return, checked at the first one; and algorithms tried out on zeros."""

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from own_examples import PureA2C, TorchA2C

import footlight
from footlight.algorithms.authoring import Outcome
from footlight.errors import UserError
from footlight.learning.outcomes import new_metrics, require_none_new
from footlight.trees import tree_items

SPACES = gymnasium.spaces.Box(-1, 1, (4,), np.float32), gymnasium.spaces.Discrete(2)


class Mine:
    METRICS = ("a",)


def test_values_are_looked_at_once() -> None:
    wrong: Any = Outcome({"a": 1.0})  # type: ignore[dict-item]
    with pytest.raises(UserError, match="returned a as a float"):
        new_metrics(Mine(), "update", wrong, ["a"], first=True)
    assert new_metrics(Mine(), "update", wrong, ["a"], first=False) == []
    require_none_new([])


def test_trying_out_changes_nothing() -> None:
    agent = footlight.Agent(PureA2C, *SPACES, seed=1, compile="off")
    before = {name: leaf.clone() for name, leaf in tree_items(agent.state).items()}
    stream = agent.streams.positions()
    agent.learner.try_out("update")
    assert agent.num_updates == 0
    assert agent.streams.positions() == stream
    assert all(leaf.equal(before[name]) for name, leaf in tree_items(agent.state).items())


def test_an_update_that_cannot_take_zeros_is_left_to_the_first_batch() -> None:
    def update(self: Any, state: Any, batch: Any, noise: Any) -> Any:
        if not batch.weight.any():
            raise ValueError("nothing to learn from")
        return Outcome({"loss": torch.zeros(())})

    kind = type("Picky", (PureA2C,), {"update": update, "__module__": __name__})
    agent = footlight.Agent(kind, *SPACES, compile="off", n_steps=2)
    for _ in range(2):
        seen = np.zeros(4, np.float32)
        agent.observe(seen, agent.act(seen, explore=True), 1.0, seen, False, False)
    assert agent.learner.latest() == {"loss": 0.0}


@pytest.mark.parametrize("kind", [PureA2C, TorchA2C])
@pytest.mark.parametrize("mistake", ["missing", "shape"])
def test_mistakes_that_no_number_excuses_are_said_at_the_start(kind: Any, mistake: str) -> None:
    def update(self: Any, *given: Any) -> Any:
        return self.critik if mistake == "missing" else torch.ones(2) @ torch.ones(3)

    mine = type("Mine", (kind,), {"update": update, "__module__": __name__})
    with pytest.raises(UserError, match=r"Mine\.update failed in line \d+ of .*test_outcomes.py"):
        footlight.Agent(mine, *SPACES)


def test_an_object_that_cannot_be_copied_is_tried_out_at_its_first_update() -> None:
    class Alone(TorchA2C):  # type: ignore[misc]
        def __deepcopy__(self, memo: Any) -> Any:
            raise TypeError("there is one of it")

        def update(self, batch: Any) -> Any:
            return None

    agent = footlight.Agent(Alone, *SPACES, n_steps=1)
    seen = np.zeros(4, np.float32)
    with pytest.raises(UserError, match=r"Alone\.update returned None"):
        agent.observe(seen, agent.act(seen, explore=True), 1.0, seen, False, False)
