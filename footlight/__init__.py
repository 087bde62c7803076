"""footlight: actor-critic reinforcement learning in PyTorch.

    run = footlight.train("sac", "Pendulum-v1", steps=10_000, seed=1)     # -> Run
    policy = footlight.load("runs/Pendulum-v1/sac/001")                   # -> Policy
    agent = footlight.Agent("td3", observation_space, action_space)       # for a loop of your own
    for step in footlight.steps(agent, environments): ...                 # the loop of `train`
    footlight.train("td3", env, config=footlight.TD3Config(tau=0.01))     # fields with completion

Names are imported when they are first used: `import footlight` does not import torch.
"""

import importlib
import os
import random
from typing import TYPE_CHECKING, Any

# Read by the thread pools when NumPy and torch are loaded; values that the user has set take
# precedence. NumPy multiplies single observations here: a pool of its own would compete with
# torch's for the cores. torch's threads synchronize thousands of times a second, so they spin for
# a while before they sleep: without that a run is half as fast. Spinning for long gains nothing
# more, and where another run needs the cores, too, it wastes whole time slices of both
# (benchmarks/results/threads.txt).
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("GOMP_SPINCOUNT", "2000")


def _before_fork() -> None:
    from footlight.machine import end_openmp_threads

    end_openmp_threads()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork)

__version__ = "0.1.0"
__all__ = [
    "A2CConfig", "ActorCriticConfig", "Agent", "CrossQConfig", "DDPGConfig", "DeviceFault",
    "Diverged", "DroQConfig", "EnvironmentFault", "EpisodeLog", "Evaluation", "FlashSACConfig",
    "FootlightError", "IMPALAConfig", "Options", "PPOConfig", "Policy", "REDQConfig",
    "ReinforceConfig", "Removable", "ReplayActorCriticConfig", "ReplayBuffer", "Run", "RunInfo",
    "SACConfig", "SACDiscreteConfig", "SimBaConfig", "StorageFault", "StreamACConfig",
    "TD3Config", "TD7Config", "TQCConfig", "UserError", "XQCConfig", "check_env",
    "choose_device", "clean", "evaluate", "every", "list_runs", "load", "make_environments",
    "on_episode", "on_evaluation", "plot", "plot_returns", "report", "reproduce", "resume",
    "resume_seeds", "scores", "seeded", "simulate", "soft_update", "steps", "sweep", "train",
    "train_seeds", "watch_runs",
]  # fmt: skip

_HOMES = {
    "A2CConfig": "footlight.algorithms.a2c",
    "ActorCriticConfig": "footlight.algorithms.actor_critic",
    "DDPGConfig": "footlight.algorithms.ddpg",
    "IMPALAConfig": "footlight.algorithms.impala",
    "PPOConfig": "footlight.algorithms.ppo",
    "ReinforceConfig": "footlight.algorithms.reinforce",
    "ReplayActorCriticConfig": "footlight.algorithms.replay_actor_critic",
    "SACConfig": "footlight.algorithms.sac",
    "SACDiscreteConfig": "footlight.algorithms.sac_discrete",
    "StreamACConfig": "footlight.algorithms.stream_ac",
    "TD3Config": "footlight.algorithms.td3",
    "CrossQConfig": "footlight.algorithms.crossq",
    "DroQConfig": "footlight.algorithms.droq",
    "FlashSACConfig": "footlight.algorithms.flashsac",
    "REDQConfig": "footlight.algorithms.redq",
    "SimBaConfig": "footlight.algorithms.simba",
    "TQCConfig": "footlight.algorithms.tqc",
    "XQCConfig": "footlight.algorithms.xqc",
    "TD7Config": "footlight.algorithms.td7",
    "Agent": "footlight.learning.agent",
    "DeviceFault": "footlight.errors",
    "Diverged": "footlight.errors",
    "EnvironmentFault": "footlight.errors",
    "EpisodeLog": "footlight.training.episode_log",
    "Evaluation": "footlight.learning.evaluation",
    "FootlightError": "footlight.errors",
    "Options": "footlight.config.options",
    "Policy": "footlight.learning.policy",
    "StorageFault": "footlight.errors",
    "UserError": "footlight.errors",
    "load": "footlight.learning.policy",
    "Run": "footlight.run",
    "Removable": "footlight.runs.cleaning",
    "RunInfo": "footlight.runs.listing",
    "clean": "footlight.runs.cleaning",
    "evaluate": "footlight.api",
    "list_runs": "footlight.runs.listing",
    "make_environments": "footlight.api",
    "plot": "footlight.api",
    "report": "footlight.reports.report",
    "reproduce": "footlight.environments.reproduce",
    "resume": "footlight.api",
    "resume_seeds": "footlight.api",
    "scores": "footlight.instruments.scores",
    "every": "footlight.training.hooks",
    "on_episode": "footlight.training.user_hooks",
    "on_evaluation": "footlight.training.user_hooks",
    "ReplayBuffer": "footlight.buffers.simple_replay",
    "check_env": "footlight.examination.examine",
    "choose_device": "footlight.learning.device",
    "plot_returns": "footlight.instruments.returns_plot",
    "seeded": "footlight.environments.seeding",
    "simulate": "footlight.instruments.simulation",
    "soft_update": "footlight.networks.target_average",
    "steps": "footlight.training.loop",
    "sweep": "footlight.sweeps.sweep",
    "train": "footlight.api",
    "train_seeds": "footlight.api",
    "watch_runs": "footlight.reports.serving",
}

