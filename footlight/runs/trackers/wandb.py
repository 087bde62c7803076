"""Weights & Biases: the run folder as one W&B run, of which nothing but this folder's content is sent."""

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
from footlight.runs.trackers.track import Record, histograms, scalars
from footlight.storage.files import read_json

STATE = "wandb.json"
# W&B looks around by itself: at the console, the repository, the machine. None of this is the run's.
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


def open_tracker(folder: Path, config: Record) -> "WandB":
    """A tracker that goes on with this folder's W&B run, or begins one. Raises `UserError`, and what W&B raises."""
    with default_variables(WANDB_ERROR_REPORTING="false"):
        return WandB(folder, config)


class WandB:
    """Every line is a row of the W&B run's history, whose x axis is the environment step.

    `wandb.json` remembers the run's id. An online run that ended well is continued, and gets only what is new. After one that was
    cut off everything goes into a new one: nobody knows how much of it arrived, and W&B does not replace what did. An offline run
    is a folder, and is always written anew under its id: W&B cannot continue one, and `wandb sync` replaces all of a run.
    """

    def __init__(self, folder: Path, config: Record) -> None:
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
        self._sent: dict[str, tuple[int, int]] = {}  # the place of each log's last record at W&B,
        self._seen: dict[str, tuple[int, int]] = {}  # and in the folder
        self._failed = True
        goes_on = self._take_up(read_json(self._path) if self._path.exists() else {})
        if mode == "offline":
            for old in (folder / "wandb").glob(f"offline-run-*-{self._state['id']}"):
                shutil.rmtree(old)
        machine = folder / "machine.json"
        self._run = self._wandb.init(
            id=self._state["id"],
            project=self._state["project"],
            group=config.get("wandb_group"),
            tags=tuple(config.get("wandb_tags", ())) or None,
            name=f"{config['algorithm']} {config['environment']} seed {config['seed']} ({folder.resolve().name})",
            config=config | {"machine": read_json(machine) if machine.exists() else None},
            mode=mode,
            dir=str(folder.resolve()),
            resume="must" if goes_on else None,
            reinit="create_new",
            settings=self._wandb.Settings(**PRIVATE, allow_val_change=True),
        )
        self._write_state(self._state)
        self._run.define_metric("step", hidden=True)
        self._run.define_metric("*", step_metric="step")

    def write(self, log: str, record: Record) -> None:
        """See `footlight.runs.trackers.track.Tracker`."""
        if log == "result":
            self._failed = record["status"] not in ("finished", "stopped")
        if not self._is_new(log, record["step"]):
            return
        if log == "result":
            self._run.summary.update({"status": record["status"], **scalars(log, record)})
        values = self._values(log, record)
        if values:
            self._run.log({"step": record["step"], **values})

    def flush(self) -> None:
        """Nothing to do: W&B sends by itself."""

    def close(self) -> None:
        """Wait until W&B has everything, and remember what that is."""
        self._run.finish(exit_code=int(self._failed))
        self._write_state(self._state | {"sent": self._sent})

    def _values(self, log: str, record: Record) -> dict[str, Any]:
        if log == "videos":
            return {"video": self._wandb.Video(record["path"], format="mp4")}
        if log == "histograms":
            return {
                tag: self._wandb.Histogram(np_histogram=(counts, edges))
                for tag, counts, edges in histograms(record)
            }
        if log == "result":
            final = record.get("final_evaluation")
            if not final:
                return {}
            pairs = zip(final["returns"], final["lengths"], strict=True)
            rows = [[episode, *pair] for episode, pair in enumerate(pairs, start=1)]
            return {
                "final_evaluation": self._wandb.Table(
                    columns=["episode", "return", "length"], data=rows
                )
            }
        return scalars(log, record)

    def _is_new(self, log: str, step: int) -> bool:
        """Whether this record was not sent before. Its place is its step, and its number among the log's records of that step:
        unlike a line number, this is the same after a run was cut back to a checkpoint and resumed."""
        at, line = self._seen.get(log, (-1, 0))
        place = self._seen[log] = step, line + 1 if step == at else 1
        if place <= self._sent.get(log, (-1, 0)):
            return False
        self._sent[log] = place
        return True

    def _take_up(self, before: Record) -> bool:
        """Take the id of the last session where this one is about the same W&B run; whether it goes on with what is there."""
        if any(before.get(name) != self._state[name] for name in ("project", "mode")):
            return False
        if not re.fullmatch(
            "[0-9a-f]{8}", str(before.get("id"))
        ):  # not of our making; it would become part of a path
            return False
        if self._state["mode"] == "online" and "sent" not in before:
            print(
                f"the W&B run {before['id']} was cut off - all goes into a new one, {self._state['id']} - delete the old one"
            )
            return False
        self._state["id"] = before["id"]
        if self._state["mode"] == "online":
            self._sent = {
                log: (int(step), int(line)) for log, (step, line) in before["sent"].items()
            }
        return self._state["mode"] == "online"

    def _write_state(self, state: Record) -> None:
        temporary = self._path.with_name(f".{self._path.name}.{os.getpid()}.tmp")
        temporary.write_text(json.dumps(state, indent=2) + "\n")
        temporary.replace(self._path)
