"""Atari games by their `ALE/...-v5` ids, emulated and preprocessed in C++ by ale-py's vector environment.

Preprocessing is that of Mnih et al. 2015 (frames skipped, the maximum of the last two, grayscale, 84 x 84, four stacked, up to 30
no-ops at the start) with the sticky actions of Machado et al. 2018 (arXiv:1709.06009). Rewards stay the game's own; the agent may
clip them before it learns from them (`clip_reward`).

Every game is an ale-py vector environment of one, on a thread of its own. Several are stepped together by sending all actions
before the first result is read. ale-py steps all games of a vector environment or none, but the fire button has to be pressed in
some games while the others wait.
"""

import importlib
import math
import os
import warnings
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Annotated, Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from footlight.config.fields import Fraction, Range, check
from footlight.config.suggestions import closest
from footlight.errors import UserError
from footlight.machine import cores
from footlight.types import Array

PREFIX = "ALE/"
LIFE_LOST = "footlight.life_lost"  # key of an info: the end of an episode for learning, while the game goes on
SCREEN = (210, 160)  # height and width of the pictures that are drawn
MISSED_PRESS = 1e-6  # probability at most that sticky actions ignore every frame of a press of fire
MAX_SERVES = 8  # presses in a row that each cost a life
MAX_PRESS_FRAMES = 60  # one second of the game
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
    """Largest number of frames without action at the start of a game; drawn uniformly from 0 to this
    for each game."""
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


def make_ale(game: AtariGame, **changes: Any) -> Any:
    """ale-py's vector environment of one game; `changes` replace arguments from the config. Raises `UserError`."""
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
    """The module ale_py, its games registered with gymnasium. Raises `UserError` where it is missing."""
    try:
        ale_py = importlib.import_module("ale_py")
    except ImportError as error:
        raise UserError(
            f"{name} needs the package ale-py - {error} - pip install 'footlight[atari]'"
        ) from error
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)  # a banner
    gymnasium.register_envs(ale_py)
    return ale_py


def _rom(ale_py: Any, name: str) -> str:
    """The name of the file that holds the game, checked to be there. Raises `UserError`."""
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
        raise UserError(
            f"{name} cannot be played - {error} - mend {folder}, or install ale-py anew"
        ) from error
    if found is None:
        raise UserError(
            f"{name} cannot be played - {folder} has no ROM {rom}.bin - put it there, or install ale-py anew"
        )
    return rom


class Games:
    """Games that are stepped together. The attributes hold what the last reset or step returned, an entry for each game."""

    def __init__(self, game: AtariGame, num_envs: int, **changes: Any) -> None:
        self.ales = [make_ale(game, **changes) for _ in range(num_envs)]
        self.fire, self._presses = -1, 0
        buttons = [action.name for action in self.ales[0].ale.get_action_set()]
        if game.config.fire_reset and "FIRE" in buttons:
            self.fire = buttons.index("FIRE")
            self._presses = steps_to_press(game.config.sticky_actions, game.config.frame_skip)
        self.observation = np.zeros(
            (num_envs, *self.ales[0].single_observation_space.shape), np.uint8
        )
        self.reward = np.zeros(num_envs)
        self.terminated, self.truncated = np.zeros(num_envs, bool), np.zeros(num_envs, bool)
        self.lives = np.zeros(num_envs, np.int64)
        self.life_lost = np.zeros(num_envs, bool)

    def reset(self, seeds: dict[int, int | None]) -> None:
        """Begin a game in each of these, with its seed; without one the emulator continues its random numbers."""

        def begin(game: int) -> Any:
            seed = seeds[game]
            return self.ales[game].reset(
                seed=np.array([-1 if seed is None else seed & 0x7FFFFFFF])
            )  # C++ ints

        with ThreadPoolExecutor(cores()) as pool:  # a seed loads the game again, 70 ms
            for game, (observation, info) in zip(seeds, pool.map(begin, seeds), strict=True):
                self.observation[game], self.lives[game] = observation[0], info["lives"][0]
        self.terminated[list(seeds)] = self.truncated[list(seeds)] = False
        self._press_fire(seeds)

    def step(self, actions: Array) -> None:
        """One step of each; those that ended with their last step begin their next game instead."""
        begun, lives = self.terminated | self.truncated, self.lives.copy()
        self.reward[:] = 0
        self._play(range(len(self.ales)), actions)
        self.life_lost = (self.lives < lives) & ~begun
        self._press_fire(np.flatnonzero(begun | self.life_lost).tolist())
        self.life_lost &= ~self.terminated & ~self.truncated

    def _press_fire(self, games: Collection[int]) -> None:
        """Hold fire in these, and again in those that lost a life meanwhile: the next one waits for it, too."""
        for _ in range(MAX_SERVES):
            lives = self.lives.copy()
            for _ in range(self._presses):
                games = [
                    game for game in games if not self.terminated[game] and not self.truncated[game]
                ]  # or it begins the next
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
    """Steps that fire is held, such that sticky actions all but never ignore the whole press.

    A frame ignores the new action with probability `sticky_actions`, n frames in a row with that to the power of n. Once a frame
    has taken the new action, those that repeat it press, too.
    """
    if sticky_actions == 0:
        return 1
    frames = (
        math.log(MISSED_PRESS) / math.log(sticky_actions)
        if sticky_actions < 1
        else MAX_PRESS_FRAMES
    )
    return math.ceil(min(frames, MAX_PRESS_FRAMES) / frame_skip)


class AtariVector(VectorEnv[Array, Array, Array]):
    """Several games at once. An ended one resets at its next step (NEXT_STEP), with the emulator's own random numbers."""

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
        """Begin a game in each, or in those of the mask `options["reset_mask"]`; `seed` is one for each of these, or None."""
        mask = (options or {}).get("reset_mask", np.ones(self.num_envs, bool))
        games = np.flatnonzero(mask).tolist()
        seeds = (
            [None] * len(games)
            if seed is None
            else [number for number in seed if number is not None]
        )
        self._games.reset(dict(zip(games, seeds, strict=True)))
        return self._games.observation.copy(), {}

    def step(self, actions: Array) -> tuple[Array, Array, Array, Array, dict[str, Any]]:
        """One step of each; those that ended with their last step begin their next game instead."""
        games = self._games
        games.step(np.asarray(actions))
        info = (
            {LIFE_LOST: games.life_lost} if self._life_loss_ends and games.life_lost.any() else {}
        )
        return (
            games.observation.copy(),
            games.reward.copy(),
            games.terminated.copy(),
            games.truncated.copy(),
            info,
        )


class AtariEnv(gymnasium.Env[Array, Any]):
    """One game. It is drawn from a twin that plays the same in color and at full size."""

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
        self.observation_space, self.action_space = (
            self._ale.single_observation_space,
            self._ale.single_action_space,
        )
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
        return (
            np.zeros((*SCREEN, 3), np.uint8)
            if self._twin is None
            else self._twin.observation[0, -1].copy()
        )
