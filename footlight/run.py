"""A finished or stopped run: evaluate, plot, track, export, record videos, watch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium

from footlight.config.fields import Range, integer
from footlight.contexts import closing
from footlight.doctor.checkup import examine
from footlight.doctor.findings import Checkup
from footlight.environments.serial import SerialEnvironments
from footlight.environments.source import EnvironmentLike, Environments, EnvironmentSource
from footlight.environments.user_files import (
    WrappedSource,
    Wrapper,
    recorded_source,
    recorded_wrappers,
    wrapped,
)
from footlight.errors import UserError
from footlight.instruments.critic_probe import CriticProbe, load_critic_probe
from footlight.instruments.export import Export, export
from footlight.instruments.playback import Playback, episode_seeds
from footlight.instruments.video_file import Video, default_suffix
from footlight.instruments.window import require_screen
from footlight.learning.evaluation import Evaluation, episode_limit
from footlight.learning.evaluation import evaluate as run_episodes
from footlight.learning.policy import Policy, load
from footlight.learning.saved_environment import given_config
from footlight.reports.notebook_view import notebook_view
from footlight.reports.report import report
from footlight.runs import description
from footlight.runs.rows import Rows, rows_of
from footlight.runs.trackers.track import track
from footlight.storage import checkpoint, schemas
from footlight.storage.files import user_path
from footlight.streams import MAX_SEED
from footlight.training.run_env import make_run_env
from footlight.user_code import consent
from footlight.user_code.reference import Reference

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, repr=False)
class Run:
    """A run folder or one of its checkpoints.

    It also holds what no file can: an environment, network or algorithm of the user's own.
    """

    folder: Path
    environment: EnvironmentLike | EnvironmentSource | None = None
    network: Any = None
    algorithm: Any = None
    allow_env_import: str | None = None
    """Name of the module that an environment id `module:Env-v0` of the folder may import."""
    wrapper: Wrapper | Sequence[Wrapper | Reference] | None = None
    """Your own wrappers, if the run was given Python objects."""
    allow_code: str | Path | Sequence[str | Path] = ()
    """Files that the run names and that may be loaded."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "folder", user_path(self.folder))
        if self.allow_code:
            consent.allow(self.allow_code, self.config.get("code", []))

    def __repr__(self) -> str:
        return f"<Run {str(self.folder)!r}: {description.line(self.folder) or 'not a run folder'}>"

    def _repr_html_(self) -> str:
        return notebook_view(self.folder)

    def __fspath__(self) -> str:
        """The run folder, so that functions which take one also take a run."""
        return str(self.folder)

    @property
    def config(self) -> dict[str, Any]:
        """The content of `config.json`, from the checksummed manifest of the newest checkpoint.

        Raises `UserError`.
        """
        manifest = checkpoint.read_manifest(checkpoint.find(self.folder, groups=[]))
        if "run" not in manifest:  # of an agent that was saved by itself
            return given_config(manifest, self.environment, self.folder)
        return dict(manifest["run"])

    @property
    def result(self) -> dict[str, Any] | None:
        """The content of `result.json`: status, steps, seconds, final evaluation.

        None before the run has stopped.
        """
        path = self.folder / "result.json"
        return schemas.read(path, schemas.Result) if path.exists() else None

    def metrics(self) -> Rows:
        """The rows of `metrics.jsonl`: step, update, time_s, and each metric by name.

        They are a list of dicts; `.frame()` makes a pandas data frame of them. Raises `UserError`.
        """
        return rows_of(self.folder, "metrics")

    def episodes(self) -> Rows:
        """The rows of `episodes.jsonl`, like `metrics`: step, env, return, length, ..."""
        return rows_of(self.folder, "episodes")

    def evaluations(self) -> Rows:
        """The rows of `evaluations.jsonl`, like `metrics`: step, mean_return, std_return, ..."""
        return rows_of(self.folder, "evaluations")

    def diagnostics(self) -> Rows:
        """The rows of `diagnostics.jsonl`, like `metrics`: step, update, critic_bias, ..."""
        return rows_of(self.folder, "diagnostics")

    def doctor(self) -> Checkup:
        """What is wrong with the run, the most probable cause first: `print(run.doctor())`.

        Only its text files are read. Raises `UserError`.
        """
        return examine(self.folder)

    @property
    def policy(self) -> Policy:
        """The policy of the newest checkpoint."""
        return load(self.folder, algorithm=self.algorithm, network=self.network)

    @property
    def source(self) -> EnvironmentSource:
        """The environment that was passed to `train`.

        Raises `UserError` if it was a Python object and is not passed again.
        """
        given = None if self.environment is None else EnvironmentSource.of(self.environment)
        if given is not None and not given.is_plain_id:
            return self._wrapped(given.configured())
        config = self.config
        if given is not None:
            is_same = given.name() == config["environment"]
            recorded = config.get("environment_config"), config.get("env_kwargs")
            return self._wrapped(given.configured(*recorded) if is_same else given.configured())
        if config.get("environment_source", "id") not in ("id", "file"):
            raise UserError(
                f"{self.folder} was trained on the Python object {config['environment']!r}, which "
                "no file holds - use footlight.Run(folder, environment=...) or "
                "footlight.resume(folder, environment=...)"
            )
        allowed = self.allow_env_import
        return self._wrapped(recorded_source(self.folder, config, allowed, "environment"))

    def _wrapped(self, source: EnvironmentSource) -> EnvironmentSource:
        """The environment in the given wrappers, else in those that the run has recorded."""
        if self.wrapper is not None:
            return wrapped(source, self.wrapper)
        if isinstance(source, WrappedSource) or source.is_object:
            return source
        return wrapped(source, recorded_wrappers(self.folder, self.config))

    def make_env(self, render_mode: str | None = None) -> gymnasium.Env[Any, Any]:
        """Another instance of the training environment. Raises `UserError` if there can be none.

        Running statistics of its wrappers are those of the newest checkpoint, and are not updated.
        Rewards are the environment's own, unless a wrapper of the user's changes them (`returns_of`
        in `config.json`).
        """
        return make_run_env(self.folder, self.config, self.source, render_mode)

    def evaluate(
        self, episodes: int = 20, seed: int | None = None, deterministic: bool | None = None, *,
        progress: Callable[[int], bool] = lambda completed: True,
    ) -> Evaluation:  # fmt: skip
        """Raw returns of whole episodes played by the policy of the newest checkpoint.

        seed: determines how the episodes start; None: the run's seed.
        deterministic: act by the policy's mode instead of sampling; None: as in the run's own
            evaluations.
        progress: called at every step with the number of completed episodes.

        Episodes are cut off at the same length as in the run's own evaluations, and then counted as
        `unfinished`.
        """
        seed = self._checked(episodes, seed)
        if deterministic is None:
            deterministic = not self.config.get("eval_stochastic", False)
        policy = load(self.folder, algorithm=self.algorithm, network=self.network, seed=seed)
        source = self.source
        environments: Environments
        if source.is_atari:
            environments = source.make_for_evaluation(seed, "evaluate", episodes)
        else:
            environments = SerialEnvironments([self.make_env()], seed, "evaluate")
        limit = episode_limit(int(self.config["steps"]))
        with closing(environments):
            return run_episodes(
                policy, environments, episodes, deterministic, limit=limit, progress=progress
            )

    def plot(
        self, output: str | Path | None = None, *, metric: str | None = None, x: str | None = None
    ) -> "Figure":
        """Write the learning curve to a file and return the Matplotlib figure.

        output: by default `curve.png` in the run's folder.
        metric, x: as in `footlight.plot`.
        """
        from footlight.instruments.plot import plot_runs  # Matplotlib is optional

        return plot_runs(
            self, user_path(output) if output else self.folder / "curve.png", metric=metric, x=x
        )

    def report(self, output: str | Path | None = None) -> Path:
        """Write what happened in the run to a page of HTML, and return its path.

        output: by default `report.html` in the run's folder. See `footlight.report`.
        """
        return report(self, output)

    def export(self, output: str | Path) -> Export:
        """Write the policy of the newest checkpoint to an ONNX file.

        Returns its path and how its outputs compare with those of the policy.
        """
        return export(self.folder, output, algorithm=self.algorithm, network=self.network)

    def track(self, *trackers: str, **options: Any) -> None:
        """Send the run to "tensorboard" or "wandb"; only what is missing there is sent.

        options: `wandb_project`, `wandb_group`, `wandb_tags` and `wandb_mode`, if they differ from
            those that the run was trained with.
        """
        track(self.folder, trackers, **options)

    def video(
        self, output: str | Path | None = None, episodes: int = 1, seed: int | None = None,
        overlay: bool = False,
    ) -> Video:  # fmt: skip
        """Record episodes of the newest checkpoint, and return the path, with their returns.

        output: a file, .mp4 or .gif; None: `video.mp4` in the run's folder, or `video.gif` without
            ffmpeg.
        overlay: add a panel with the critic's values beside the discounted returns that followed,
            and the policy's distribution.

        Each episode is cut off after ten minutes. In a notebook, the video plays as the value of a
        cell:

            run.video(overlay=True)
        """
        playback = self._playback(episodes, seed, overlay)
        path = user_path(output) if output else self.folder / f"video{default_suffix()}"
        with closing(self.make_env("rgb_array")) as env:
            return playback.record(env, path)

    def watch(self, episodes: int = 1, seed: int | None = None, overlay: bool = False) -> None:
        """Show episodes in a window. Raises `UserError` without a screen.

        overlay: add the panel of `video`.

        The window is the environment's own if it has one and there is no overlay.
        """
        require_screen()  # before anything is loaded
        playback = self._playback(episodes, seed, overlay)
        # Read first: an environment may change the working directory
        title = f"{self.config['algorithm']} on {self.config['environment']}"
        playback.show(self.make_env, title)

    def acting_policy(self) -> tuple[Policy, bool]:
        """The policy of the newest checkpoint, and whether it is deterministic in evaluations."""
        return self.policy, not self.config.get("eval_stochastic", False)

    def _playback(self, episodes: int, seed: int | None, overlay: bool) -> Playback:
        seed = self._checked(episodes, seed)
        policy, deterministic = self.acting_policy()
        player = partial(policy.player, deterministic=deterministic)
        return Playback(player, episode_seeds(seed, episodes), self._critic_probe(overlay))

    def _critic_probe(self, overlay: bool) -> CriticProbe | None:
        if not overlay:
            return None
        return load_critic_probe(self.folder, algorithm=self.algorithm, network=self.network)

    def _checked(self, episodes: int, seed: int | None) -> int:
        seed = self.config["seed"] if seed is None else seed
        integer("episodes", episodes, Range(1))
        return integer("seed", seed, Range(0, MAX_SEED))
