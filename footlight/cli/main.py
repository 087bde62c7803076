"""Entry point of the command line. torch is imported only by commands that need it."""

import os
import select
import sys
import traceback
from collections.abc import Sequence

from footlight.cli.command_line import (
    add_working_directory,
    join_values,
    prepare_streams,
)
from footlight.cli.commands import COMMANDS
from footlight.cli.parser import build_parser
from footlight.cli.train import train
from footlight.config.suggestions import closest
from footlight.errors import FootlightError, UserError, printable, summarize_error
from footlight.signals import owning_process
from footlight.user_code.reference import place_in_loaded


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    Codes are 0, 2 to 5, 130 and 143 as documented; 1 is a bug in footlight.
    """
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
    except Exception as error:
        if isinstance(error, BrokenPipeError) and _discard_unread_output():
            return 0
        if debug or not (where := place_in_loaded(error)):
            raise
        print(
            printable(f"error: {summarize_error(error)}{where} - fix it; --debug shows more"),
            file=sys.stderr,
        )
        return UserError.exit_code


def _discard_unread_output() -> bool:
    """Whether the reader of our output, such as `head`, has exited; the rest is then discarded."""
    output = sys.__stdout__
    if output is None or output is not sys.stdout or "poll" not in vars(select):  # Windows
        return False
    watched = select.poll()
    watched.register(output.fileno(), 0)
    if not watched.poll(0):  # nothing is wrong with it
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), output.fileno())
    return True


def _dispatch(arguments: list[str]) -> int:
    if arguments and arguments[0] == "train":
        return train(arguments[1:])
    if arguments[:2] == ["completion", "words"]:  # from the script of a shell, at each Tab
        from footlight.cli.shell_words import print_words

        return print_words(arguments[2:])
    parser = build_parser()
    if not arguments:
        parser.print_help()
        return 0
    names = ("train", *COMMANDS)
    command = arguments[0]
    if not command.startswith("-") and command not in names:
        hint = closest(command, names)
        raise UserError(f"unknown command {command!r}{hint} - commands are {', '.join(names)}")
    if command == "simulate":  # whose ENVIRONMENT may follow a list of arguments
        arguments = join_values(arguments)
    options = parser.parse_args(arguments)
    if vars(options).get("allow_env_import") or vars(options).get("environment"):
        add_working_directory()
    return COMMANDS[options.command](options)


if __name__ == "__main__":
    sys.exit(main())
