"""The Python interface: train, resume, evaluate, plot, and environments for a loop of your own."""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from footlight.algorithms import config_class, name_of
from footlight.algorithms.protocol import Config
from footlight.ambient import process_restored
from footlight.config import best
from footlight.config.fields import build
from footlight.config.options import Options
from footlight.contexts import closing
from footlight.environments import reproduce
from footlight.environments.determinism import check_determinism
from footlight.environments.make import make
from footlight.environments.source import EnvironmentLike, Environments, EnvironmentSource
from footlight.environments.vectorization import choose
from footlight.environments.workers import Supervision
from footlight.instruments.progress import Display
from footlight.learning.agent import Agent
from footlight.learning.blueprint import AnyAlgorithmClass
from footlight.run import Run
from footlight.runs.folder import RunFolder, new_folder, require_unused, shown
from footlight.runs.lock import locked
from footlight.runs.trackers.track import require_trackers
from footlight.signals import Interruption
from footlight.storage.files import user_path
from footlight.training import resuming
from footlight.training.evaluation import Evaluation
from footlight.training.hooks import require_free
from footlight.training.instances import Instances
from footlight.training.messages import header
from footlight.training.objects import Objects
from footlight.training.resuming import changes_since
from footlight.training.run_config import changed, describe
from footlight.training.session import Session
from footlight.training.stopping import require_target
from footlight.training.threads import choose_threads
from footlight.training.training import assemble
from footlight.training.typed_values import Given
from footlight.training.user_hooks import UserHooks
from footlight.training.values import Values, initialization_warnings, update_warnings

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
    objects, values = Objects.split({**values, "algorithm": algorithm})
    source, user_hooks = EnvironmentSource.of(environment), UserHooks(objects.hooks)
    algorithm, first = best.chosen(objects.algorithm or algorithm, source.name)
    config_type, name, start = config_class(algorithm), name_of(algorithm), Path.cwd()
    given, network = Given.split(config, options, values), objects.network
    found = given.resolve(name, config_type, source, preset)
    options, fields = _options(found.options), build(config_type, found.fields)
    source = objects.wrapped(source.configured(found.environment, found.env_kwargs))
    display, interruption = Display(options.steps, quiet=quiet), Interruption(options.max_time)
    notices = [*found.notes, *user_hooks.notices]  # printed once nothing can prevent the run
    options, num_envs = _vectorized(options, found.options, source, notices)
    with process_restored(), contextlib.ExitStack() as stack:
        stack.enter_context(interruption.installed(display.notify))
        environments = stack.enter_context(_environments(source, options, num_envs, display))
        options = dataclasses.replace(options, num_envs=environments.num_envs)
        agent = _make_agent(algorithm, environments, options, fields, network, display, found)
        origin, evaluated_in = given.tuning.begin(agent, notices), objects.evaluation_source(source)
        instances = _instances(source, environments, options, display, notices, evaluated_in)
        reason = instances.examine(check_determinism)
        evaluation_env = stack.enter_context(instances.evaluation_env(reason))
        recorder = instances.recorder(agent)
        environments.reset()
        env_name = source.name(environments)
        folder = RunFolder(stack.enter_context(_new_folder(run_dir, env_name, name, start)))
        run_config = describe(agent, source, env_name, found.preset, options, reason or "exact")
        run_config |= instances.record | origin | objects.record(source, evaluated_in)
        folder.write_json("config.json", run_config)
        known_as = shown(folder.path, start, run_dir)
        stack.enter_context(reproduce.save_on_fault(folder.path, run_config, known_as))
        session = Session(agent, environments, options, folder, display, interruption, run_config)
        display.notify("\n".join([*first(found.of_preset), *_first_lines(session), *notices]))
        training = assemble(session, evaluation_env, recorder, user_hooks)
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
    display, interruption = Display(0, quiet=quiet), Interruption()
    with process_restored(), contextlib.ExitStack() as stack:
        stack.enter_context(interruption.installed(display.notify))
        stack.enter_context(locked(path))
        saved, manifest, options = resuming.read_run(path, run_dir, changes, display.notify)
        recorded, at = manifest["run"], manifest["step"]
        objects = objects.completed(recorded, path)
        network, algorithm, hooks = objects.network, objects.algorithm, UserHooks(objects.hooks)
        run = Run(path, environment, network, algorithm, allow_env_import, objects.wrapper)
        display = Display(options.steps, start_step=at, quiet=quiet)
        source, num_envs = run.source, options.num_envs
        environments = stack.enter_context(_environments(source, options, num_envs, display))
        notices = hooks.notices
        evaluated_in = resuming.evaluation_source(objects, source, recorded, path, allow_env_import)
        instances = _instances(source, environments, options, display, notices, evaluated_in)
        other = instances.examine_resumed(manifest)
        evaluation_env = stack.enter_context(instances.evaluation_env(recorded["resume"]))
        torch.set_num_threads(options.threads or 1)  # as before: another number rounds differently
        agent = Agent.load(
            saved, algorithm=objects.own_algorithm, network=network, device=options.device,
            total_steps=options.steps, notice=display.notify,
        )  # fmt: skip
        interruption.stop_after(options.max_time)
        folder = RunFolder(path)
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


