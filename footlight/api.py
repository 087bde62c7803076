"""Train and resume: from words to a run folder."""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from footlight.algorithms import config_class, find, name_of
from footlight.algorithms.protocol import AlgorithmClass
from footlight.ambient import process_restored
from footlight.buffers.memory import format_bytes
from footlight.config.fields import build, describe_value
from footlight.config.options import Options
from footlight.contexts import closing as closing_environments
from footlight.contexts import leaving
from footlight.environments import reproduce
from footlight.environments.determinism import inexactness
from footlight.environments.make import (
    Environments,
    EnvironmentSource,
    configured,
    make,
)
from footlight.environments.naming import code_digest
from footlight.environments.naming import name_of as environment_name
from footlight.environments.spaces import require_actions
from footlight.environments.vectorization import choose
from footlight.environments.watchdog import watched
from footlight.environments.workers import Supervision
from footlight.errors import UserError, counted, quoted
from footlight.instruments.progress import Display
from footlight.learning.agent import Agent
from footlight.machine import describe_machine, describe_process, differences
from footlight.run import Run
from footlight.runs.folder import RunFolder, new_folder, require_unbegun, shown
from footlight.runs.lock import locked
from footlight.runs.trackers.follower import followed
from footlight.runs.trackers.track import require_trackers
from footlight.signals import Interruption
from footlight.storage import checkpoint
from footlight.storage.files import user_path
from footlight.training.evaluation import Evaluation
from footlight.training.instances import Instances
from footlight.training.loop import Training
from footlight.training.run_config import changed, describe, mend, options_of
from footlight.training.threads import choose_threads
from footlight.training.values import read_toml, resolve, update_warnings

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def train(
    algorithm: str | AlgorithmClass,
    environment: EnvironmentSource,
    *,
    config: str | Path | None = None,
    preset: bool | str = True,
    run_dir: str | Path | None = None,
    network: Any = None,
    quiet: bool = False,
    **values: Any,
) -> Run:
    """Train an algorithm on an environment; what `footlight train` does.

    algorithm: a name, or a class with the protocol of `footlight.algorithms.protocol`.
    environment: an id or `EnvSpec`, a gymnasium environment or vector environment, or a function that makes one.
    config: a TOML file with values. preset: the tuned values for this pair (True), none (False), or those of another name.
    run_dir: a folder that holds no run yet; by default `runs/ENVIRONMENT/ALGORITHM/NNN`.
    network: the user's own, see `footlight.algorithms.off_policy` and `.on_policy`. quiet: print nothing.
    values: fields of `footlight.config.options.Options` (steps, seed, ...) and of the algorithm's
        config (gamma, ...), and `env_kwargs`, a mapping: arguments for `gymnasium.make`.
    A value given here wins over the file, the file over the preset, the preset over the defaults.

    Raises `UserError` before anything is created; `EnvironmentFault`, `Diverged` or `StorageFault` after what is whole was saved;
    `KeyboardInterrupt` after Ctrl-C, when the run is saved and can be resumed.
    """
    method, name, start = find(algorithm), name_of(algorithm), Path.cwd()
    resolved = resolve(name, config_class(method), environment, preset, read_toml(config) | values)
    options = build(Options, resolved.options)
    require_trackers(options.track)
    environment = configured(environment, resolved.environment, resolved.env_kwargs)
    build(
        config_class(method), resolved.fields
    )  # wrong values are reported before an environment is made
    display, interruption = Display(options.steps, quiet=quiet), Interruption(options.max_time)
    num_envs = options.num_envs if "num_envs" in resolved.options else None
    said = [*resolved.notes]  # printed once it is certain that there will be a run
    chosen = choose(environment, num_envs, options.vectorization, said.append)
    with (
        process_restored(),
        interruption.listening(display.say),
        contextlib.ExitStack() as closing,
    ):  # on every path
        environments = closing.enter_context(
            _make_environments(environment, options, num_envs, chosen, display)
        )
        options = dataclasses.replace(options, num_envs=environments.num_envs, vectorization=chosen)
        require_actions(environments.spaces, method.ACTIONS, name)
        with resolved.blamed():
            agent = _make_agent(
                algorithm,
                environments,
                options,
                build(config_class(method), resolved.fields),
                network,
                display,
            )
        instances = Instances(
            environment, environments, options, _supervision(options, display), said.append
        )
        inexact = instances.examine(inexactness)
        evaluation_env = closing.enter_context(instances.evaluation_env(inexact))
        recorder = instances.recorder(agent)
        environments.reset()
        place = environment_name(environment, environments)
        path = new_folder(run_dir, place, name, start)
        closing.enter_context(locked(path))
        require_unbegun(path)  # still: another process may have begun, and ended, in it
        folder = RunFolder(path)
        record = (
            describe(agent, environment, place, resolved.preset, options, inexact or "exact")
            | instances.record
        )
        folder.write_json("config.json", record)
        known_as = shown(path, start, run_dir)
        closing.enter_context(reproduce.kept(path, record, known_as))
        display.say(
            "\n".join([*update_warnings(agent, options.steps), _header(record, agent), *said])
        )
        training = Training(
            agent,
            environments,
            evaluation_env,
            options,
            folder,
            display,
            record,
            interruption,
            recorder,
        )
        training.checkpoints.create()
        training.save()  # from here on there is something to continue from, whatever happens
        return _go(
            Run(path, environment, network, None if isinstance(algorithm, str) else algorithm),
            training,
            known_as,
        )


