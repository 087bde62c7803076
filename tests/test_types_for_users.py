"""Types as a user's mypy sees them: footlight ships py.typed."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "tests" / "typed" / "own_loop.py"
WANTED = re.compile(r"# error: (.*)$")


def test_mypy_knows_the_types_of_a_script() -> None:
    """It accepts what is right, and refuses the marked lines for the reason that they name."""
    # With the options of `make check`, which are strict, what that has just checked is in the cache
    ran = subprocess.run(
        [sys.executable, "-m", "mypy", str(SCRIPT)], cwd=ROOT, check=False,
        capture_output=True, text=True, env=os.environ | {"MYPYPATH": str(ROOT)},
    )  # fmt: skip
    found = {
        int(line.split(":")[1]): line for line in ran.stdout.splitlines() if ": error: " in line
    }
    lines = enumerate(SCRIPT.read_text(encoding="utf-8").splitlines(), 1)
    wanted = {number: match[1] for number, line in lines if (match := WANTED.search(line))}
    assert found.keys() == wanted.keys(), ran.stdout + ran.stderr
    assert all(text in found[number] for number, text in wanted.items()), ran.stdout
    assert len(wanted) >= 5