def _first_lines(session: Session) -> list[str]:
    run_config, agent = session.run_config, session.agent
    warnings = [*initialization_warnings(agent), *update_warnings(agent, run_config["steps"])]
    return [*warnings, header(run_config, agent)]


@contextlib.contextmanager
def _new_folder(
    run_dir: str | Path | None, environment: str, algorithm: str, start: Path
) -> Iterator[Path]:
    """Create and lock the folder of a new run."""
    path = new_folder(run_dir, environment, algorithm, start)
    with locked(path):
        require_unused(path)  # Another process may have used it before it was locked.
        yield path


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


@contextlib.contextmanager
def _environments(
    source: EnvironmentSource, options: Options, num_envs: int | None, display: Display
) -> Iterator[Environments]:
    supervision, how = _supervision(options, display), options.vectorization
    made = make(source, options.seed, num_envs, vectorization=how, supervision=supervision)
    with closing(made, display.notify):
        yield made


def _instances(
    source: EnvironmentSource, environments: Environments, options: Options, display: Display,
    notices: list[str], evaluated_in: EnvironmentSource | None,
) -> Instances:  # fmt: skip
    supervision = _supervision(options, display)
    return Instances(source, environments, options, supervision, notices.append, evaluated_in)


def _supervision(options: Options, display: Display) -> Supervision:
    return Supervision(options.env_timeout, options.on_worker_death == "restart", display.notify)


def _options(values: Mapping[str, Any]) -> Options:
    """The options of a new run. Raises `UserError`, also for those that lack what they need."""
    options = build(Options, values)
    require_trackers(options.track)
    require_target(options)
    return options


def _vectorized(
    options: Options, typed: Mapping[str, Any], source: EnvironmentSource, notices: list[str]
) -> tuple[Options, int | None]:
    """The options with their vectorization chosen, and the number of environments if given."""
    num_envs = options.num_envs if "num_envs" in typed else None
    chosen = choose(source, num_envs, options.vectorization, notices.append)
    return dataclasses.replace(options, vectorization=chosen), num_envs


def _make_agent(
    algorithm: str | AnyAlgorithmClass, environments: Environments, options: Options, config: Any,
    network: Any, display: Display, values: Values,
) -> Agent:  # fmt: skip
    torch.set_num_threads(1)  # initial weights must not depend on the number of threads
    device = "cpu" if options.device == "auto" else options.device
    with values.blamed():
        agent = Agent(
            algorithm, environments.observation_space, environments.action_space,
            seed=options.seed, num_envs=options.num_envs, device=device, compile=options.compile,
            total_steps=options.steps, network=network, keep_gradients=options.track_histograms,
            notice=display.notify, **dataclasses.asdict(config),
        )  # fmt: skip
    torch.set_num_threads(choose_threads(options, agent))
    require_free(options.log_info, agent)
    return agent
