"""The argparse parsers of all commands but `train`, whose options depend on the algorithm."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from footlight import __version__
from footlight.cli.check_env import add_check_env
from footlight.cli.doctor import add_doctor
from footlight.cli.own_code import RESUME, add_own_code
from footlight.cli.report import add_report
from footlight.cli.run_folders import add_clean, add_runs
from footlight.cli.sweep import add_sweep
from footlight.cli.watch_runs import add_watch_runs
from footlight.config.suggestions import closest
from footlight.errors import UserError
from footlight.storage.files import user_path

AddCommand = Callable[[str, str], argparse.ArgumentParser]

_POLICY_FOLDER = "run folder, or one of its checkpoints, such as RUN_DIR/checkpoints/BEST"
_EPISODE_SEED = "seed of the episodes (default: the run's seed)"
_MODULE = "module that the environment's id, MODULE:ID, may import; name only one that you trust"

_OF_POLICY = {name: RESUME[name] for name in ("algorithm", "environment", "network", "wrapper")}


class Parser(argparse.ArgumentParser):
    """An argument parser that raises `UserError` instead of printing its usage and exiting."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message} - see `{self.prog} --help`")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Refuse what is not one of the choices, and name a similar one."""
        if action.choices is not None and value not in action.choices:
            choices = [*map(str, action.choices)]
            hint = closest(str(value), choices)
            self.error(f"{action.dest} is {value!r} - it must be one of {', '.join(choices)}{hint}")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Refuse unknown options, and name similar ones of this command."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown and self._subparsers is None:  # the command's own parser knows its options
            known = [option for action in self._actions for option in action.option_strings]
            word = unknown[0].partition("=")[0]
            hint = closest(word, known) if word.startswith("-") else ""
            self.error(
                f"unknown {'option' if hint or word[:1] == '-' else 'argument'} {word}{hint}"
            )
        return found, unknown


def build_parser() -> Parser:
    """The parser of the whole command line; of `train` it knows the name only."""
    parser = Parser(
        prog="footlight", description="Actor-critic reinforcement learning.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"footlight {__version__}")
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="COMMAND", parser_class=Parser
    )

    def add_command(name: str, text: str) -> argparse.ArgumentParser:
        sentence = f"{text[0].upper()}{text[1:]}."
        added = commands.add_parser(
            name, help=text.replace("%", "%%"), description=sentence, allow_abbrev=False
        )
        added.add_argument("--debug", action="store_true", help="show the traceback of an error")
        return added

    usage = "footlight train ALGORITHM ENVIRONMENT [--FIELD VALUE ...]"
    add_command("train", f"train an algorithm on an environment: {usage}")
    _add_resume(add_command)
    _add_evaluate(add_command)
    _add_watch(add_command)
    _add_simulate(add_command)
    add_check_env(add_command)
    _add_plot(add_command)
    add_report(add_command("report", "write what happened in runs to one page of HTML"), _path)
    _add_reproduce(add_command)
    _add_track(add_command)
    _add_file_commands(add_command)
    add_doctor(add_command)
    add_runs(add_command)
    add_clean(add_command)
    add_watch_runs(add_command)
    listing = add_command("list", "list algorithms, environments and presets")
    kinds = ("algorithms", "environments", "presets")
    listing.add_argument(
        "kind", nargs="?", choices=kinds, help="list only these (default: algorithms and presets)"
    )
    text = "train many runs whose values are searched, and compare them"
    add_sweep(add_command("sweep", text), _path, _at_least(1))
    _add_tune_machine(add_command)
    _add_completion(add_command)
    return parser


def _add_tune_machine(add_command: AddCommand) -> None:
    text = "measure which threads and matrix products are fastest here, for later runs"
    tune = add_command("tune-machine", text)
    tune.add_argument("--json", action="store_true", help="print one JSON object")
    forget = "remove the result of an earlier measurement: runs follow the rules again"
    tune.add_argument("--forget", action="store_true", help=forget)


def _add_completion(add_command: AddCommand) -> None:
    text = "print a script with which a shell completes commands, options and names"
    completion = add_command("completion", text)
    shells = ("bash", "zsh", "fish")
    completion.add_argument("shell", choices=shells, help="the shell that reads the script")
    completion.epilog = (
        'bash and zsh: add `eval "$(footlight completion SHELL)"` to ~/.bashrc, or to ~/.zshrc '
        "after compinit; fish: add `footlight completion fish | source` to config.fish"
    )


def _add_resume(add_command: AddCommand) -> None:
    resume = add_command("resume", "resume a stopped run from its newest checkpoint")
    folder = "folder of a run, or of the runs of several seeds"
    resume.add_argument("run_dir", metavar="RUN_DIR", type=_path, help=folder)
    # In this order: a folder after the trackers would be parsed as one of them.
    resume.usage = "footlight resume RUN_DIR [options]"
    for option, metavar, text in (
        ("steps", "N", "environment steps of the whole run (default of all options: unchanged)"),
        ("threads", "N", "CPU threads; with a different number the resume is not exact"),
        ("max-time", "SECONDS", "save and stop after this time; none: off"),
        ("env-timeout", "SECONDS", "time after which an environment counts as hanging; 0: never"),
        ("on-worker-death", "ACTION", "stop or restart: response to a dead environment process"),
        ("on-env-fault", "ACTION", "stop or new-episode: response to an environment that fails"),
        ("episodes", "N", "stop after so many training episodes; none: off"),
        ("stop-at-return", "RETURN", "stop once the mean return reaches this; none: off"),
        ("stop-window", "N", "returns that this mean is over"),
        ("stop-on", "KIND", "training or evaluation: the returns that it is of"),
        ("stop-patience", "N", "stop after so many evaluations without a new best; none: off"),
    ):
        resume.add_argument(f"--{option}", metavar=metavar, help=text)
    track = "tensorboard, wandb, or none: off"
    resume.add_argument("--track", nargs="+", metavar="TRACKER", help=track)
    ray = "of several seeds or collectors: a Ray cluster, HOST:PORT or local (docs/scale.md)"
    resume.add_argument("--ray", metavar="ADDRESS", help=ray)
    quiet = "print only errors and, at the end, the run folder"
    resume.add_argument("--quiet", action="store_true", help=quiet)
    resume.add_argument("--allow-env-import", metavar="MODULE", help=_MODULE)
    add_own_code(resume, RESUME)
    kwargs = "arguments of the environment of evaluations, in addition to the recorded ones"
    several: dict[str, Any] = {"nargs": "+", "action": "extend", "metavar": "KEY=VALUE"}
    resume.add_argument("--eval-env-kwargs", help=kwargs, **several)


def _add_evaluate(add_command: AddCommand) -> None:
    evaluate = add_command("evaluate", "run episodes of a trained policy and print their returns")
    evaluate.add_argument("run_dir", metavar="RUN_DIR", type=_path, help=_POLICY_FOLDER)
    evaluate.add_argument(
        "--episodes", type=_at_least(1), default=20, help="number of episodes (default: 20)"
    )
    evaluate.add_argument("--seed", type=_at_least(0), help=_EPISODE_SEED)
    mode = evaluate.add_mutually_exclusive_group()
    stochastic = "sample actions (default: as in the evaluations of the run)"
    mode.add_argument("--stochastic", action="store_true", help=stochastic)
    mode.add_argument("--deterministic", action="store_true", help="use the mode of the policy")
    evaluate.add_argument("--json", action="store_true", help="print one JSON object")
    evaluate.add_argument("--allow-env-import", metavar="MODULE", help=_MODULE)
    add_own_code(evaluate, _OF_POLICY)


def _add_watch(add_command: AddCommand) -> None:
    watch = add_command("watch", "show a trained policy in a window, or record a video")
    watch.add_argument("run_dir", metavar="RUN_DIR", type=_path, help=_POLICY_FOLDER)
    watch.add_argument(
        "--episodes", type=_at_least(1), default=1, help="number of episodes (default: 1)"
    )
    watch.add_argument("--seed", type=_at_least(0), help=_EPISODE_SEED)
    video = "record into FILE.mp4 or FILE.gif; needs no screen"
    watch.add_argument("--video", type=_path, metavar="FILE", help=video)
    overlay = "show the critic's value, the observed return and the policy's distribution"
    watch.add_argument("--overlay", action="store_true", help=overlay)
    watch.add_argument("--allow-env-import", metavar="MODULE", help=_MODULE)
    add_own_code(watch, _OF_POLICY)


def _add_simulate(add_command: AddCommand) -> None:
    text = "show a random policy in an environment: what there is to see and to learn"
    simulate = add_command("simulate", text)
    # In this order: an environment after the arguments would be parsed as one of them.
    simulate.usage = "footlight simulate ENVIRONMENT [options]"
    environment = (
        "a Gymnasium id, such as Pendulum-v1, MODULE:ID if a module of your own registers it, or "
        "FILE.py:NAME for a class, function or registered id in a file of your own"
    )
    simulate.add_argument("environment", metavar="ENVIRONMENT", help=environment)
    video = (
        "record into FILE.mp4 or FILE.gif (default: a window; without a screen, a new file named "
        "after the environment)"
    )
    simulate.add_argument("--video", type=_path, metavar="FILE", help=video)
    episodes = "number of episodes, of at most ten minutes of playing time (default: 1)"
    simulate.add_argument("--episodes", type=_at_least(1), default=1, metavar="N", help=episodes)
    seed = "seed of the episodes and of the actions (default: 0)"
    simulate.add_argument("--seed", type=_at_least(0), default=0, metavar="S", help=seed)
    kwargs = (
        "keyword arguments of the environment, such as size=5 goal=near: numbers, true, false, "
        "none or text"
    )
    several: dict[str, Any] = {"nargs": "+", "action": "extend", "metavar": "KEY=VALUE"}
    simulate.add_argument("--env-kwargs", help=kwargs, **several)


def _add_plot(add_command: AddCommand) -> None:
    plot = add_command(
        "plot", "plot learning curves of runs, grouped by what differs in their configuration"
    )
    # In this order: a folder after the labels would be parsed as one of them.
    plot.usage = "footlight plot RUN_DIR [RUN_DIR ...] [options]"
    run_dirs = "run folder, or folder of runs"
    plot.add_argument("run_dirs", metavar="RUN_DIR", nargs="+", type=_path, help=run_dirs)
    label = "label for each RUN_DIR, or for each group"
    plot.add_argument("--label", metavar="TEXT", nargs="+", action="extend", help=label)
    metric = "metric in the run's logs (default: mean_return, or return without evaluations)"
    plot.add_argument("--metric", metavar="NAME", help=metric)
    axes = ("steps", "updates", "episodes", "seconds")
    plot.add_argument("--x", choices=axes, help="horizontal axis (default: steps)")
    output = ".png, .svg or .pdf (default: curve.png in the run folder, or here for several)"
    plot.add_argument("--output", type=_path, metavar="FILE", help=output)


def _add_reproduce(add_command: AddCommand) -> None:
    reproduce = add_command("reproduce", "reproduce the episode in which an environment failed")
    folder = "folder in RUN_DIR/crash that the error message names"
    reproduce.add_argument("crash_dir", metavar="CRASH_DIR", type=_path, help=folder)
    timeout = "time after which the environment counts as hanging (default: 300)"
    reproduce.add_argument(
        "--env-timeout", type=_at_least(0), default=300, metavar="SECONDS", help=timeout
    )
    reproduce.add_argument("--allow-env-import", metavar="MODULE", help=_MODULE)
    add_own_code(reproduce, {"environment": RESUME["environment"]})


def _add_track(add_command: AddCommand) -> None:
    track = add_command(
        "track", "log a run to TensorBoard or Weights & Biases, or add what is missing there"
    )
    # In this order: a folder after the trackers would be parsed as one of them.
    track.usage = "footlight track RUN_DIR --track TRACKER [TRACKER ...] [options]"
    track.add_argument("run_dir", metavar="RUN_DIR", type=_path, help="folder of a run")
    trackers = "tensorboard, wandb or both"
    track.add_argument("--track", nargs="+", required=True, metavar="TRACKER", help=trackers)
    project = "Weights & Biases project (default of all options: as in the run)"
    track.add_argument("--wandb-project", metavar="NAME", help=project)
    track.add_argument("--wandb-group", metavar="NAME", help="Weights & Biases group")
    track.add_argument("--wandb-tags", nargs="+", metavar="TAG", help="Weights & Biases tags")
    mode = "offline: log to RUN_DIR/wandb, for `wandb sync`"
    track.add_argument("--wandb-mode", choices=("online", "offline"), help=mode)
    # Used by the process that a running training starts for each tracker.
    track.add_argument("--follow", action="store_true", help=argparse.SUPPRESS)


def _add_file_commands(add_command: AddCommand) -> None:
    """Add the commands that read the files of a folder and run no environment."""
    folder = "run folder, checkpoint or saved agent"
    inspect = add_command(
        "inspect", "show the content of a run, checkpoint or saved agent without running any of it"
    )
    inspect.add_argument("path", metavar="RUN_DIR|CHECKPOINT", type=_path, help=folder)
    inspect.add_argument("--json", action="store_true", help="print one JSON object")
    verify = add_command(
        "verify", "check all files of a run or checkpoint for damage; exit code 0 or 2"
    )
    verify.add_argument("path", metavar="RUN_DIR|CHECKPOINT", type=_path, help=folder)
    export = add_command(
        "export", "export a trained policy to ONNX and compare its actions with the original's"
    )
    export.add_argument("run_dir", metavar="RUN_DIR", type=_path, help=folder)
    output = "output file, overwritten if it exists"
    export.add_argument("output", metavar="FILE.onnx", type=_path, help=output)
    add_own_code(export, {name: RESUME[name] for name in ("algorithm", "network")})


def _path(text: str) -> Path:
    try:
        return user_path(text)
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _at_least(low: int) -> Any:
    """An argparse type: integers of at least `low`."""

    def integer(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if value < low:
            raise argparse.ArgumentTypeError(f"{text} - it must be an integer >= {low}")
        return value

    return integer
