"""The command line, made from the config dataclasses. torch is imported only by commands that need it."""

import argparse
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from footlight import __version__
from footlight.commands import COMMANDS
from footlight.errors import FootlightError, UserError, closest, printable


class _Parser(argparse.ArgumentParser):
    """argparse that raises `UserError` instead of printing usage and leaving."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message} - see `{self.prog} --help`")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit code. 0, 2 to 5, 130 and 143 as documented; 1 is a bug of footlight."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in arguments
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")  # a banner on stdout
    try:
        return _dispatch([word for word in arguments if word != "--debug"])
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
        raise UserError(f"unknown command {words[0]!r}{closest(words[0], names)} - there are {', '.join(names)}")
    options = parser.parse_args(arguments)
    code: int = COMMANDS[options.command](options)
    return code


def _parser() -> _Parser:
    parser = _Parser(prog="footlight", description="Actor-critic reinforcement learning.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"footlight {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)

    def command(name: str, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        added.add_argument("--debug", action="store_true", help="show the traceback of an error")
        return added

    command("train", "train an algorithm on an environment: footlight train ALGORITHM ENVIRONMENT [--FIELD VALUE ...]")
    resume = command("resume", "go on with a stopped run from its newest checkpoint")
    resume.add_argument("run_dir", metavar="RUN_DIR", type=Path)
    resume.usage = "footlight resume RUN_DIR [options]"  # a folder behind trackers would be one of them
    resume.add_argument("--steps", metavar="N", help="environment steps of the whole run (default, here and below: as before)")
    resume.add_argument("--threads", metavar="N", help="CPU threads; with others than before it goes on inexactly")
    resume.add_argument("--max-time", metavar="SECONDS", help="save and stop after so long; none: never")
    resume.add_argument("--env-timeout", metavar="SECONDS", help="until an environment counts as hanging; 0: never")
    resume.add_argument("--on-worker-death", metavar="WORD", help="stop, or restart the process")
    resume.add_argument("--track", nargs="+", metavar="TRACKER", help="tensorboard, wandb, or none")
    resume.add_argument("--quiet", action="store_true", help="print only the run's folder, at the end, and errors")
    evaluate = command("evaluate", "run whole episodes of a trained policy and print their raw returns")
    of_which = "a run folder, or one of its checkpoints, such as RUN_DIR/checkpoints/BEST"
    evaluate.add_argument("run_dir", metavar="RUN_DIR", type=Path, help=of_which)
    evaluate.add_argument("--episodes", type=_at_least(1), default=20, help="how many (default 20)")
    evaluate.add_argument("--seed", type=_at_least(0), help="how the episodes start (default: the run's seed)")
    how = evaluate.add_mutually_exclusive_group()
    how.add_argument("--stochastic", action="store_true", help="sample actions (default: as in the run's own evaluations)")
    how.add_argument("--deterministic", action="store_true", help="take the policy's mode")
    evaluate.add_argument("--json", action="store_true", help="print one JSON object")
    watch = command("watch", "show a trained policy in a window, or record it")
    watch.add_argument("run_dir", metavar="RUN_DIR", type=Path, help=of_which)
    watch.add_argument("--episodes", type=_at_least(1), default=1, help="how many (default 1)")
    watch.add_argument("--seed", type=_at_least(0), help="how the episodes start (default: the run's seed)")
    watch.add_argument("--video", type=Path, metavar="FILE", help="record into FILE.mp4 or FILE.gif; no screen is needed")
    overlay = "show the critic's value beside the return that followed, and the policy's distribution"
    watch.add_argument("--overlay", action="store_true", help=overlay)
    for reads_id in (resume, evaluate, watch):
        meaning = "let the run's environment id, module:Env-v0, import this module"
        reads_id.add_argument("--allow-env-import", metavar="MODULE", help=meaning)
    _add_readers(command)
    listing = command("list", "what there is to choose from")
    kinds = ("algorithms", "environments", "presets")
    listing.add_argument("kind", nargs="?", choices=kinds, help="one list only (default: algorithms and presets)")
    return parser


def _add_readers(command: Callable[[str, str], argparse.ArgumentParser]) -> None:
    """The commands that only read a run folder."""
    plot = command("plot", "draw learning curves of runs, grouped by what differs in their configuration")
    plot.usage = "footlight plot RUN_DIR [RUN_DIR ...] [options]"  # a folder behind labels would be one of them
    plot.add_argument("run_dirs", metavar="RUN_DIR", nargs="+", type=Path, help="a run folder, or a folder of runs")
    plot.add_argument("--label", metavar="TEXT", nargs="+", action="extend", help="one for each RUN_DIR, or for each group")
    plot.add_argument("--metric", metavar="NAME", help="a number in the run's logs (default: mean_return, or else return)")
    plot.add_argument("--x", choices=("steps", "updates", "episodes", "seconds"), help="horizontal axis (default: steps)")
    plot.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help=".png, .svg or .pdf (default: curve.png in the run's folder, or here)",
    )
    replay = command("replay", "play the episode again in which an environment failed")
    replay.add_argument("crash_dir", metavar="CRASH_DIR", type=Path, help="RUN_DIR/crash/..., which the fault's message names")
    replay.add_argument("--env-timeout", type=_at_least(0), default=300, help="seconds until it counts as hanging (default 300)")
    replay.add_argument("--allow-env-import", metavar="MODULE", help="what the environment's id may import, for MODULE:NAME")
    track = command("track", "send a run to TensorBoard or Weights & Biases, or what is missing there")
    track.usage = (
        "footlight track RUN_DIR --track TRACKER [TRACKER ...] [options]"  # a folder behind trackers would be one of them
    )
    track.add_argument("run_dir", metavar="RUN_DIR", type=Path)
    track.add_argument("--track", nargs="+", required=True, metavar="TRACKER", help="tensorboard, wandb")
    track.add_argument("--wandb-project", help="project in Weights & Biases (default: as the run was trained with)")
    track.add_argument("--wandb-group", help="group, likewise")
    track.add_argument("--wandb-tags", nargs="+", metavar="TAG", help="tags, likewise")
    track.add_argument("--wandb-mode", choices=("online", "offline"), help="offline: into RUN_DIR/wandb, for `wandb sync`")
    track.add_argument("--follow", action="store_true", help=argparse.SUPPRESS)  # what a training starts
    inspect = command("inspect", "what is in a run folder, a checkpoint or a saved agent; imports nothing, runs nothing")
    inspect.add_argument("path", metavar="RUN_DIR|CHECKPOINT", type=Path)
    inspect.add_argument("--json", action="store_true", help="print one JSON object")
    verify = command("verify", "read every file of a run folder, or a checkpoint: is it whole? exit code 0 or 2")
    verify.add_argument("path", metavar="RUN_DIR", type=Path)
    export = command("export", "write a trained policy into one ONNX file, and compare it with the policy")
    export.add_argument("run_dir", metavar="RUN_DIR", type=Path, help="a run folder, a checkpoint or a saved agent")
    export.add_argument("output", metavar="FILE.onnx", type=Path, help="replaced if it exists")


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
    "config": ("FILE.toml", "values from a TOML file; the command line wins over it, it wins over the preset"),
    "preset": ("NAME", "the tuned values of another environment or preset"),
    "run_dir": ("DIR", "folder of the run, which must not exist yet (default runs/ENVIRONMENT/ALGORITHM/NNN)"),
}


def _train(arguments: list[str]) -> int:
    from footlight.algorithms import ALGORITHMS

    asks_help = bool({"-h", "--help"} & set(arguments))
    algorithm, environment = _first_words(arguments, ALGORITHMS)
    if not asks_help and algorithm is None:
        raise UserError(f"train needs ALGORITHM and ENVIRONMENT - algorithms are {', '.join(ALGORITHMS)}")
    parser = _train_parser(algorithm, environment)
    if not asks_help and environment is None:
        raise UserError(f"train {algorithm} needs an ENVIRONMENT, such as Pendulum-v1 - see `footlight list environments`")
    known = [option for action in parser._actions for option in action.option_strings]
    for word in (word.split("=")[0] for word in arguments):
        if word.startswith("--") and word not in known:
            raise UserError(f"unknown option {word}{closest(word, known)} - see `{parser.prog} --help`")
    options = vars(parser.parse_args(_joined(arguments)))
    from footlight.api import train

    preset = options.pop("preset", True)
    run = train(preset=False if options.pop("no_preset") else preset, **options)
    if options["quiet"]:
        print(run.folder)
    return 0


def _first_words(arguments: list[str], algorithms: Iterable[str]) -> tuple[str | None, str | None]:
    """Algorithm and environment, wherever options stand; a misspelt algorithm is the first word that is no option."""
    flags = ("--quiet", "--no-preset", "--debug")
    is_value = [False, *(word.startswith("--") and "=" not in word and word not in flags for word in arguments)]
    words = [word for word, value in zip(arguments, is_value, strict=False) if not value and not word.startswith("-")]
    start = next((index for index, word in enumerate(words) if word in algorithms), 0)
    algorithm, environment, *_ = [*words[start : start + 2], None, None]
    return algorithm, environment


def _joined(arguments: list[str]) -> list[str]:
    """`--learning-rate -1e-3` as `--learning-rate=-1e-3`: argparse takes such a number for an option."""
    joined: list[str] = []
    for word in arguments:
        if joined and joined[-1].startswith("--") and "=" not in joined[-1] and word.startswith("-") and _is_number(word):
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _train_parser(algorithm: str | None, environment: str | None) -> _Parser:
    """All options of a training. With an algorithm, its config's fields are among them, with preset values as defaults."""
    from footlight.algorithms import ALGORITHMS, find
    from footlight.config import describe_type, describe_value, fields
    from footlight.environments.make import config_class
    from footlight.options import Options
    from footlight.presets import preset

    text = "Train an algorithm on an environment. " + (
        ALGORITHMS.get(algorithm or "", "With an algorithm's name, --help lists the fields of its config too.")
    )
    parser = _Parser(
        prog=f"footlight train {algorithm}" if algorithm else "footlight train", description=text, allow_abbrev=False,
        argument_default=argparse.SUPPRESS, formatter_class=argparse.RawTextHelpFormatter,
    )  # fmt: skip
    parser.add_argument("algorithm", metavar="ALGORITHM", help=", ".join(ALGORITHMS))
    parser.add_argument("environment", metavar="ENVIRONMENT", help="a Gymnasium id, such as Pendulum-v1")
    sections: list[tuple[str, Any]] = [("run", fields(Options))]
    tuned: dict[str, Any] = {}
    if algorithm is not None:
        sections.append((f"config of {algorithm}", fields(find(algorithm).Config)))
        tuned = preset(algorithm, environment or "")[1]
    if (settings := config_class(environment or "")) is not None:
        sections.append((f"config of {environment}", fields(settings)))
    for title, members in sections:
        group = parser.add_argument_group(title)
        for field in members.values():
            limits = f" {field.range}" if field.range else ""
            default = describe_value(tuned.get(field.name, field.default)).replace("%", "%%")
            shown = f"{field.help}\n[{describe_type(field.type)}{limits}; default {default}]"
            nargs: dict[str, Any] = {"nargs": "+"} if isinstance(field.default, tuple) else {}
            if field.type is bool:
                nargs = {"nargs": "?", "const": "true"}
            group.add_argument(f"--{field.name.replace('_', '-')}", metavar="VALUE", help=shown, **nargs)
    other = parser.add_argument_group("other")
    for name, (metavar, help_text) in _TRAIN_OPTIONS.items():
        other.add_argument(f"--{name.replace('_', '-')}", metavar=metavar, help=help_text)
    other.add_argument("--no-preset", action="store_true", default=False, help="leave the tuned values out")
    other.add_argument("--quiet", action="store_true", default=False, help="print only the run's folder, at the end, and errors")
    other.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help="show the traceback of an error")
    return parser


if __name__ == "__main__":
    sys.exit(main())
