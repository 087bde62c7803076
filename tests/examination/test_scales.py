"""Findings about observations and rewards, of plays written down by hand."""

import numpy as np
import pytest

from footlight.examination.random_play import Ended, Play, Range
from footlight.examination.scales import observation_findings, reward_findings
from footlight.trees import Leaf


def played(rewards: list[float], *lengths: int, truncated: bool = True) -> Play:
    """Episodes of these lengths, with these rewards one after the other."""
    found, rest = Play(rewards=rewards), list(rewards)
    for length in lengths:
        own, rest = rest[:length], rest[length:]
        ends = not truncated, truncated, False
        found.episodes.append(Ended(sum(own), sum(own), length, *ends))
    return found


def checks(play: Play) -> list[str]:
    return [f"{each.severity} {each.check}" for each in reward_findings(play)]


@pytest.mark.parametrize(
    ("rewards", "lengths", "truncated", "expected"),
    [
        ([1.0] * 30, (10, 20), False, []),  # as CartPole: the longer the better
        ([-1.0] * 40, (20, 20), True, ["note reward-sparse"]),  # as MountainCar
        ([1.0] * 40, (20, 20), True, ["warning reward-constant"]),
        ([0.0] * 40, (10, 30), False, ["warning reward-constant"]),
        ([-1.0] * 40, (20, 20), False, ["warning reward-constant"]),
        ([0.0] * 399 + [1.0], (20,) * 20, False, ["note reward-sparse"]),
        ([0.5, -0.5] * 20, (20, 20), True, []),
        ([20.0, -20.0] * 20, (20, 20), True, ["note reward-scale"]),
        ([200.0, -200.0] * 20, (20, 20), True, ["warning reward-scale"]),
        ([1e-5, 2e-5] * 20, (20, 20), True, ["warning reward-scale"]),
        ([1000.0, 1001.0] * 20, (20, 20), True, ["warning reward-shifted"]),
    ],
)
def test_rewards(
    rewards: list[float], lengths: tuple[int, ...], truncated: bool, expected: list[str]
) -> None:
    assert checks(played(rewards, *lengths, truncated=truncated)) == expected


def seen(*rows: list[float]) -> Play:
    found = Range()
    for row in rows:
        found.add(np.array(row))
    return Play(rewards=[0.0] * len(rows), observations={"": found})


BOX = {"": Leaf(shape=(2,), dtype="float32")}


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (([0.0, 1.0], [1.0, -1.0]), []),
        (([0.0, 7.0], [1.0, 7.0]), ["note observation-constant-part"]),
        (([7.0, 7.0], [7.0, 7.0]), ["critical observation-constant"]),
        (([0.0, 50.0], [1.0, -50.0]), ["warning observation-scale"]),  # half of them
        (([0.0, 5e3], [1.0, -5e3]), ["warning observation-scale"]),
        (([1e-6, 0.0], [0.0, 1e-6]), ["warning observation-scale"]),
    ],
)
def test_observations(rows: tuple[list[float], ...], expected: list[str]) -> None:
    found = observation_findings(seen(*rows), BOX)
    assert [f"{each.severity} {each.check}" for each in found] == expected


def test_one_large_component_of_many_is_a_note() -> None:
    leaf = {"": Leaf(shape=(5,), dtype="float32")}
    rows = [50.0, 1, 0, 1, 0], [-50.0, 0, 1, 0, 1]
    (found,) = observation_findings(seen(*map(list, rows)), leaf)
    assert (found.check, found.severity) == ("observation-scale", "note")
    assert "1 of 5 components" in found.evidence


def test_choices_and_images_have_no_scale() -> None:
    choices = {"": Leaf(shape=(2,), dtype="int64", choices=(range(500), range(500)))}
    assert not list(observation_findings(seen([0.0, 400.0], [400.0, 0.0]), choices))
