"""Entry point of the command line. torch is imported only by commands that need it."""

import errno
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
from footlight.errors import FootlightError, StorageFault, UserError, printable, summarize_error
from footlight.signals import owning_process
from footlight.user_code.reference import place_in_loaded

_UNWRITABLE = errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    Codes are 0, 2 to 5, 130 and 143 as documented; 1 is a bug in footlight.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    prepare_streams()
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")  # a banner on stdout
    code = 0
    try:
        try:
            code = _run(arguments)
        finally:  # also after `--help`, which exits
            if sys.stdout is not None and not sys.stdout.closed:  # by an environment
                sys.stdout.flush()
    except OSError as error:
        if isinstance(error, BrokenPipeError) and _reader_has_exited():
            _discard_output()
        elif _is_of_output(error):
            _discard_output()
            if "--debug" in arguments:
                traceback.print_exc()
            remedy = "make room, or write it elsewhere"
            print(f"error: cannot write the output - {error.strerror} - {remedy}", file=sys.stderr)
            return code or StorageFault.exit_code
        else:
            raise
    return code


def _run(arguments: list[str]) -> int:
    """Run a command; print the error that it raises, and return the exit code."""
    debug = "--debug" in arguments
    try:
        with owning_process():
            return _dispatch([word for word in arguments if word != "--debug"])
    except FootlightError as error:
        if debug:
            traceback.print_exc()
        print(printable(f"error: {error}"), file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        is_of_reader = isinstance(error, BrokenPipeError)
        if debug or is_of_reader or not (where := place_in_loaded(error)):
            raise
        print(
            printable(f"error: {summarize_error(error)}{where} - fix it; --debug shows more"),
            file=sys.stderr,
        )
        return UserError.exit_code


def _reader_has_exited() -> bool:
    """Whether the reader of our output, such as `head`, has exited."""
    output = sys.__stdout__
    if output is None or output is not sys.stdout or "poll" not in vars(select):  # Windows
        return False
    watched = select.poll()
    watched.register(output.fileno(), 0)
    return bool(watched.poll(0))  # nothing but errors is waited for


def _is_of_output(error: OSError) -> bool:
    """Whether `error` was raised because our output cannot be written, as on a full disk."""
    # Errors of opening a file have its name, and those of a run's files are a `StorageFault`.
    is_unwritable = error.errno in _UNWRITABLE and error.filename is None
    return is_unwritable and sys.stdout is sys.__stdout__


def _discard_output() -> None:
    """Discard what could not be written, which Python would try once more at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


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
    if command in ("simulate", "check-env"):  # whose ENVIRONMENT may follow a list of arguments
        arguments = join_values(arguments)
    options = parser.parse_args(arguments)
    if vars(options).get("allow_env_import") or vars(options).get("environment"):
        add_working_directory()
    return COMMANDS[options.command](options)


if __name__ == "__main__":
    sys.exit(main())
