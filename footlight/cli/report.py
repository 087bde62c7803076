"""The command `footlight report`."""

import argparse
from collections.abc import Callable
from pathlib import Path

from footlight.errors import printable
from footlight.machine import format_bytes


def add_report(report: argparse.ArgumentParser, path: Callable[[str], Path]) -> None:
    """Add the options of `footlight report`. path: parses a path."""
    run_dirs = "run folder, or folder of runs"
    report.add_argument("run_dirs", metavar="RUN_DIR", nargs="+", type=path, help=run_dirs)
    output = (
        "page to write, overwritten if it exists (default: report.html in the run folder, or here "
        "for several)"
    )
    report.add_argument("--output", type=path, metavar="FILE.html", help=output)


def report(options: argparse.Namespace) -> int:
    """Write what happened in runs to one page of HTML."""
    from footlight.reports.report import report as write

    output = write(options.run_dirs, options.output)
    print(printable(f"{output} ({format_bytes(output.stat().st_size)})"))
    return 0
