"""Atari games by their `ALE/...-v5` ids, through ale-py's own vector environment, which emulates and preprocesses in C++.

One game and sixteen are the same code: an environment of one is a vector environment of one. Preprocessing is that of Mnih et al.
2015 (frames skipped, the last two joined by their maximum, grey, 84 x 84, four stacked, up to 30 no-ops at the start) with the
sticky actions of Machado et al. 2018 (arXiv:1709.06009). Rewards stay the game's own; it is the agent that may cut them off
before it learns from them (`clip_reward`).
"""

import importlib
import os
import warnings
from dataclasses import dataclass, replace
from typing import Annotated, Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv

from footlight.config import Fraction, Range, check
from footlight.environments.native import cores
from footlight.errors import UserError, closest
from footlight.types import Array

PREFIX = "ALE/"
LIFE_LOST = "footlight.life_lost"  # key of an info: the end of an episode for learning, while the game goes on
SCREEN = (210, 160)  # height and width of the pictures that are drawn
Few = Annotated[int, Range(1, 64)]


@dataclass(frozen=True, kw_only=True)
class AtariConfig:
    """How an Atari game is shown and played."""

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
    """An episode begins with up to this many frames in which nothing is done."""
    fire_reset: bool = True
    """Press fire at the start of an episode in games that wait for it."""
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
    """A game and how it is played: a function that makes it, once or several times over."""

    id: str
    config: AtariConfig = AtariConfig()

    @property
    def __name__(self) -> str:
        return self.id

    def __call__(self, render_mode: str | None = None) -> "AtariEnv":
        """One environment. Raises `UserError` where ale-py or the game is missing."""
        return AtariEnv(self, render_mode)

    def vector(self, num_envs: int) -> "AtariVector":
        """Several that step together. Raises `UserError` where ale-py or the game is missing."""
        return AtariVector(self, num_envs)

    def whole(self) -> "AtariGame":
        """The same for evaluation, where only the end of the game is an end."""
        return replace(self, config=replace(self.config, life_loss_ends=False))


def make_ale(game: AtariGame, num_envs: int, **picture: Any) -> Any:
    """ale-py's vector environment; `picture` are its arguments that differ from the config's. Raises `UserError`."""
    ale_py = import_ale(game.id)
    config = game.config
    settings = {
        "repeat_action_probability": config.sticky_actions,
        "full_action_space": config.full_actions,
        "max_num_frames_per_episode": config.max_frames,
        "frameskip": config.frame_skip,
        "maxpool": config.max_pool,
        "stack_num": config.frame_stack,
        "img_height": config.screen_size,
        "img_width": config.screen_size,
        "grayscale": config.grayscale,
        "noop_max": config.noop_max,
        "use_fire_reset": config.fire_reset,
        "reward_clipping": False,
        "episodic_life": False,  # it would forget what came before the life was lost
        "num_threads": min(num_envs, cores()),
    }
    return ale_py.AtariVectorEnv(_rom(ale_py, game.id), num_envs, **settings | picture)


def import_ale(name: str) -> Any:
    """The module ale_py, its games registered with gymnasium. Raises `UserError` where it is missing."""
    try:
        ale_py = importlib.import_module("ale_py")
    except ImportError as error:
        raise UserError(f"{name} needs the package ale-py - {error} - pip install 'footlight[atari]'") from error
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)  # a banner
    gymnasium.register_envs(ale_py)
    return ale_py


def _rom(ale_py: Any, name: str) -> str:
    """The name of the file that holds the game, checked to be there. Raises `UserError`."""
    spec = gymnasium.registry.get(name)
    if spec is None:
        games = [known for known in gymnasium.registry if known.startswith(PREFIX)]
        raise UserError(f"unknown game {name!r}{closest(name, games) or ' - see `footlight list environments`'}")
    rom = str(spec.kwargs["game"])
    folder = os.environ.get("ALE_ROMS_DIR", "the folder of ale_py")
    try:
        with warnings.catch_warnings(action="ignore"):
            found = ale_py.roms.get_rom_path(rom)
    except OSError as error:
        raise UserError(f"{name} cannot be played - {error} - mend {folder}, or install ale-py anew") from error
    if found is None:
        raise UserError(f"{name} cannot be played - {folder} has no ROM {rom}.bin - put it there, or install ale-py anew")
    return rom


