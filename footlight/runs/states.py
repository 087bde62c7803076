"""The states of runs, and what `footlight clean` can remove from them. Imports nothing heavy."""

from typing import Literal, get_args

DEFAULT = "runs"  # in the working directory, where `train` puts the folders of runs
State = Literal[
    "running", "finished", "stopped", "interrupted", "fault", "diverged", "failed", "agent",
    "damaged",
]  # fmt: skip
"""The state of a run folder; `listing.RunInfo` explains each."""
STATES: tuple[State, ...] = get_args(State)

Kind = Literal["temporary", "incomplete", "checkpoints", "videos", "buffers"]
"""A kind of files and folders that can be removed."""
KINDS: dict[Kind, str] = {
    "temporary": "files that killed processes have left and that no command reads",
    "incomplete": "the folders of runs that were killed before their first checkpoint",
    "checkpoints": "all checkpoints but the newest and the best one",
    "videos": "the folder videos",
    "buffers": "the replay buffers of finished runs, which then can neither be resumed nor be used "
    "with --init-buffer; evaluate, watch, plot, export and --init-from need no buffer",
}
"""What each kind is, in the order of removal."""
