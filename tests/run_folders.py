"""Small run folders for tests of `footlight runs` and `footlight clean`, and a holder of locks."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from footlight.storage import checkpoint

CONFIG: dict[str, Any] = {
    "format_version": 1, "algorithm": "sac", "environment": "Pendulum-v1", "seed": 3, "steps": 100,
    "config": {"buffer_size": 200},
}  # fmt: skip
RESULT: dict[str, Any] = {
    "status": "finished", "steps": 100, "updates": 90, "seconds": 1.0, "steps_per_second": 100.0,
    "final_evaluation": None,
}  # fmt: skip
ARRAYS = {
    "policy": {"weight": np.arange(3.0)},
    "agent": {"weight": np.arange(6.0)},
    "buffer": {"rows": np.zeros((200, 3), np.uint8)},
}
HOLD = """
import sys
from pathlib import Path
from footlight.runs.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def evaluation(step: int, mean: float | None) -> dict[str, Any]:
    """A row of `evaluations.jsonl`."""
    returns = {"returns": [mean, mean], "lengths": [9, 9], "deterministic": True}
    return {"step": step, "mean_return": mean, "std_return": 0.0, **returns}


def add_checkpoint(run: Path, step: int, **manifest: Any) -> Path:
    """Write a checkpoint of a run, and LATEST."""
    folder = run / "checkpoints" / f"step-{step:09d}"
    folder.parent.mkdir(exist_ok=True)
    content = {"step": step, "algorithm": "sac", "config": CONFIG["config"], "run": CONFIG}
    checkpoint.write(folder, ARRAYS, {**content, **manifest})
    (folder.parent / "LATEST").write_text(folder.name + "\n")
    return folder


def write_run(
    run: Path,
    saved: tuple[int, ...] = (50, 100),
    means: tuple[float | None, ...] = (-2.0, -1.5),
    result: dict[str, Any] | None = RESULT,
    **config: Any,
) -> Path:
    """A run folder with checkpoints at these steps and evaluations with these means."""
    run.mkdir(parents=True)
    (run / ".lock").write_text('{"pid": 1, "host": "here"}')
    (run / "config.json").write_text(json.dumps(CONFIG | config))
    for step in saved:
        add_checkpoint(run, step)
    rows = [evaluation(10 * number, mean) for number, mean in enumerate(means, 1)]
    (run / "evaluations.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    if result is not None:
        (run / "result.json").write_text(json.dumps(result))
    return run


@contextlib.contextmanager
def held_elsewhere(run: Path) -> Iterator[int]:
    """Hold the lock of a run folder in another process, as a training does; yield its id."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(run)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        yield holder.pid
    finally:
        holder.communicate(b"")


def content_of(folder: Path) -> dict[str, bytes | None]:
    """Every path below a folder, with the bytes of files; the lock is left out."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
        if path.name != ".lock"
    }
