"""A finished or stopped run, to look at: evaluate, watch, plot."""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from footlight.environments.make import EnvironmentSource, configured, make_for_evaluation, make_one, remake
from footlight.errors import UserError
from footlight.evaluation import Evaluation
from footlight.evaluation import evaluate as run_episodes
from footlight.policy import Policy, load
from footlight.runs.plot import plot_runs
from footlight.runs.read import read_json, read_run
from footlight.runs.track import track
from footlight.runs.video import write_video
from footlight.streams import MAX_SEED, derived_seed


@dataclass(frozen=True)
class Run:
    """A run folder, with what a file cannot hold: the user's own environment, network or algorithm."""

    folder: Path
    environment: EnvironmentSource | None = None
    network: Any = None
    algorithm: Any = None

    @property
    def config(self) -> dict[str, Any]:
        """The content of `config.json`. Raises `UserError` where the folder is no run folder."""
        if not (self.folder / "config.json").is_file():
            raise UserError(f"{self.folder} is not a run folder - it has no config.json - give the folder that `train` printed")
        return read_json(self.folder / "config.json")

    @property
    def result(self) -> dict[str, Any] | None:
        """The content of `result.json`: status, steps, seconds, final evaluation; None before the run has stopped."""
        return read_run(self.folder).result

    @property
    def policy(self) -> Policy:
        """The policy of the newest checkpoint."""
        return load(self.folder, algorithm=self.algorithm, network=self.network)

    @property
    def source(self) -> EnvironmentSource:
        """The environment as `train` was given it. Raises `UserError` where it was an object and is not at hand."""
        if self.environment is not None:
            return self.environment
        config = self.config
        if config.get("environment_source", "id") != "id":
            raise UserError(
                f"{self.folder} was trained on the Python object {config['environment']!r}, which no file holds - "
                "use footlight.Run(folder, environment=...) or footlight.resume(folder, environment=...)"
            )
        return configured(str(config["environment"]), config.get("environment_config"))

    def make_env(self, render_mode: str | None = None) -> gymnasium.Env[Any, Any]:
        """One environment as it was trained on, with raw rewards. Raises `UserError` where it cannot be made again."""
        if render_mode is not None:
            _prepare_screen(render_mode)
        again = remake(self.source, render_mode)
        if again is None:
            raise UserError("the environment was given as an object without a spec - give a function that makes one instead")
        return make_one(again, render_mode)

    def evaluate(self, episodes: int = 20, seed: int | None = None, deterministic: bool | None = None) -> Evaluation:
        """Raw returns of whole episodes of the newest checkpoint. `seed` decides how the episodes start.

        `deterministic` takes the policy's mode, otherwise actions are sampled; None: as in the run's own evaluations.
        """
        seed = self._checked(episodes, seed)
        if deterministic is None:
            deterministic = not self.config.get("eval_stochastic", False)
        policy = load(self.folder, algorithm=self.algorithm, network=self.network, seed=seed)
        again = remake(self.source)
        environments = make_for_evaluation(self.make_env() if again is None else again, seed, "evaluate", episodes)
        try:
            return run_episodes(policy, environments, episodes, deterministic)
        finally:
            environments.close()

    def plot(self, output: str | Path | None = None) -> Path:
        """Draw the learning curve, by default into `curve.png` in the run's folder. Gives the file."""
        return plot_runs([self.folder], Path(output) if output else self.folder / "curve.png")

    def track(self, *trackers: str, **options: Any) -> None:
        """Send the run to "tensorboard" or "wandb", or what is missing there.

        options: `wandb_project`, `wandb_group`, `wandb_tags`, `wandb_mode` where they differ from those it was trained with.
        """
        track(self.folder, trackers, **options)

    def video(self, output: str | Path, episodes: int = 1, seed: int | None = None) -> Path:
        """Record episodes of the newest checkpoint as .mp4 or .gif. Gives the file."""
        seed, policy = self._checked(episodes, seed), self.policy
        env = self.make_env("rgb_array")
        try:
            frames = _frames(policy, env, episodes, seed)
            return write_video(frames, Path(output), float(env.metadata.get("render_fps", 30)))
        finally:
            env.close()

    def watch(self, episodes: int = 1, seed: int | None = None) -> None:
        """Show episodes in a window. Raises `UserError` where there is no screen."""
        seed, policy = self._checked(episodes, seed), self.policy
        env = self.make_env("human")
        try:
            for _ in _frames(policy, env, episodes, seed):
                pass
        finally:
            env.close()

    def _checked(self, episodes: int, seed: int | None) -> int:
        seed = int(self.config["seed"]) if seed is None else seed
        if episodes < 1:
            raise UserError(f"episodes is {episodes} - it must be an integer >= 1")
        if not 0 <= seed <= MAX_SEED:
            raise UserError(f"seed is {seed} - it must be an integer in [0, {MAX_SEED}]")
        return seed


def _frames(policy: Policy, env: gymnasium.Env[Any, Any], episodes: int, seed: int) -> Iterator[np.ndarray[Any, Any]]:
    """The pictures of whole episodes, the first and the last included. Raises `UserError` where there is none."""
    for episode in range(episodes):
        observation, _ = env.reset(seed=derived_seed(seed, "watch", episode))
        ended = False
        while True:
            yield _picture(env)
            if ended:
                break
            observation, _, terminated, truncated, _ = env.step(policy.act(observation))
            ended = bool(terminated or truncated)


def _prepare_screen(render_mode: str) -> None:
    """Let SDL and MuJoCo draw without a screen; raise `UserError` for a window where there is none."""
    if not sys.platform.startswith("linux") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        return
    if render_mode == "human":
        raise UserError("there is no screen to open a window on - record a file instead, with --video FILE.mp4")
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    os.environ.setdefault("MUJOCO_GL", "egl")


def _picture(env: gymnasium.Env[Any, Any]) -> Any:
    if env.render_mode == "human":
        return None  # the environment draws by itself
    try:
        picture = env.render()
    except Exception as error:  # a driver's, a missing package's: whatever rendering stumbles over
        is_mujoco = "mujoco" in type(env.unwrapped).__module__
        remedy = "MuJoCo needs MUJOCO_GL=egl or osmesa, and that library" if is_mujoco else "mend its render()"
        what = f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"
        raise UserError(f"the environment cannot be drawn - {what} - {remedy}") from error
    if picture is None:
        raise UserError("the environment cannot be drawn - its render() gave nothing - does it have the render mode rgb_array?")
    return picture
