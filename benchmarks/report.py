"""Shared parts of the benchmarks: command lines, jobs in separate processes, tables, provenance."""

import argparse
import json
import math
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PEERS = {
    "sb3": ("a2c", "crossq", "ddpg", "ppo", "sac", "td3", "tqc"),
    "sbx": ("crossq", "ddpg", "droq", "ppo", "sac", "td3", "tqc"),
}
"""The peers, each with those of our methods that it has."""


class Failure(Exception):
    """A job did not give its figure; the message is one line."""


def positive(text: str) -> int:
    """An argparse type: integers of at least 1."""
    if (value := int(text)) < 1:
        raise ValueError
    return value


def positive_number(text: str) -> float:
    """An argparse type: finite numbers above 0."""
    if not 0 < (value := float(text)) < math.inf:
        raise ValueError
    return value


def make_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser whose help is a program's docstring, with the option `--output` that all have."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the report here too")
    return parser


def add_peer_python(parser: argparse.ArgumentParser) -> None:
    """The option that names the peers' interpreter."""
    parser.add_argument(
        "--peer-python",
        default=sys.executable,
        metavar="PATH",
        help="the interpreter that has the peers",
    )


def run(command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> str:
    """Run a command and return its output. Raises `Failure` with the last line of its errors.

    environment: its variables; None: those of this process.
    """
    words = [str(word) for word in command]
    try:
        done = subprocess.run(words, capture_output=True, text=True, env=environment)
    except OSError as error:
        raise Failure(f"{command[0]} does not start: {error.strerror}") from None
    if done.returncode != 0:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        raise Failure(f"{lines[-1] if lines else 'no message'} (exit code {done.returncode})")
    return done.stdout


def run_json(
    command: Sequence[str | Path], environment: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Run a command whose last line is one JSON object."""
    lines = run(command, environment).splitlines()
    try:
        answer: dict[str, Any] = json.loads(lines[-1])
    except (IndexError, json.JSONDecodeError):
        raise Failure("no JSON line came back") from None
    return answer


def progress(text: str) -> None:
    """Say on stderr how far a long benchmark has come."""
    print(text, file=sys.stderr, flush=True)


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of cells as aligned lines; the first row is the header, the first column flush left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip()
        for row in rows
    ]
    return [lines[0], "-" * max(map(len, lines)), *lines[1:]]


def provenance(versions: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Machine, versions by interpreter, commit, date and the exact command line."""
    lines = [f"machine   {cpu_model()}, {len(os.sched_getaffinity(0))} cores, {platform.system()}"]
    for library, packages in versions.items():
        lines.append(
            f"{library:<9} " + ", ".join(f"{name} {version}" for name, version in packages.items())
        )
    lines.append(f"commit    {commit()}")
    lines.append(f"date      {datetime.now(UTC):%Y-%m-%d}")
    lines.append(f"command   {command_line()}")
    return lines


def cpu_model() -> str:
    """The processor's name as the kernel gives it."""
    info = Path("/proc/cpuinfo")
    names = (
        [line for line in info.read_text().splitlines() if line.startswith("model name")]
        if info.exists()
        else []
    )
    return (
        names[0].partition(":")[2].strip() if names else platform.processor() or platform.machine()
    )


def commit() -> str:
    """The checkout's commit; `-dirty` where tracked files differ from it."""
    try:
        return run(
            ["git", "-C", HERE, "describe", "--always", "--dirty", "--abbrev=12", "--match", ""]
        ).strip()
    except Failure:
        return "none"


def command_line() -> str:
    """The command line of this program, with only the last three parts of an absolute path."""
    words = [
        "/".join(Path(word).parts[-3:]) if Path(word).is_absolute() else word
        for word in sys.argv[1:]
    ]
    return shlex.join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *words])


def publish(lines: Sequence[str], output: Path | None) -> None:
    """Print the report, and write the same text to `output`."""
    text = "\n".join(lines) + "\n"
    print(text, end="")
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(text)