def resume(
    run_dir: str | Path,
    *,
    steps: int | None = None,
    environment: EnvironmentSource | None = None,
    network: Any = None,
    algorithm: AlgorithmClass | None = None,
    allow_env_import: str | None = None,
    quiet: bool = False,
    **changes: Any,
) -> Run:
    """Go on with a stopped run from its newest whole checkpoint, to `steps` environment steps in all (default: as it was begun).

    changes: new values for fields of `Options`, those in `footlight.config.options.CHANGEABLE`;
        a `max_time` of "none" removes the limit.
    `environment`, `network` and `algorithm` are needed again where the run was made with objects that no file can hold;
    `allow_env_import` where its environment is a `module:Env-v0`: the name of that module.
    Raises what `train` raises.
    """
    known_as, path = (
        user_path(run_dir),
        user_path(run_dir).absolute(),
    )  # an environment may change the working directory
    run = Run(path, environment, network, algorithm, allow_env_import)
    changes = {
        name: value for name, value in {"steps": steps, **changes}.items() if value is not None
    }
    _require_run_folder(known_as)
    display, interruption = Display(0, quiet=quiet), Interruption()
    with process_restored(), interruption.listening(display.say), contextlib.ExitStack() as closing:
        closing.enter_context(locked(path))
        saved = checkpoint.find(path, display.say)
        manifest = checkpoint.read_manifest(saved)
        with checkpoint.fitting(saved):
            record, at, machine = manifest["run"], manifest["step"], manifest["machine"]
            options = options_of(saved, manifest, changes)
        require_trackers(options.track if "track" in changes else ())
        mend(path, record, display.say)
        if at > options.steps or (at == options.steps and _has_ended(run, at)):
            raise UserError(
                f"{run_dir} has reached step {at:,} of {options.steps:,} - give a larger --steps to continue"
            )
        display = Display(options.steps, start_step=at, quiet=quiet)
        kind = options.num_envs, options.vectorization
        environments = closing.enter_context(
            _make_environments(run.source, options, *kind, display)
        )
        said: list[str] = []
        instances = Instances(
            run.source, environments, options, _supervision(options, display), said.append
        )
        other = instances.examine_resumed(manifest)
        evaluation_env = closing.enter_context(instances.evaluation_env(record["resume"]))
        torch.set_num_threads(
            options.threads or 1
        )  # as recorded: another number would round differently
        agent = Agent.load(
            saved,
            algorithm=algorithm,
            network=network,
            device=options.device,
            total_steps=options.steps,
            notice=display.say,
        )
        recorder = instances.recorder(agent)
        interruption.end_after(options.max_time)
        now, folder = changed(record, options, changes) | instances.record, RunFolder(path)
        training = Training(
            agent,
            environments,
            evaluation_env,
            options,
            folder,
            display,
            now,
            interruption,
            recorder,
            other,
        )
        if options.track and "track" not in changes:
            said.append(
                f"sending to {', '.join(options.track)}, as recorded; `--track none` ends that"
            )
        said[:0] = update_warnings(agent, options.steps)
        display.say(
            "\n".join(
                [f"resuming {run_dir} at step {at:,}", _header(training.record, agent), *said]
            )
        )
        for reason in _changes_since(machine, record, run.source):
            training.mark_inexact(reason)
        closing.enter_context(reproduce.kept(path, now, known_as))
        training.restore(saved)
        return _go(run, training, known_as)


def _changes_since(
    machine: Mapping[str, Any], record: Mapping[str, Any], source: EnvironmentSource
) -> Iterator[str]:
    """Why a run may continue with other numbers: what differs from the machine and the code that it was saved with."""
    if new := differences(machine, describe_machine()):
        yield f"resumed with {', '.join(new)}"
    if record.get("environment_code") not in (None, code_digest(source)):
        yield "resumed with another function for the environment"


def _require_run_folder(path: Path) -> None:
    if not (path / "checkpoints").is_dir():
        checkpoint.find(path, groups=[])  # which says what it is instead
        raise UserError(
            f"{path} is not a run folder - it is a checkpoint or a saved agent - give the folder that `train` printed"
        )


def _has_ended(run: Run, step: int) -> bool:
    """Whether nothing is left to do of a run that has made all its steps: its result, written last, says so."""
    try:
        result = run.result or {}
    except UserError:
        return False
    return result.get("status") == "finished" and result.get("steps") == step


