"""The Python interface: train, resume, evaluate, plot, and environments for a loop of your own."""

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from footlight.algorithms.protocol import Config
from footlight.ambient import process_restored
from footlight.config.options import Options
from footlight.environments import reproduce
from footlight.environments.determinism import check_determinism
from footlight.environments.make import make
from footlight.environments.source import EnvironmentLike, Environments, EnvironmentSource
from footlight.instruments.several import display_of
from footlight.learning.agent import Agent
from footlight.learning.blueprint import AnyAlgorithmClass
from footlight.run import Run
from footlight.runs.folder import RunFolder, shown
from footlight.runs.lock import locked
from footlight.runs.seeds_folder import is_seeds_folder, make_seeds_folder
from footlight.signals import Interruption
from footlight.storage.files import user_path
from footlight.training import resuming
from footlight.training.evaluation import Evaluation
from footlight.training.messages import header
from footlight.training.objects import Objects
from footlight.training.parts import (
    make_agent,
    make_instances,
    new_run_folder,
    run_environments,
    vectorized,
)
from footlight.training.ray_cluster import connected
from footlight.training.request import Request
from footlight.training.resuming import changes_since
from footlight.training.run_config import changed, describe
from footlight.training.seeds import parse_seeds, train_together
from footlight.training.session import Session
from footlight.training.threads import threads_notices
from footlight.training.training import assemble
from footlight.training.user_hooks import UserHooks
from footlight.training.values import initialization_warnings, update_warnings

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def train(
    algorithm: str | AnyAlgorithmClass,
    environment: EnvironmentLike,
    *,
    config: str | Path | Config | None = None,
    options: Options | None = None,
    preset: bool | str = True,
    run_dir: str | Path | None = None,
    quiet: bool = False,
    **values: Any,
) -> Run:
    """Train an algorithm on an environment, as `footlight train` does.

    algorithm: a name, "best", a class (see `footlight.algorithms.protocol`), or FILE.py:NAME.
    environment: an id, `EnvSpec`, (vector) environment, function that makes one, or FILE.py:NAME.
    config: a TOML file, or an object such as `footlight.SACConfig(...)`; options: `Options(...)`.
    preset: True applies the tuned values for this pair, if any; False none; a name that preset's.
    run_dir: a new folder; by default `runs/ENVIRONMENT/ALGORITHM/NNN`. quiet: print nothing.
    values: options, config fields and `env_kwargs`, which override the above; your own `network`,
        `wrapper`, `hooks` and the like (`training.objects`); `init_from`, `init_buffer`.

    Raises `UserError` before anything is created; `EnvironmentFault`, `Diverged` or `StorageFault`
    after the last intact state is saved; `KeyboardInterrupt` after Ctrl-C, once all is saved.
    """
    start, request = Path.cwd(), Request.of(algorithm, environment, values, config, options, preset)
    source, objects = request.source, request.objects
    found, options = request.found, request.options
    display, interruption = display_of(options.steps, quiet), Interruption(options.max_time)
    notices = [*found.notes, *request.hooks.notices]  # printed once nothing can prevent the run
    options, count = vectorized(options, found.options, source, notices)
    with process_restored(), contextlib.ExitStack() as stack:
        stack.enter_context(interruption.installed(display.notify))
        where = run_environments(source, options, count, display, objects.ray)
        environments = stack.enter_context(where)
        options = dataclasses.replace(options, num_envs=environments.num_envs)
        agent = make_agent(request, environments, options, display)
        origin = request.given.tuning.begin(agent, environments, notices)
        evaluated_in = objects.evaluation_source(source)
        instances = make_instances(source, environments, options, display, notices, evaluated_in)
        reason = instances.examine(check_determinism)
        evaluation_env = stack.enter_context(instances.evaluation_env(reason))
        recorder = instances.recorder(agent)
        environments.reset()
        env_name = source.name(instances.environments)
        new_folder = new_run_folder(run_dir, env_name, request.name, start)
        folder = RunFolder(stack.enter_context(new_folder))
        run_config = describe(agent, source, env_name, found.preset, options, reason or "exact")
        run_config |= instances.record | origin | objects.record(source, evaluated_in)
        folder.write_json("config.json", run_config)
        known_as = shown(folder.path, start, run_dir)
        stack.enter_context(reproduce.save_on_fault(folder.path, run_config, known_as))
        session = Session(agent, environments, options, folder, display, interruption, run_config)
        first = [*request.first_lines(found.of_preset), *_first_lines(session)]
        display.notify("\n".join([*first, *notices, *threads_notices(options, agent)]))
        training = assemble(session, evaluation_env, recorder, request.hooks)
        training.saver.begin()
        with training.started(known_as):
            training.run()
    return Run(folder.path, source, objects.network, objects.own_algorithm)


