"""The command-line reference, from the parsers: every option with its help.

<!-- command resume -->      a command, its arguments and its options
<!-- command options -->     the options of `train`, which are the same for all algorithms
"""

import argparse
import re
from collections.abc import Iterator
from typing import Any

from api_reference import escaped

MARKER = re.compile(r"^<!-- command (?P<what>[\w -]+) -->$", re.MULTILINE)


def expanded(text: str) -> str:
    """A page with its markers replaced by the reference."""
    return MARKER.sub(lambda match: "\n".join(entry(match["what"])), text)


def entry(what: str) -> Iterator[str]:
    """The lines that stand for a marker. Raises `ValueError` for an unknown command."""
    if what == "options":
        yield from train_options()
    elif what in (found := parsers()):
        yield from command(found[what])
    else:
        raise ValueError(f"the reference names the command {what!r}, which does not exist")


def parsers() -> dict[str, argparse.ArgumentParser]:
    """The parser of each command but `train`, whose options depend on the algorithm."""
    from footlight.cli.parser import build_parser

    actions = build_parser()._actions
    choices: Any = next(each for each in actions if isinstance(each, argparse._SubParsersAction))
    return {name: parser for name, parser in choices.choices.items() if name != "train"}


def command(parser: argparse.ArgumentParser) -> Iterator[str]:
    """The description of a command, its arguments and options."""
    usage = re.sub(r"\s+", " ", parser.format_usage()).strip().removeprefix("usage: ")
    yield from [parser.description or "", "", "```text", usage, "```", ""]
    yield from table(parser._actions)


def train_options() -> Iterator[str]:
    """The options of `train` by group, without the fields of an algorithm."""
    from footlight.algorithms import ALGORITHMS
    from footlight.cli.train import build_train_parser

    for group in build_train_parser(None, None)._action_groups:
        title = group.title or ""
        if title in ALGORITHMS or not any(map(is_shown, group._group_actions)):
            continue
        yield from [f"**{title[0].upper()}{title[1:]}**", ""]
        yield from table(group._group_actions)
        yield ""


def table(actions: list[argparse.Action]) -> Iterator[str]:
    """Arguments and their help."""
    yield "| argument | meaning |"
    yield "| --- | --- |"
    for action in actions:
        if is_shown(action):
            yield f"| {names(action)} | {meaning(action)} |"


def is_shown(action: argparse.Action) -> bool:
    """Whether an argument belongs in the reference: all but `--help` and hidden ones."""
    return action.help != argparse.SUPPRESS and "--help" not in action.option_strings


def names(action: argparse.Action) -> str:
    """How an argument is written: its options, and what follows them."""
    value = action.metavar if isinstance(action.metavar, str) else (action.dest or "").upper()
    if action.choices is not None and action.metavar is None:
        value = "\\|".join(map(str, action.choices))
    if not action.option_strings:
        return f"`{value}`"
    if action.nargs == 0:
        return ", ".join(f"`{option}`" for option in action.option_strings)
    dots = " ..." if action.nargs in ("+", "*") else ""
    return ", ".join(f"`{option} {value}{dots}`" for option in action.option_strings)


def meaning(action: argparse.Action) -> str:
    """The help of an argument on one line."""
    text = " ".join((action.help or "").replace("%%", "%").split())
    text = re.sub(r"%\((\w+)\)s", lambda match: str(getattr(action, match[1], "")), text)
    return escaped(text).replace("|", "\\|")
