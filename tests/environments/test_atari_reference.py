"""Atari games against a frame-by-frame reference: preprocessing, sticky actions, fire, lives."""

from collections import deque
from typing import Any

import ale_py
import numpy as np
import pytest

from footlight.environments.ale import make_ale
from footlight.environments.atari import AtariConfig, AtariGame
from footlight.environments.infos import LIFE_LOST
from footlight.types import Array

ROMS = {"ALE/Breakout-v5": "breakout", "ALE/Seaquest-v5": "seaquest", "ALE/Freeway-v5": "freeway"}


def area_weights(source: int, target: int) -> Array:
    """[target, source]: the share that each source pixel has in each target pixel."""
    edges = np.arange(target + 1) * (source / target)
    pixels = np.arange(source)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return np.maximum(overlap, 0) * (target / source)


class Reference:
    """One game, as the papers describe it.

    presses: steps for which fire is held; 0 in games without the button.
    """

    def __init__(self, game: str, config: AtariConfig, presses: int) -> None:
        self.config, self.presses, self.rom = config, presses, ale_py.roms.get_rom_path(ROMS[game])
        self.rows, self.columns = (area_weights(size, config.screen_size) for size in (210, 160))

    def reset(self, seed: int, noops: int) -> Array:
        """Start a game. The number of no-ops is ale-py's own draw and therefore given."""
        self.ale = ale_py.ALEInterface()
        self.ale.setFloat("repeat_action_probability", self.config.sticky_actions)
        self.ale.setInt("random_seed", seed)
        self.ale.loadROM(self.rom)
        self.ale.reset_game()
        for _ in range(noops):
            self.ale.act(ale_py.Action.NOOP)
        first = self.picture([self.frame()])
        self.stack = deque(
            [np.zeros_like(first)] * self.config.frame_stack, self.config.frame_stack
        )
        self.stack.append(first)
        self.press_fire()
        return np.stack(self.stack)

    def step(self, action: int) -> tuple[Array, float, bool, bool]:
        """One action: observation, reward, game over, life lost."""
        lives, reward = self.ale.lives(), self.play(self.ale.getMinimalActionSet()[action])
        lost = self.ale.lives() < lives and not self.ale.game_over()
        if lost:
            reward += self.press_fire()
        return np.stack(self.stack), reward, self.ale.game_over(), lost

    def press_fire(self) -> float:
        return sum(self.play(ale_py.Action.FIRE) for _ in range(self.presses))

    def play(self, action: ale_py.Action) -> float:
        shown, reward, frames = 2 if self.config.max_pool else 1, 0.0, []
        for left in reversed(range(self.config.frame_skip)):
            reward += self.ale.act(action)
            if left < shown:
                frames.append(self.frame())
        self.stack.append(self.picture(frames))
        return reward

    def frame(self) -> Array:
        """The screen, in color or as brightness."""
        color = self.ale.getScreenRGB()
        if not self.config.grayscale:
            return color
        red, green, blue = np.moveaxis(color, -1, 0)
        return np.round(0.2989 * red + 0.5870 * green + 0.1140 * blue)

    def picture(self, frames: list[Array]) -> Array:
        """The maximum of the frames, made smaller by averaging over areas."""
        screen = np.max(frames, 0).astype(float)
        channels = [screen] if self.config.grayscale else list(np.moveaxis(screen, -1, 0))
        # Not a matrix product, whose threads slow each other down if tests run in parallel
        small = [
            np.einsum("xj,yj->yx", self.columns, np.einsum("yi,ij->yj", self.rows, channel))
            for channel in channels
        ]
        return small[0] if self.config.grayscale else np.stack(small, -1)


def assert_pictures_equal(shown: Array, expected: Array) -> None:
    """To the nearest integer, whichever way halves are rounded."""
    assert shown.shape == expected.shape
    assert np.abs(shown - expected).max() <= 0.5 + 1e-3


def noops_of(game: str, config: AtariConfig, seed: int) -> int:
    """How many frames without action the game begins with."""
    info = make_ale(AtariGame(game, config)).reset(seed=np.array([seed]))[1]
    return int(info["episode_frame_number"][0])


@pytest.mark.parametrize(
    ("game", "presses", "changed"),
    [
        ("ALE/Breakout-v5", 3, {}),
        (
            "ALE/Breakout-v5",
            1,
            {"sticky_actions": 0.0, "frame_skip": 3, "max_pool": False, "frame_stack": 2},
        ),
        ("ALE/Breakout-v5", 0, {"fire_reset": False, "sticky_actions": 0.5, "screen_size": 50}),
        ("ALE/Seaquest-v5", 3, {"noop_max": 5}),
        ("ALE/Freeway-v5", 0, {"grayscale": False, "screen_size": 60}),  # has no button
    ],
)
def test_game_equals_the_reference(game: str, presses: int, changed: dict[str, Any]) -> None:
    config = AtariConfig(life_loss_ends=True, **changed)
    reference, env, player = (
        Reference(game, config, presses),
        AtariGame(game, config)(),
        np.random.default_rng(0),
    )
    lives_lost = 0
    assert_pictures_equal(env.reset(seed=5)[0], reference.reset(5, noops_of(game, config, 5)))
    for _ in range(90):
        action = int(player.integers(env.action_space.n))  # type: ignore[attr-defined]
        expected, reward, over, lost = reference.step(action)
        observation, earned, terminated, truncated, info = env.step(action)
        assert (earned, terminated, truncated, info[LIFE_LOST]) == (reward, over, False, lost)
        lives_lost += lost
        if over:
            break
        assert_pictures_equal(observation, expected)
    assert lives_lost >= 1 or presses == 0


@pytest.mark.parametrize("num_envs", [1, 6])
def test_every_game_and_every_life_begins_with_fire(num_envs: int) -> None:
    """Nobody touches the joystick: each ball falls, is lost, and the next one has to be there."""
    env = AtariGame("ALE/Breakout-v5").vector(num_envs)
    before, _ = env.reset(seed=list(range(num_envs)))
    ends, still = np.zeros(num_envs, int), np.zeros(num_envs, int)
    for _ in range(130):
        after, _, terminated, _, _ = env.step(np.zeros(num_envs, np.int64))
        still = np.where((before != after).any((1, 2, 3)), 0, still + 1)
        assert still.max() < 5  # nothing but the ball moves while nobody plays
        before, ends = after, ends + terminated
    assert ends.min() >= 1  # five balls, and the first of the next game


def test_single_and_vector_games_are_equal_until_the_game_is_over() -> None:
    game = AtariGame("ALE/Breakout-v5", AtariConfig(life_loss_ends=True))
    single, several, player = game(), game.vector(3), np.random.default_rng(0)
    observation, _ = single.reset(seed=6)
    together, _ = several.reset(seed=[5, 6, 7])
    lives_lost, over = 0, False
    while not over:
        assert np.array_equal(observation, together[1])
        action = int(player.integers(4))
        observation, reward, over, _, info = single.step(action)
        together, rewards, terminated, _, infos = several.step(np.full(3, action))
        lost = bool(infos.get(LIFE_LOST, np.zeros(3, bool))[1])
        assert (reward, over, info[LIFE_LOST]) == (rewards[1], terminated[1], lost)
        lives_lost += lost
    assert lives_lost == 4


def test_fire_reset_has_no_effect_in_games_without_the_button() -> None:
    shown = []
    for fire_reset in (True, False):
        env = AtariGame("ALE/Freeway-v5", AtariConfig(fire_reset=fire_reset))()
        shown.append([env.reset(seed=1)[0], *(env.step(1)[0] for _ in range(5))])
    assert np.array_equal(*shown)
