"""Options of the commands that name a user's own code, FILE.py:NAME."""

import argparse
from typing import Any

TRAIN = {
    "network": "your network: a class, or a function of the observation space and the action space",
    "wrapper": "wrap every environment in this class or function, also for evaluations and videos; "
    "several are applied in this order",
    "hook": "call this function, or an instance of this class, after each step; may be repeated",
    "eval_environment": "an id, or FILE.py:NAME: evaluate in this environment",
}
RESUME = {
    "algorithm": "your algorithm, in place of the recorded one",
    "environment": "your environment, or an id, in place of the recorded one",
    "network": "your network, in place of the recorded one",
    "wrapper": "your wrappers, in place of the recorded ones",
    "hook": "your hooks, in place of the recorded ones",
    "eval_environment": "the environment of the evaluations, in place of the recorded one",
}
_LISTS = "wrapper", "hook"
_ALLOW = (
    "file of your own that the run names: trust its present version, and load it, which runs it; "
    "allow only what you have read"
)


def add_own_code(parser: Any, texts: dict[str, str], *, may_allow: bool = True) -> None:
    """Add the options that name code, and the one that allows what a run has recorded."""
    for name, text in texts.items():
        several: dict[str, Any] = {"action": "append"} if name in _LISTS else {}
        parser.add_argument(
            f"--{name.replace('_', '-')}", metavar="FILE.py:NAME", help=text, **several
        )
    if may_allow:
        parser.add_argument("--allow-code", metavar="FILE", action="append", help=_ALLOW)


def own_code(options: dict[str, Any]) -> dict[str, Any]:
    """The options as keywords of `train`, `resume` and `Run`, without those that are missing."""
    found = {name: value for name, value in options.items() if value is not None}
    if "hook" in found:
        found["hooks"] = found.pop("hook")
    return found


def for_run(options: argparse.Namespace) -> dict[str, Any]:
    """The keywords of `Run` among the options of a command."""
    names = "algorithm", "environment", "network", "wrapper", "allow_code", "allow_env_import"
    return own_code({name: vars(options).get(name) for name in names})
