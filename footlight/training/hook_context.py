"""What a hook sees of a training, and what it may ask for."""

import math
import numbers
from typing import Any

import numpy as np
import torch

from footlight.environments.episodes import Episode
from footlight.errors import UserError
from footlight.learning.agent import Agent
from footlight.training.evaluation import Evaluation
from footlight.training.evaluator import Evaluator
from footlight.training.hooks import Videos, require_free
from footlight.training.loop import Step
from footlight.training.session import Session
from footlight.types import Transition


class HookContext:
    """The argument of a hook: what it sees of the training, and what it may ask for.

    A run has one of these, which always shows its latest step.
    """

    def __init__(self, session: Session, evaluator: Evaluator, videos: Videos) -> None:
        self._session, self._evaluator, self._videos = session, evaluator, videos
        self._step: Step | None = None
        self._numbers: dict[str, float] = {}
        self._wants_evaluation = self._wants_video = False

    @property
    def agent(self) -> Agent:
        """The agent that is being trained. To be read: the loop acts, observes and learns."""
        return self._session.agent

    @property
    def step(self) -> int:
        """Environment steps taken. With several environments, it skips values."""
        return self._session.agent.num_steps

    @property
    def total_steps(self) -> int:
        """Environment steps at which the training ends."""
        return self._session.options.steps

    @property
    def metrics(self) -> dict[str, float]:
        """The metrics of the last update; empty if no update was due."""
        return {} if self._step is None else dict(self._step.metrics)

    @property
    def episodes(self) -> list[Episode]:
        """The training episodes that ended in this step, each with the `info` of its last step."""
        return [] if self._step is None else list(self._step.episodes)

    @property
    def evaluation(self) -> Evaluation | None:
        """The evaluation that was made at this step; None if there was none."""
        return self._evaluator.at(self.step)

    @property
    def transition(self) -> Transition | None:
        """What the environments returned in this step: arrays [E, ...], which cannot be changed."""
        if self._step is None:
            return None
        return Transition(*(_read_only(part) for part in self._step.transition))

    def log(self, **values: float) -> None:
        """Log numbers at this step: in `metrics.jsonl`, the display and the trackers.

        Raises `UserError` for a name of the algorithm's own metrics, and for anything but numbers.
        """
        require_free(values, self.agent)
        for name, value in values.items():
            self._numbers[name] = _number(name, value)

    def set(self, **values: float) -> None:
        """Change fields of the config that are declared schedulable, as `Agent.set` does.

        `--help` names them. Raises `UserError` for any other field.
        """
        self.agent.set(**values)

    def request_evaluation(self) -> None:
        """Evaluate after the hooks of this step; `on_evaluation` hooks then see the result.

        Raises `UserError` if the run makes no evaluations.
        """
        if self._evaluator.environments is None:
            raise UserError(
                "an evaluation was requested - the run makes none - leave out eval_episodes 0, or "
                "give eval_environment"
            )
        self._wants_evaluation = True

    def request_video(self) -> None:
        """Record a video after the hooks of this step; the run needs a `video_every`, or
        `video_every_episodes`."""
        if not self._videos.can_record:
            raise UserError("a video was requested - the run records none - set video_every, too")
        self._wants_video = True

    def request_checkpoint(self) -> None:
        """Write a checkpoint after the hooks of this step."""
        self._session.interruption.wants_checkpoint = True

    def stop(self, reason: str) -> None:
        """End the training after this step, with a final evaluation.

        reason: `result.json` and the summary show it. A resumed run continues.
        """
        self._session.stop_reason = str(reason)

    # What `every` asks of a step

    @property
    def is_last(self) -> bool:
        """Whether the training has reached its `total_steps`."""
        return self.step >= self.total_steps

    def crosses(self, interval: int) -> bool:
        """Return whether this step reached or skipped a multiple of `interval`; never for 0."""
        return self._step is not None and self._step.crosses(interval)


def _number(name: str, value: Any) -> float:
    if isinstance(value, torch.Tensor | np.ndarray) and math.prod(value.shape) == 1:
        value = value.item()
    if not isinstance(value, numbers.Real | np.bool_):
        raise UserError(f"{name}={value!r:.80} cannot be logged - give a number")
    return float(value)


def _read_only(part: Any) -> Any:
    if isinstance(part, np.ndarray):
        part = part.view()
        part.flags.writeable = False
    return part
