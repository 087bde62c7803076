"""The command `train`, whose options are generated from the dataclasses of options and configs."""

import argparse
import shutil
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args, get_origin

from footlight.cli.command_line import (
    add_working_directory,
    first_words,
    join_values,
    output_for_results,
    require_not_swallowed,
)
from footlight.cli.own_code import TRAIN, add_own_code, own_code
from footlight.cli.parser import Parser
from footlight.config.fields import Field, describe_type, describe_value
from footlight.config.suggestions import closest
from footlight.errors import UserError, quoted

_OPTIONS = {
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
        "new folder for the run (default: runs/ENVIRONMENT/ALGORITHM/NNN)",
    ),
    "seeds": (
        "N|S",
        "train several seeds in parallel, with one display and one plot: a number N of "
        "seeds, counted from --seed, or each seed S, as in --seeds 3 4 7; --run-dir is then the "
        "folder of their runs seed-S, and can be that of earlier seeds of the same configuration",
    ),
    "ray": (
        "ADDRESS",
        "with --seeds or --collectors: where these run, a Ray cluster, HOST:PORT of its head, or "
        "local, which starts one on this machine (docs/scale.md)",
    ),
    "init_from": (
        "RUN_DIR",
        "begin with the parameters of another run: its folder, one of its checkpoints, such as "
        "RUN_DIR/checkpoints/BEST, or a saved agent; optimizers start fresh",
    ),
}
_ENV_KWARGS = (
    "keyword arguments of the environment, such as size=5 goal=near: "
    "numbers, true, false, none or text; saved with the run"
)
_EVAL_ENV_KWARGS = (
    "keyword arguments of the environment of evaluations: of --eval-environment, which is not "
    "given --env-kwargs, or, without it, in addition to --env-kwargs"
)
_INIT_BUFFER = "with --init-from: also begin with the transitions of its replay buffer"
_CHANGES = " Can change during a run."
_LISTS = {
    "--hidden-sizes": "sizes",
    "--track": "trackers",
    "--seeds": "seeds",
    "--wandb-tags": "tags",
    "--env-kwargs": "arguments",
    "--eval-env-kwargs": "arguments",
}


def train(arguments: list[str]) -> int:
    """Train an algorithm, or print the help page that fits the words given so far."""
    from footlight.algorithms import ALGORITHMS
    from footlight.config.best import BEST

    asks_for_help = bool({"-h", "--help"} & set(arguments))
    arguments = join_values(arguments)
    algorithm, environment = first_words(arguments, (*ALGORITHMS, BEST))
    if not asks_for_help and algorithm is None:
        names = ", ".join((*ALGORITHMS, BEST))
        raise UserError(f"train needs ALGORITHM and ENVIRONMENT - algorithms are {names}")
    parser = build_train_parser(algorithm, environment)
    if not asks_for_help and environment is None:
        require_not_swallowed(arguments, _LISTS)
        first, second = first_words(arguments, ())
        if first is not None and second == algorithm:
            raise UserError(
                f"{first} comes before {algorithm} - the algorithm comes first, then the "
                f"environment - write footlight train {algorithm} {quoted(first)}"
            )
        raise UserError(
            f"train {algorithm} needs an ENVIRONMENT, such as Pendulum-v1 - "
            "see `footlight list environments`"
        )
    _require_known_options(parser, arguments)
    try:
        options = vars(parser.parse_args(arguments))
    except UserError:
        require_not_swallowed(arguments, _LISTS)
        raise
    return _run(options)


def _require_known_options(parser: Parser, arguments: list[str]) -> None:
    known = [option for action in parser._actions for option in action.option_strings]
    for word in (word.split("=")[0] for word in arguments):
        if word.startswith("--") and word not in known:
            hint = closest(word, known)
            raise UserError(f"unknown option {word}{hint} - see `{parser.prog} --help`")


def _run(options: dict[str, Any]) -> int:
    from footlight import api
    from footlight.runs.folder import shown

    options = own_code(options)
    if any(":" in options.get(name, "") for name in ("environment", "eval_environment")):
        add_working_directory()
    preset = options.pop("preset", True)
    start = Path.cwd()  # an environment may change the working directory
    options["preset"] = False if options.pop("no_preset") else preset
    seeds = options.pop("seeds", None)
    with output_for_results(options["quiet"]):
        if seeds is not None:
            folder = api.train_seeds(seeds=" ".join(seeds), **options)[0].folder.parent
        else:
            folder = api.train(**options).folder
    if options["quiet"]:
        print(shown(folder, start, options.get("run_dir")))
    return 0


