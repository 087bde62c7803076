"""What a run is made of: its folder, its environments and its agent, from its options."""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from footlight.config.options import Options
from footlight.contexts import closing
from footlight.environments.make import make
from footlight.environments.source import Environments, EnvironmentSource
from footlight.environments.vectorization import choose
from footlight.environments.workers import Supervision
from footlight.instruments.progress import Display
from footlight.learning.agent import Agent
from footlight.runs.folder import new_folder, require_unused
from footlight.runs.lock import locked
from footlight.training.hooks import require_free
from footlight.training.instances import Instances
from footlight.training.request import Request
from footlight.training.threads import choose_threads


@contextlib.contextmanager
def new_run_folder(
    run_dir: str | Path | None, environment: str, algorithm: str, start: Path
) -> Iterator[Path]:
    """Create and lock the folder of a new run."""
    path = new_folder(run_dir, environment, algorithm, start)
    with locked(path):
        require_unused(path)  # Another process may have used it before it was locked.
        yield path


@contextlib.contextmanager
def run_environments(
    source: EnvironmentSource, options: Options, num_envs: int | None, display: Display
) -> Iterator[Environments]:
    """The environments of the training, closed at the end. `num_envs` None: as many as given."""
    supervision, how = _supervision(options, display), options.vectorization
    made = make(source, options.seed, num_envs, vectorization=how, supervision=supervision)
    with closing(made, display.notify):
        yield made


def make_instances(
    source: EnvironmentSource, environments: Environments, options: Options, display: Display,
    notices: list[str], evaluated_in: EnvironmentSource | None,
) -> Instances:  # fmt: skip
    """What makes further instances of the environment, for evaluations and videos."""
    supervision = _supervision(options, display)
    return Instances(source, environments, options, supervision, notices.append, evaluated_in)


def _supervision(options: Options, display: Display) -> Supervision:
    return Supervision(options.env_timeout, options.on_worker_death == "restart", display.notify)


def vectorized(
    options: Options, typed: Mapping[str, Any], source: EnvironmentSource, notices: list[str]
) -> tuple[Options, int | None]:
    """The options with their vectorization chosen, and the number of environments if given."""
    num_envs = options.num_envs if "num_envs" in typed else None
    chosen = choose(source, num_envs, options.vectorization, notices.append)
    return dataclasses.replace(options, vectorization=chosen), num_envs


def make_agent(
    request: Request, environments: Environments, options: Options, display: Display
) -> Agent:
    """The agent of a new run; torch then has the run's number of threads. Raises `UserError`."""
    torch.set_num_threads(1)  # initial weights must not depend on the number of threads
    device = "cpu" if options.device == "auto" else options.device
    with request.found.blamed():
        agent = Agent(
            request.algorithm, environments.observation_space, environments.action_space,
            seed=options.seed, num_envs=options.num_envs, device=device, compile=options.compile,
            total_steps=options.steps, network=request.objects.network,
            keep_gradients=options.track_histograms, notice=display.notify,
            **dataclasses.asdict(request.fields),
        )  # fmt: skip
    torch.set_num_threads(choose_threads(options, agent))
    require_free(options.log_info, agent)
    return agent
