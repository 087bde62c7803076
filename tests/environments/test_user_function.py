"""Functions and classes that make the user's environments: their render mode and their errors."""

import sys
from functools import partial
from typing import Any

import gymnasium
import numpy as np
import pytest

from footlight.environments.make import make_one
from footlight.environments.user_function import make_env
from footlight.errors import UserError


class Drawn(gymnasium.Env[Any, Any]):
    observation_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, size: int = 1, render_mode: str | None = None) -> None:
        self.size, self.render_mode = size, render_mode


class Handing(Drawn):
    def __init__(self, **more: Any) -> None:
        super().__init__(**more)


def plain() -> Drawn:
    return Drawn()


def narrow(**more: Any) -> Drawn:
    def takes(size: int = 1) -> Drawn:
        return Drawn(size)

    return takes(**more)


def only_position(render_mode: str = "human", /) -> Drawn:
    return Drawn(render_mode=render_mode)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (Drawn, "rgb_array"),
        (Handing, "rgb_array"),
        (partial(Drawn, 3), "rgb_array"),
        (partial(Drawn, size=3, render_mode="human"), "rgb_array"),
        (lambda render_mode=None: Drawn(render_mode=render_mode), "rgb_array"),
        (lambda **more: Drawn(**more), "rgb_array"),
        (plain, None),
        (narrow, None),
        (only_position, "human"),
    ],
)
def test_render_mode_is_passed_if_the_signature_has_it(source: Any, expected: str | None) -> None:
    assert make_one(source, "rgb_array").render_mode == expected


def test_no_render_mode_is_passed_for_training() -> None:
    assert make_one(lambda render_mode="ansi": Drawn(render_mode=render_mode)).render_mode == "ansi"


def test_type_error_of_the_function_itself_is_reported() -> None:
    def broken(**more: Any) -> Any:
        raise TypeError("2 + 'a'")

    with pytest.raises(
        UserError, match=r"broken failed to create an environment - TypeError: 2 \+ 'a'"
    ):
        make_one(broken, "rgb_array")


def test_exit_of_the_function_does_not_end_the_program() -> None:
    with pytest.raises(UserError, match=r"exit failed to create an environment - SystemExit"):
        make_env(sys.exit, "exit")


@pytest.mark.usefixtures("ctrl_c_interrupts")
def test_interruption_of_the_function_is_passed_on() -> None:
    def interrupted() -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_env(interrupted, "interrupted")


@pytest.mark.parametrize(
    ("module", "remedy"),
    [("gym.core", "derive it from gymnasium.Env instead"), ("own", "return a gymnasium.Env")],
)
def test_result_that_is_not_an_environment_is_refused(module: str, remedy: str) -> None:
    made = type("Old", (), {"__module__": module})
    with pytest.raises(UserError, match=rf"old returned Old - .*{remedy}"):
        make_env(made, "old")
