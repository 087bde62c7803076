"""Objects of the user's own that a run works with, and that no file can hold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from footlight.environments.source import EnvironmentLike, EnvironmentSource
from footlight.learning.blueprint import AnyAlgorithmClass
from footlight.training.user_hooks import UserHook


@dataclass(frozen=True, kw_only=True)
class Objects:
    """Objects that are passed to `train`, and again to `resume`."""

    network: Any = None
    """Your own network, see `footlight.algorithms.off_policy` and `.on_policy`."""
    algorithm: AnyAlgorithmClass | None = None
    """Your own algorithm; for `resume`."""
    eval_environment: EnvironmentLike | None = None
    """An environment for the evaluations, if it is not that of the training."""
    hooks: Sequence[UserHook] = ()
    """Functions of a `HookContext`, called after each step, or inside `footlight.every`,
    `on_episode` or `on_evaluation`."""

    @classmethod
    def split(cls, values: Mapping[str, Any]) -> tuple["Objects", dict[str, Any]]:
        """The objects among `values`, and the other values."""
        names = {field.name for field in fields(cls)}
        rest = {name: value for name, value in values.items() if name not in names}
        return cls(**{name: values[name] for name in names & values.keys()}), rest

    @property
    def evaluation_source(self) -> EnvironmentSource | None:
        """The environment for the evaluations, if one was given. Raises `UserError`."""
        if self.eval_environment is None:
            return None
        return EnvironmentSource.of(self.eval_environment).configured()
