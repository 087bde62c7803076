"""Videos recorded during a training, each in an environment of its own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium

from footlight.contexts import closing
from footlight.environments.faults import as_fault
from footlight.errors import UserError, summarize_error
from footlight.instruments.critic_probe import CriticProbe
from footlight.instruments.video import require_ffmpeg, write_video
from footlight.instruments.videos import (
    MAX_SECONDS,
    Act,
    Player,
    frames_per_second,
    render,
    render_episode,
)
from footlight.storage.files import make_own_folder
from footlight.streams import derived_seed

MAX_FAILURES = 3  # in a row; then a training records no more videos


class _Stopping(Exception):
    """The training is about to stop and does not wait for its video."""


class VideoRecorder:
    """Records videos of the current policy; no failure of a video affects the training.

    make_env: creates an environment that renders. player: the policy as evaluations use it.
    notify: prints a line.
    """

    def __init__(
        self,
        make_env: Callable[[], gymnasium.Env[Any, Any]],
        player: Player,
        probe: CriticProbe | None,
        seed: int,
        notify: Callable[[str], None],
    ) -> None:
        self._make_env, self._player, self._critic_probe = make_env, player, probe
        self._notify = notify
        # The episode that `footlight watch` shows: all videos of a run begin in the same state.
        self._seed = derived_seed(seed, "watch", 0)
        self._failures = 0

    def render_test_frame(self) -> None:
        """Render one frame. Raises `UserError` where no video can be recorded."""
        require_ffmpeg()
        with closing(self._make_env(), self._notify) as env:
            try:
                with as_fault("the environment's reset"):
                    observation, _ = env.reset(seed=self._seed)
                if self._critic_probe is not None:
                    self._critic_probe(observation)
            except Exception as error:  # the user's own code can raise anything
                raise UserError(
                    f"videos cannot be recorded - {summarize_error(error)} - fix that, or leave "
                    "out video_every"
                ) from error
            render(env)

    def record(self, path: Path, should_stop: Callable[[], bool] = lambda: False) -> None:
        """Record one episode into the file `path`, unless `should_stop` returns True meanwhile."""
        if self._failures >= MAX_FAILURES:
            return

        def player(seed: int) -> Act:
            act = self._player(seed)

            def act_unless_stopping(observation: Any) -> Any:
                if should_stop():
                    raise _Stopping
                return act(observation)

            return act_unless_stopping

        try:
            make_own_folder(path.parent)
            for partial in path.parent.glob(".step-*.mp4"):  # of a training that was killed
                partial.unlink()
            with closing(self._make_env(), self._notify) as env:
                fps = frames_per_second(env)
                max_steps = int(MAX_SECONDS * fps)
                frames = render_episode(player, env, self._seed, self._critic_probe, max_steps)
                write_video(frames, path, fps)
        except _Stopping:
            return
        except Exception as error:  # of drivers, disks, the user's code: the training continues
            self._failures += 1
            more = "continues"
            if self._failures == MAX_FAILURES:
                more = f"continues without videos after {MAX_FAILURES} failures in a row"
            self._notify(f"no video {path.name} - {summarize_error(error)} - the training {more}")
        else:
            self._failures = 0
