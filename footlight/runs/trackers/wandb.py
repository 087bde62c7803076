"""Weights & Biases: the run folder as one W&B run. Nothing but the folder's content is sent."""

import importlib
import json
import os
import re
import shutil
import uuid
from pathlib import Path
from typing import Any

from footlight.contexts import default_variables
from footlight.errors import UserError
from footlight.runs.trackers.track import Row, histograms, scalars
from footlight.storage.files import read_json
from footlight.storage.system import replace

STATE = "wandb.json"
# By default W&B also collects console output, the repository and the machine.
PRIVATE = {
    "console": "off",
    "disable_git": True,
    "disable_code": True,
    "save_code": False,
    "disable_job_creation": True,
    "x_disable_meta": True,
    "x_disable_stats": True,
    "x_disable_machine_info": True,
    "x_save_requirements": False,
    "host": "",
}


def open_tracker(folder: Path, config: Row) -> "WandB":
    """Return a tracker that continues the folder's W&B run or starts one.

    Raises `UserError`, and what W&B raises.
    """
    with default_variables(WANDB_ERROR_REPORTING="false"):
        return WandB(folder, config)


class WandB:
    """Every row of a log is a row of the W&B run's history, whose x axis is the environment step.

    `wandb.json` stores the run's id. An online run that ended normally is continued with what is
    new. After an interrupted one everything goes into a new run: it is unknown how much arrived,
    and W&B does not replace what did. An offline run is a folder, and is always rewritten under its
    id: W&B cannot continue one, and `wandb sync` replaces the whole run.
    """

    def __init__(self, folder: Path, config: Row) -> None:
        self._wandb = importlib.import_module("wandb")
        self._path = folder / STATE
        mode = config.get("wandb_mode") or os.environ.get("WANDB_MODE", "online")
        if mode not in ("online", "offline"):
            raise UserError(
                f"W&B's mode is {mode} - nothing would be sent - use --wandb-mode online or offline"
            )
        self._state = {
            "project": config.get("wandb_project", "footlight"),
            "mode": mode,
            "id": uuid.uuid4().hex[:8],
        }
        self._sent: dict[str, tuple[int, int]] = {}  # position of each log's last row at W&B,
        self._seen: dict[str, tuple[int, int]] = {}  # and in the folder
        self._failed = True
        is_continued = self._continue_session(read_json(self._path) if self._path.exists() else {})
        if mode == "offline":
            for old in (folder / "wandb").glob(f"offline-run-*-{self._state['id']}"):
                shutil.rmtree(old)
        machine = folder / "machine.json"
        self._run = self._wandb.init(
            id=self._state["id"],
            project=self._state["project"],
            group=config.get("wandb_group"),
            tags=tuple(config.get("wandb_tags", ())) or None,
            name=f"{config['algorithm']} {config['environment']} seed {config['seed']} "
            f"({folder.resolve().name})",
            config=config | {"machine": read_json(machine) if machine.exists() else None},
            mode=mode,
            dir=str(folder.resolve()),
            resume="must" if is_continued else None,
            reinit="create_new",
            settings=self._wandb.Settings(**PRIVATE, allow_val_change=True),
        )
        self._write_state(self._state)
        self._run.define_metric("step", hidden=True)
        self._run.define_metric("*", step_metric="step")

    def write(self, log: str, row: Row) -> None:
        """See `footlight.runs.trackers.track.Tracker`."""
        if log == "result":
            self._failed = row["status"] not in ("finished", "stopped")
        if not self._is_new(log, row["step"]):
            return
        if log == "result":
            self._run.summary.update({"status": row["status"], **scalars(log, row)})
        values = self._values(log, row)
        if values:
            self._run.log({"step": row["step"], **values})

    def flush(self) -> None:
        """Do nothing: W&B sends in the background."""

    def close(self) -> None:
        """Wait until W&B has everything, and save the positions."""
        self._run.finish(exit_code=int(self._failed))
        self._write_state(self._state | {"sent": self._sent})

    def _values(self, log: str, row: Row) -> dict[str, Any]:
        if log == "videos":
            return {"video": self._wandb.Video(row["path"], format="mp4")}
        if log == "histograms":
            return {
                tag: self._wandb.Histogram(np_histogram=(counts, edges))
                for tag, counts, edges in histograms(row)
            }
        if log == "result":
            final = row.get("final_evaluation")
            if not final:
                return {}
            pairs = zip(final["returns"], final["lengths"], strict=True)
            rows = [[episode, *pair] for episode, pair in enumerate(pairs, start=1)]
            return {
                "final_evaluation": self._wandb.Table(
                    columns=["episode", "return", "length"], data=rows
                )
            }
        return scalars(log, row)

    def _is_new(self, log: str, step: int) -> bool:
        """True if this row was not sent before.

        Its position is its step and its number among the log's rows of that step. Unlike a line
        number, this stays the same when a run is truncated to a checkpoint and resumed.
        """
        at, line = self._seen.get(log, (-1, 0))
        position = self._seen[log] = step, line + 1 if step == at else 1
        if position <= self._sent.get(log, (-1, 0)):
            return False
        self._sent[log] = position
        return True

    def _continue_session(self, before: Row) -> bool:
        """Take over the id of the last session of the same W&B run; True to continue it."""
        if any(before.get(name) != self._state[name] for name in ("project", "mode")):
            return False
        # Any other id is not ours, and would become part of a path.
        if not re.fullmatch("[0-9a-f]{8}", str(before.get("id"))):
            return False
        if self._state["mode"] == "online" and "sent" not in before:
            print(
                f"the W&B run {before['id']} was interrupted - "
                f"everything goes into a new one, {self._state['id']} - delete the old one"
            )
            return False
        self._state["id"] = before["id"]
        if self._state["mode"] == "online":
            self._sent = {
                log: (int(step), int(line)) for log, (step, line) in before["sent"].items()
            }
        return self._state["mode"] == "online"

    def _write_state(self, state: Row) -> None:
        temporary = self._path.with_name(f".{self._path.name}.{os.getpid()}.tmp")
        temporary.write_text(json.dumps(state, indent=2) + "\n")
        replace(temporary, self._path)
