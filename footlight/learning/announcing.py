"""Compiling, announced before it begins, and once."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from footlight.learning.compiler_cache import CompilerMissing, retried

if TYPE_CHECKING:
    from footlight.learning.policy import Policy

COMPILING = "compiling the update (once for each configuration; a new machine takes longest) ..."


class Announcement:
    """Prints a line before the first of an agent's updates is compiled."""

    def __init__(self, notify: Callable[[str], None]) -> None:
        self._notify = notify
        self.is_made = False

    def __call__(self) -> None:
        """Print the line, unless it has been printed."""
        if not self.is_made:
            self.is_made = True
            self._notify(COMPILING)


def compile_acting(
    policy: "Policy", num_envs: int, announce: Announcement, notify: Callable[[str], None]
) -> None:
    """Compile acting in so many environments where that is worth it, or say why it cannot be."""
    if not policy.is_worth_compiling:
        return
    try:
        retried(lambda: policy.compile(num_envs, announce), notify)
    except CompilerMissing as reason:
        notify(f"acting is not compiled: {reason} - continuing without, which is slower")
