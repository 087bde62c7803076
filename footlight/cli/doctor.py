"""`footlight doctor`: why a run does not learn."""

import argparse
import json
from collections.abc import Callable

from footlight.errors import printable
from footlight.storage.files import user_path

AddCommand = Callable[[str, str], argparse.ArgumentParser]

FINDINGS = 6  # exit code


def add_doctor(add_command: AddCommand) -> None:
    """Add the options of `footlight doctor`."""
    text = "say why a run does not learn: what is wrong with it, since when, and what to change"
    doctor = add_command("doctor", text)
    folder = "folder of a run that has ended, or that is in progress"
    doctor.add_argument("run_dir", metavar="RUN_DIR", type=user_path, help=folder)
    doctor.add_argument("--json", action="store_true", help="print one JSON object")
    doctor.epilog = (
        "Only the run's text files are read. The most probable cause comes first; a finding that "
        "is critical or a warning makes the exit code 6, a note does not. docs/doctor.md lists all "
        "checks with their levels."
    )


def doctor(options: argparse.Namespace) -> int:
    """Examine a run and print what was found."""
    from footlight.doctor import examine

    checkup = examine(options.run_dir)
    if options.json:
        print(json.dumps({"run_dir": str(options.run_dir), **checkup.to_json()}))
    else:
        print(printable(str(checkup)))
    return 0 if checkup.is_healthy else FINDINGS