if TYPE_CHECKING:
    from footlight.algorithms.a2c import Config as A2CConfig
    from footlight.algorithms.actor_critic import Config as ActorCriticConfig
    from footlight.algorithms.crossq import Config as CrossQConfig
    from footlight.algorithms.ddpg import Config as DDPGConfig
    from footlight.algorithms.droq import Config as DroQConfig
    from footlight.algorithms.flashsac import Config as FlashSACConfig
    from footlight.algorithms.impala import Config as IMPALAConfig
    from footlight.algorithms.ppo import Config as PPOConfig
    from footlight.algorithms.redq import Config as REDQConfig
    from footlight.algorithms.reinforce import Config as ReinforceConfig
    from footlight.algorithms.replay_actor_critic import Config as ReplayActorCriticConfig
    from footlight.algorithms.sac import Config as SACConfig
    from footlight.algorithms.sac_discrete import Config as SACDiscreteConfig
    from footlight.algorithms.simba import Config as SimBaConfig
    from footlight.algorithms.stream_ac import Config as StreamACConfig
    from footlight.algorithms.td3 import Config as TD3Config
    from footlight.algorithms.td7 import Config as TD7Config
    from footlight.algorithms.tqc import Config as TQCConfig
    from footlight.algorithms.xqc import Config as XQCConfig
    from footlight.api import (
        evaluate,
        make_environments,
        plot,
        resume,
        resume_seeds,
        train,
        train_seeds,
    )
    from footlight.buffers.simple_replay import ReplayBuffer
    from footlight.config.options import Options
    from footlight.environments.reproduce import reproduce
    from footlight.environments.seeding import seeded
    from footlight.errors import (
        DeviceFault,
        Diverged,
        EnvironmentFault,
        FootlightError,
        StorageFault,
        UserError,
    )
    from footlight.examination.examine import check_env
    from footlight.instruments.returns_plot import plot_returns
    from footlight.instruments.scores import scores
    from footlight.instruments.simulation import simulate
    from footlight.learning.agent import Agent
    from footlight.learning.device import choose_device
    from footlight.learning.evaluation import Evaluation
    from footlight.learning.policy import Policy, load
    from footlight.networks.target_average import soft_update
    from footlight.reports.report import report
    from footlight.reports.serving import watch_runs
    from footlight.run import Run
    from footlight.runs.cleaning import Removable, clean
    from footlight.runs.listing import RunInfo, list_runs
    from footlight.sweeps.sweep import sweep
    from footlight.training.episode_log import EpisodeLog
    from footlight.training.hooks import every
    from footlight.training.loop import steps
    from footlight.training.user_hooks import on_episode, on_evaluation


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'footlight' has no attribute {name!r}")
    before = random.getstate()  # imported packages may draw from the process-wide generator
    try:
        defined_as = "Config" if name.endswith("Config") else name  # each algorithm's file has one
        return getattr(importlib.import_module(_HOMES[name]), defined_as)
    finally:
        random.setstate(before)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