def evaluate(
    run_dir: str | Path,
    episodes: int = 20,
    seed: int | None = None,
    deterministic: bool | None = None,
) -> Evaluation:
    """`Run(run_dir).evaluate(...)`."""
    return Run(user_path(run_dir)).evaluate(episodes, seed, deterministic)


def plot(
    runs: Any,
    output: str | Path | None = None,
    *,
    labels: Sequence[str] | None = None,
    metric: str | None = None,
    x: str | None = None,
) -> "Figure":
    """Learning curves as a Matplotlib figure, written to `output` if that is given.

    See `footlight.instruments.plot.plot_runs`.
    """
    from footlight.instruments.plot import plot_runs  # matplotlib is for those who plot

    return plot_runs(runs, output, labels=labels, metric=metric, x=x)


@contextlib.contextmanager
def _make_environments(
    source: EnvironmentSource,
    options: Options,
    num_envs: int | None,
    vectorization: str,
    display: Display,
) -> Iterator[Environments]:
    supervision = _supervision(options, display)
    made = make(
        source, options.seed, num_envs, vectorization=vectorization, supervision=supervision
    )
    with closing_environments(made, display.say):
        yield made


def _supervision(options: Options, display: Display) -> Supervision:
    return Supervision(options.env_timeout, options.on_worker_death == "restart", display.say)


def _go(run: Run, training: Training, path: Path) -> Run:
    """The part that train and resume share: compilation, the loop, the last lines. `path`: the folder as messages name it."""
    folder, display = training.folder, training.display
    try:
        seconds = training.compile()
        training.save_record()
        agent = {
            "device": str(training.agent.device),
            "compiled": training.agent.compiled,
            "compile_seconds": round(seconds, 1),
        }
        folder.write_json("machine.json", {**describe_machine(), **agent, **describe_process()})
        watching = watched(
            [training.environments, training.evaluator.environments], training.options.env_timeout
        )
        following = followed(run.folder, training.options.track, display.say)
        showing = leaving(display, "the display", display.say)
        with watching, leaving(following, "tracking", display.say) as training.after_flush, showing:
            result = training.run()
    finally:
        folder.close()
    display.say(_closing(path, result))
    if training.interruption.signal is not None:
        raise training.interruption.ending(training.interruption.signal)
    return run


def _make_agent(
    algorithm: str | AlgorithmClass,
    environments: Environments,
    options: Options,
    config: Any,
    network: Any,
    display: Display,
) -> Agent:
    torch.set_num_threads(1)  # initial weights must not depend on how many there are
    agent = Agent(
        algorithm,
        environments.observation_space,
        environments.action_space,
        seed=options.seed,
        num_envs=options.num_envs,
        device="cpu" if options.device == "auto" else options.device,
        compile=options.compile,
        total_steps=options.steps,
        network=network,
        keep_gradients=options.track_histograms,
        notice=display.say,
        **dataclasses.asdict(config),
    )
    torch.set_num_threads(choose_threads(options, agent))
    return agent


def _header(record: Mapping[str, Any], agent: Agent) -> str:
    preset = record["preset"] or "none"
    update = "compiled" if agent.compiled else "eager"
    threads = torch.get_num_threads()
    verdict = record.get("resume")  # None: of a run that was begun before there was a probe
    resumes = (
        ""
        if verdict is None
        else " | resumes exactly"
        if verdict == "exact"
        else f" | resumes inexactly: {verdict}"
    )
    if str(verdict).startswith("unknown: "):
        resumes = f" | whether it resumes exactly is {verdict}"
    return (
        f"{record['algorithm']} on {_in_words(record)} | preset {preset} | seed {record['seed']} | "
        f"{record['steps']:,} steps{resumes}\n"
        f"{agent.device} | {counted(threads, 'thread')} | {update} update | {agent.num_parameters:,} parameters "
        f"| buffer {format_bytes(agent.buffer.num_bytes)} for {agent.buffer.capacity:,} "
        f"{getattr(agent.buffer, 'unit', 'transitions')}"
    )


def _in_words(record: Mapping[str, Any]) -> str:
    """The environment of a run and its arguments, for the header."""
    kwargs = ", ".join(
        f"{name}={describe_value(value)}" for name, value in record.get("env_kwargs", {}).items()
    )
    return f"{record['environment']} ({kwargs})" if kwargs else str(record["environment"])


def _closing(folder: Path, result: Mapping[str, Any]) -> str:
    final = result["final_evaluation"]
    score = (
        f"final evaluation {Evaluation.from_json(final).summary()}"
        if final
        else "no final evaluation"
    )
    pace = f"{result['steps']:,} steps in {result['seconds']:.0f} s ({result['steps_per_second']:.0f} steps/s)"
    if not result["updates"]:
        pace += " | 0 updates: nothing was learned"
    look = f"footlight plot {quoted(folder)}   or: footlight watch {quoted(folder)} --video episode.mp4"
    more = f"footlight resume {quoted(folder)}" if result["status"] == "stopped" else look
    return f"{score} | {pace}\nrun folder {folder}\nnext: {more}"
