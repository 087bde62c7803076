"""Compiling in the middle of a loop: announced before it begins, and once."""

from collections.abc import Callable, Hashable, Sequence

from torch import Tensor

from footlight.learning.blueprint import AnyAlgorithm
from footlight.learning.compiler_cache import CompilerMissing, retried
from footlight.learning.policy import Policy

COMPILING = "compiling the update (once for each configuration; a new machine takes longest) ..."
_compiled: set[Hashable] = set()  # configurations that this process has compiled


def configuration(algorithm: AnyAlgorithm, inputs: Sequence[Tensor]) -> Hashable:
    """What tells one compiled update from another: algorithm, config, and its inputs' form."""
    fields = vars(algorithm) if hasattr(algorithm, "__dict__") else {}
    forms = tuple((*tensor.shape, tensor.dtype, tensor.device) for tensor in inputs)
    return type(algorithm), repr(fields.get("config")), forms


class Announcement:
    """Prints a line before the first of an agent's updates is compiled.

    configuration: what is compiled. The second agent of a configuration that this process has
    compiled before takes no noticeable time, and prints nothing.
    """

    def __init__(self, configuration: Hashable, notify: Callable[[str], None]) -> None:
        self._configuration, self._notify = configuration, notify
        self._is_made = False

    def __call__(self) -> None:
        """Print the line, unless it has been printed."""
        if not self._is_made and self._configuration not in _compiled:
            self._notify(COMPILING)
        self.skip()

    def skip(self) -> None:
        """Print nothing from here on: the caller knows that compiling takes a while."""
        self._is_made = True
        _compiled.add(self._configuration)


def compile_acting(
    policy: Policy, num_envs: int, announce: Announcement, notify: Callable[[str], None]
) -> None:
    """Compile acting in so many environments where that is worth it, or say why it cannot be."""
    if not policy.is_worth_compiling:
        return
    announce()
    try:
        retried(lambda: policy.compile(num_envs), notify)
    except CompilerMissing as reason:
        notify(f"acting is not compiled: {reason} - continuing without, which is slower")
