"""Atari games by their `ALE/...-v5` ids, emulated and preprocessed in C++ by ale-py.

Preprocessing is that of Mnih et al. 2015 (frames skipped, the maximum of the last two, grayscale,
84 x 84, four stacked, up to 30 no-ops at the start) with the sticky actions of Machado et al. 2018
(arXiv:1709.06009). Rewards stay the game's own; the agent may clip them before it learns from them
(`clip_reward`).
"""

from dataclasses import dataclass, replace
from typing import Annotated, Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from footlight.config.fields import Fraction, KnownFields, Range, check
from footlight.environments.ale import PREFIX as PREFIX
from footlight.environments.ale import Games
from footlight.environments.infos import LIFE_LOST
from footlight.errors import UserError
from footlight.types import Array

SCREEN = (210, 160)  # height and width of rendered frames
Few = Annotated[int, Range(1, 64)]


@dataclass(frozen=True, kw_only=True)
class AtariConfig(KnownFields):
    """Settings of an Atari game."""

    frame_skip: Few = 4
    """Emulator frames per step, over which the action is repeated."""
    max_pool: bool = True
    """Take the maximum of a step's last two frames, since many games draw their sprites in
    turns."""
    frame_stack: Few = 4
    """Images per observation, the newest last."""
    screen_size: Annotated[int, Range(1, 512)] = 84
    """Height and width of an image."""
    grayscale: bool = True
    """Grayscale images instead of color."""
    noop_max: Annotated[int, Range(0, 10_000)] = 30
    """Largest number of frames without action at the start of a game; drawn uniformly from 0 to
    this for each game."""
    fire_reset: bool = True
    """Press fire at the start of a game and after each lost life, in games with that button, until
    sticky actions cannot have ignored it. Many games wait for it."""
    sticky_actions: Fraction = 0.25
    """Probability per frame of repeating the previous action instead of the new one."""
    life_loss_ends: bool = False
    """End the episode for learning when a life is lost, in training only. Reported episodes are
    always whole games."""
    full_actions: bool = False
    """All 18 joystick actions instead of the game's own subset."""
    max_frames: Annotated[int, Range(1, 2**31 - 1)] = 108_000
    """Frames after which a game is truncated (108,000: half an hour)."""

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class AtariGame:
    """A game and its settings; calling it makes an environment."""

    id: str
    config: AtariConfig = AtariConfig()

    @property
    def __name__(self) -> str:
        return self.id

    def __call__(self, render_mode: str | None = None) -> "AtariEnv":
        """One environment. Raises `UserError` if ale-py or the game is missing."""
        return AtariEnv(self, render_mode)

    def vector(self, num_envs: int) -> "AtariVector":
        """Several that step together. Raises `UserError` if ale-py or the game is missing."""
        return AtariVector(self, num_envs)

    def whole(self) -> "AtariGame":
        """The same for evaluation, where only the end of the game is an end."""
        return replace(self, config=replace(self.config, life_loss_ends=False))


class AtariVector(VectorEnv[Array, Array, Array]):
    """Several games at once.

    A game that has ended resets at its next step (NEXT_STEP), with the emulator's own randomness.
    """

    metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012 - as Gymnasium has it
    takes_seed_for_each = True

    def __init__(self, game: AtariGame, num_envs: int) -> None:
        self._games = Games(game, num_envs)
        self.num_envs, self._life_loss_ends = num_envs, game.config.life_loss_ends
        self.single_observation_space = self._games.ales[0].single_observation_space
        self.single_action_space = self._games.ales[0].single_action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

    def reset(
        self, *, seed: Any = None, options: dict[str, Any] | None = None
    ) -> tuple[Array, dict[str, Any]]:
        """Begin a game in each, or in those of the mask `options["reset_mask"]`.

        seed: one for each of these, or None.
        """
        mask = (options or {}).get("reset_mask", np.ones(self.num_envs, bool))
        games = np.flatnonzero(mask).tolist()
        seeds = [None] * len(games)
        if seed is not None:
            seeds = [number for number in seed if number is not None]
        self._games.reset(dict(zip(games, seeds, strict=True)))
        return self._games.observation.copy(), {}

    def step(self, actions: Array) -> tuple[Array, Array, Array, Array, dict[str, Any]]:
        """Step all; those that ended with their last step begin their next game instead."""
        games = self._games
        games.step(np.asarray(actions))
        info: dict[str, Any] = {}
        if self._life_loss_ends and games.life_lost.any():
            info[LIFE_LOST] = games.life_lost
        return (
            games.observation.copy(),
            games.reward.copy(),
            games.terminated.copy(),
            games.truncated.copy(),
            info,
        )


class AtariEnv(gymnasium.Env[Array, Any]):
    """One game. Frames are rendered by a twin that plays the same in color and at full size."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012 - as Gymnasium has it

    def __init__(self, game: AtariGame, render_mode: str | None = None) -> None:
        if render_mode not in (None, "rgb_array"):
            raise UserError(f"render_mode is {render_mode!r} - Atari games are drawn as rgb_array")
        self.render_mode = render_mode
        self.metadata = {"render_modes": ["rgb_array"], "render_fps": 60 / game.config.frame_skip}
        self._game, self._twin = Games(game, 1), None
        if render_mode is not None:
            self._twin = Games(
                game, 1, grayscale=False, img_height=SCREEN[0], img_width=SCREEN[1], stack_num=1
            )
        self._ale = self._game.ales[0]
        self.observation_space = self._ale.single_observation_space
        self.action_space = self._ale.single_action_space
        self._life_loss_ends = game.config.life_loss_ends

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Array, dict[str, Any]]:
        """Begin a game."""
        super().reset(seed=seed)
        chosen = int(self.np_random.integers(2**31)) if seed is None else seed
        for games in self._both():
            games.reset({0: chosen})
        return self._game.observation[0].copy(), {"lives": int(self._game.lives[0])}

    def step(self, action: Any) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """One action for `frame_skip` frames."""
        for games in self._both():
            games.step(np.array([action], np.int64))
        game = self._game
        info = {
            "lives": int(game.lives[0]),
            LIFE_LOST: self._life_loss_ends and bool(game.life_lost[0]),
        }
        return (
            game.observation[0].copy(),
            float(game.reward[0]),
            bool(game.terminated[0]),
            bool(game.truncated[0]),
            info,
        )

    def _both(self) -> list[Games]:
        return [self._game] if self._twin is None else [self._game, self._twin]

    def get_action_meanings(self) -> list[str]:
        """The joystick's position for each action."""
        return [action.name for action in self._ale.ale.get_action_set()]

    def render(self) -> Any:
        """The screen, [210, 160, 3] bytes."""
        if self._twin is None:
            return np.zeros((*SCREEN, 3), np.uint8)
        return self._twin.observation[0, -1].copy()
