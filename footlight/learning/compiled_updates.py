"""The compiled updates of a learner: when they are made, and their comparison with eager ones."""

import time
from collections.abc import Callable, Iterable
from functools import partial

from torch import Tensor

from footlight.learning.announcing import Announcement
from footlight.learning.compilation import CompilerMissing, at_hand, compile_in_place, forget
from footlight.learning.compiler_cache import retried
from footlight.learning.compiling_ahead import CompilingProcess, can_compile_ahead
from footlight.learning.first_call import first_call

Bound = tuple[Callable[..., None], list[Tensor]]
"""A function that changes tensors in place, and these tensors."""


class CompiledUpdates:
    """Compiles the updates of a learner, which `bind` names.

    bind: the update of a name as a function of tensors, and its tensors.
    """

    def __init__(self, bind: Callable[[str], Bound], notify: Callable[[str], None]) -> None:
        self.enabled = self.later = False
        self.steps: dict[str, Callable[[], None]] = {}
        """The compiled updates, by name."""
        self.unchecked: dict[str, Bound] = {}
        """Those of them that have not run yet: what they were compiled from, to compare with."""
        self.seconds = 0.0
        """Spent on compiling, or on waiting for it."""
        self.announce = Announcement(notify)
        self._bind, self._notify = bind, notify
        self._elsewhere: dict[str, CompilingProcess] = {}  # what compiles them for this process

    def set_when(self, enabled: bool, later: bool) -> None:
        """Compile updates that are needed, or begin with it later, or neither."""
        self.enabled, self.later = enabled, later

    @property
    def is_waiting(self) -> bool:
        """Whether processes compile updates for this one."""
        return bool(self._elsewhere)

    def begin(self, names: Iterable[str]) -> None:
        """Take those that were compiled before, and let processes begin with the others.

        `make` then waits for these. It compiles what could not be compiled elsewhere.
        """
        for name in names:
            if self.enabled and name not in self.steps and can_compile_ahead():
                self._begin(name)
            if name not in self._elsewhere:
                self.make(name)

    def _begin(self, name: str) -> None:
        started = time.monotonic()
        function, tensors = self._bind(name)
        try:
            found = retried(partial(at_hand, function, tensors), self._notify)
        except CompilerMissing as reason:
            self._stop(reason)
            return
        if found.step is not None:
            self._take(name, found.step, (function, tensors))
        elif found.may_be_made_elsewhere:
            self.announce()
            self._elsewhere[name] = CompilingProcess(partial(compile_in_place, function, tensors))
        self.seconds += time.monotonic() - started

    def make(self, name: str) -> None:
        """Compile this update, unless it is compiled. Does nothing unless `enabled`."""
        if not self.enabled or name in self.steps:
            return
        started = time.monotonic()
        process = self._elsewhere.pop(name, None)
        function, tensors = self._bind(name)
        try:
            if process is not None:
                process.wait()
            step = retried(lambda: compile_in_place(function, tensors, self.announce), self._notify)
            self._take(name, step, (function, tensors))
        except CompilerMissing as reason:
            self._stop(reason)
        self.seconds += time.monotonic() - started
        if process is not None and self.enabled and not self._elsewhere:
            self._notify(f"compiled (updates waited {self.seconds:.1f} s)")

    def _take(self, name: str, step: Callable[[], None], bound: Bound) -> None:
        self.steps[name], self.unchecked[name] = step, bound

    def check(self, name: str) -> None:
        """Make the first compiled update of this name, or an eager one if they disagree."""
        function, tensors = self.unchecked.pop(name)
        try:
            first_call(self.steps[name], function, tensors)
        except CompilerMissing as reason:
            forget(function, tensors)
            self.clear()
            self._stop(reason)

    def clear(self) -> None:
        """Forget what is compiled, since the updates are other ones now."""
        self.steps.clear()
        self.unchecked.clear()
        self.close()

    def close(self) -> None:
        """End the processes that compile for this one."""
        for process in self._elsewhere.values():
            process.close()
        self._elsewhere.clear()

    def _stop(self, reason: CompilerMissing) -> None:
        self._notify(f"not compiled: {reason} - continuing with the eager update, which is slower")
        self.enabled = False
