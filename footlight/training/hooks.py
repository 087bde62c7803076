"""Hooks, which are called between two steps, and the clock that calls them at intervals.

A hook is a callable that takes a `Step`. One with `state` and `restore` is part of the exact
resume: its state is saved in every checkpoint.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from footlight.config.fields import Range, integer
from footlight.instruments.progress import Display
from footlight.instruments.video_recorder import VideoRecorder
from footlight.runs.folder import RunFolder
from footlight.training.loop import Step
from footlight.training.session import Session
from footlight.training.threads import CoreWatch


class Hook(Protocol):
    """Anything that is called with each step."""

    def __call__(self, step: Step, /) -> object:
        """Act on a step; the result is ignored."""


@runtime_checkable
class Stateful(Protocol):
    """A hook whose state belongs in checkpoints, as strict JSON."""

    def state(self) -> dict[str, Any]:
        """Return the state."""

    def restore(self, state: Mapping[str, Any], /) -> None:
        """Restore what `state` returned; other keys may be there, too."""


@dataclass(frozen=True)
class Clock:
    """Calls a hook at every multiple of `interval` environment steps, or right after it."""

    interval: int
    hook: Callable[[Any], object]
    at_end: bool = True

    def __call__(self, step: Any) -> None:
        """Call the hook if it is due; several environments can step over a multiple."""
        if step.crosses(self.interval) and (self.at_end or not step.is_last):
            self.hook(step)


def every(interval: int, hook: Callable[[Any], object], *, at_end: bool = True) -> Clock:
    """Call `hook` every `interval` environment steps.

    interval: 0 means never. at_end: whether to call it at the last step of a run, too. Raises
    `UserError` for anything but a number of steps.
    """
    return Clock(integer("interval", interval, Range(0)), hook, at_end)


def stateful(hooks: Iterable[Hook]) -> list[Stateful]:
    """Return those hooks that have state, also behind a clock."""
    inner: list[Any] = [hook.hook if isinstance(hook, Clock) else hook for hook in hooks]
    return [hook for hook in inner if isinstance(hook, Stateful)]


class EpisodeLog:
    """Counts the finished episodes and writes them to `episodes.jsonl`."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self.count = 0

    def __call__(self, step: Step) -> None:
        """Log the episodes that ended in this step."""
        self.count += len(step.episodes)
        for episode in step.episodes:
            row: dict[str, Any] = {
                "step": step.number,
                "env": episode.env,
                "return": episode.total,
                "length": episode.length,
                "terminated" if episode.terminated else "truncated": True,
            }
            self._folder.append("episodes", row | ({"fault": True} if episode.fault else {}))

    def state(self) -> dict[str, Any]:
        """The number of episodes."""
        return {"finished_episodes": self.count}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned."""
        self.count = state.get("finished_episodes", 0)  # missing in early checkpoints


class MetricsLog:
    """Writes means of the update metrics to `metrics.jsonl`, and shows them."""

    def __init__(self, session: Session, cores: CoreWatch) -> None:
        self._session, self._cores = session, cores
        self.after_flush: Callable[[], None] = lambda: None
        """Called after each row, when the logs have been flushed."""

    def __call__(self, step: Step) -> None:
        """Log the metrics since the last row."""
        self.write()

    def write(self) -> None:
        """Log the metrics since the last row; nothing if there was no update."""
        session, agent = self._session, self._session.agent
        metrics = {name: x for name, x in agent.metrics().items() if math.isfinite(x)}
        if not metrics:
            return
        counts = {"step": agent.num_steps, "update": agent.num_updates}
        row = {**counts, "time_s": round(session.seconds, 3), **metrics}
        session.folder.append("metrics", row)
        session.flush_logs()
        session.display.update(agent.num_steps, updates=agent.num_updates, metrics=metrics)
        self._cores.check()
        self.after_flush()


class Videos:
    """Records an episode of the current policy into the run's `videos` folder."""

    def __init__(self, session: Session, recorder: VideoRecorder | None) -> None:
        self._session, self._recorder = session, recorder

    @property
    def can_record(self) -> bool:
        """Whether the run records videos."""
        return self._recorder is not None

    def __call__(self, step: Step) -> None:
        """Record a video at this step."""
        self.record(step.number)

    def record(self, step: int) -> None:
        """Record a video; a request to stop abandons it. Without a recorder do nothing."""
        if self._recorder is None:
            return
        session = self._session
        path = session.folder.path / "videos" / f"step-{step:09d}.mp4"
        should_stop = session.interruption.should_stop
        with session.display.activity("recording a video", 1, should_stop) as progress:
            self._recorder.record(path, lambda: not progress(0))


class Progress:
    """Updates the display at every step."""

    def __init__(self, session: Session) -> None:
        self._display: Display = session.display
        self._agent = session.agent

    def __call__(self, step: Step) -> None:
        """Show the step and the returns of the episodes that ended in it."""
        returns = [episode.total for episode in step.episodes]
        self._display.update(step.number, updates=self._agent.num_updates, returns=returns)
