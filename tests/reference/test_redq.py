"""REDQ compared with a second writing of its paper (Chen et al. 2021, arXiv:2101.05982)."""

from functools import cache
from typing import Any

import pytest
import torch
from recorder import Recording
from sac_variants import Batch, Variant, compare, recorded, require_defaults
from torch import Tensor

from footlight.algorithms.redq import Config

PAPER = {
    "num_critics": 10, "target_rule": "subset", "subset_size": 2, "actor_rule": "mean",
    "updates_per_step": 20, "policy_delay": 20, "delay_targets": False,
    "hidden_sizes": (256, 256), "learning_rate": 3e-4, "gamma": 0.99, "tau": 0.005,
    "batch_size": 256, "learning_starts": 5_000, "optimizer": "adam", "target_network": True,
}  # fmt: skip


class REDQ(Variant):
    """Algorithm 1, with the random pair as it was drawn."""

    targets_wait_for_actor = False

    def target(self, next_outputs: list[Tensor], batch: Batch, bonus: Tensor, draws: Batch) -> Any:
        """y with the minimum over a random subset of two critics (line 6)."""
        first, second = draws["critics"].tolist()
        assert first != second
        return super().target([next_outputs[first], next_outputs[second]], batch, bonus, draws)

    def followed(self, values: list[Tensor]) -> Tensor:
        """The mean of all critics (line 12)."""
        return sum(values, torch.zeros(())) / len(values)


@cache
def recording() -> Recording:
    """Two steps of two environments with twenty updates for each, of which one has the actor."""
    found = recorded("redq", num_steps=6, num_critics=4)
    assert len(found.updates) == 80
    return found


def test_defaults_are_those_of_the_paper() -> None:
    require_defaults(Config(), PAPER)


def test_updates_equal_a_second_writing() -> None:
    compare(recording(), REDQ)
    kinds = [update.name for update in recording().updates]
    assert kinds == 4 * ["critic_and_actor", *19 * ["critic"]]
    pairs = {tuple(sorted(update.draws["critics"].tolist())) for update in recording().updates}
    assert pairs == {(i, j) for i in range(4) for j in range(i + 1, 4)}


class MinimumOfAll(REDQ):
    def target(self, next_outputs: list[Tensor], batch: Batch, bonus: Tensor, draws: Batch) -> Any:
        return Variant.target(self, next_outputs, batch, bonus, draws)


class TargetsWait(REDQ):
    targets_wait_for_actor = True


class ActorFollowsMinimum(REDQ):
    def followed(self, values: list[Tensor]) -> Tensor:
        return Variant.followed(self, values)


@pytest.mark.parametrize("wrong", [MinimumOfAll, TargetsWait, ActorFollowsMinimum])
def test_comparison_fails_if_the_writing_is_wrong(wrong: type[REDQ]) -> None:
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        compare(recording(), wrong)