def resume(
    run_dir: str | Path,
    *,
    steps: int | None = None,
    environment: EnvironmentLike | None = None,
    allow_env_import: str | None = None,
    quiet: bool = False,
    **changes: Any,
) -> Run:
    """Continue a stopped run from its newest intact checkpoint, up to `steps` steps in all.

    steps: by default as before. environment: needed if the run was given a Python object.
    allow_env_import: the module to import for a `module:Env-v0`.
    changes: other options; a `max_time` of "none" removes the limit. Also the objects of your own
        that the run was given (`footlight.training.objects`); other hooks are marked in the run.

    Raises what `train` raises.
    """
    # Absolute, as an environment may change the working directory.
    known_as, path = user_path(run_dir), user_path(run_dir).absolute()
    objects, changes = Objects.split(changes)
    changes = {k: v for k, v in {"steps": steps, **changes}.items() if v is not None}
    resuming.require_run_folder(known_as)
    display, interruption = display_of(0, quiet), Interruption()
    with process_restored(), contextlib.ExitStack() as stack:
        stack.enter_context(interruption.installed(display.notify))
        stack.enter_context(locked(path))
        saved, manifest, options = resuming.read_run(path, run_dir, changes, display.notify)
        recorded, at = manifest["run"], manifest["step"]
        objects, folder = objects.completed(recorded, path), RunFolder(path)
        network, algorithm, hooks = objects.network, objects.algorithm, UserHooks(objects.hooks)
        run = Run(path, environment, network, algorithm, allow_env_import, objects.wrapper)
        display = display_of(options.steps, quiet, start_step=at)
        source, count = run.source, options.num_envs
        where = run_environments(source, options, count, display, objects.ray)
        environments = stack.enter_context(where)
        notices = hooks.notices
        evaluated_in = resuming.evaluation_source(objects, source, recorded, path, allow_env_import)
        instances = make_instances(source, environments, options, display, notices, evaluated_in)
        other = instances.examine_resumed(manifest)
        evaluation_env = stack.enter_context(instances.evaluation_env(recorded["resume"]))
        torch.set_num_threads(options.threads or 1)  # as before: another number rounds differently
        agent = Agent.load(
            saved, algorithm=objects.own_algorithm, network=network, device=options.device,
            total_steps=options.steps, notice=display.notify,
        )  # fmt: skip
        interruption.stop_after(options.max_time)
        files = objects.record(source, evaluated_in, "code" in recorded)
        run_config = changed(recorded, options, changes) | instances.record | files
        session = Session(agent, environments, options, folder, display, interruption, run_config)
        training = assemble(session, evaluation_env, instances.recorder(agent), hooks, other)
        reasons = changes_since(manifest, source, hooks.names, files, instances.changed)
        marks = [session.record_not_reproducible(reason) for reason in reasons]
        notices[:0] = [f"resuming {run_dir} at step {at:,}", *_first_lines(session)]
        display.notify("\n".join([*notices, *resuming.tracker_notices(options, changes), *marks]))
        stack.enter_context(reproduce.save_on_fault(path, run_config, known_as))
        training.saver.restore(saved)
        with training.started(known_as):
            training.run()
    return run