class AtariVector(VectorEnv[Array, Array, Array]):
    """Several games at once. An ended one resets at its next step (NEXT_STEP), with the emulator's own random numbers."""

    metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012 - as Gymnasium has it
    takes_seed_for_each = True

    def __init__(self, game: AtariGame, num_envs: int) -> None:
        self._games = make_ale(game, num_envs)
        self.num_envs, self._life_loss_ends = num_envs, game.config.life_loss_ends
        self.single_observation_space = self._games.single_observation_space
        self.single_action_space = self._games.single_action_space
        self.observation_space, self.action_space = self._games.observation_space, self._games.action_space
        self._lives = np.zeros(num_envs, np.int32)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        """Begin a game in each, or in those of the mask `options["reset_mask"]`; `seed` is one for each of these, or None."""
        seeds = None if seed is None else np.array([number & 0x7FFFFFFF for number in seed if number is not None])  # C++ ints
        observation, info = self._games.reset(seed=seeds, options=options)
        self._lives = info["lives"]
        return observation, {}

    def step(self, actions: Array) -> tuple[Array, Array, Array, Array, dict[str, Any]]:
        """One step of each; those that ended with their last step begin their next game instead."""
        observation, reward, terminated, truncated, info = self._games.step(np.asarray(actions))
        lives = info["lives"]
        lost = (lives < self._lives) & ~terminated & ~truncated
        self._lives = lives
        return observation, reward, terminated, truncated, {LIFE_LOST: lost} if self._life_loss_ends and lost.any() else {}


class AtariEnv(gymnasium.Env[Array, Any]):
    """One game. It is drawn from a twin that plays the same in colour and at full size."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012 - as Gymnasium has it

    def __init__(self, game: AtariGame, render_mode: str | None = None) -> None:
        if render_mode not in (None, "rgb_array"):
            raise UserError(f"render_mode is {render_mode!r} - Atari games are drawn as rgb_array")
        self.render_mode = render_mode
        self.metadata = {"render_modes": ["rgb_array"], "render_fps": 60 / game.config.frame_skip}
        self._game = make_ale(game, 1)
        self._twin = None
        if render_mode is not None:
            self._twin = make_ale(game, 1, grayscale=False, img_height=SCREEN[0], img_width=SCREEN[1], stack_num=1)
        self.observation_space, self.action_space = self._game.single_observation_space, self._game.single_action_space
        self._life_loss_ends, self._lives, self._picture = game.config.life_loss_ends, 0, np.zeros((*SCREEN, 3), np.uint8)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        """Begin a game."""
        super().reset(seed=seed)
        chosen = np.array([int(self.np_random.integers(2**31)) if seed is None else seed & 0x7FFFFFFF])
        observation, info = self._game.reset(seed=chosen)
        self._lives = int(info["lives"][0])
        if self._twin is not None:
            self._picture = self._twin.reset(seed=chosen)[0][0, -1]
        return observation[0], {"lives": self._lives}

    def step(self, action: Any) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """One action for `frame_skip` frames."""
        actions = np.array([action], np.int64)
        observation, reward, terminated, truncated, info = self._game.step(actions)
        if self._twin is not None:
            self._picture = self._twin.step(actions)[0][0, -1]
        ended, before, self._lives = bool(terminated[0] or truncated[0]), self._lives, int(info["lives"][0])
        lost = self._life_loss_ends and self._lives < before and not ended
        return observation[0], float(reward[0]), bool(terminated[0]), bool(truncated[0]), {"lives": self._lives, LIFE_LOST: lost}

    def get_action_meanings(self) -> list[str]:
        """The joystick's position for each action."""
        return [action.name for action in self._game.ale.get_action_set()]

    def render(self) -> Any:
        """The screen, [210, 160, 3] bytes."""
        return self._picture
