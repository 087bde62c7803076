"""The command line, made from the config dataclasses. torch is imported only by commands that need it."""

import argparse
import os
import shutil
import sys
import textwrap
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from footlight import __version__
from footlight.cli.command_line import (
    first_words,
    join_values,
    prepare_streams,
    require_not_swallowed,
    see_working_directory,
)
from footlight.cli.commands import COMMANDS
from footlight.config.suggestions import closest
from footlight.errors import FootlightError, UserError, printable
from footlight.signals import owning_process
from footlight.storage.files import user_path


class _Parser(argparse.ArgumentParser):
    """argparse that raises `UserError` instead of printing usage and leaving."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message} - see `{self.prog} --help`")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit code. 0, 2 to 5, 130 and 143 as documented; 1 is a bug of footlight."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    prepare_streams()
    debug = "--debug" in arguments
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")  # a banner on stdout
    try:
        with owning_process():
            code = _dispatch([word for word in arguments if word != "--debug"])
        sys.stdout.flush()
        return code
    except FootlightError as error:
        if debug:
            traceback.print_exc()
        print(printable(f"error: {error}"), file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of our output, such as `head`, has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _dispatch(arguments: list[str]) -> int:
    if arguments and arguments[0] == "train":
        return _train(arguments[1:])
    parser = _parser()
    if not arguments:
        parser.print_help()
        return 0
    words = [word for word in arguments[:1] if not word.startswith("-")]
    names = ("train", *COMMANDS)
    if words and words[0] not in names:
        raise UserError(
            f"unknown command {words[0]!r}{closest(words[0], names)} - there are {', '.join(names)}"
        )
    options = parser.parse_args(arguments)
    if getattr(options, "allow_env_import", None):
        see_working_directory()
    code: int = COMMANDS[options.command](options)
    return code


def _parser() -> _Parser:
    parser = _Parser(
        prog="footlight", description="Actor-critic reinforcement learning.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"footlight {__version__}")
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="COMMAND", parser_class=_Parser
    )

    def command(name: str, text: str) -> argparse.ArgumentParser:
        sentence = f"{text[0].upper()}{text[1:]}."
        added = commands.add_parser(
            name, help=text.replace("%", "%%"), description=sentence, allow_abbrev=False
        )
        added.add_argument("--debug", action="store_true", help="show the traceback of an error")
        return added

    command(
        "train",
        "train an algorithm on an environment: footlight train ALGORITHM ENVIRONMENT [--FIELD VALUE ...]",
    )
    resume = command("resume", "continue a stopped run from its newest checkpoint")
    resume.add_argument("run_dir", metavar="RUN_DIR", type=_path)
    resume.usage = (
        "footlight resume RUN_DIR [options]"  # a folder behind trackers would be one of them
    )
    resume.add_argument(
        "--steps",
        metavar="N",
        help="environment steps of the whole run (default for this and all below: unchanged)",
    )
    resume.add_argument(
        "--threads", metavar="N", help="CPU threads; another number makes the run inexact"
    )
    resume.add_argument(
        "--max-time", metavar="SECONDS", help="save and stop after this long; none: off"
    )
    resume.add_argument(
        "--env-timeout",
        metavar="SECONDS",
        help="after which an environment counts as hanging; 0: never",
    )
    resume.add_argument(
        "--on-worker-death",
        metavar="WORD",
        help="stop or restart: what to do when an environment's process dies",
    )
    resume.add_argument(
        "--on-env-fault",
        metavar="WORD",
        help="stop or new-episode: what to do when an environment fails",
    )
    resume.add_argument(
        "--track", nargs="+", metavar="TRACKER", help="tensorboard, wandb, or none: off"
    )
    resume.add_argument(
        "--quiet", action="store_true", help="print only the run's folder, at the end, and errors"
    )
    evaluate = command("evaluate", "run episodes of a trained policy and print their returns")
    of_which = "a run folder, or one of its checkpoints, such as RUN_DIR/checkpoints/BEST"
    evaluate.add_argument("run_dir", metavar="RUN_DIR", type=_path, help=of_which)
    evaluate.add_argument(
        "--episodes", type=_at_least(1), default=20, help="number of episodes (default 20)"
    )
    evaluate.add_argument(
        "--seed", type=_at_least(0), help="seed of the episodes (default: the run's seed)"
    )
    how = evaluate.add_mutually_exclusive_group()
    how.add_argument(
        "--stochastic",
        action="store_true",
        help="sample actions (default: as in the evaluations of the run)",
    )
    how.add_argument("--deterministic", action="store_true", help="use the mode of the policy")
    evaluate.add_argument("--json", action="store_true", help="print one JSON object")
    watch = command("watch", "show a trained policy in a window, or record a video")
    watch.add_argument("run_dir", metavar="RUN_DIR", type=_path, help=of_which)
    watch.add_argument(
        "--episodes", type=_at_least(1), default=1, help="number of episodes (default 1)"
    )
    watch.add_argument(
        "--seed", type=_at_least(0), help="seed of the episodes (default: the run's seed)"
    )
    watch.add_argument(
        "--video",
        type=_path,
        metavar="FILE",
        help="record into FILE.mp4 or FILE.gif; no screen is needed",
    )
    overlay = "show the critic's value, the return that followed, and the policy's distribution"
    watch.add_argument("--overlay", action="store_true", help=overlay)
    for reads_id in (resume, evaluate, watch):
        meaning = (
            "module that the environment's id, MODULE:ID, may import; name only one that you trust"
        )
        reads_id.add_argument("--allow-env-import", metavar="MODULE", help=meaning)
    _add_readers(command)
    listing = command("list", "list algorithms, environments and presets")
    kinds = ("algorithms", "environments", "presets")
    listing.add_argument(
        "kind", nargs="?", choices=kinds, help="one list only (default: algorithms and presets)"
    )
    return parser


def _add_readers(command: Callable[[str, str], argparse.ArgumentParser]) -> None:
    """The commands that only read a run folder."""
    plot = command(
        "plot", "draw learning curves of runs, grouped by what differs in their configuration"
    )
    plot.usage = "footlight plot RUN_DIR [RUN_DIR ...] [options]"  # a folder behind labels would be one of them
    plot.add_argument(
        "run_dirs",
        metavar="RUN_DIR",
        nargs="+",
        type=_path,
        help="a run folder, or a folder of runs",
    )
    plot.add_argument(
        "--label",
        metavar="TEXT",
        nargs="+",
        action="extend",
        help="one for each RUN_DIR, or for each group",
    )
    plot.add_argument(
        "--metric",
        metavar="NAME",
        help="a number in the run's logs (default: mean_return, or else return)",
    )
    plot.add_argument(
        "--x",
        choices=("steps", "updates", "episodes", "seconds"),
        help="horizontal axis (default: steps)",
    )
    plot.add_argument(
        "--output",
        type=_path,
        metavar="FILE",
        help=".png, .svg or .pdf (default: curve.png in the run's folder, or here)",
    )
    replay = command("replay", "repeat the episode in which an environment failed")
    replay.add_argument(
        "crash_dir",
        metavar="CRASH_DIR",
        type=_path,
        help="the folder in RUN_DIR/crash that the error message named",
    )
    replay.add_argument(
        "--env-timeout",
        type=_at_least(0),
        default=300,
        metavar="SECONDS",
        help="after which it counts as hanging (default 300)",
    )
    replay.add_argument(
        "--allow-env-import",
        metavar="MODULE",
        help="module that the environment's id, MODULE:ID, may import",
    )
    track = command("track", "send a run to TensorBoard or Weights & Biases, or complete it there")
    # In this order: a folder after the trackers would be read as one of them.
    track.usage = "footlight track RUN_DIR --track TRACKER [TRACKER ...] [options]"
    track.add_argument("run_dir", metavar="RUN_DIR", type=_path)
    track.add_argument(
        "--track", nargs="+", required=True, metavar="TRACKER", help="tensorboard, wandb or both"
    )
    track.add_argument(
        "--wandb-project",
        metavar="NAME",
        help="Weights & Biases project (default for this and all below: that of the run)",
    )
    track.add_argument("--wandb-group", metavar="NAME", help="Weights & Biases group")
    track.add_argument("--wandb-tags", nargs="+", metavar="TAG", help="Weights & Biases tags")
    track.add_argument(
        "--wandb-mode",
        choices=("online", "offline"),
        help="offline: log to RUN_DIR/wandb, for `wandb sync`",
    )
    track.add_argument(
        "--follow", action="store_true", help=argparse.SUPPRESS
    )  # what a training starts
    inspect = command(
        "inspect",
        "show the content of a run, a checkpoint or a saved agent, without running any of it",
    )
    inspect.add_argument("path", metavar="RUN_DIR|CHECKPOINT", type=_path)
    inspect.add_argument("--json", action="store_true", help="print one JSON object")
    verify = command(
        "verify", "check all files of a run or a checkpoint for damage; exit code 0 or 2"
    )
    verify.add_argument("path", metavar="RUN_DIR", type=_path)
    export = command("export", "export a trained policy to ONNX and compare the two")
    export.add_argument(
        "run_dir", metavar="RUN_DIR", type=_path, help="a run folder, a checkpoint or a saved agent"
    )
    export.add_argument(
        "output", metavar="FILE.onnx", type=_path, help="output file, overwritten if it exists"
    )


def _path(text: str) -> Path:
    try:
        return user_path(text)
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _at_least(low: int) -> Any:
    def integer(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if value < low:
            raise argparse.ArgumentTypeError(f"{text} - it must be an integer >= {low}")
        return value

    return integer


_TRAIN_OPTIONS = {
    "config": (
        "FILE.toml",
        "TOML file with values; the command line overrides it, and it overrides the preset",
    ),
    "preset": (
        "NAME",
        "use the preset of another environment (default: that of ENVIRONMENT, if there is one)",
    ),
    "run_dir": (
        "DIR",
        "folder of the run, which must not exist (default: runs/ENVIRONMENT/ALGORITHM/NNN)",
    ),
}
_ENV_KWARGS = (
    "arguments to make the environment with, such as size=5 goal=near: "
    "numbers, true, false, none or text; saved with the run"
)
_LISTS = {
    "--hidden-sizes": "sizes",
    "--track": "trackers",
    "--wandb-tags": "tags",
    "--env-kwargs": "arguments",
}


def _train(arguments: list[str]) -> int:
    from footlight.algorithms import ALGORITHMS

    asks_help = bool({"-h", "--help"} & set(arguments))
    arguments = join_values(arguments)
    algorithm, environment = first_words(arguments, ALGORITHMS)
    if not asks_help and algorithm is None:
        raise UserError(
            f"train needs ALGORITHM and ENVIRONMENT - algorithms are {', '.join(ALGORITHMS)}"
        )
    parser = _train_parser(algorithm, environment)
    if not asks_help and environment is None:
        require_not_swallowed(arguments, _LISTS)
        raise UserError(
            f"train {algorithm} needs an ENVIRONMENT, such as Pendulum-v1 - see `footlight list environments`"
        )
    known = [option for action in parser._actions for option in action.option_strings]
    for word in (word.split("=")[0] for word in arguments):
        if word.startswith("--") and word not in known:
            raise UserError(
                f"unknown option {word}{closest(word, known)} - see `{parser.prog} --help`"
            )
    try:
        options = vars(parser.parse_args(arguments))
    except UserError:
        require_not_swallowed(arguments, _LISTS)
        raise
    from footlight.api import train
    from footlight.runs.folder import shown

    if ":" in options["environment"]:
        see_working_directory()
    preset = options.pop("preset", True)
    start = Path.cwd()
    run = train(preset=False if options.pop("no_preset") else preset, **options)
    if options["quiet"]:
        print(shown(run.folder, start, options.get("run_dir")))
    return 0


def _train_parser(algorithm: str | None, environment: str | None) -> _Parser:
    """All options of a training. With an algorithm, its config's fields are among them, with preset values as defaults."""
    from footlight.algorithms import ALGORITHMS
    from footlight.algorithms import config_class as algorithm_config
    from footlight.config.fields import describe_type, describe_value, fields
    from footlight.config.options import Options
    from footlight.config.presets import preset
    from footlight.environments.make import config_class

    text = "Train an algorithm on an environment. " + (
        f"{ALGORITHMS[algorithm]}."
        if algorithm in ALGORITHMS
        else "With the name of an algorithm, --help also lists its config."
    )
    parser = _Parser(
        prog=f"footlight train {algorithm}" if algorithm else "footlight train", description=text, allow_abbrev=False,
        argument_default=argparse.SUPPRESS, formatter_class=argparse.RawTextHelpFormatter,
        usage=f"footlight train {algorithm or 'ALGORITHM'} ENVIRONMENT [--FIELD VALUE ...]",
    )  # fmt: skip
    parser.add_argument("algorithm", metavar="ALGORITHM", help=", ".join(ALGORITHMS))
    environments = (
        "a Gymnasium id, such as Pendulum-v1, or MODULE:ID where a module of your own registers it"
    )
    parser.add_argument("environment", metavar="ENVIRONMENT", help=environments)
    sections: list[tuple[str, Any]] = [("run", fields(Options))]
    tuned: dict[str, Any] = {}
    if algorithm is not None:
        sections.append((f"config of {algorithm}", fields(algorithm_config(algorithm))))
        tuned = preset(algorithm, environment or "")[1]
    if (settings := config_class(environment or "")) is not None:
        sections.append((f"config of {environment}", fields(settings)))
    for title, members in sections:
        group = parser.add_argument_group(title)
        for field in members.values():
            default = describe_value(tuned.get(field.name, field.default)).replace("%", "%%")
            shown = f"{_wrapped(field.help)}\n[{describe_type(field.type, field.range)}; default {default}]"
            nargs: dict[str, Any] = {"nargs": "+"} if isinstance(field.default, tuple) else {}
            if field.type is bool:
                nargs = {"nargs": "?", "const": "true"}
            group.add_argument(
                f"--{field.name.replace('_', '-')}", metavar="VALUE", help=shown, **nargs
            )
    other = parser.add_argument_group("other")
    for name, (metavar, help_text) in _TRAIN_OPTIONS.items():
        other.add_argument(f"--{name.replace('_', '-')}", metavar=metavar, help=_wrapped(help_text))
    other.add_argument(
        "--env-kwargs", metavar="KEY=VALUE", nargs="+", action="extend", help=_wrapped(_ENV_KWARGS)
    )
    other.add_argument("--no-preset", action="store_true", default=False, help="use no preset")
    other.add_argument(
        "--quiet",
        action="store_true",
        default=False,
        help="print only the run's folder, at the end, and errors",
    )
    other.add_argument(
        "--debug",
        action="store_true",
        default=argparse.SUPPRESS,
        help="show the traceback of an error",
    )
    return parser


def _wrapped(text: str) -> str:
    """Text in lines for the right-hand column of a help page."""
    width = max(40, shutil.get_terminal_size().columns - 26)
    return "\n".join(textwrap.wrap(text, width, break_on_hyphens=False)).replace("%", "%%")


if __name__ == "__main__":
    sys.exit(main())
