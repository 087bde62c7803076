"""The command `watch-runs`: the runs below a folder as pages that follow them."""

import argparse
from collections.abc import Callable

from footlight.runs.states import DEFAULT

AddCommand = Callable[[str, str], argparse.ArgumentParser]


def add_watch_runs(add_command: AddCommand) -> None:
    """Add the options of `footlight watch-runs`."""
    text = "show the runs below a folder in a browser on this machine, and follow them"
    watch = add_command("watch-runs", text)
    folder = f"folder in which to look, at any depth (default: {DEFAULT}, where `train` puts runs)"
    watch.add_argument("dir", metavar="DIR", nargs="?", default=DEFAULT, help=folder)
    port = "port of 127.0.0.1 to listen on (default: 0, any free one)"
    watch.add_argument("--port", type=_port, default=0, metavar="N", help=port)
    watch.epilog = (
        "The address that it prints has a random token in it, without which nothing is shown. "
        "Files are only read. On another machine, forward the port: ssh -L N:127.0.0.1:N HOST. "
        "Ctrl-C ends it."
    )


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"{text} - it must be an integer from 0 to 65535")
    return int(text)


def watch_runs(options: argparse.Namespace) -> int:
    """Serve pages about runs until Ctrl-C."""
    from footlight.reports.serving import watch_runs as serve

    serve(options.dir, options.port, notify=lambda address: print(address, flush=True))
    return 0
