"""Atari games emulated and preprocessed in C++ by ale-py's vector environment.

Every game is an ale-py vector environment of one, on a thread of its own. Several are stepped
together by sending all actions before the first result is read. ale-py steps all games of a vector
environment or none, but the fire button has to be pressed in some games while the others wait.
"""

import importlib
import math
import os
import warnings
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np

from footlight.config.suggestions import closest
from footlight.errors import UserError
from footlight.machine import cores
from footlight.types import Array

if TYPE_CHECKING:
    from footlight.environments.atari import AtariGame

PREFIX = "ALE/"
MISSED_PRESS = 1e-6  # at most, the probability that sticky actions ignore a whole press of fire
MAX_SERVES = 8  # presses in a row that each cost a life
MAX_PRESS_FRAMES = 60  # one second of the game


def make_ale(game: "AtariGame", **changes: Any) -> Any:
    """ale-py's vector environment of one game; `changes` replace arguments from its config.

    Raises `UserError`.
    """
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
        "noop_max": config.noop_max + 1,  # ale-py draws from 0 to one less
        "use_fire_reset": False,  # it would press for one frame, which sticky actions may ignore
        "reward_clipping": False,
        "episodic_life": False,  # it would forget what came before the life was lost
        "num_threads": 1,
    }
    return ale_py.AtariVectorEnv(_rom(ale_py, game.id), 1, **settings | changes)


def import_ale(name: str) -> Any:
    """Import ale_py and register its games. Raises `UserError` if it is missing."""
    try:
        ale_py = importlib.import_module("ale_py")
    except ImportError as error:
        raise UserError(
            f'{name} needs the package ale-py - {error} - pip install "footlight[atari]"'
        ) from error
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)  # no banner
    gymnasium.register_envs(ale_py)
    return ale_py


def _rom(ale_py: Any, name: str) -> str:
    """The name of the game's ROM, which must be there. Raises `UserError`."""
    spec = gymnasium.registry.get(name)
    if spec is None:
        games = [known for known in gymnasium.registry if known.startswith(PREFIX)]
        raise UserError(
            f"unknown game {name!r}{closest(name, games) or ' - see `footlight list environments`'}"
        )
    rom = str(spec.kwargs["game"])
    folder = os.environ.get("ALE_ROMS_DIR", "the folder of ale_py")
    try:
        with warnings.catch_warnings(action="ignore"):
            found = ale_py.roms.get_rom_path(rom)
    except OSError as error:
        what = f"{name} cannot be played - {error} - repair {folder}, or reinstall ale-py"
        raise UserError(what) from error
    if found is None:
        raise UserError(
            f"{name} cannot be played - {folder} has no ROM {rom}.bin - put it there, or "
            "reinstall ale-py"
        )
    return rom


class Games:
    """Games that are stepped together.

    The attributes hold what the last reset or step returned, with an entry for each game.
    """

    def __init__(self, game: "AtariGame", num_envs: int, **changes: Any) -> None:
        self.ales = [make_ale(game, **changes) for _ in range(num_envs)]
        self.fire, self._presses = -1, 0
        buttons = [action.name for action in self.ales[0].ale.get_action_set()]
        if game.config.fire_reset and "FIRE" in buttons:
            self.fire = buttons.index("FIRE")
            self._presses = steps_to_press(game.config.sticky_actions, game.config.frame_skip)
        shape = self.ales[0].single_observation_space.shape
        self.observation = np.zeros((num_envs, *shape), np.uint8)
        self.reward = np.zeros(num_envs)
        self.terminated, self.truncated = np.zeros(num_envs, bool), np.zeros(num_envs, bool)
        self.lives = np.zeros(num_envs, np.int64)
        self.life_lost = np.zeros(num_envs, bool)

    def reset(self, seeds: dict[int, int | None]) -> None:
        """Begin a game in each of these, with its seed.

        Without a seed the emulator continues its sequence of random numbers.
        """

        def begin(game: int) -> Any:
            seed = seeds[game]
            number = -1 if seed is None else seed & 0x7FFFFFFF  # a C++ int
            return self.ales[game].reset(seed=np.array([number]))

        with ThreadPoolExecutor(cores()) as pool:  # a seed reloads the game, which takes 70 ms
            for game, (observation, info) in zip(seeds, pool.map(begin, seeds), strict=True):
                self.observation[game], self.lives[game] = observation[0], info["lives"][0]
        self.terminated[list(seeds)] = self.truncated[list(seeds)] = False
        self._press_fire(seeds)

    def step(self, actions: Array) -> None:
        """Step all; those that ended with their last step begin their next game instead."""
        begun, lives = self.terminated | self.truncated, self.lives.copy()
        self.reward[:] = 0
        self._play(range(len(self.ales)), actions)
        self.life_lost = (self.lives < lives) & ~begun
        self._press_fire(np.flatnonzero(begun | self.life_lost).tolist())
        self.life_lost &= ~self.terminated & ~self.truncated

    def _press_fire(self, games: Collection[int]) -> None:
        """Hold fire in these games, and again in those that lost a life meanwhile."""
        for _ in range(MAX_SERVES):
            lives = self.lives.copy()
            for _ in range(self._presses):
                # A game that has ended would begin the next one
                ended = self.terminated | self.truncated
                games = [game for game in games if not ended[game]]
                self._play(games, np.full(len(self.ales), self.fire))
            games = [game for game in games if self.lives[game] < lives[game]]
            if not games:
                return

    def _play(self, games: Collection[int], actions: Array) -> None:
        for game in games:
            self.ales[game].send(actions[game : game + 1])
        for game in games:
            observation, reward, terminated, truncated, info = self.ales[game].recv()
            self.observation[game] = observation[0]
            self.reward[game] += reward[0]
            self.terminated[game], self.truncated[game] = terminated[0], truncated[0]
            self.lives[game] = info["lives"][0]


def steps_to_press(sticky_actions: float, frame_skip: int) -> int:
    """Steps to hold fire, so that sticky actions almost never ignore the whole press.

    A frame ignores the new action with probability `sticky_actions`, n frames in a row with that to
    the power of n. Once a frame has taken the new action, those that repeat it press, too.
    """
    if sticky_actions == 0:
        return 1
    frames: float = MAX_PRESS_FRAMES
    if sticky_actions < 1:
        frames = math.log(MISSED_PRESS) / math.log(sticky_actions)
    return math.ceil(min(frames, MAX_PRESS_FRAMES) / frame_skip)
