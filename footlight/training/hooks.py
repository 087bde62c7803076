"""Hooks, which are called between two steps, and the clock that calls them at intervals.

A hook is a callable that takes a `Step`. One with `state` and `restore` is part of the exact
resume: its state is saved in every checkpoint.
"""

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Protocol, runtime_checkable

from footlight.config.fields import Range, integer
from footlight.environments.episodes import Episode
from footlight.errors import UserError
from footlight.instruments.progress import MEAN_OF, Display
from footlight.instruments.video_recorder import VideoRecorder
from footlight.learning.agent import Agent
from footlight.runs.folder import RunFolder
from footlight.training.episode_log import episode_row
from footlight.training.loop import Step
from footlight.training.session import Session
from footlight.training.threads import CoreWatch

_OWN_COLUMNS = ("step", "update", "time_s")  # of a row of metrics.jsonl


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

    interval: 0 means never. at_end: whether to call it where the last step of a run is due, too.
    Raises `UserError` for anything but a number of steps and a function.
    """
    if not callable(hook):
        raise UserError(f"{hook!r:.80} is not a hook - give a function of one argument")
    return Clock(integer("interval", interval, Range(0)), hook, at_end)


def stateful(hooks: Iterable[Hook]) -> list[Stateful]:
    """Return those hooks that have state, also behind a clock."""
    inner: list[Any] = [hook.hook if isinstance(hook, Clock) else hook for hook in hooks]
    return [hook for hook in inner if isinstance(hook, Stateful)]


class EpisodeRows:
    """Counts the finished episodes and writes them to `episodes.jsonl`."""

    def __init__(self, folder: RunFolder, info: "InfoLog") -> None:
        self._folder, self._info = folder, info
        self.count = 0

    def __call__(self, step: Step) -> None:
        """Log the episodes that ended in this step."""
        self.count += len(step.episodes)
        for episode in step.episodes:
            row = episode_row(step.number, episode)
            if info := self._info.take(episode):
                row["info"] = info
            self._folder.append("episodes", row)

    def state(self) -> dict[str, Any]:
        """The number of episodes."""
        return {"finished_episodes": self.count}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned."""
        self.count = state.get("finished_episodes", 0)  # missing in early checkpoints


class EveryEpisodes:
    """Calls a hook whenever `interval` more training episodes have ended, not at the last step.

    The count is that of `episodes`, which is called first and is part of the exact resume. An
    interval of 0 means never.
    """

    def __init__(self, interval: int, episodes: EpisodeRows, hook: Hook) -> None:
        self._interval, self._episodes, self._hook = interval, episodes, hook

    def __call__(self, step: Step) -> None:
        """Call the hook if it is due; episodes of several environments can end in one step."""
        if not (self._interval and step.episodes) or step.is_last:
            return
        count = self._episodes.count
        if count // self._interval > (count - len(step.episodes)) // self._interval:
            self._hook(step)


class InfoLog:
    """The values of some keys of the infos of episodes, and their means over the last episodes.

    keys: names, with dots inside dicts.
    """

    def __init__(self, keys: Sequence[str], session: Session) -> None:
        self._keys, self._notify = keys, session.display.notify
        self._latest: dict[str, deque[float]] = {key: deque(maxlen=MEAN_OF) for key in keys}
        self._missing: set[str] = set()  # what has been reported

    def take(self, episode: Episode) -> dict[str, Any]:
        """The values in the info of an episode, which also enter the means."""
        if not self._keys:  # as usual, and thousands of episodes may end in a step
            return {}
        found = {key: value for key in self._keys if (value := _at(key, episode.info)) is not None}
        for key, value in found.items():
            if isinstance(value, int | float) and math.isfinite(value):
                self._latest[key].append(float(value))
        if missing := set(self._keys) - found.keys() - self._missing:
            self._missing |= missing
            names, has = ", ".join(sorted(missing)), ", ".join(episode.info) or "nothing"
            self._notify(f"log_info: the info of an episode has no {names} - it has {has}")
        return {key: value for key, value in found.items() if _is_finite(value)}

    def means(self) -> dict[str, float]:
        """The means over the last 100 episodes, or as many as there were."""
        return {key: fmean(values) for key, values in self._latest.items() if values}

    def state(self) -> dict[str, Any]:
        """The values that the means are of."""
        return {"info": {key: list(values) for key, values in self._latest.items()}}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned."""
        for key, values in state.get("info", {}).items():
            if key in self._latest:
                self._latest[key] = deque(values, maxlen=MEAN_OF)


def require_free(names: Iterable[str], agent: Agent) -> None:
    """Raise `UserError` if one of `names` is one that rows of `metrics.jsonl` have anyway."""
    for name in names:
        if name in _OWN_COLUMNS or name in agent.algorithm.METRICS:
            raise UserError(f"{name!r} is a name of the training's own log - choose another")


def _at(key: str, info: Mapping[str, Any]) -> Any:
    """The value at a key with dots; None if there is none."""
    if key in info:
        return info[key]
    first, _, rest = key.partition(".")
    inner = info.get(first)
    return _at(rest, inner) if rest and isinstance(inner, Mapping) else None


def _is_finite(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_is_finite, value))
    if isinstance(value, Mapping):
        return all(map(_is_finite, value.values()))
    return not isinstance(value, float) or math.isfinite(value)


class MetricsLog:
    """Writes means of the update metrics, and of `info`, to `metrics.jsonl`, and shows them."""

    def __init__(self, session: Session, cores: CoreWatch, info: InfoLog) -> None:
        self._session, self._cores, self._info = session, cores, info
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
        metrics |= self._info.means()
        session.append_metrics(metrics)
        session.flush_logs()
        session.display.update(agent.num_steps, updates=agent.num_updates, metrics=metrics)
        self._cores.check()
        self.after_flush()


class Videos:
    """Records an episode of the current policy into the run's `videos` folder."""

    def __init__(self, session: Session, recorder: VideoRecorder | None) -> None:
        self._session, self._recorder = session, recorder
        self._latest = -1  # a step may be due in several ways

    @property
    def can_record(self) -> bool:
        """Whether the run records videos."""
        return self._recorder is not None

    def __call__(self, step: Step) -> None:
        """Record a video at this step."""
        self.record(step.number)

    def record(self, step: int) -> None:
        """Record a video; a request to stop abandons it. Without a recorder do nothing."""
        if self._recorder is None or step == self._latest:
            return
        self._latest, session = step, self._session
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
