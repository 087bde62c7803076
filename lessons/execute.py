"""Execute the lessons: each `lessons/NAME.py` becomes `lessons/NAME.ipynb`, with its outputs.

    python lessons/execute.py                        # every lesson whose notebook is out of date
    python lessons/execute.py 3-soft-actor-critic    # one of them
    python lessons/execute.py --force                # all of them again

The .py file (jupytext's percent format) is the source. A notebook that was executed from the same
source is skipped, and the trainings of a lesson are kept in `runs/lessons/`, where a second
execution resumes or reuses them: interrupt this whenever you like.
"""

import argparse
import asyncio
import contextlib
import hashlib
import json
import os
import re
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError

HERE = Path(__file__).parent
ROOT = HERE.parent
MAX_BYTES = 2_000_000


def lessons() -> list[Path]:
    """The sources of all lessons, in order."""
    return sorted(HERE.glob("[0-9]-*.py"))


def digest(source: Path) -> str:
    """What identifies the text of a lesson."""
    return hashlib.sha256(source.read_bytes()).hexdigest()


def is_up_to_date(source: Path) -> bool:
    """Whether the notebook beside a lesson was executed from the lesson's present text."""
    path = source.with_suffix(".ipynb")
    if not path.exists():
        return False
    metadata = nbformat.read(path, as_version=4).metadata
    return bool(metadata.get("footlight", {}).get("source_sha256") == digest(source))


def to_notebook(source: Path) -> Any:
    """The lesson as a notebook without outputs."""
    notebook = jupytext.read(source, fmt="py:percent")
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number:02d}"  # instead of a random one, so that versions can be compared
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "footlight": {"source_sha256": digest(source)},
        }
    )
    return notebook


class Client(NotebookClient):
    """Executes a notebook, says which cells took long, and passes Ctrl-C on to the kernel.

    nbclient's own handler ends the kernel, and with it a training that has not been saved.
    """

    interruption: asyncio.Task[None] | None = None

    def interrupt(self) -> None:
        """Interrupt the cell: a training in it saves its state and raises KeyboardInterrupt."""
        self.interruption = asyncio.ensure_future(self.km.interrupt_kernel())

    async def async_execute_cell(self, cell: Any, cell_index: int, **options: Any) -> Any:
        """Execute one cell; print its first line and seconds if it took more than five."""
        with contextlib.suppress(
            NotImplementedError
        ):  # on Windows Ctrl-C reaches the kernel itself
            asyncio.get_running_loop().add_signal_handler(signal.SIGINT, self.interrupt)
        begun = time.monotonic()
        try:
            return await super().async_execute_cell(cell, cell_index, **options)
        finally:
            seconds = time.monotonic() - begun
            if cell.cell_type == "code" and seconds > 5:
                print(f"  {seconds:5.0f} s  {cell.source.partition(chr(10))[0]}", flush=True)


def without_folders(text: str) -> str:
    """A notebook's JSON without the folders of this machine: that of the repository, and the one in
    which a video was recorded that the notebook itself holds."""
    text = text.replace(json.dumps(f"{ROOT}{os.sep}")[1:-1], "")
    return re.sub(re.escape(f"{tempfile.gettempdir()}{os.sep}") + r"footlight-\w+[/\\]+", "", text)


def execute(source: Path) -> None:
    """Execute a lesson and write its notebook."""
    notebook = to_notebook(source)
    client = Client(
        notebook, timeout=None, kernel_name="python3", record_timing=False,
        resources={"metadata": {"path": str(ROOT)}},
    )  # fmt: skip
    client.execute()
    text = without_folders(nbformat.writes(notebook) + "\n")
    if len(text) > MAX_BYTES:
        print(f"warning: {source.stem}.ipynb has {len(text):,} bytes, more than {MAX_BYTES:,}")
    partial = source.with_suffix(".ipynb.partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, source.with_suffix(".ipynb"))


def main() -> int:
    """Execute what is out of date, or what is named."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="LESSON", help="by default all")
    parser.add_argument("--force", action="store_true", help="execute up-to-date ones as well")
    arguments = parser.parse_args()
    sources = {source.stem: source for source in lessons()}
    unknown = [name for name in arguments.names if Path(name).stem not in sources]
    if unknown:
        parser.error(f"{unknown[0]} is not a lesson - choose from {', '.join(sources)}")
    os.environ.pop("FOOTLIGHT_LESSONS", None)  # whole, not quick
    for name in [Path(name).stem for name in arguments.names] or list(sources):
        if is_up_to_date(sources[name]) and not arguments.force:
            print(f"{name}: up to date", flush=True)
            continue
        print(f"{name}: executing (minutes)", flush=True)
        begun = time.monotonic()
        try:
            execute(sources[name])
        except (CellExecutionError, DeadKernelError, KeyboardInterrupt) as error:
            # After Ctrl-C the cell reports a KeyboardInterrupt
            if not (isinstance(error, CellExecutionError) and error.ename != "KeyboardInterrupt"):
                print(f"{name}: interrupted - run this again to continue", file=sys.stderr)
                return 130
            print(error, file=sys.stderr)
            return 1
        print(f"{name}: {time.monotonic() - begun:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
