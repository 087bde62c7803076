"""What a run is made of: its folder, its environments and its agent, from its options."""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from footlight.collection.actors import ActorCollectors
from footlight.collection.collection import Collection, require_chunked
from footlight.collection.process_channel import ProcessChannel
from footlight.config.options import Options
from footlight.contexts import closing
from footlight.environments.make import make
from footlight.environments.source import Environments, EnvironmentSource, Wanted
from footlight.environments.vectorization import choose
from footlight.environments.workers import Supervision
from footlight.errors import UserError, counted, warn
from footlight.instruments.progress import Display
from footlight.learning.agent import Agent
from footlight.runs.folder import new_folder, require_unused
from footlight.runs.lock import locked
from footlight.training.hooks import require_free
from footlight.training.instances import Instances
from footlight.training.ray_cluster import connected
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
    source: EnvironmentSource, options: Options, num_envs: int | None, display: Display,
    ray: str | None = None,
) -> Iterator[Environments | Collection]:  # fmt: skip
    """The environments of the training, closed at the end. `num_envs` None: as many as given.

    ray: the cluster on which collectors run; None: they are processes here. Raises `UserError`.
    """
    supervision, how = _supervision(options, display), options.vectorization
    if options.collectors is None:
        if ray is not None:
            raise UserError(
                "--ray is for collectors or several seeds, and this is one run without collectors "
                "- leave it out"
            )
        made = make(source, options.seed, num_envs, vectorization=how, supervision=supervision)
        with closing(made, display.notify):
            yield made
        return
    with connected(ray, None, 1, "cpu", {}, options.collectors) as cluster:
        # Theirs goes to other processes, which have no display
        theirs = dataclasses.replace(supervision, notify=warn)
        count = envs_per_collector(options)
        wanted = Wanted(options.seed, count, vectorization=how, supervision=theirs)
        opened = ProcessChannel if cluster is None else ActorCollectors(cluster.ray)
        collection = Collection(
            source.configured(), wanted, options.collectors, opened, display.notify
        )
        with closing(collection, display.notify):
            yield collection


def envs_per_collector(options: Options) -> int:
    """How many environments each collector steps. Raises `UserError` if they cannot be divided."""
    collectors = options.collectors or 1
    if options.num_envs % collectors:
        up = -(-options.num_envs // collectors) * collectors
        raise UserError(
            f"num_envs {options.num_envs} cannot be divided among {collectors} collectors - each "
            f"has equally many - try num_envs {up}"
        )
    return options.num_envs // collectors


def make_instances(
    source: EnvironmentSource, environments: Environments | Collection, options: Options,
    display: Display,
    notices: list[str], evaluated_in: EnvironmentSource | None,
) -> Instances:  # fmt: skip
    """What makes further instances of the environment, for evaluations and videos."""
    supervision = _supervision(options, display)
    template = environments.template if isinstance(environments, Collection) else environments
    return Instances(source, template, options, supervision, notices.append, evaluated_in)


def _supervision(options: Options, display: Display) -> Supervision:
    return Supervision(options.env_timeout, options.on_worker_death == "restart", display.notify)


def vectorized(
    options: Options, typed: Mapping[str, Any], source: EnvironmentSource, notices: list[str]
) -> tuple[Options, int | None]:
    """The options with their vectorization chosen, and the number of environments if given."""
    num_envs, how = options.num_envs if "num_envs" in typed else None, options.vectorization
    if options.collectors is not None:
        num_envs = envs_per_collector(options)
        each = f"{counted(num_envs, 'environment')} each"
        notices.append(f"{counted(options.collectors, 'collector')}, processes of {each}")
        if how == "auto" and not (source.is_atari or source.is_vector):
            how = "sync"  # they step at the same time already
    chosen = choose(source, num_envs, how, notices.append)
    return dataclasses.replace(options, vectorization=chosen), num_envs


def make_agent(
    request: Request, environments: Environments | Collection, options: Options, display: Display
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
    if isinstance(environments, Collection):
        require_chunked(agent)
    torch.set_num_threads(choose_threads(options, agent))
    require_free(options.log_info, agent)
    return agent
