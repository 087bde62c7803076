"""The command `check-env`: what is wrong with an environment, before anything is trained in it."""

import argparse
import json
from collections.abc import Callable
from typing import Any

from footlight.cli.command_line import output_for_results
from footlight.cli.doctor import FINDINGS
from footlight.errors import printable, warn

AddCommand = Callable[[str, str], argparse.ArgumentParser]


def add_check_env(add_command: AddCommand) -> None:
    """Add the options of `footlight check-env`."""
    text = "examine an environment with random actions: contract, scales, ends, seeds and speed"
    check = add_command("check-env", text)
    # In this order: an environment after the arguments would be parsed as one of them.
    check.usage = "footlight check-env ENVIRONMENT [options]"
    environment = (
        "a Gymnasium id, such as Pendulum-v1, MODULE:ID if a module of your own registers it, or "
        "FILE.py:NAME for a class, function or registered id in a file of your own"
    )
    check.add_argument("environment", metavar="ENVIRONMENT", help=environment)
    seed = "seed of the episodes and of the actions (default: 0)"
    check.add_argument("--seed", type=_seed, default=0, metavar="S", help=seed)
    kwargs = (
        "keyword arguments of the environment, such as size=5 goal=near: numbers, true, false, "
        "none or text"
    )
    several: dict[str, Any] = {"nargs": "+", "action": "extend", "metavar": "KEY=VALUE"}
    check.add_argument("--env-kwargs", help=kwargs, **several)
    no_probes = "leave out the probe suite, which trains in five tiny environments"
    check.add_argument("--no-probes", action="store_true", help=no_probes)
    check.add_argument("--json", action="store_true", help="print one JSON object")
    check.epilog = (
        "Exit codes: 0, healthy; 2, it is not an environment; 3, it raised an exception; 6, a "
        "finding is critical or a warning. Notes are not faults."
    )


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text} - it must be an integer >= 0")
    return int(text)


def check_env(options: argparse.Namespace) -> int:
    """Examine an environment and print the findings."""
    from footlight.examination.examine import check_env as examine

    with output_for_results(options.json):
        checkup = examine(
            options.environment,
            env_kwargs=options.env_kwargs,
            seed=options.seed,
            probes=not options.no_probes,
            notify=warn,
        )
    if options.json:
        print(json.dumps(checkup.to_json(), allow_nan=False))
    else:
        print(printable(str(checkup)))
    return 0 if checkup.is_healthy else FINDINGS
