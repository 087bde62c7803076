"""Hooks of your own: what they see of a training, what they may ask for, and how they are called.

def show(training: HookContext) -> None:
    print(training.step, training.metrics)

footlight.train("ppo", "CartPole-v1", hooks=[footlight.every(10_000, show)])
"""

import json
import math
import numbers
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

import numpy as np
import torch

from footlight.environments.episodes import Episode
from footlight.errors import UserError, describe_error
from footlight.learning.agent import Agent
from footlight.signals import is_interruption
from footlight.training.evaluation import Evaluation
from footlight.training.evaluator import Evaluator
from footlight.training.hooks import Clock, Stateful, Videos
from footlight.training.loop import Step
from footlight.training.session import Session
from footlight.types import Transition

UserHook = Callable[..., object]
_OWN_COLUMNS = ("step", "update", "time_s")  # of a row of metrics.jsonl


class HookFailed(UserError):
    """A hook raised an exception between two steps: the state of the training is intact."""


class HookContext:
    """The argument of a hook: what it sees of the training, and what it may ask for.

    A run has one of these, which always shows its latest step.
    """

    def __init__(self, session: Session, evaluator: Evaluator, videos: Videos) -> None:
        self._session, self._evaluator, self._videos = session, evaluator, videos
        self._step: Step | None = None
        self._numbers: dict[str, float] = {}
        self._wants_evaluation = self._wants_video = False
        self._stop_reason: str | None = None

    @property
    def agent(self) -> Agent:
        """The agent that is being trained. Look, but let the loop act, observe and learn."""
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
        """The metrics of the last update; empty if this step brought none."""
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
        for name, value in values.items():
            if name in _OWN_COLUMNS or name in self.agent.algorithm.METRICS:
                raise UserError(f"{name!r} is a name of the training's own log - choose another")
            self._numbers[name] = _number(name, value)

    def request_evaluation(self) -> None:
        """Evaluate after the hooks of this step; `on_evaluation` hooks then see the result."""
        self._wants_evaluation = True

    def request_video(self) -> None:
        """Record a video after the hooks of this step; the run needs a `video_every`."""
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
        self._stop_reason = str(reason)

    # What `every` asks of a step

    @property
    def is_last(self) -> bool:
        """Whether the training has reached its `total_steps`."""
        return self._step is not None and self._step.is_last

    def crosses(self, interval: int) -> bool:
        """Return whether this step reached or skipped a multiple of `interval`; never for 0."""
        return self._step is not None and self._step.crosses(interval)


@dataclass(frozen=True)
class OnEpisode:
    """Calls a hook with each training episode that ends."""

    hook: UserHook

    def __call__(self, training: HookContext) -> None:
        """Call the hook once for each episode that ended in this step."""
        for episode in training.episodes:
            self.hook(training, episode)


@dataclass(frozen=True)
class OnEvaluation:
    """Calls a hook with each evaluation, the final one included."""

    hook: UserHook

    def __call__(self, training: HookContext) -> None:
        """Call the hook if there was an evaluation at this step."""
        if (evaluation := training.evaluation) is not None:
            self.hook(training, evaluation)


def on_episode(hook: UserHook) -> OnEpisode:
    """Call `hook(training, episode)` after each training episode.

    episode: its `env`, `total` (the return), `length`, `terminated`, and `info`, that of its last
        step as far as it can be logged: flags, numbers, short texts, small arrays.
    """
    return OnEpisode(hook)


def on_evaluation(hook: UserHook) -> OnEvaluation:
    """Call `hook(training, evaluation)` after each evaluation, the final one included."""
    return OnEvaluation(hook)


