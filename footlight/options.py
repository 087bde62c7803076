"""How a run is run: steps, seed, environments, evaluations, checkpoints, trackers. None of it belongs to the algorithm."""

from dataclasses import dataclass
from typing import Annotated, Literal

from footlight.config import Count, CountOrZero, NonNegative, Range, check
from footlight.streams import MAX_SEED

LOG_EVERY = 1_000  # environment steps per line of metrics.jsonl, more in runs that would have more than
MOST_LINES = 10_000
# Fields of `Options` that every run folder has; those of later versions have their default where a folder lacks them
FIRST_OPTIONS = ("steps", "seed", "num_envs", "eval_every", "eval_episodes", "checkpoint_every", "device", "compile", "threads")

CHANGEABLE = ("steps", "threads", "max_time", "env_timeout", "on_worker_death", "track")  # when a run is resumed


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a run is run; none of it belongs to the algorithm."""

    steps: Count = 100_000
    """Environment steps of the whole run."""
    seed: Annotated[int, Range(0, MAX_SEED)] = 0
    """Seed of everything random in the run."""
    num_envs: Annotated[int, Range(1, 1_000_000)] = 1
    """Environments stepped together."""
    vectorization: Literal["auto", "sync", "async", "native"] = "auto"
    """How: one after the other, in processes of their own, or by gymnasium's, EnvPool's or ale-py's vector version; auto: the
    fastest in a short measurement, and always native for Atari games."""
    env_timeout: NonNegative = 300.0
    """Seconds until an environment's step or reset counts as hanging: its process is ended; what is stepped in this process can
    only be told of; 0: never."""
    probe: Literal["on", "off"] = "on"
    """Before the training, play at most 350 random steps in two further instances of the environment, for at most 10 seconds: do
    episodes repeat themselves, so that the run can be resumed exactly? An object that was given is compared with a copy of
    itself, which evaluations need. off: nothing is played, and neither is known."""
    on_worker_death: Literal["stop", "restart"] = "stop"
    """What happens when an environment's process dies or hangs (vectorization async): the run stops, saved; or a new process
    plays the episode again to where it stood, and the run goes on as if nothing had happened."""
    eval_every: Annotated[int | None, Range(0)] = None
    """Environment steps between evaluations; none: a twentieth of the run; 0: only at the end."""
    eval_episodes: CountOrZero = 20
    """Episodes per evaluation, each cut off after 50,000 steps; 0: no evaluation at all."""
    eval_stochastic: bool = False
    """Sample actions in evaluations rather than take the policy's mode, which in Atari games may wait for ever."""
    checkpoint_every: Annotated[int | None, Range(0)] = None
    """Environment steps between checkpoints; none: a twentieth of the run, 10,000 at least; 0: only at the end."""
    keep_checkpoints: Count = 2
    """Checkpoints that are kept, the newest ones, besides the one with the best evaluation."""
    max_time: Annotated[float | None, Range(0, open_low=True)] = None
    """Seconds after which the training is saved and stopped, to be resumed; none: no limit."""
    video_every: CountOrZero = 0
    """Environment steps between videos of one evaluation episode (videos/step-N.mp4, and one at the end); 0: none."""
    overlay: bool = False
    """Show in these videos the critic's value beside the discounted return that followed, and the policy's distribution."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where networks live; auto is the CPU, which is the faster one for small networks."""
    compile: Literal["auto", "on", "off"] = "auto"
    """Compile the update into one graph; auto: where the run is long enough to pay it back."""
    threads: Annotated[int | None, Range(1, 1024)] = None
    """CPU threads; none: 1 for small networks and batches, otherwise one per core."""
    track: tuple[Literal["tensorboard", "wandb"], ...] = ()
    """Trackers that follow the run; each can also be filled in later, with `footlight track`."""
    track_histograms: bool = False
    """Write histograms of weights and last gradients into histograms.jsonl, whenever an evaluation is due."""
    wandb_project: str = "footlight"
    """Project of the run in Weights & Biases."""
    wandb_group: str | None = None
    """Group of the run in Weights & Biases."""
    wandb_tags: tuple[str, ...] = ()
    """Tags of the run in Weights & Biases."""
    wandb_mode: Literal["online", "offline"] | None = None
    """offline: into the run's folder, for `wandb sync`; none: as the environment variable WANDB_MODE says, online without it."""

    def __post_init__(self) -> None:
        check(self)

    @property
    def log_interval(self) -> int:
        """Environment steps per line of metrics: a run of any length has a file that can be read at once."""
        return max(LOG_EVERY, self.steps // MOST_LINES)

    @property
    def evaluation_interval(self) -> int:
        """`eval_every` in force, 0 for none."""
        return max(1, self.steps // 20) if self.eval_every is None else self.eval_every

    @property
    def checkpoint_interval(self) -> int:
        """`checkpoint_every` in force, 0 for none."""
        return max(10_000, self.steps // 20) if self.checkpoint_every is None else self.checkpoint_every
