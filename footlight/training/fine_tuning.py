"""Fine-tuning: what a new run starts from, as it is given, announced and recorded."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from footlight.collection.collection import Collection
from footlight.environments.source import Environments
from footlight.errors import UserError, counted
from footlight.learning.agent import Agent
from footlight.learning.transfer import Origin, initialize
from footlight.storage.files import user_path

_NAMES = ("init_from", "init_buffer")


@dataclass(frozen=True)
class FineTuning:
    """What a run starts from; `path` None: from the initial weights of its seed."""

    path: str | None = None
    """As it was given."""
    with_buffer: bool = False
    folder: Path = Path()
    """Its absolute path, since an environment may change the working directory."""

    @classmethod
    def split(cls, values: Mapping[str, Any]) -> tuple["FineTuning", dict[str, Any]]:
        """What `init_from` and `init_buffer` among `values` say, and the other values.

        Raises `UserError`.
        """
        rest = {name: value for name, value in values.items() if name not in _NAMES}
        path, with_buffer = values.get("init_from"), values.get("init_buffer") or False
        if not isinstance(with_buffer, bool):
            raise UserError(f"init_buffer is {with_buffer!r:.80} - give true or false")
        if path is None:
            if with_buffer:
                raise UserError(
                    "init_buffer needs init_from - there is no run to take a buffer from - "
                    "give its folder: --init-from RUN_DIR"
                )
            return cls(), rest
        if not isinstance(path, str | Path):
            raise UserError(f"init_from is {path!r:.80} - give the folder of a run or an agent")
        return cls(str(path), with_buffer, user_path(path).absolute()), rest

    def begin(
        self, agent: Agent, environments: Environments | Collection, notices: list[str]
    ) -> dict[str, Any]:
        """Initialize a new agent and its environments; add what is to be printed to `notices`.

        Returns the entry of `config.json`, empty for a run that starts from nothing. Raises
        `UserError`.
        """
        if self.path is None:
            return {}
        stepped_here = None if isinstance(environments, Collection) else environments
        origin = initialize(agent, self.folder, self.with_buffer, self.path, stepped_here)
        notices.append(
            f"initialized from {self.path} at step {origin.step:,}: {_parts(origin)}; "
            "optimizers start fresh"
        )
        notices += origin.notices
        buffer = {} if origin.num_transitions is None else {"buffer": origin.num_transitions}
        record = {
            "path": self.path,
            "step": origin.step,
            "sha256": origin.sha256,
            "environment": origin.environment,
        }
        return {"init_from": {**record, **buffer}}


def _parts(origin: Origin) -> str:
    parts = ["parameters"]
    if origin.has_statistics:
        parts.append("statistics of the normalizer")
    if origin.of_wrappers:
        parts.append(f"running statistics of {', '.join(origin.of_wrappers)}")
    if origin.num_transitions is not None:
        parts.append(counted(origin.num_transitions, "transition"))
    return ", ".join(parts)