class UserHooks:
    """The hook that calls the user's hooks, and does what they ask for, once it has a `context`.

    Raises `UserError` where something that was given is not a hook.
    """

    context: HookContext

    def __init__(self, hooks: Sequence[UserHook]) -> None:
        if not isinstance(hooks, Sequence):
            raise UserError(f"hooks is {hooks!r:.80} - give a list of hooks")
        self._bare = [_bare(hook) for hook in hooks]
        self.names = [_name(hook) for hook in self._bare]
        for hook in self._bare:
            if not callable(hook):
                raise UserError(f"{hook!r:.80} is not a hook - give a function of one argument")
        guarded = [_Guarded(hook, name) for hook, name in zip(self._bare, self.names, strict=True)]
        self._hooks = [_inside(hook, call) for hook, call in zip(hooks, guarded, strict=True)]
        self._evaluation_hooks = [hook for hook in self._hooks if isinstance(hook, OnEvaluation)]
        self._step_hooks = [hook for hook in self._hooks if not isinstance(hook, OnEvaluation)]
        self._evaluated = -1  # the step whose evaluation the hooks have seen

    @property
    def stop_reason(self) -> str | None:
        """Why a hook has asked for the end of the training; None if none has."""
        return self.context._stop_reason

    @property
    def notices(self) -> list[str]:
        """Lines about the hooks for the beginning of a run."""
        if not self.names:
            return []
        pairs = zip(self._bare, self.names, strict=True)
        without = [name for hook, name in pairs if not isinstance(hook, Stateful)]
        lines = [f"hooks: {', '.join(self.names)}"]
        if without:
            what = "has no state() and restore()" if len(without) == 1 else "have no state()"
            lines.append(
                f"{', '.join(without)} {what}: checkpoints save nothing of it, and a resumed run "
                "calls what it is given then"
            )
        return lines

    def __call__(self, step: Step) -> None:
        """Call all hooks with this step, then make what they have asked for."""
        context = self.context
        context._step = step
        for hook in self._step_hooks:
            hook(context)
        if context._wants_evaluation:
            context._wants_evaluation = False
            context._evaluator.evaluate_and_log(step.number)
        if self._evaluation_hooks:
            self.after_evaluation()
        if context._numbers or context._wants_video:
            self._record(step.number)

    def after_evaluation(self) -> None:
        """Call the hooks that wait for an evaluation, once for each."""
        context = self.context
        if self._evaluated != context.step and context.evaluation is not None:
            self._evaluated = context.step
            for hook in self._evaluation_hooks:
                hook(context)

    def _record(self, step: int) -> None:
        """Log the numbers of this step, and record the video that was asked for."""
        context = self.context
        session, agent = context._session, context.agent
        numbers, context._numbers = context._numbers, {}
        if finite := {name: x for name, x in numbers.items() if math.isfinite(x)}:
            counts = {"step": step, "update": agent.num_updates}
            row = {**counts, "time_s": round(session.seconds, 3), **finite}
            session.folder.append("metrics", row)
            session.display.update(step, updates=agent.num_updates, metrics=finite)
        if not_finite := ", ".join(numbers.keys() - finite.keys()):
            session.display.notify(f"{not_finite} at step {step:,}: not finite, so not logged")
        if context._wants_video:
            context._wants_video = False
            context._videos.record(step)

    def finish(self) -> None:
        """After the final evaluation: call the hooks that wait for it, and log their numbers."""
        self.after_evaluation()
        if self.context._numbers:
            self._record(self.context.step)

    def state(self) -> dict[str, Any]:
        """Names and states of the hooks, for a checkpoint. Raises `UserError`."""
        states = [_state(hook, name) for hook, name in zip(self._bare, self.names, strict=True)]
        pairs = zip(self.names, states, strict=True)
        return {"hooks": [{"name": name, "state": state} for name, state in pairs]}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned, hook by hook. Raises `UserError`."""
        saved = state.get("hooks", [])
        for hook, name, entry in zip(self._bare, self.names, saved, strict=False):
            if entry["name"] == name and entry["state"] is not None and isinstance(hook, Stateful):
                try:
                    hook.restore(entry["state"])
                except Exception as error:
                    what = f"restore of the hook {name} raised {describe_error(error)}"
                    raise UserError(f"{what} - fix the hook") from error


class _Guarded:
    """A hook as it is called: its errors name it, and the training is as it was afterwards."""

    def __init__(self, hook: UserHook, name: str) -> None:
        self._hook, self._name = hook, name

    def __call__(self, training: HookContext, *given: Any) -> None:
        agent, threads = training.agent, torch.get_num_threads()
        before = agent.num_steps, agent.num_updates
        try:
            self._hook(training, *given)
        except BaseException as error:  # SystemExit included, which would end the program
            if is_interruption(error):
                raise
            what = f"the hook {self._name} failed at step {before[0]:,}: {describe_error(error)}"
            raise HookFailed(f"{what} - the run is saved; fix the hook, then resume") from error
        finally:
            if torch.get_num_threads() != threads:  # another number rounds differently
                torch.set_num_threads(threads)
        if agent.pending is not None or before != (agent.num_steps, agent.num_updates):
            raise UserError(
                f"the hook {self._name} has used the agent to explore or to learn, which is the "
                "loop's part - use agent.policy.act, or a loop of your own over footlight.steps"
            )


def _bare(hook: Any) -> Any:
    """The hook itself, inside `every`, `on_episode` and `on_evaluation`."""
    while isinstance(hook, Clock | OnEpisode | OnEvaluation):
        hook = hook.hook
    return hook


def _inside(hook: Any, call: Any) -> Any:
    """`call` in place of the hook inside `every`, `on_episode` or `on_evaluation`."""
    if isinstance(hook, Clock | OnEpisode | OnEvaluation):
        return replace(hook, hook=_inside(hook.hook, call))
    return call


def _name(hook: Any) -> str:
    """The name of a hook in messages and checkpoints: its function's, or its class's."""
    if isinstance(hook, FunctionType | MethodType | BuiltinFunctionType | type):
        return hook.__qualname__.rpartition("<locals>.")[-1]
    return type(hook).__name__


def _state(hook: Any, name: str) -> dict[str, Any] | None:
    if not isinstance(hook, Stateful):
        return None
    try:
        state = hook.state()
        return dict(json.loads(json.dumps(state, allow_nan=False)))
    except Exception as error:
        what = f"the state of the hook {name} cannot be saved: {describe_error(error)}"
        raise UserError(f"{what} - return a dict of numbers, texts, lists and dicts") from error


def _number(name: str, value: Any) -> float:
    if isinstance(value, torch.Tensor | np.ndarray) and math.prod(value.shape) == 1:
        value = value.item()
    if not isinstance(value, numbers.Real):
        raise UserError(f"{name}={value!r:.80} cannot be logged - give a number")
    return float(value)


def _read_only(part: Any) -> Any:
    if isinstance(part, np.ndarray):
        part = part.view()
        part.flags.writeable = False
    return part
