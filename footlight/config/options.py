"""Options of a run: steps, seed, environments, evaluations, checkpoints, trackers."""

from dataclasses import dataclass
from typing import Annotated, Literal

from footlight.config.fields import Count, CountOrZero, KnownFields, NonNegative, Range, check
from footlight.streams import MAX_SEED

# Environment steps per row of metrics.jsonl; more in runs that would have more than MAX_LINES
LOG_EVERY = 1_000
MAX_LINES = 10_000
# Fields of `Options` that every run folder has; if it lacks a later one, that has its default
FIRST_OPTIONS = (
    "steps",
    "seed",
    "num_envs",
    "eval_every",
    "eval_episodes",
    "checkpoint_every",
    "device",
    "compile",
    "threads",
)

# Fields that may change when a run is resumed
CHANGEABLE = (
    "steps",
    "threads",
    "profile",
    "max_time",
    "env_timeout",
    "on_worker_death",
    "on_env_fault",
    "track",
    "episodes",
    "stop_at_return",
    "stop_window",
    "stop_on",
    "stop_patience",
)


@dataclass(frozen=True, kw_only=True)
class Options(KnownFields):
    """The options of a run. None of them belongs to the algorithm."""

    steps: Count = 100_000
    """Total number of environment steps."""
    episodes: Annotated[int | None, Range(1)] = None
    """Training episodes after which the run ends, if it has not taken all its steps by then; none:
    off. Schedules and intervals go by steps."""
    seed: Annotated[int, Range(0, MAX_SEED)] = 0
    """Seed of all randomness in the run."""
    num_envs: Annotated[int, Range(1, 1_000_000)] = 1
    """Number of environments stepped together."""
    collectors: Annotated[int | None, Range(1, 1024)] = None
    """Processes that step the environments and act in them, equally many in each, while this one
    learns; none: off, it does all by itself. Numbers depend on how many there are, not on when or
    where they run. For algorithms with rollouts or replay."""
    vectorization: Literal["auto", "sync", "async", "native"] = "auto"
    """How environments are stepped: sync, one after the other; async, each in its own process; or
    native, by the vector version of Gymnasium, EnvPool or ale-py. auto: native for Atari games and
    6 or more CartPoles, async for known slow environments on 4 cores, otherwise sync."""
    env_timeout: NonNegative = 300.0
    """Seconds after which a step or reset of an environment counts as hanging. A process of its
    own is then killed; an environment in this process can only be reported. 0: never."""
    probe: Literal["on", "off"] = "on"
    """Before the run, take up to 350 random steps in two further instances of the environment (550
    if episodes differ), for at most 10 seconds, to find out whether the run can be resumed exactly.
    An environment passed as an object is compared with a copy of itself, which evaluations need.
    off: skip this; exact resumption is then unknown, and such an object is not evaluated."""
    on_worker_death: Literal["stop", "restart"] = "stop"
    """When the process of an environment dies or hangs (vectorization async): stop, with the run
    saved; or restart, which repeats the episode in a new process up to that step and continues."""
    on_env_fault: Literal["stop", "new-episode"] = "stop"
    """When an environment raises an error, or returns NaN or what its space does not contain: stop,
    with the run saved; or new-episode, which saves the episode in the run's folder crash, truncates
    it before the failed step and starts another one. 100 faults in a row stop the run."""
    eval_every: Annotated[int | None, Range(0)] = None
    """Environment steps between evaluations; none: automatic, a twentieth of the run, or more where
    all evaluations so far would otherwise have taken more steps than the training; 0: only at the
    end."""
    eval_episodes: Annotated[int | None, Range(0)] = None
    """Episodes per evaluation; none: automatic, 5 during training and 20 at the end, fewer where
    these would take more steps than the whole run; 0: no evaluation. An episode that does not end
    is cut off after a twentieth of the run's steps, within [1,000, 50,000], and counted as
    unfinished."""
    eval_stochastic: bool = False
    """Sample actions in evaluations instead of the mode (a greedy Atari policy can stall)."""
    stop_at_return: float | None = None
    """End the run when the mean of the last returns reaches this; none: off."""
    stop_on: Literal["training", "evaluation"] = "training"
    """The returns that stop_at_return is compared with: those of training episodes, or the means of
    evaluations."""
    stop_window: Annotated[int | None, Range(1)] = None
    """Number of returns that are averaged for stop_at_return; none: automatic, 100 training
    episodes, or 1 evaluation."""
    stop_patience: Annotated[int | None, Range(1)] = None
    """End the run after this many evaluations in a row without a new best one; none: off."""
    checkpoint_every: Annotated[int | None, Range(0)] = None
    """Environment steps between checkpoints; none: automatic, a twentieth of the run, at least
    10,000; 0: only at the end."""
    keep_checkpoints: Count = 2
    """Number of checkpoints to keep: the newest ones, besides the one with the best evaluation."""
    max_time: Annotated[float | None, Range(0, open_low=True)] = None
    """Seconds after which the run is saved and stopped; it can be resumed. none: off."""
    video_every: CountOrZero = 0
    """Environment steps between videos of an evaluation episode (videos/step-N.mp4, and one at
    the end); 0: no videos."""
    video_every_episodes: CountOrZero = 0
    """Training episodes between videos, counted over all environments, in addition to those of
    video_every: when an episode ends and its number is a multiple, the policy of that step is
    recorded in an episode of its own; 0: off."""
    overlay: bool = False
    """Show in these videos the critic's value, the discounted return that followed, and the
    policy's distribution."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device of the networks; auto: the CPU, which is faster for small networks."""
    compile: Literal["auto", "on", "off"] = "auto"
    """Compile the update into one graph; auto: if the run is long enough to pay back the
    compilation."""
    threads: Annotated[int | None, Range(1, 1024)] = None
    """CPU threads; none: automatic, 1 for small networks and batches, otherwise one per core,
    whatever OMP_NUM_THREADS is."""
    profile: bool = False
    """Measure how much time acting, stepping, storing, sampling, updating, evaluating, saving and
    logging take: a table at the end, and single calls in profile.json, a Chrome trace. Costs about
    2 microseconds a call, and changes no number of the run."""
    log_info: tuple[str, ...] = ()
    """Keys of the info that the last step of an episode returns, such as is_success, or goal.x
    inside a dict: their values are logged to episodes.jsonl, and the means over the last 100
    episodes to metrics.jsonl. none: off."""
    track: tuple[Literal["tensorboard", "wandb"], ...] = ()
    """Trackers to log the run to while it trains; `footlight track` adds one later. none: off."""
    track_histograms: bool = False
    """Write histograms of weights and last gradients to histograms.jsonl at each evaluation."""
    wandb_project: str = "footlight"
    """Weights & Biases project."""
    wandb_group: str | None = None
    """Weights & Biases group; none: off, no group."""
    wandb_tags: tuple[str, ...] = ()
    """Weights & Biases tags; none: off, no tags."""
    wandb_mode: Literal["online", "offline"] | None = None
    """online, or offline: log into the run's folder, for `wandb sync`. none: automatic, the
    environment variable WANDB_MODE, or else online."""

    def __post_init__(self) -> None:
        check(self)

    @property
    def records_videos(self) -> bool:
        """Whether any videos are recorded during the training."""
        return bool(self.video_every or self.video_every_episodes)

    @property
    def log_interval(self) -> int:
        """Environment steps per row of metrics, so that a log of any run can be read at once."""
        return max(LOG_EVERY, self.steps // MAX_LINES)

    @property
    def evaluation_interval(self) -> int:
        """The effective `eval_every`; 0: none."""
        return max(1, self.steps // 20) if self.eval_every is None else self.eval_every

    @property
    def training_eval_episodes(self) -> int:
        """Episodes of an evaluation during training."""
        return 5 if self.eval_episodes is None else self.eval_episodes

    @property
    def stop_episodes(self) -> int:
        """The effective `stop_window`."""
        automatic = 100 if self.stop_on == "training" else 1
        return self.stop_window or automatic

    @property
    def final_eval_episodes(self) -> int:
        """Episodes of the evaluation after the last step."""
        return 20 if self.eval_episodes is None else self.eval_episodes

    @property
    def checkpoint_interval(self) -> int:
        """The effective `checkpoint_every`; 0: none."""
        return (
            max(10_000, self.steps // 20)
            if self.checkpoint_every is None
            else self.checkpoint_every
        )
