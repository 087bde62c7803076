"""The log of episodes that a hand-written loop keeps, in the form of a run's."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from footlight.environments.episodes import Episode
from footlight.errors import StorageFault, UserError
from footlight.learning.agent import Agent
from footlight.learning.evaluation import Evaluation
from footlight.runs.read import read_lines
from footlight.storage.files import make_folder, replace_text, user_path


class EpisodeLog:
    """Writes `episodes.jsonl` and `evaluations.jsonl` into the folder of an agent.

    folder: where `agent.save` saves it, before or after. agent: whose steps are counted; what was
    logged after the step of an agent that was loaded is removed.

    Raises `UserError` for a folder with the episodes of another agent, and `StorageFault`.
    """

    def __init__(self, folder: str | Path, agent: Agent) -> None:
        # Absolute, as an environment may change the working directory
        self.folder, self._agent = user_path(folder).absolute(), agent
        self._total = np.zeros(agent.num_envs, np.float64)
        self._length = np.zeros(agent.num_envs, np.int64)
        make_folder(self.folder)
        for name in ("episodes", "evaluations"):
            self._truncate(self.folder / f"{name}.jsonl")

    def add(self, reward: Any, terminated: Any, truncated: Any, valid: Any = None) -> list[Episode]:
        """Count a step that `agent.observe` has been given, of one environment or of several.

        Returns the episodes that ended in it, which have been written. Raises `UserError` for
        another number of environments, and `StorageFault`.
        """
        num_envs = len(self._total)
        rewards = np.asarray(reward, np.float64).reshape(-1)
        if len(rewards) != num_envs:
            raise UserError(f"got {len(rewards)} rewards - this agent has num_envs={num_envs}")
        terminations = np.asarray(terminated, bool).reshape(-1)
        ended = terminations | np.asarray(truncated, bool).reshape(-1)
        counted = np.ones(num_envs, bool) if valid is None else np.asarray(valid, bool).reshape(-1)
        self._total += np.where(counted, rewards, 0.0)
        self._length += counted
        ended = ended & counted
        if not np.count_nonzero(ended):
            return []
        episodes = [
            Episode(env, float(self._total[env]), int(self._length[env]), bool(terminations[env]))
            for env in np.flatnonzero(ended).tolist()
        ]
        self._total[ended] = self._length[ended] = 0
        self._append("episodes", [episode_row(self._agent.num_steps, each) for each in episodes])
        return episodes

    def add_evaluation(self, evaluation: Evaluation) -> None:
        """Write an evaluation at the agent's current step, as `agent.evaluate` returns it."""
        self._append("evaluations", [{"step": self._agent.num_steps, **evaluation.to_json()}])

    def _append(self, log: str, rows: list[dict[str, Any]]) -> None:
        path = self.folder / f"{log}.jsonl"
        text = "".join(json.dumps(_finite(row), allow_nan=False) + "\n" for row in rows)
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            raise StorageFault(
                f"cannot write {path} - {error.strerror} - free some space, or choose another place"
            ) from error

    def _truncate(self, path: Path) -> None:
        """Remove the rows of steps that the agent has not made."""
        rows = read_lines(path)
        if rows and self._agent.num_steps == 0:
            raise UserError(
                f"{path} is the log of another agent - a log is never overwritten - choose "
                "another folder, or continue with footlight.Agent.load"
            )
        kept = [row for row in rows if row.get("step", 0) <= self._agent.num_steps]
        is_cut = bool(rows) and not path.read_bytes().endswith(b"\n")  # by a kill
        if len(kept) < len(rows) or is_cut:
            replace_text(path, "".join(json.dumps(row) + "\n" for row in kept))


def episode_row(step: int, episode: Episode) -> dict[str, Any]:
    """The row of `episodes.jsonl` for an episode that ended at this step."""
    row: dict[str, Any] = {
        "step": step,
        "env": episode.env,
        "return": episode.total,
        "length": episode.length,
        "terminated" if episode.terminated else "truncated": True,
    }
    return row | ({"fault": True} if episode.fault else {})


def _finite(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row with None in place of a number that JSON does not have."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in row.items()
    }
