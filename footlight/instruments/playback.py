"""Play episodes into a video file or a window, and count their returns."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import gymnasium

from footlight.contexts import closing
from footlight.instruments import videos
from footlight.instruments.critic_probe import CriticProbe
from footlight.instruments.overlay import enlarged
from footlight.instruments.video import Frame, write_video
from footlight.instruments.video_file import Video
from footlight.instruments.window import show
from footlight.streams import derived_seed

Env = gymnasium.Env[Any, Any]
MakeEnv = Callable[[str | None], Env]
"""Creates an environment with the given render mode; whoever calls it closes the environment."""


class Playback:
    """Episodes of a policy, and how to show them.

    seeds: one for each episode. probe: for the panel beside the frames; None: no panel.
    max_steps: of an episode; None: ten minutes of playing time, and no limit in a window.
    """

    def __init__(
        self,
        player: videos.Player,
        seeds: Sequence[int],
        probe: CriticProbe | None = None,
        max_steps: int | None = None,
    ) -> None:
        self._player, self._seeds, self._probe = player, seeds, probe
        self._max_steps = max_steps
        self._returns: list[float] = []
        self._lengths: list[int] = []

    def record(self, env: Env, path: Path) -> Video:
        """Record the episodes in `env` as .mp4 or .gif. Raises what `write_video` raises."""
        # Absolute, since an environment may change the working directory
        file, fps = path.absolute(), videos.frames_per_second(env)
        write_video(self._frames(env, self._longest(fps)), file, fps)
        return Video.of(path, self._returns, self._lengths)

    def show(self, make_env: MakeEnv, title: str) -> Video:
        """Show the episodes in a window: the environment's own if it has one and there is no panel.

        The window may be closed before the last episode ends. Raises `UserError` without a screen.
        """
        with closing(make_env(self._window_mode(make_env))) as env:
            if env.render_mode == "human":
                self._play(env)
            else:
                fps = videos.frames_per_second(env)
                longest = self._max_steps if self._probe is None else self._longest(fps)
                show(map(enlarged, self._frames(env, longest)), fps, title)
        return Video.of(Path(os.devnull), self._returns, self._lengths)

    def _window_mode(self, make_env: MakeEnv) -> str:
        if self._probe is not None:
            return "rgb_array"
        with closing(make_env(None)) as env:
            if env.render_mode in ("human", "rgb_array"):  # it was made to be rendered
                return str(env.render_mode)
            return "human" if "human" in env.metadata.get("render_modes", ()) else "rgb_array"

    def _play(self, env: Env) -> None:
        """Play the episodes in an environment that draws by itself."""
        for seed in self._seeds:
            self._begin()
            for step in videos.play(self._player, env, seed, self._max_steps):
                self._count(step)

    def _frames(self, env: Env, longest: int | None) -> Iterator[Frame]:
        for seed in self._seeds:
            self._begin()
            yield from videos.render_episode(
                self._player, env, seed, self._probe, longest, self._count
            )

    def _longest(self, fps: float) -> int:
        return int(videos.MAX_SECONDS * fps) if self._max_steps is None else self._max_steps

    def _begin(self) -> None:
        self._returns.append(0.0)
        self._lengths.append(-1)  # the first state belongs to no step

    def _count(self, step: videos.Step) -> None:
        self._returns[-1] += step.reward
        self._lengths[-1] += 1


def episode_seeds(seed: int, episodes: int) -> list[int]:
    """The seeds of the episodes to show."""
    return [derived_seed(seed, "watch", episode) for episode in range(episodes)]