def build_train_parser(algorithm: str | None, environment: str | None) -> Parser:
    """The parser of `train`.

    With an algorithm, the fields of its config are among the options, with the values of the preset
    as defaults.
    """
    from footlight.algorithms import ALGORITHMS

    parser = Parser(
        prog=f"footlight train {algorithm}" if algorithm else "footlight train",
        description=_describe(algorithm, ALGORITHMS),
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
        formatter_class=argparse.RawTextHelpFormatter,
        usage=f"footlight train {algorithm or 'ALGORITHM'} ENVIRONMENT [--FIELD VALUE ...]",
    )
    algorithms = (
        f"{', '.join(ALGORITHMS)},\nbest for the one with the highest return measured within an "
        "hour,\nor FILE.py:NAME for a class of your own"
    )
    parser.add_argument("algorithm", metavar="ALGORITHM", help=algorithms)
    environments = (
        "a Gymnasium id, such as Pendulum-v1, MODULE:ID if a module of your own registers it,\n"
        "or FILE.py:NAME for a class, function or registered id in a file of your own"
    )
    parser.add_argument("environment", metavar="ENVIRONMENT", help=environments)
    _add_fields(parser, algorithm, environment or "")
    add_other_options(parser)
    return parser


def _describe(algorithm: str | None, algorithms: Mapping[str, str]) -> str:
    from footlight.config.best import BEST, described_in_words

    what = "With the name of an algorithm, --help also lists its config."
    if algorithm is not None:
        known = {**algorithms, BEST: described_in_words()}
        what = f"{known[algorithm]}." if algorithm in known else f"It is {algorithm}."
    return f"Train an algorithm on an environment. {what}"


def _add_fields(parser: Parser, algorithm: str | None, environment: str) -> None:
    """Add the options of a run and the fields of the algorithm's and the environment's configs."""
    from footlight.algorithms import config_class as algorithm_config
    from footlight.algorithms import name_of
    from footlight.config.best import BEST, recommended
    from footlight.config.fields import fields
    from footlight.config.options import Options
    from footlight.config.presets import preset
    from footlight.environments.make import config_class
    from footlight.user_code.loading import load_given

    sections: list[tuple[str, Any]] = [("run", fields(Options))]
    tuned: dict[str, Any] = {}
    if algorithm == BEST:
        algorithm = recommended(environment) if environment else None
    if algorithm is not None:
        found = load_given(algorithm, "algorithm", [])
        sections.append((f"config of {algorithm}", fields(algorithm_config(found))))
        tuned = preset(name_of(found), environment)[1]
    if (settings := config_class(environment)) is not None:
        sections.append((f"config of {environment}", fields(settings)))
    for title, members in sections:
        group = parser.add_argument_group(title)
        for field in members.values():
            _add_field(group, field, tuned.get(field.name, field.default))


def _add_field(group: argparse._ArgumentGroup, field: Field, default: Any) -> None:
    shown = describe_value(default).replace("%", "%%")
    meaning = field.help + _CHANGES * field.is_schedulable
    text = f"{_wrap(meaning)}\n[{describe_type(field.type, field.range)}; default: {shown}]"
    may_be_list = any(get_origin(each) is tuple for each in (field.type, *get_args(field.type)))
    nargs: dict[str, Any] = {"nargs": "+"} if may_be_list else {}
    if field.type is bool:
        nargs = {"nargs": "?", "const": "true"}
    group.add_argument(f"--{field.name.replace('_', '-')}", metavar="VALUE", help=text, **nargs)


def add_other_options(parser: Parser) -> None:
    """Add the options that are not fields of a dataclass."""
    other = parser.add_argument_group("other")
    for name, (metavar, text) in _OPTIONS.items():
        several: dict[str, Any] = {"nargs": "+"} if name == "seeds" else {}
        option = f"--{name.replace('_', '-')}"
        other.add_argument(option, metavar=metavar, help=_wrap(text), **several)
    for name, text in (("env", _ENV_KWARGS), ("eval-env", _EVAL_ENV_KWARGS)):
        several = {"nargs": "+", "action": "extend", "metavar": "KEY=VALUE"}
        other.add_argument(f"--{name}-kwargs", help=_wrap(text), **several)
    other.add_argument("--init-buffer", action="store_true", help=_wrap(_INIT_BUFFER))
    add_own_code(other, {name: _wrap(text) for name, text in TRAIN.items()}, may_allow=False)
    quiet = "print only errors and, at the end, the run folder"
    other.add_argument("--no-preset", action="store_true", default=False, help="use no preset")
    other.add_argument("--quiet", action="store_true", default=False, help=quiet)
    debug = "show the traceback of an error"
    other.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=debug)


def _wrap(text: str) -> str:
    """Break text into lines for the right-hand column of a help page."""
    width = max(40, shutil.get_terminal_size().columns - 26)
    return "\n".join(textwrap.wrap(text, width, break_on_hyphens=False)).replace("%", "%%")
