"""The command `sweep`."""

import argparse
from pathlib import Path
from typing import Any

from footlight.cli.command_line import add_working_directory, output_for_results


def add_sweep(parser: argparse.ArgumentParser, path: Any, at_least_one: Any) -> None:
    """Add the options of the command. path, at_least_one: types of their values."""
    text = "TOML file: which fields are searched, and how (docs/sweeps.md)"
    parser.add_argument("file", metavar="FILE.toml", type=path, help=text)
    environment = "environment, in place of the file's; only here it may be FILE.py:NAME"
    parser.add_argument("--environment", metavar="ENVIRONMENT", help=environment)
    run_dir = (
        "folder of the trials, new or of this sweep, which then continues "
        "(default: runs/sweeps/FILE)"
    )
    parser.add_argument("--run-dir", metavar="DIR", type=path, help=run_dir)
    jobs = "trials that are trained at the same time (default: one for each core)"
    parser.add_argument("--jobs", type=at_least_one, metavar="N", help=jobs)
    trials = "number of trials in all (default: the file's, or 20; of a grid: all)"
    parser.add_argument("--trials", type=at_least_one, metavar="N", help=trials)
    ray = (
        "train on a Ray cluster, HOST:PORT of its head, or local, which starts one on this machine "
        "(docs/scale.md)"
    )
    parser.add_argument("--ray", metavar="ADDRESS", help=ray)
    preset = "new file for the values of the best trial, for `footlight train --config`"
    parser.add_argument("--write-preset", metavar="FILE.toml", type=path, help=preset)
    quiet = "print only errors and, at the end, the folder"
    parser.add_argument("--quiet", action="store_true", help=quiet)


def sweep(options: argparse.Namespace) -> int:
    """Train many runs whose values are searched, and compare them."""
    from footlight.runs.folder import shown
    from footlight.sweeps.sweep import sweep as search

    if options.environment is not None and ":" in options.environment:
        add_working_directory()
    start = Path.cwd()  # an environment may change the working directory
    with output_for_results(options.quiet):
        found = search(
            options.file, environment=options.environment, run_dir=options.run_dir,
            jobs=options.jobs, trials=options.trials, ray=options.ray,
            write_preset=options.write_preset, quiet=options.quiet,
        )  # fmt: skip
    if options.quiet:
        print(shown(found.path, start, options.run_dir))
    return 0
