"""Attributes that are compared between two instances, and those that cannot be."""

import dataclasses
import enum
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from footlight.environments.attributes import INCOMPARABLE, differ, plain


class Task(enum.Enum):
    REACH = 1
    PUSH = 2


@dataclasses.dataclass
class Layout:
    size: int
    walls: Any


def shaped(scale: float) -> Callable[[float], float]:
    return lambda reward: reward * scale


class Shaper:
    def double(self, reward: float) -> float:
        return 2 * reward

    def halve(self, reward: float) -> float:
        return reward / 2


MADE: dict[str, tuple[Callable[[], Any], Any]] = {  # an attribute, and another value of it
    "none": (lambda: None, (20, 20)),
    "large array": (lambda: np.zeros((40, 40)), np.eye(40)),
    "dtype": (lambda: np.zeros(4, np.int32), np.zeros(4, np.float32)),
    "array of text": (lambda: np.array(["#", "."]), np.array(["#", "#"])),
    "array of objects": (
        lambda: np.array([(1, 2), None], object),
        np.array([(1, 3), None], object),
    ),
    "long list": (lambda: list(range(2_000)), [*range(1_999), 0]),
    "not a number": (lambda: float("nan"), 0.0),
    "set": (lambda: {(1, 2), (3, 4), "a"}, {(1, 2), "a"}),
    "dict": (lambda: {(0, 0): "wall"}, {(0, 0): "goal"}),
    "enum": (lambda: Task.REACH, Task.PUSH),
    "dataclass": (lambda: Layout(3, np.zeros(3)), Layout(3, np.ones(3))),
    "function": (lambda: lambda reward: reward, lambda reward: -reward),
    "closure": (lambda: shaped(2.0), shaped(3.0)),
    "partial": (lambda: functools.partial(shaped, 2.0), functools.partial(shaped, 3.0)),
    "method": (lambda: Shaper().double, Shaper().halve),
}


@pytest.mark.parametrize("name", MADE)
def test_equal_attributes_compare_equal_and_others_do_not(name: str) -> None:
    make_it, other = MADE[name]
    assert plain(make_it()) == plain(make_it())
    assert not differ(plain(make_it()), plain(make_it()))
    assert plain(make_it()) != INCOMPARABLE
    assert differ(plain(make_it()), plain(other))


@pytest.mark.parametrize("value", [Shaper(), torch.zeros(2), np.random.default_rng(0), print])
def test_objects_of_other_classes_are_not_compared(value: Any) -> None:
    assert plain(value) is INCOMPARABLE


def test_collection_with_incomparable_objects_is_compared_in_its_other_parts() -> None:
    assert not differ(plain([Shaper(), 1]), plain([torch.zeros(2), 1]))
    assert differ(plain([Shaper(), 1]), plain([Shaper(), 2]))
    assert not differ(plain(None), plain([Shaper()]))  # made by a first `render`, perhaps


def test_collection_that_contains_itself_is_finite() -> None:
    endless: list[Any] = []
    endless.append(endless)
    assert plain(endless) == plain(endless)
