"""Objects of the user's own that a run works with: in memory, or named as FILE.py:NAME."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from footlight.environments.source import Arguments, EnvironmentLike, EnvironmentSource
from footlight.environments.user_files import (
    FileSource,
    Wrapper,
    recorded_wrappers,
    wrapped,
)
from footlight.learning.blueprint import AnyAlgorithmClass
from footlight.training.hook_calls import UserHook
from footlight.user_code import consent
from footlight.user_code.loading import load_checked, load_given
from footlight.user_code.reference import Reference, is_reference


@dataclass(frozen=True, kw_only=True)
class Objects:
    """Objects that are passed to `train`, and again to `resume`.

    Each may be FILE.py:NAME, which a resumed run loads by itself if the user allows the file.
    """

    network: Any = None
    """Your own network, see `footlight.algorithms.off_policy` and `.on_policy`."""
    algorithm: str | AnyAlgorithmClass | Any = None
    """Your own algorithm; for `resume`."""
    eval_environment: EnvironmentLike | EnvironmentSource | None = None
    """An environment for the evaluations, if it is not that of the training."""
    eval_env_kwargs: Arguments = None
    """Arguments of `eval_environment`. Without one, evaluations are in the environment of the
    training, with these in addition to its own."""
    wrapper: Wrapper | Sequence[Wrapper] | None = None
    """A function or class that each environment is wrapped in, that of evaluations and videos
    included; or several, the first one innermost."""
    hooks: Sequence[UserHook | Any] = ()
    """Functions of a `HookContext`, called after each step, or inside `footlight.every`,
    `on_episode` or `on_evaluation`."""
    allow_code: str | Path | Sequence[str | Path] = ()
    """Files that the run names and that may be loaded; for `resume`."""
    ray: str | None = None
    """Where the run's `collectors` are: "local", or HOST:PORT of a Ray cluster; none: in processes
    here. Not recorded, as no number depends on it."""
    code: Sequence[Reference] = field(default=(), init=False)
    """The files that algorithm, network and hooks are from."""

    def __post_init__(self) -> None:
        code: list[Reference] = []
        hooks = [self.hooks] if isinstance(self.hooks, str) else self.hooks
        if isinstance(hooks, list | tuple):  # `UserHooks` refuses anything else
            hooks = [load_given(hook, "hook", code) for hook in hooks]
        evaluated = self.eval_environment
        if is_reference(evaluated):
            evaluated = FileSource(consent.given(str(evaluated), "eval_environment"))
        found = {
            "network": load_given(self.network, "network", code),
            "algorithm": load_given(self.algorithm, "algorithm", code),
            "hooks": hooks,
            "eval_environment": evaluated,
            "code": code,
        }
        for name, value in found.items():
            object.__setattr__(self, name, value)

    @classmethod
    def names(cls) -> set[str]:
        """The keywords that it takes."""
        return {field.name for field in fields(cls) if field.init}

    @classmethod
    def split(cls, values: Mapping[str, Any]) -> tuple["Objects", dict[str, Any]]:
        """The objects among `values`, and the other values."""
        names = cls.names()
        rest = {name: value for name, value in values.items() if name not in names}
        return cls(**{name: values[name] for name in names & values.keys()}), rest

    def completed(self, run_config: Mapping[str, Any], folder: Path) -> "Objects":
        """With what the run in `folder` has recorded in files in place of what was not given.

        Raises `UserError` unless the user allows these files.
        """
        entries = run_config.get("code", [])
        consent.allow(self.allow_code, entries)
        values = {field.name: vars(self)[field.name] for field in fields(self) if field.init}
        code = [*self.code]
        for name, use in (("algorithm", "algorithm"), ("network", "network"), ("hooks", "hook")):
            own = [consent.recorded(e, folder) for e in entries if e["use"] == use]
            if own and not values[name]:
                loaded = [load_checked(reference) for reference in own]
                values[name] = loaded if use == "hook" else loaded[0]
                code += own
        if values["wrapper"] is None:
            values["wrapper"] = recorded_wrappers(folder, run_config)
        made = Objects(**values)
        object.__setattr__(made, "code", code)
        return made

    def record(
        self,
        source: EnvironmentSource,
        evaluated_in: EnvironmentSource | None,
        before: bool = False,
    ) -> dict[str, Any]:
        """What `config.json` holds about files of the user's; nothing if there are none.

        before: whether it held something about files before.
        """
        evaluation = evaluated_in.code if evaluated_in is not None else []
        own = [reference for reference in evaluation if reference.use == "eval_environment"]
        code = [reference.record() for reference in (*source.code, *own, *self.code)]
        if not code and not before:
            return {}
        return {"environment_source": source.settings()["environment_source"], "code": code}

    @property
    def own_algorithm(self) -> AnyAlgorithmClass | None:
        """The algorithm if it is the user's, not a name."""
        return None if isinstance(self.algorithm, str) else self.algorithm

    def evaluation_source(self, training: EnvironmentSource) -> EnvironmentSource | None:
        """The environment for the evaluations; None if it is that of the training.

        training: the latter, in its wrappers. Raises `UserError`.
        """
        kwargs = self.eval_env_kwargs
        if self.eval_environment is None:
            return training.configured(kwargs=kwargs) if kwargs else None
        source = EnvironmentSource.of(self.eval_environment)
        return self.wrapped(source.configured(kwargs=kwargs))

    def wrapped(self, source: EnvironmentSource) -> EnvironmentSource:
        """The environment in the wrappers. Raises `UserError` where that is impossible."""
        return wrapped(source, self.wrapper)
