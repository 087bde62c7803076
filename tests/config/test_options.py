"""Options of a run: their defaults, and the intervals that automatic values stand for."""

import dataclasses
from typing import Any

import pytest

from footlight.config.fields import build, fields
from footlight.config.options import CHANGEABLE, FIRST_OPTIONS, MAX_LINES, Options
from footlight.errors import UserError


@pytest.mark.parametrize(
    ("steps", "given", "log", "evaluation", "checkpoint"),
    [
        (10_000, {}, 1_000, 500, 10_000),
        (1_000_000, {}, 1_000, 50_000, 50_000),
        (50_000_000, {}, 5_000, 2_500_000, 2_500_000),
        (10, {}, 1_000, 1, 10_000),
        (10_000, {"eval_every": 0, "checkpoint_every": 0}, 1_000, 0, 0),
        (10_000, {"eval_every": 7, "checkpoint_every": 9}, 1_000, 7, 9),
    ],
)
def test_automatic_intervals_follow_from_the_number_of_steps(
    steps: int, given: dict[str, Any], log: int, evaluation: int, checkpoint: int
) -> None:
    options = Options(steps=steps, **given)
    assert options.log_interval == log
    assert options.evaluation_interval == evaluation
    assert options.checkpoint_interval == checkpoint
    assert steps / options.log_interval <= MAX_LINES


def test_automatic_number_of_evaluation_episodes_is_larger_at_the_end() -> None:
    automatic, given = Options(), Options(eval_episodes=3)
    assert (automatic.training_eval_episodes, automatic.final_eval_episodes) == (5, 20)
    assert (given.training_eval_episodes, given.final_eval_episodes) == (3, 3)


def test_names_of_changeable_and_first_options_are_options() -> None:
    assert {*CHANGEABLE, *FIRST_OPTIONS} <= set(fields(Options))


def test_options_are_read_from_text() -> None:
    typed = {"steps": "1e6", "max_time": "none", "track": "tensorboard", "wandb_tags": "a b"}
    options = build(Options, typed)
    assert (options.steps, options.max_time, options.track) == (10**6, None, ("tensorboard",))
    assert options.wandb_tags == ("a", "b")


@pytest.mark.parametrize(
    "values", [{"steps": 0}, {"num_envs": 0}, {"max_time": 0.0}, {"keep_checkpoints": 0}]
)
def test_options_out_of_range_are_rejected(values: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=f"{next(iter(values))} is 0"):
        dataclasses.replace(Options(), **values)
