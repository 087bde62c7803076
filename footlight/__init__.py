"""footlight: actor-critic reinforcement learning in PyTorch.

    run = footlight.train("sac", "Pendulum-v1", steps=10_000, seed=1)     # -> Run
    policy = footlight.load("runs/Pendulum-v1/sac/001")                   # -> Policy
    agent = footlight.Agent("td3", observation_space, action_space)       # for a loop of your own
    for step in footlight.steps(agent, environments): ...                 # the loop of `train`

Names are imported when they are first used: `import footlight` does not import torch.
"""

import importlib
import os
import random
from typing import TYPE_CHECKING, Any

# Read by the thread pools when NumPy and torch are loaded; values that the user has set take
# precedence. NumPy multiplies single observations here: a pool of its own would compete with
# torch's for the cores. torch's threads synchronize a thousand times a second, so they spin for
# about a millisecond. If another program needs the cores too, longer spinning would waste whole
# time slices.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("GOMP_SPINCOUNT", "30000")


def _before_fork() -> None:
    from footlight.machine import end_openmp_threads

    end_openmp_threads()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork)

__version__ = "0.1.0"
__all__ = [
    "Agent", "DeviceFault", "Diverged", "EnvironmentFault", "Evaluation", "FootlightError",
    "Policy", "Run", "StorageFault", "UserError", "evaluate", "every", "load", "make_environments",
    "on_episode", "on_evaluation", "plot", "reproduce", "resume", "steps", "train",
]  # fmt: skip

_HOMES = {
    "Agent": "footlight.learning.agent",
    "DeviceFault": "footlight.errors",
    "Diverged": "footlight.errors",
    "EnvironmentFault": "footlight.errors",
    "Evaluation": "footlight.training.evaluation",
    "FootlightError": "footlight.errors",
    "Policy": "footlight.learning.policy",
    "StorageFault": "footlight.errors",
    "UserError": "footlight.errors",
    "load": "footlight.learning.policy",
    "Run": "footlight.run",
    "evaluate": "footlight.api",
    "make_environments": "footlight.api",
    "plot": "footlight.api",
    "reproduce": "footlight.environments.reproduce",
    "resume": "footlight.api",
    "every": "footlight.training.hooks",
    "on_episode": "footlight.training.user_hooks",
    "on_evaluation": "footlight.training.user_hooks",
    "steps": "footlight.training.loop",
    "train": "footlight.api",
}

if TYPE_CHECKING:
    from footlight.api import evaluate, make_environments, plot, resume, train
    from footlight.environments.reproduce import reproduce
    from footlight.errors import (
        DeviceFault,
        Diverged,
        EnvironmentFault,
        FootlightError,
        StorageFault,
        UserError,
    )
    from footlight.learning.agent import Agent
    from footlight.learning.policy import Policy, load
    from footlight.run import Run
    from footlight.training.evaluation import Evaluation
    from footlight.training.loop import steps


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'footlight' has no attribute {name!r}")
    before = random.getstate()  # imported packages may draw from the process-wide generator
    try:
        return getattr(importlib.import_module(_HOMES[name]), name)
    finally:
        random.setstate(before)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
