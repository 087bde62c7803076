"""The emulator behind Atari games: presses of fire, no-ops, and a missing package."""

import sys
from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import pytest

from footlight.environments import ale
from footlight.environments.ale import make_ale, steps_to_press
from footlight.environments.atari import AtariConfig, AtariGame, AtariVector
from footlight.errors import UserError

BREAKOUT = "ALE/Breakout-v5"


def test_missing_package_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ale_py", None)
    with pytest.raises(
        UserError, match=r'needs the package ale-py - .* - pip install "footlight\[atari\]"'
    ):
        AtariVector(AtariGame(BREAKOUT), 2)


class Serving:
    """Stands for an emulator: the first `num_lost` presses of fire cost a life each."""

    def __init__(self, num_lost: int) -> None:
        self.lives, self.num_lost, self.sent = 5, num_lost, list[int]()
        self.single_observation_space = gymnasium.spaces.Box(0, 255, (4, 84, 84), np.uint8)
        self.ale = SimpleNamespace(
            get_action_set=lambda: [SimpleNamespace(name=name) for name in ("NOOP", "FIRE")]
        )

    def _answer(self) -> dict[str, Any]:
        return {"lives": np.array([self.lives])}

    def reset(self, seed: Any) -> tuple[Any, dict[str, Any]]:
        return np.zeros((1, 4, 84, 84), np.uint8), self._answer()

    def send(self, actions: Any) -> None:
        self.sent.append(int(actions[0]))
        if actions[0] == 1 and self.num_lost:
            self.lives, self.num_lost = self.lives - 1, self.num_lost - 1

    def recv(self) -> tuple[Any, ...]:
        return (
            np.zeros((1, 4, 84, 84), np.uint8),
            np.zeros(1),
            np.zeros(1, bool),
            np.zeros(1, bool),
            self._answer(),
        )


@pytest.mark.parametrize(("num_lost", "presses"), [(0, 1), (2, 3)])
def test_fire_is_pressed_again_after_a_press_that_cost_a_life(
    num_lost: int, presses: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ale, "make_ale", lambda game, **changes: Serving(num_lost))
    game = AtariGame(BREAKOUT, AtariConfig(sticky_actions=0.0, fire_reset=True))
    games = ale.Games(game, 2)
    games.reset({0: 0, 1: 1})
    assert [ale.sent for ale in games.ales] == [[1] * presses] * 2
    games.ales[0].lives -= 1  # in the game itself
    games.ales[0].num_lost = num_lost
    games.step(np.zeros(2, np.int64))
    assert [ale.sent for ale in games.ales] == [
        [1] * presses + [0] + [1] * presses,
        [1] * presses + [0],
    ]
    assert games.life_lost.tolist() == [True, False]


@pytest.mark.parametrize("noop_max", [0, 3, 30])
def test_noops_are_drawn_from_zero_to_noop_max(noop_max: int) -> None:
    ale = make_ale(AtariGame("ALE/Breakout-v5", AtariConfig(noop_max=noop_max)))
    ale.reset(seed=np.array([0]))
    counts = {int(ale.reset()[1]["episode_frame_number"][0]) for _ in range(8 * noop_max + 10)}
    assert counts == set(range(noop_max + 1))


@pytest.mark.parametrize(
    ("sticky_actions", "frame_skip", "steps"),
    [(0.0, 4, 1), (0.25, 4, 3), (0.25, 1, 10), (0.5, 4, 5), (0.99, 4, 15), (1.0, 4, 15)],
)
def test_fire_is_held_long_enough_for_sticky_actions(
    sticky_actions: float, frame_skip: int, steps: int
) -> None:
    assert steps_to_press(sticky_actions, frame_skip) == steps
    if sticky_actions <= 0.5:
        assert sticky_actions ** (steps * frame_skip) < 1e-6
