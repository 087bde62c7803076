"""The command `check-env`: what is wrong with an environment, before anything is trained in it."""

import argparse
import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from footlight.doctor.text import describe_finding
from footlight.errors import counted, printable, warn
from footlight.instruments.progress_text import number_text

if TYPE_CHECKING:
    from footlight.examination.examine import EnvironmentCheckup

AddCommand = Callable[[str, str], argparse.ArgumentParser]
FINDINGS = 6
"""Exit code if a finding is critical or a warning."""


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
        "finding is critical or a warning. Notes are no faults."
    )


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text} - it must be an integer >= 0")
    return int(text)


def check_env(options: argparse.Namespace) -> int:
    """Examine an environment and print the findings."""
    from footlight.examination.examine import check_env as examine

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
        for line in _lines(checkup):
            print(printable(line))
    return 0 if checkup.is_healthy else FINDINGS


def _lines(checkup: "EnvironmentCheckup") -> Iterator[str]:
    yield from (f"{name:13s} {text}" for name, text in _measured(checkup.measured))
    for finding in checkup.findings:
        yield ""
        yield describe_finding(finding)
    yield ""
    yield from (f"not judged: {reason}" for reason in checkup.not_judged)
    yield f"{checkup.environment}: {checkup.verdict}"


def _measured(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    played = f"{counted(found['episodes'], 'episode')} in {counted(found['steps'], 'step')}"
    if found["episodes"]:
        mean, std = (number_text(found[f"{name}_return"]) for name in ("mean", "std"))
        solved = found.get("reward_threshold")
        goal = "" if solved is None else f"; solved at {number_text(solved)}"
        yield "random play", f"mean return {mean} ± {std} over {played}{goal}"
        shares = (f"{found[f'{name}_share']:.0%} {name}" for name in ("terminated", "truncated"))
        yield (
            "ends",
            f"{', '.join(shares)}, after {found['shortest']:,} to {found['longest']:,} steps",
        )
    else:
        yield "random play", played
    for name, each in found.get("observations", {}).items():
        low, high = (number_text(each[f"{end}est"]) for end in ("small", "larg"))
        of = f" of {name}" if name else ""
        yield "observations", f"{counted(each['size'], 'number')}{of}, {low} to {high}"
    if "step_seconds" in found:
        yield "rewards", f"mean size {number_text(found['mean_reward_size'])}"
        second, share = found["step_seconds"], found["share_of_sac"]
        rate = f"{number_text(1 / second)} steps/s" if second else ""
        text = f"{second * 1e6:,.0f} µs, {rate}: about {share:.0%} of a training with SAC"
        yield "a step", text
    for name, text in found.get("probes", {}).items():
        yield "probe", f"{name}: {text}"
