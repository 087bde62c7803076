"""`--profile`: which calls of a training are measured, and where the result is written."""

from collections.abc import Sequence
from typing import Any

from footlight.collection.collection import Collection
from footlight.config.tuning import tuning
from footlight.errors import counted
from footlight.instruments.profile import Profile
from footlight.training.evaluator import Evaluator
from footlight.training.hooks import Hook, Videos
from footlight.training.saving import Saver
from footlight.training.session import Session

FILE = "profile.json"


class RunProfile:
    """Measures the parts of a training. The loop is as fast as ever where there is none of these.

    Methods of these very objects are replaced by measured ones.
    """

    def __init__(
        self, session: Session, evaluator: Evaluator, saver: Saver, videos: Videos
    ) -> None:
        self._session, self._profile, agent = session, Profile(), session.agent
        waits = isinstance(session.environments, Collection)
        stepping = "collecting" if waits else "stepping"
        measured: list[tuple[Any, str, str]] = [
            (agent, "compile", "compiling"),
            (agent.learner.compilation, "make", "compiling"),
            (agent, "act", "acting"),
            (session.environments, "step", stepping),
            (agent, "learn_from", "storing"),
            (agent.learner, "update", "updating"),
            (agent, "finish", "updating"),
            (evaluator, "evaluate_and_log", "evaluating"),
            (saver, "save", "saving"),
            (videos, "record", "recording videos"),
        ]
        for owner, method, part in measured:
            setattr(owner, method, self._profile.timed(part, getattr(owner, method)))
        buffer: Any = agent.buffer
        buffer.due = self._profile.timed_items("sampling", buffer.due)

    def hooks(self, hooks: Sequence[Hook], own: Hook | None) -> list[Hook]:
        """These hooks, measured: `own` of the user's, and all others as logging."""
        names = ("hooks" if hook is own else "logging" for hook in hooks)
        return [self._profile.timed(name, hook) for name, hook in zip(names, hooks, strict=True)]

    def table(self) -> str:
        """The time of each part, what to do with the file, and where the threads are from."""
        threads = counted(self._session.run_config["threads"], "thread")
        return (
            f"{self._profile.table()}\n"
            f"single calls: {FILE} in the run folder (ui.perfetto.dev)\n"
            f"{threads}, {self._source_of_threads()}"
        )

    def _source_of_threads(self) -> str:
        if self._session.options.threads is not None:
            return "as given, or as recorded of a resumed run"
        if tuning().source == "rule":
            return "by rule; `footlight tune-machine` measures whether it is right here"
        return f"as `footlight tune-machine` has measured on {tuning().source}"

    def write(self) -> None:
        """Write the calls into the run's folder. Raises `StorageFault`."""
        self._session.folder.write_json(FILE, self._profile.chrome_trace())
