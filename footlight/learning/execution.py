"""How an agent computes: on which device, with how many threads, compiled or not."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

import torch

from footlight.config.fields import Range, integer
from footlight.errors import UserError, warn
from footlight.learning.device import require_cuda

UPDATES_WORTH_COMPILING = 4_000  # below, compiling on a new machine takes longer than it saves
CompileMode = Literal["auto", "on", "off"]


@dataclass(frozen=True, kw_only=True)
class Execution:
    """How an agent computes. Nothing here belongs to the algorithm, or changes what an agent learns
    by more than rounding.

    Raises `UserError` for values that cannot work.
    """

    device: str = "cpu"
    """The device of everything that learns: cpu or cuda."""
    compile: CompileMode = "auto"
    """Compile updates: on, off, or auto, which compiles on a CPU where enough updates will come to
    pay for it; where the number of steps is unknown, once that many have been made."""
    threads: int | None = None
    """CPU threads of torch, for the whole process; None: leave them as they are."""
    keep_gradients: bool = False
    """Keep each optimizer's last gradient in the state, for histograms."""
    notice: Callable[[str], None] = warn
    """Called with messages, such as that there is no compiler; by default they go to standard
    error."""

    def __post_init__(self) -> None:
        if self.compile not in get_args(CompileMode):
            modes = ", ".join(get_args(CompileMode))
            raise UserError(f"compile is {self.compile!r} - it must be one of {modes}")
        if self.threads is not None:
            integer("threads", self.threads, Range(1))
        if self.device not in ("cpu", "cuda"):
            raise UserError(f"device is {self.device!r} - it must be cpu or cuda")
        if self.device == "cuda":
            require_cuda()

    @classmethod
    def split(cls, values: Mapping[str, Any]) -> tuple["Execution", dict[str, Any]]:
        """The execution that some of `values` describe, and the other values."""
        names = {field.name for field in fields(cls)}
        rest = {name: value for name, value in values.items() if name not in names}
        return cls(**{name: values[name] for name in names & values.keys()}), rest

    def set_threads(self) -> None:
        """Set torch's number of threads, if one was given."""
        if self.threads is not None:
            torch.set_num_threads(int(self.threads))

    def when_to_compile(self, num_updates: int | None) -> tuple[bool, bool]:
        """Whether to compile the updates of a run with so many of them, and whether to begin with
        it once `UPDATES_WORTH_COMPILING` have been made. None: their number is not known yet."""
        is_auto = self.compile == "auto" and self.device == "cpu"
        is_worth_it = num_updates is not None and num_updates >= UPDATES_WORTH_COMPILING
        return self.compile == "on" or (is_auto and is_worth_it), is_auto and num_updates is None