def train_seeds(
    algorithm: str | AnyAlgorithmClass,
    environment: EnvironmentLike,
    seeds: int | str | Sequence[int],
    *,
    run_dir: str | Path | None = None,
    ray: str | None = None,
    quiet: bool = False,
    **arguments: Any,
) -> list[Run]:
    """Train several seeds, as `footlight train --seeds` does: on Linux side by side.

    seeds: a number of seeds, counted from `seed` (default 0), or a sequence of them.
    run_dir: a new folder for the runs `seed-0`, `seed-1`, ..., or one of the same configuration,
        to which they are added; by default `runs/ENVIRONMENT/ALGORITHM/NNN`.
    ray: train them on a Ray cluster: "local", or HOST:PORT (docs/scale.md); None: here.
    arguments: those of `train`. Each run has the numbers that it has by itself, or says what
        differs. On Linux it has a process of its own: what your objects become stays there.

    Raises what `train` raises, once all runs have ended.
    """
    start, request = Path.cwd(), Request.from_arguments(algorithm, environment, arguments)
    numbers = parse_seeds(seeds, request.given_seed)
    request.require_many()
    names = request.source.name(), request.name
    is_new = run_dir is None or not is_seeds_folder(Path(start, user_path(run_dir)))
    options, target = request.options, Path(start, user_path(run_dir or "runs"))

    def one(seed: int) -> Run:
        path = folder.run(seed)
        if folder.has_begun(seed):  # on a node that was lost
            again = resuming.code_again(algorithm, environment, arguments)
            return Run(path) if folder.has_ended(seed) else resume(path, quiet=quiet, **again)
        own = {**arguments, "seed": seed, "run_dir": path}
        return train(algorithm, environment, quiet=quiet, **own)

    sent = {"algorithm": algorithm, "environment": environment, **arguments}
    with connected(ray, target, options.threads, options.device, sent) as cluster:
        folder = make_seeds_folder(run_dir, names, start, numbers, request.record())
        known_as = shown(folder.path, start, run_dir)
        train_together(folder, numbers, one, options, known_as, quiet, is_new, cluster)
    given = request.source, request.objects.network, request.objects.own_algorithm
    return [Run(folder.run(seed), *given) for seed in numbers if folder.has_begun(seed)]


def resume_seeds(
    run_dir: str | Path, *, steps: int | None = None, ray: str | None = None, quiet: bool = False,
    **changes: Any,
) -> list[Run]:  # fmt: skip
    """Continue the runs of `train_seeds` that have not ended, and begin those that never began.

    steps, changes: as for `resume`. ray: as for `train_seeds`.
    Raises what `resume` raises, once all runs have ended.
    """
    known_as = user_path(run_dir)
    given = {name: x for name, x in {"steps": steps, **changes}.items() if x is not None}
    folder, numbers, options, changes = resuming.rest_of(known_as, given)

    def one(seed: int) -> Run:
        path = folder.run(seed)
        if folder.has_ended(seed, changes.get("steps")):  # on a node that was lost
            return Run(path)
        if folder.has_begun(seed):
            return resume(path, quiet=quiet, **changes)
        return train(run_dir=path, seed=seed, quiet=quiet, **resuming.arguments(folder, changes))

    with connected(ray, folder.path, options.threads, options.device, changes) as cluster:
        train_together(folder, numbers, one, options, known_as, quiet, cluster=cluster)
    return [Run(folder.run(seed)) for seed in folder.seeds if folder.has_begun(seed)]


def _first_lines(session: Session) -> list[str]:
    run_config, agent = session.run_config, session.agent
    warnings = [*initialization_warnings(agent), *update_warnings(agent, run_config["steps"])]
    return [*warnings, header(run_config, agent)]


def evaluate(
    run_dir: str | Path,
    episodes: int = 20,
    seed: int | None = None,
    deterministic: bool | None = None,
) -> Evaluation:
    """Evaluate the policy of a run: `Run(run_dir).evaluate(...)`."""
    return Run(user_path(run_dir)).evaluate(episodes, seed, deterministic)


def plot(
    runs: Any,
    output: str | Path | None = None,
    *,
    label: str | Sequence[str] | None = None,
    metric: str | None = None,
    x: str | None = None,
) -> "Figure":
    """Plot learning curves as a Matplotlib figure, and write it to `output` if given.

    runs: run folders, folders of runs, `Run` objects and sequences of returns, or one of these.
    output: a .png, .svg or .pdf file.
    label: one for each of `runs` or for each group; runs with the same label are one group. By
        default a group's runs differ in their seed only, and its label is what sets it apart.
    metric: any number in the logs; by default the mean return of evaluations.
    x: "steps", "updates", "episodes" or "seconds"; None: steps, or episodes for sequences.
    Raises `UserError`, and `StorageFault` if `output` cannot be written.
    """
    from footlight.instruments.plot import plot_runs  # only plots need Matplotlib

    return plot_runs(runs, output, label=label, metric=metric, x=x)


def make_environments(
    environment: EnvironmentLike,
    num_envs: int | None = None,
    seed: int = 0,
    env_kwargs: Mapping[str, Any] | None = None,
) -> Environments:
    """Environments for `footlight.steps`, reset and ready for the first action.

    num_envs: default 1, or as many as the given vector environment has. Raises `UserError`.
    """
    source = EnvironmentSource.of(environment).configured(kwargs=env_kwargs)
    environments = make(source, seed, num_envs)
    environments.reset()
    return environments
