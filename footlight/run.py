"""A finished or stopped run, to look at and take along: evaluate, watch, plot, export."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium
from gymnasium.vector import VectorEnv

from footlight.config.fields import Range, integer
from footlight.contexts import closing
from footlight.environments.atari import AtariGame
from footlight.environments.determinism import DIFFERENT, NOT_COMPARED, announcement, inexactness
from footlight.environments.make import (
    EnvironmentSource,
    configured,
    make,
    make_for_evaluation,
    require_allowed,
)
from footlight.environments.naming import name_of
from footlight.environments.spaces import describe
from footlight.environments.trial import why_different
from footlight.environments.wrappers import (
    read_statistics,
    remedy,
    statistics_of,
    statistics_wrappers,
    write_statistics,
)
from footlight.errors import UserError, warn
from footlight.instruments import videos
from footlight.instruments.critic_probe import CriticProbe, load_critic_probe
from footlight.instruments.export import Export, export
from footlight.instruments.overlay import enlarged
from footlight.instruments.video import write_video
from footlight.instruments.window import require_screen, show
from footlight.learning.policy import Policy, load
from footlight.runs.trackers.track import track
from footlight.storage import checkpoint, schemas
from footlight.storage.files import user_path
from footlight.streams import MAX_SEED, derived_seed
from footlight.training.evaluation import Evaluation, episode_limit
from footlight.training.evaluation import evaluate as run_episodes

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Run:
    """A run folder, or one of its checkpoints, with what a file cannot hold: the user's own environment, network or algorithm."""

    folder: Path
    environment: EnvironmentSource | None = None
    network: Any = None
    algorithm: Any = None
    allow_env_import: str | None = None
    """The module that an environment id of the form `module:Env-v0` in the folder's own files may import: its name, repeated."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "folder", user_path(self.folder))

    @property
    def config(self) -> dict[str, Any]:
        """The content of `config.json`, as the newest checkpoint repeats it under its checksum. Raises `UserError`."""
        record = checkpoint.read_manifest(checkpoint.find(self.folder, groups=[])).get("run")
        if record is None:
            raise UserError(
                f"{self.folder} is not a run folder - it is an agent that was saved by itself - use footlight.load"
            )
        return dict(record)

    @property
    def result(self) -> dict[str, Any] | None:
        """The content of `result.json`: status, steps, seconds, final evaluation; None before the run has stopped."""
        path = self.folder / "result.json"
        return schemas.read(path, schemas.Result) if path.exists() else None

    @property
    def policy(self) -> Policy:
        """The policy of the newest checkpoint."""
        return load(self.folder, algorithm=self.algorithm, network=self.network)

    @property
    def source(self) -> EnvironmentSource:
        """The environment as `train` was given it. Raises `UserError` where it was an object and is not at hand."""
        if self.environment is not None and not isinstance(self.environment, str):
            return self.environment
        config = self.config
        if self.environment is not None:
            return (
                str(self.environment)
                if self.environment != config["environment"]
                else self._configured(config)
            )
        if config.get("environment_source", "id") != "id":
            raise UserError(
                f"{self.folder} was trained on the Python object {config['environment']!r}, which no file holds - "
                "use footlight.Run(folder, environment=...) or footlight.resume(folder, environment=...)"
            )
        require_allowed(self.folder, config, self.allow_env_import)
        return self._configured(config)

    def _configured(self, config: dict[str, Any]) -> EnvironmentSource:
        return configured(
            config["environment"], config.get("environment_config"), config.get("env_kwargs")
        )

    def make_env(self, render_mode: str | None = None) -> gymnasium.Env[Any, Any]:
        """One environment as it was trained on. Raises `UserError` where none can be made that is.

        Running statistics of its wrappers are those of the newest checkpoint, and are not updated. Rewards are the environment's
        own, but for wrappers of the user's that change them (`returns_of` in `config.json`).
        """
        source = self.source
        self._require_same(source)
        env = videos.make_env(source, render_mode)
        try:
            self._require_spaces(env)
            self._use_statistics(env)
        except BaseException:
            env.close()
            raise
        return env

    def _require_same(self, source: EnvironmentSource) -> None:
        """Raise `UserError` where another instance is not, or not known to be, the environment `source`."""
        config = self.config
        is_object = isinstance(source, gymnasium.Env | VectorEnv)
        differed = str(config.get("no_evaluations")).startswith(DIFFERENT)
        reason = None
        if is_object and config.get("probe") == "off":
            reason = NOT_COMPARED
        elif is_object or differed:
            if (text := announcement(source, name_of(source), is_resumed=True)) is not None:
                warn(text)
            reason = why_different(source, config["seed"])
        if reason is None and differed:
            with closing(make(source, config["seed"])) as made:
                verdict = inexactness(source, made, config["seed"])
            reason = verdict if verdict is not None and verdict.startswith(DIFFERENT) else None
        if reason is not None:
            remedy = "use footlight.Run(folder, environment=function) with a function that creates the same one on each call"
            raise UserError(f"{name_of(source)}: {reason} - {remedy}")

    def _require_spaces(self, env: gymnasium.Env[Any, Any]) -> None:
        spaces = checkpoint.read_manifest(checkpoint.find(self.folder, groups=[])).get("spaces")
        if describe(env.observation_space, env.action_space).to_json() != spaces:
            raise UserError(
                f"{name_of(env)} has other spaces than the environment that {self.folder} was trained on - "
                "give the same environment"
            )

    def _use_statistics(self, env: gymnasium.Env[Any, Any]) -> None:
        """Give the wrappers the statistics of the training's first environment. Raises `UserError` where none are saved."""
        if not (names := statistics_wrappers(env)):
            return
        saved = statistics_of(
            checkpoint.read_arrays(checkpoint.find(self.folder), "environments"), 0
        )
        if set(saved) != set(read_statistics(env)):
            raise UserError(
                f"{self.folder} does not hold the running statistics of {', '.join(names)} - without them the environment is "
                f"another one - train with {remedy(', '.join(names))} in place of the wrapper"
            )
        write_statistics(env, saved, frozen=True)

    def evaluate(
        self, episodes: int = 20, seed: int | None = None, deterministic: bool | None = None, *,
        progress: Callable[[int], bool] = lambda completed: True,
    ) -> Evaluation:  # fmt: skip
        """Raw returns of whole episodes of the newest checkpoint. `seed` decides how the episodes start.

        `deterministic` takes the policy's mode, otherwise actions are sampled; None: as in the run's own evaluations. Episodes
        are cut off where those are, and counted as `unfinished`. `progress` is called at every step with the number of completed
        episodes.
        """
        seed = self._checked(episodes, seed)
        if deterministic is None:
            deterministic = not self.config.get("eval_stochastic", False)
        policy = load(self.folder, algorithm=self.algorithm, network=self.network, seed=seed)
        source = self.source
        whole = source if isinstance(source, AtariGame) else self.make_env()
        environments = make_for_evaluation(whole, seed, "evaluate", episodes)
        limit = episode_limit(int(self.config["steps"]))
        with closing(environments):
            return run_episodes(
                policy, environments, episodes, deterministic, limit=limit, progress=progress
            )

    def plot(
        self, output: str | Path | None = None, *, metric: str | None = None, x: str | None = None
    ) -> "Figure":
        """Write the learning curve to `output`, by default `curve.png` in the run's folder, and return the Matplotlib figure.

        metric, x: as in `footlight.plot`.
        """
        from footlight.instruments.plot import plot_runs  # matplotlib is for those who plot

        return plot_runs(
            self, user_path(output) if output else self.folder / "curve.png", metric=metric, x=x
        )

    def export(self, output: str | Path) -> Export:
        """Write the policy of the newest checkpoint into one ONNX file. Gives its path, and how it compared with the policy."""
        return export(self.folder, output, algorithm=self.algorithm, network=self.network)

    def track(self, *trackers: str, **options: Any) -> None:
        """Send the run to "tensorboard" or "wandb", or what is missing there.

        options: `wandb_project`, `wandb_group`, `wandb_tags`, `wandb_mode` where they differ from those it was trained with.
        """
        track(self.folder, trackers, **options)

    def video(
        self, output: str | Path, episodes: int = 1, seed: int | None = None, overlay: bool = False
    ) -> Path:
        """Record episodes of the newest checkpoint as .mp4 or .gif, each cut off after ten minutes. Gives the file.

        `overlay` adds a panel: the critic's values beside the discounted returns that followed, and the policy's distribution.
        """
        seed = self._checked(episodes, seed)
        player, probe = self._player(), self._probe(overlay)
        path = user_path(output).absolute()  # an environment may change the working directory
        with closing(self.make_env("rgb_array")) as env:
            fps = videos.frames_per_second(env)
            most_steps = int(videos.MAX_SECONDS * fps)
            films = (
                videos.film(player, env, each, probe, most_steps) for each in _seeds(seed, episodes)
            )
            write_video(itertools.chain.from_iterable(films), path, fps)
        return user_path(output)

    def watch(self, episodes: int = 1, seed: int | None = None, overlay: bool = False) -> None:
        """Show episodes in a window, with the panel of `video` where `overlay` is True. Raises `UserError` without a screen.

        The window is the environment's own where it has one and there is no overlay, otherwise ours.
        """
        require_screen()  # before anything is loaded
        seed = self._checked(episodes, seed)
        player, probe = self._player(), self._probe(overlay)
        title = f"{self.config['algorithm']} on {self.config['environment']}"  # an environment may change the directory
        with closing(
            self.make_env("rgb_array" if overlay or not self._has_window() else "human")
        ) as env:
            if env.render_mode == "human":
                for each in _seeds(seed, episodes):
                    for _ in videos.play(player, env, each):
                        pass  # the environment draws by itself
                return
            fps = videos.frames_per_second(env)
            most_steps = int(videos.MAX_SECONDS * fps) if overlay else None
            films = (
                videos.film(player, env, each, probe, most_steps) for each in _seeds(seed, episodes)
            )
            show(map(enlarged, itertools.chain.from_iterable(films)), fps, title)

    def _has_window(self) -> bool:
        """Whether the environment draws into a window of its own."""
        with closing(self.make_env()) as env:
            return "human" in env.metadata.get("render_modes", ())

    def _player(self) -> videos.Player:
        """The policy as the run's own evaluations have it."""
        return partial(
            self.policy.player, deterministic=not self.config.get("eval_stochastic", False)
        )

    def _probe(self, overlay: bool) -> CriticProbe | None:
        return (
            load_critic_probe(self.folder, algorithm=self.algorithm, network=self.network)
            if overlay
            else None
        )

    def _checked(self, episodes: int, seed: int | None) -> int:
        seed = self.config["seed"] if seed is None else seed
        integer("episodes", episodes, Range(1))
        return integer("seed", seed, Range(0, MAX_SEED))


def _seeds(seed: int, episodes: int) -> list[int]:
    """How the episodes begin that are shown."""
    return [derived_seed(seed, "watch", episode) for episode in range(episodes)]
